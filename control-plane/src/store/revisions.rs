//! Revisions: immutable, numbered.
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{error::Error, names::FleetName};

/// A revision without its settings.
#[derive(Clone, Debug)]
pub struct RevisionRow {
    /// Its number.
    pub revision: i64,
    /// SHA-256 of its settings.
    pub hash: Vec<u8>,
    /// Who made the change.
    pub actor: String,
    /// Trace context of the change.
    pub traceparent: String,
    /// When.
    pub created_at: OffsetDateTime,
}

/// One revision of a fleet of a tenant that is not deleted, with its encoded settings.
///
/// # Errors
/// What the database says.
pub async fn find(
    db: &mut PgConnection,
    fleet: &FleetName,
    revision: i64,
) -> Result<Option<(RevisionRow, Vec<u8>)>, Error> {
    let found = sqlx::query!(
        "select r.revision, r.hash, r.settings, r.actor, r.traceparent, r.created_at
         from revisions r join tenants t using (tenant_id)
         where r.tenant_id = $1 and r.fleet_id = $2 and r.revision = $3 and t.deleted_at is null",
        fleet.tenant,
        fleet.fleet,
        revision
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|r| {
        let row = RevisionRow {
            revision: r.revision,
            hash: r.hash,
            actor: r.actor,
            traceparent: r.traceparent,
            created_at: r.created_at,
        };
        (row, r.settings)
    }))
}

/// A page of a fleet's revisions, newest first.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    fleet: &FleetName,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<RevisionRow>, Error> {
    Ok(sqlx::query_as!(
        RevisionRow,
        "select revision, hash, actor, traceparent, created_at
         from revisions
         where tenant_id = $1 and fleet_id = $2 and ($3::bigint is null or revision < $3)
         order by revision desc
         limit $4",
        fleet.tenant,
        fleet.fleet,
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}
