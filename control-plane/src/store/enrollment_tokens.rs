//! Enrollment tokens: rights to enroll into a fleet, hashed.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    error::Error,
    names::{EnrollmentTokenName, FleetName},
};

/// An enrollment token without its secret.
#[derive(Clone, Debug)]
pub struct EnrollmentTokenRow {
    /// Its id.
    pub enrollment_token_id: Uuid,
    /// Tenant of its fleet.
    pub tenant_id: String,
    /// Fleet that it enrolls into.
    pub fleet_id: String,
    /// What it is for.
    pub display_name: String,
    /// How many enrollments it allows.
    pub max_uses: i32,
    /// How many it has allowed.
    pub uses: i32,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends.
    pub expires_at: OffsetDateTime,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
}

impl EnrollmentTokenRow {
    /// Its resource name.
    pub fn name(&self) -> EnrollmentTokenName {
        EnrollmentTokenName {
            tenant: self.tenant_id.clone(),
            fleet: self.fleet_id.clone(),
            enrollment_token: self.enrollment_token_id.to_string(),
        }
    }
}

/// Keeps a new token.
///
/// # Errors
/// What the database says.
pub async fn insert(
    db: &mut PgConnection,
    token: &EnrollmentTokenRow,
    secret_hash: &[u8; 32],
) -> Result<(), Error> {
    sqlx::query!(
        "insert into enrollment_tokens
            (enrollment_token_id, tenant_id, fleet_id, display_name, secret_hash, max_uses, created_at, expires_at)
         values ($1, $2::text, $3::text, $4, $5, $6, $7, $8)",
        token.enrollment_token_id,
        token.tenant_id,
        token.fleet_id,
        token.display_name,
        secret_hash.as_slice(),
        token.max_uses,
        token.created_at,
        token.expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One token of a fleet of a tenant that is not deleted.
///
/// # Errors
/// What the database says.
pub async fn find(
    db: &mut PgConnection,
    fleet: &FleetName,
    id: Uuid,
) -> Result<Option<EnrollmentTokenRow>, Error> {
    Ok(sqlx::query_as!(
        EnrollmentTokenRow,
        "select e.enrollment_token_id, e.tenant_id, e.fleet_id, e.display_name, e.max_uses, e.uses, e.created_at,
            e.expires_at, e.revoked_at
         from enrollment_tokens e join tenants t using (tenant_id)
         where e.enrollment_token_id = $3 and e.tenant_id = $1 and e.fleet_id = $2 and t.deleted_at is null",
        fleet.tenant,
        fleet.fleet,
        id
    )
    .fetch_optional(db)
    .await?)
}

/// A page of a fleet's tokens, newest first.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    fleet: &FleetName,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<EnrollmentTokenRow>, Error> {
    Ok(sqlx::query_as!(
        EnrollmentTokenRow,
        "select enrollment_token_id, tenant_id, fleet_id, display_name, max_uses, uses, created_at, expires_at, revoked_at
         from enrollment_tokens
         where tenant_id = $1 and fleet_id = $2 and ($3::uuid is null or enrollment_token_id < $3)
         order by enrollment_token_id desc
         limit $4",
        fleet.tenant,
        fleet.fleet,
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
        "update enrollment_tokens set revoked_at = $2 where enrollment_token_id = $1 and revoked_at is null",
        id,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
