//! How one CA follows another while relays work.
//!
//! A new CA is *staged*: every process trusts it, none issues from it. Once all do, it *issues*, and the one before is
//! *retiring*: trusted, so that certificates from it go on to count, until no relay holds one. Then that one is *retired*:
//! nobody trusts it, and its key is destroyed. Relays learn the roots with each certificate; who trusts an older root alone,
//! as a file in a task definition may name it, is shown the way from there to the new one.
//!
//! Each process looks each second, takes up what it finds, and says so; one of them at a time takes the step that is due.
use std::{sync::Arc, time::Duration};

use ekiden_telemetry::propagation;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::authorities::{LOCK, describe};
use crate::{
    app::App,
    audit_log::Event,
    error::Error,
    store::{
        certificate_authorities::{self, CertificateAuthorityRow, Held},
        databases, replicas,
        scope::Scope,
    },
};

/// How often CAs are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What stands between a CA and its next state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Processes that do not work with the CAs of now yet.
    pub replicas: i64,
    /// Relays that hold its certificates.
    pub relays: i64,
}

/// Looks until cancelled.
pub async fn run(app: Arc<App>) {
    loop {
        if let Err(error) = round(&app).await {
            app.metrics.waits("certificate_authorities", "FAILED");
            let error = format!("{error:#}");
            tracing::warn!(
                error,
                "The certificate authorities cannot be looked at: those known go on to be used"
            );
        }
        tokio::select! {
            () = app.cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn round(app: &App) -> anyhow::Result<()> {
    let described = app.authorities.read_again(&app.pool, &app.vault).await?;
    let mut db = app.pool.begin(&Scope::Provider).await?;
    replicas::adopt_authorities(&mut db, app.replica, &described).await?;
    db.commit().await?;
    let is_under_way = described.contains("=staged") || described.contains("=retiring");
    if is_under_way {
        take_step(app).await?;
    }
    Ok(())
}

async fn take_step(app: &App) -> Result<(), Error> {
    let mut db = app.pool.begin(&Scope::Provider).await?;
    if !databases::try_alone(&mut db, LOCK).await? {
        return Ok(());
    }
    let now = app.clock.now();
    let rows = certificate_authorities::all(&mut db).await?;
    if replicas::count_behind(&mut db, &describe(&rows), now).await? > 0 {
        return Ok(());
    }
    for row in &rows {
        let id = row.certificate_authority_id;
        let step = match row.state.as_str() {
            "staged" => {
                certificate_authorities::promote(&mut db, now).await?;
                "certificate authority: issuing"
            }
            "retiring" if count_holders(app, &mut db, id, now).await? == 0 => {
                certificate_authorities::retire(&mut db, id, now).await?;
                "certificate authority: retired"
            }
            _ => continue,
        };
        tracing::info!(certificate_authority.id = %id, step, "The rotation of the CA has come further");
        let event = Event {
            tenant: None,
            at: now,
            actor: "controlPlane",
            peer: "",
            method: step,
            resource: &name(id),
            changed_fields: &[],
            trace_id: &propagation::trace_id(),
        };
        app.audit.record(&mut db, event).await?;
        // One step at a time: every process takes it up before the next.
        break;
    }
    Ok(db.commit().await?)
}

/// What a CA waits for, as of `rows`, which are all there are.
///
/// # Errors
/// What the database says.
pub async fn waits(
    app: &App,
    db: &mut PgConnection,
    rows: &[CertificateAuthorityRow],
    row: &CertificateAuthorityRow,
) -> Result<Waits, Error> {
    let now = app.clock.now();
    let replicas = match row.state.as_str() {
        "staged" | "retiring" => replicas::count_behind(db, &describe(rows), now).await?,
        _ => 0,
    };
    let relays = match row.state.as_str() {
        "retired" => 0,
        _ => count_holders(app, db, row.certificate_authority_id, now).await?,
    };
    Ok(Waits { replicas, relays })
}

/// Relays that hold certificates of a CA, as far as they matter at `now`.
pub fn held(app: &App, by: Uuid, now: OffsetDateTime) -> Held {
    Held { by, renewable_since: now - app.settings.relay_renewal_grace, now }
}

/// Makes a CA and stages it.
///
/// # Errors
/// [`Error::Precondition`] while another is staged; [`Error::Unavailable`] when this process has missed a step.
pub async fn stage(
    app: &App,
    db: &mut PgConnection,
    now: OffsetDateTime,
) -> Result<CertificateAuthorityRow, Error> {
    databases::one_at_a_time(db, LOCK).await?;
    let rows = certificate_authorities::all(db).await?;
    if let Some(staged) = rows.iter().find(|row| row.state == "staged") {
        return Err(Error::Precondition {
            reason: "CERTIFICATE_AUTHORITY_STAGED",
            subject: name(staged.certificate_authority_id),
            description: "a new CA is staged already and issues as soon as every control plane process trusts it: see `ekidenctl ca list`".to_owned(),
        });
    }
    let (made, by) = app.authorities.successor(&app.vault, now).await.map_err(Error::Internal)?;
    let issuing = rows.iter().find(|row| row.state == "issuing");
    if issuing.is_none_or(|row| row.certificate_authority_id != by) {
        return Err(Error::Unavailable {
            reason: "CERTIFICATE_AUTHORITY_BEHIND",
            description: "this process has not taken up the CA that issues yet; try again in a moment",
            retry_after: LOOK_EVERY,
            source: None,
        });
    }
    Ok(made.insert(db, "staged").await?)
}

/// Retires a CA without waiting for the relays that hold its certificates: they must enroll anew.
///
/// # Errors
/// [`Error::Precondition`] unless it is retiring.
pub async fn retire(
    db: &mut PgConnection,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<CertificateAuthorityRow, Error> {
    databases::one_at_a_time(db, LOCK).await?;
    let row = find(db, id).await?;
    if row.state != "retiring" {
        return Err(Error::Precondition {
            reason: "CERTIFICATE_AUTHORITY_NOT_RETIRING",
            subject: name(id),
            description: format!(
                "{} is {}: only a CA that another has followed can be retired (ekidenctl ca rotate)",
                name(id),
                row.state
            ),
        });
    }
    certificate_authorities::retire(db, id, now).await?;
    find(db, id).await
}

/// The CA's resource name.
pub fn name(id: Uuid) -> String {
    format!("certificateAuthorities/{id}")
}

async fn find(db: &mut PgConnection, id: Uuid) -> Result<CertificateAuthorityRow, Error> {
    let rows = certificate_authorities::all(db).await?;
    let row = rows.into_iter().find(|row| row.certificate_authority_id == id);
    row.ok_or_else(|| Error::not_found(name(id)))
}

async fn count_holders(
    app: &App,
    db: &mut PgConnection,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<i64, Error> {
    Ok(certificate_authorities::count_holders(db, held(app, id, now)).await?)
}
