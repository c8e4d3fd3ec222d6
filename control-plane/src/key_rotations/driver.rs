//! Takes rotations from step to step. Each replica looks each second and one of them at a time acts; a step is taken in one
//! transaction, from facts read in it, so that a replica which dies in between leaves nothing half done.
use std::{sync::Arc, time::Duration};

use ekiden_telemetry::propagation;
use sqlx::PgConnection;
use tracing::Instrument;

use super::{
    RotationState,
    progress::{Facts, Progress},
};
use crate::{
    app::App,
    audit_log::Event,
    error::Error,
    names::AccessKeyName,
    store::{
        access_keys, databases, heads,
        key_rotations::{self, RotationRow},
        scope::Scope,
        tenants,
    },
};

/// How often rotations are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Waits that a log line tells of.
const TOLD: usize = 5;

/// Looks until cancelled.
pub async fn run(app: Arc<App>) {
    loop {
        tokio::select! {
            () = app.cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = round(&app).await {
            tracing::info!(error = error.to_string(), "Key rotations wait for the database");
        }
    }
}

/// Takes every step that is due, of all tenants.
async fn round(app: &App) -> Result<(), Error> {
    // Held to the end of the round; a replica that dies lets go of it.
    let mut turn = app.pool.begin(&Scope::Provider).await?;
    if !databases::try_alone(&mut turn, "key rotations").await? {
        return Ok(());
    }
    for name in key_rotations::under_way(&mut turn).await? {
        match advance(app, &name).await {
            Err(Error::NotFound { .. }) | Ok(()) => {}
            Err(error @ Error::Unavailable { .. }) => return Err(error),
            // One tenant's trouble holds up nobody else.
            Err(error) => tracing::error!(
                tenant.id = name.tenant,
                access_key.id = name.access_key,
                error = error.to_string(),
                "A key rotation cannot go on"
            ),
        }
    }
    Ok(())
}

/// Where a key's last rotation is; none: it was never rotated.
///
/// # Errors
/// What the database says.
pub async fn standing(
    app: &App,
    db: &mut PgConnection,
    name: &AccessKeyName,
) -> Result<Option<(RotationRow, Facts, Progress)>, Error> {
    let Some(row) = key_rotations::last(db, name).await? else { return Ok(None) };
    let now = app.clock.now();
    let renewable_since = now - app.settings.relay_renewal_grace;
    let facts = Facts {
        state: RotationState::parse(&row.state)?,
        state_at: row.state_at,
        grace: time::Duration::seconds(row.grace_seconds),
        relays: key_rotations::relays(db, name, renewable_since, now).await?,
        collectors: key_rotations::collectors(db, name).await?,
        trials: key_rotations::trials(db, name, row.new_version).await?,
    };
    let progress = facts.progress(now);
    Ok(Some((row, facts, progress)))
}

/// Takes the step that is due, if one is.
async fn advance(app: &App, name: &AccessKeyName) -> Result<(), Error> {
    let scope = Scope::Tenant(name.tenant.clone());
    let mut db = app.pool.begin(&scope).await?;
    let found = standing(app, &mut db, name).await?;
    drop(db);
    let Some((row, _, progress)) = found else { return Ok(()) };
    if progress.next.is_none() && progress.stopped == row.stopped_at.is_some() {
        return Ok(());
    }
    let span = tracing::info_span!(
        "rotate access key",
        tenant.id = name.tenant,
        access_key.id = name.access_key
    );
    propagation::set_parent(&span, &row.traceparent, "");
    async {
        let mut db = app.pool.begin(&scope).await?;
        tenants::lock(&mut db, &name.tenant).await?;
        if let Some((row, _, progress)) = standing(app, &mut db, name).await? {
            step(app, &mut db, name, row, &progress).await?;
        }
        Ok(db.commit().await?)
    }
    .instrument(span)
    .await
}

async fn step(
    app: &App,
    db: &mut PgConnection,
    name: &AccessKeyName,
    mut row: RotationRow,
    progress: &Progress,
) -> Result<(), Error> {
    let now = app.clock.now();
    let done = match (progress.stopped, row.stopped_at, progress.next) {
        (true, None, _) => {
            row.stopped_at = Some(now);
            let refusals: Vec<_> =
                progress.waits.iter().take(TOLD).map(ToString::to_string).collect();
            tracing::warn!(
                refusals = refusals.join("; "),
                "A key rotation has stopped: collectors refuse the new version, and relays go on with the old one"
            );
            "stop key rotation".to_owned()
        }
        (false, Some(_), _) => {
            row.stopped_at = None;
            // Whoever refused may refuse again: the grace begins anew.
            row.state_at = now;
            tracing::info!("A key rotation goes on: no collector refuses the new version any more");
            "resume key rotation".to_owned()
        }
        (false, None, Some(next)) => {
            enter(db, name, &row, next, now).await?;
            next.name().clone_into(&mut row.state);
            row.state_at = now;
            tracing::info!(state = next.name(), "A key rotation has come further");
            format!("key rotation: {}", next.name())
        }
        _ => return Ok(()),
    };
    key_rotations::update(db, &row).await?;
    let event = Event {
        tenant: Some(&name.tenant),
        at: now,
        actor: "controlPlane",
        peer: "",
        method: &done,
        resource: &name.to_string(),
        changed_fields: &[],
        trace_id: &propagation::trace_id(),
    };
    app.audit.record(db, event).await
}

/// Does what makes a state true.
async fn enter(
    db: &mut PgConnection,
    name: &AccessKeyName,
    row: &RotationRow,
    next: RotationState,
    now: time::OffsetDateTime,
) -> Result<(), Error> {
    if next == RotationState::Preferred {
        let mut key = access_keys::get(db, name).await?;
        key.current_version = row.new_version;
        key.fingerprint.clone_from(&row.new_fingerprint);
        key.version += 1;
        key.updated_at = now;
        access_keys::update(db, &key).await?;
    }
    if next == RotationState::OldDestroyed {
        access_keys::delete_version(db, name, row.old_version).await?;
    }
    let relays_get_others = matches!(
        next,
        RotationState::Distributing | RotationState::Preferred | RotationState::OldDisabled
    );
    if relays_get_others {
        let (traceparent, _) = propagation::current_traceparent();
        heads::bump_secrets(db, &name.tenant, &name.access_key, &traceparent, now).await?;
    }
    Ok(())
}
