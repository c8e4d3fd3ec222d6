//! From a fleet's rows to its next revision, in the transaction that changed them.
use ekiden_telemetry::propagation;
use sqlx::PgConnection;

use super::call::Call;
use crate::{
    error::Error,
    settings::compile::compile,
    store::{collectors, fleets::FleetRow, heads},
};

/// Compiles a fleet from its rows and, when that gives other settings than its head has, makes them its next revision.
/// The tenant is locked, so no row that goes into it changes beside.
///
/// The span's context is what relays continue: what they do with the revision hangs below its making.
#[tracing::instrument(
    name = "commit revision",
    skip_all,
    fields(tenant.id = fleet.name().tenant, fleet.id = fleet.name().fleet, revision)
)]
pub(super) async fn recompile<M>(
    db: &mut PgConnection,
    call: &Call<M>,
    fleet: &FleetRow,
) -> Result<(), Error> {
    let name = fleet.name();
    let collectors = collectors::of_fleet(db, &name).await?;
    let compiled = compile(fleet, &collectors).map_err(|violations| {
        let problems: Vec<_> =
            violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
        Error::Precondition {
            reason: "FLEET_SETTINGS_INVALID",
            subject: name.to_string(),
            description: format!("{name} could not run with this change: {}", problems.join("; ")),
        }
    })?;
    let (traceparent, tracestate) = propagation::current_traceparent();
    let actor = &call.caller.actor;
    let revision =
        heads::commit_revision(db, &name, &compiled, actor, &traceparent, &tracestate, call.now)
            .await?;
    if let Some(revision) = revision {
        tracing::Span::current().record("revision", revision);
        tracing::debug!(revision, "A fleet gets a new revision");
    }
    Ok(())
}
