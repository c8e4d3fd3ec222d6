//! Audit events, chained, and the ends of their chains.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// An event as recorded.
#[derive(Clone, Debug)]
pub struct AuditEventRow {
    /// Its id.
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
    /// Place in its chain; 0: from before there were chains.
    pub sequence: i64,
    /// Hash of the event before it.
    pub previous_hash: Vec<u8>,
    /// Its own hash.
    pub hash: Vec<u8>,
}

/// The end of a chain.
#[derive(Clone, Debug)]
pub struct AuditHeadRow {
    /// Whose chain; empty: what belongs to no tenant.
    pub tenant_id: String,
    /// Place of its last event.
    pub sequence: i64,
    /// Hash of its last event.
    pub hash: Vec<u8>,
    /// When it was signed.
    pub signed_at: OffsetDateTime,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Locks a chain's end; begins the chain where there is none.
///
/// # Errors
/// What the database says.
pub async fn lock_head(
    db: &mut PgConnection,
    tenant: Option<&str>,
) -> Result<AuditHeadRow, sqlx::Error> {
    let tenant = tenant.unwrap_or_default();
    // Asked for first: an insert that meets a conflict would write the row for the lock alone.
    let there = sqlx::query_as!(
        AuditHeadRow,
        "select tenant_id, sequence, hash, signed_at, signature from audit_heads where tenant_id = $1 for update",
        tenant
    );
    if let Some(head) = there.fetch_optional(&mut *db).await? {
        return Ok(head);
    }
    sqlx::query_as!(
        AuditHeadRow,
        "insert into audit_heads (tenant_id, sequence, hash, signed_at, signature) values ($1, 0, '', now(), '')
         on conflict (tenant_id) do update set sequence = audit_heads.sequence
         returning tenant_id, sequence, hash, signed_at, signature",
        tenant
    )
    .fetch_one(db)
    .await
}

/// Adds an event to a chain whose end is locked, and moves the end to it; one statement, for others wait.
///
/// # Errors
/// What the database says.
pub async fn append(
    db: &mut PgConnection,
    event: &AuditEventRow,
    head: &AuditHeadRow,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with moved as (
            update audit_heads set sequence = $10, hash = $12, signed_at = $13, signature = $14 where tenant_id = $15
         )
         insert into audit_events
            (audit_event_id, tenant_id, created_at, actor, peer, method, resource, changed_fields, trace_id,
             sequence, previous_hash, hash)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        event.audit_event_id,
        event.tenant_id,
        event.created_at,
        event.actor,
        event.peer,
        event.method,
        event.resource,
        &event.changed_fields,
        event.trace_id,
        event.sequence,
        event.previous_hash,
        event.hash,
        head.signed_at,
        head.signature,
        head.tenant_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A page of a tenant's events, or of everyone's, newest first.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    tenant: Option<&str>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<AuditEventRow>, sqlx::Error> {
    sqlx::query_as!(
        AuditEventRow,
        "select audit_event_id, tenant_id, created_at, actor, peer, method, resource, changed_fields, trace_id,
                sequence, previous_hash, hash
         from audit_events
         where ($1::text is null or tenant_id = $1)
           and audit_event_id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
         order by audit_event_id desc
         limit $3",
        tenant,
        before,
        limit
    )
    .fetch_all(db)
    .await
}

/// A page of chains' ends by tenant: a tenant's one, or everyone's.
///
/// # Errors
/// What the database says.
pub async fn heads(
    db: &mut PgConnection,
    tenant: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<AuditHeadRow>, sqlx::Error> {
    sqlx::query_as!(
        AuditHeadRow,
        "select tenant_id, sequence, hash, signed_at, signature
         from audit_heads
         where ($1::text is null or tenant_id = $1) and ($2::text is null or tenant_id > $2)
         order by tenant_id
         limit $3",
        tenant,
        after,
        limit
    )
    .fetch_all(db)
    .await
}
