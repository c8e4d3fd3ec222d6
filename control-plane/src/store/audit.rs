//! Audit events: who changed what.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;

/// One thing that was done; recorded in the transaction that does it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Tenant it belongs to; none for what belongs to no tenant.
    pub tenant: Option<&'a str>,
    /// When.
    pub at: OffsetDateTime,
    /// Who: `apiTokens/{id}`, a relay's name, or `system`.
    pub actor: &'a str,
    /// From which address.
    pub peer: &'a str,
    /// Full method, e.g. `/ekiden.admin.v1.FleetService/UpdateFleet`.
    pub method: &'a str,
    /// Resource name of what it was done to.
    pub resource: &'a str,
    /// Field paths that changed, never their values.
    pub changed_fields: &'a [String],
    /// Trace id, 32 hex digits; empty: none.
    pub trace_id: &'a str,
}

/// Records an event.
///
/// # Errors
/// What the database says.
pub async fn record(db: &mut PgConnection, event: Event<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit_events
            (audit_event_id, tenant_id, created_at, actor, peer, method, resource, changed_fields, trace_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        Uuid::now_v7(),
        event.tenant,
        event.at,
        event.actor,
        event.peer,
        event.method,
        event.resource,
        event.changed_fields,
        event.trace_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An event as recorded.
#[derive(Debug)]
pub struct AuditEventRow {
    /// Its id; later events have greater ones.
    pub audit_event_id: Uuid,
    /// Tenant it belongs to.
    pub tenant_id: Option<String>,
    /// When.
    pub created_at: OffsetDateTime,
    /// Who.
    pub actor: String,
    /// From which address.
    pub peer: String,
    /// Full method.
    pub method: String,
    /// What it was done to.
    pub resource: String,
    /// Field paths that changed.
    pub changed_fields: Vec<String>,
    /// Trace id; empty: none.
    pub trace_id: String,
}

/// A page of a tenant's events, newest first.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    tenant: &str,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<AuditEventRow>, Error> {
    Ok(sqlx::query_as!(
        AuditEventRow,
        "select audit_event_id, tenant_id, created_at, actor, peer, method, resource, changed_fields, trace_id
         from audit_events
         where tenant_id = $1 and audit_event_id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
         order by audit_event_id desc
         limit $3",
        tenant,
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// A page of everyone's events, newest first.
///
/// # Errors
/// What the database says.
pub async fn list_all(
    db: &mut PgConnection,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<AuditEventRow>, Error> {
    Ok(sqlx::query_as!(
        AuditEventRow,
        "select audit_event_id, tenant_id, created_at, actor, peer, method, resource, changed_fields, trace_id
         from audit_events
         where audit_event_id < coalesce($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
         order by audit_event_id desc
         limit $2",
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}
