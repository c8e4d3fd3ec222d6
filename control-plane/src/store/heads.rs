//! Heads, the write side: what each fleet's relays should run. Every change is announced to the replicas when it commits;
//! the announcement is a hint, the row is the truth.
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{error::Error, names::FleetName, settings::compile::Compiled};

/// Makes a new revision of a fleet its head, unless the head has the same settings; gives its number. Numbers have no gaps
/// and go up in the order of commits, because the head's row is locked until then.
///
/// # Errors
/// What the database says.
pub async fn commit_revision(
    db: &mut PgConnection,
    fleet: &FleetName,
    compiled: &Compiled,
    actor: &str,
    traceparent: &str,
    tracestate: &str,
    now: OffsetDateTime,
) -> Result<Option<u64>, Error> {
    let head = sqlx::query!(
        "select revision, hash from heads where tenant_id = $1 and fleet_id = $2 for update",
        fleet.tenant,
        fleet.fleet
    )
    .fetch_optional(&mut *db)
    .await?;
    if head.as_ref().is_some_and(|head| head.hash == compiled.hash) {
        return Ok(None);
    }
    let revision = head.map_or(1, |head| head.revision + 1);
    sqlx::query!(
        "insert into revisions
            (tenant_id, fleet_id, revision, hash, settings, actor, traceparent, tracestate, created_at)
         values ($1::text, $2::text, $3, $4, $5, $6, $7, $8, $9)",
        fleet.tenant,
        fleet.fleet,
        revision,
        compiled.hash.as_slice(),
        compiled.settings.as_ref(),
        actor,
        traceparent,
        tracestate,
        now
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into heads (tenant_id, fleet_id, revision, hash, updated_at)
         values ($1::text, $2::text, $3, $4, $5)
         on conflict (tenant_id, fleet_id)
         do update set revision = excluded.revision, hash = excluded.hash, updated_at = excluded.updated_at",
        fleet.tenant,
        fleet.fleet,
        revision,
        compiled.hash.as_slice(),
        now
    )
    .execute(&mut *db)
    .await?;
    notify(db, fleet).await?;
    u64::try_from(revision).map(Some).map_err(|e| Error::Internal(e.into()))
}

/// Gives the next secret version to every fleet whose collectors take the key.
///
/// # Errors
/// What the database says.
pub async fn bump_secrets(
    db: &mut PgConnection,
    tenant: &str,
    access_key: &str,
    traceparent: &str,
    now: OffsetDateTime,
) -> Result<(), Error> {
    sqlx::query!(
        "with bumped as (
            update heads set secret_version = secret_version + 1, secret_traceparent = $3, updated_at = $4
            where tenant_id = $1 and fleet_id in (
                select f.fleet_id from fleet_collectors f join collectors c using (tenant_id, collector_id)
                where f.tenant_id = $1 and c.access_key_id = $2
            )
            returning tenant_id, fleet_id
         )
         select pg_notify('ekiden_heads', 'tenants/' || tenant_id || '/fleets/' || fleet_id) from bumped",
        tenant,
        access_key,
        traceparent,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives a fleet the next secret version: its collectors take other keys than before.
///
/// # Errors
/// What the database says.
pub async fn bump_fleet_secrets(
    db: &mut PgConnection,
    fleet: &FleetName,
    traceparent: &str,
    now: OffsetDateTime,
) -> Result<(), Error> {
    sqlx::query!(
        "update heads set secret_version = secret_version + 1, secret_traceparent = $3, updated_at = $4
         where tenant_id = $1 and fleet_id = $2",
        fleet.tenant,
        fleet.fleet,
        traceparent,
        now
    )
    .execute(&mut *db)
    .await?;
    notify(db, fleet).await
}

/// Tells every replica, once this transaction commits, that a fleet's head changed or went.
///
/// # Errors
/// What the database says.
pub async fn notify(db: &mut PgConnection, fleet: &FleetName) -> Result<(), Error> {
    sqlx::query!("select pg_notify('ekiden_heads', $1)", fleet.to_string()).execute(db).await?;
    Ok(())
}
