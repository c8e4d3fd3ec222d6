//! API tokens: operators' credentials, hashed.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;

/// An API token without its secret.
#[derive(Clone, Debug)]
pub struct ApiTokenRow {
    /// Its id.
    pub api_token_id: Uuid,
    /// Tenant it is bound to.
    pub tenant_id: Option<String>,
    /// `operator`, `tenant-admin` or `viewer`.
    pub role: String,
    /// Who or what holds it.
    pub display_name: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends.
    pub expires_at: OffsetDateTime,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<OffsetDateTime>,
}

/// What authentication needs of a token.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Tenant it is bound to.
    pub tenant_id: Option<String>,
    /// `operator`, `tenant-admin` or `viewer`.
    pub role: String,
    /// SHA-256 of its secret.
    pub secret_hash: Vec<u8>,
    /// When it ends.
    pub expires_at: OffsetDateTime,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<OffsetDateTime>,
}

/// Keeps a new token.
///
/// # Errors
/// What the database says.
pub async fn insert(
    db: &mut PgConnection,
    token: &ApiTokenRow,
    secret_hash: &[u8; 32],
) -> Result<(), Error> {
    sqlx::query!(
        "insert into api_tokens
            (api_token_id, tenant_id, role, display_name, secret_hash, created_at, expires_at)
         values ($1, $2::text, $3, $4, $5, $6, $7)",
        token.api_token_id,
        token.tenant_id.as_deref(),
        token.role,
        token.display_name,
        secret_hash.as_slice(),
        token.created_at,
        token.expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One token.
///
/// # Errors
/// What the database says.
pub async fn find(db: &mut PgConnection, id: Uuid) -> Result<Option<ApiTokenRow>, Error> {
    Ok(sqlx::query_as!(
        ApiTokenRow,
        "select api_token_id, tenant_id, role, display_name, created_at, expires_at, revoked_at, last_used_at
         from api_tokens where api_token_id = $1",
        id
    )
    .fetch_optional(db)
    .await?)
}

/// A page of tokens, newest first.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ApiTokenRow>, Error> {
    Ok(sqlx::query_as!(
        ApiTokenRow,
        "select api_token_id, tenant_id, role, display_name, created_at, expires_at, revoked_at, last_used_at
         from api_tokens
         where $1::uuid is null or api_token_id < $1
         order by api_token_id desc
         limit $2",
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Ends a token, once; tells whether this call did it.
///
/// # Errors
/// What the database says.
pub async fn revoke(db: &mut PgConnection, id: Uuid, now: OffsetDateTime) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update api_tokens set revoked_at = $2 where api_token_id = $1 and revoked_at is null",
        id,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What authentication needs of a token; none where its tenant is deleted.
///
/// # Errors
/// What the database says.
pub async fn credential(db: &mut PgConnection, id: Uuid) -> Result<Option<Credential>, Error> {
    Ok(sqlx::query_as!(
        Credential,
        "select k.tenant_id, k.role, k.secret_hash, k.expires_at, k.revoked_at, k.last_used_at
         from api_tokens k left join tenants t on t.tenant_id = k.tenant_id
         where k.api_token_id = $1 and t.deleted_at is null",
        id
    )
    .fetch_optional(db)
    .await?)
}

/// Notes that a token is in use, unless that was noted after `unless_since`.
///
/// # Errors
/// What the database says.
pub async fn touch(
    db: &mut PgConnection,
    id: Uuid,
    now: OffsetDateTime,
    unless_since: OffsetDateTime,
) -> Result<(), Error> {
    sqlx::query!(
        "update api_tokens set last_used_at = $2
         where api_token_id = $1 and (last_used_at is null or last_used_at <= $3)",
        id,
        now,
        unless_since
    )
    .execute(db)
    .await?;
    Ok(())
}
