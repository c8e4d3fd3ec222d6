//! Tenants.
//!
//! A tenant's changes are made one after the other: each transaction that changes anything of a tenant takes [`lock`]
//! first, so that no two of them can wait for each other, and a compiled snapshot never misses a change beside it.
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::error::Error;

/// A tenant.
#[derive(Clone, Debug)]
pub struct TenantRow {
    /// Its id.
    pub tenant_id: String,
    /// Name for people.
    pub display_name: String,
    /// Goes up with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
    /// When it was deleted.
    pub deleted_at: Option<OffsetDateTime>,
}

/// A tenant, held for this transaction, so that no other changes anything of it.
///
/// # Errors
/// [`Error::NotFound`] when it does not exist or is deleted.
pub async fn lock(db: &mut PgConnection, tenant: &str) -> Result<TenantRow, Error> {
    sqlx::query_as!(
        TenantRow,
        "select tenant_id, display_name, version, created_at, updated_at, deleted_at
         from tenants where tenant_id = $1 and deleted_at is null for no key update",
        tenant
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| not_found(tenant))
}

/// Makes sure that a tenant exists.
///
/// # Errors
/// [`Error::NotFound`] when it does not exist or is deleted.
pub async fn must_exist(db: &mut PgConnection, tenant: &str) -> Result<(), Error> {
    get(db, tenant).await.map(drop)
}

/// A tenant that is not deleted.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(db: &mut PgConnection, tenant: &str) -> Result<TenantRow, Error> {
    sqlx::query_as!(
        TenantRow,
        "select tenant_id, display_name, version, created_at, updated_at, deleted_at
         from tenants where tenant_id = $1 and deleted_at is null",
        tenant
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| not_found(tenant))
}

/// A deleted tenant, held for this transaction.
///
/// # Errors
/// What the database says.
pub async fn lock_deleted(db: &mut PgConnection, tenant: &str) -> Result<Option<TenantRow>, Error> {
    Ok(sqlx::query_as!(
        TenantRow,
        "select tenant_id, display_name, version, created_at, updated_at, deleted_at
         from tenants where tenant_id = $1 and deleted_at is not null for no key update",
        tenant
    )
    .fetch_optional(db)
    .await?)
}

/// A page of tenants by id, without the deleted: one, or all.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    tenant: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<TenantRow>, Error> {
    Ok(sqlx::query_as!(
        TenantRow,
        "select tenant_id, display_name, version, created_at, updated_at, deleted_at
         from tenants
         where deleted_at is null and ($1::text is null or tenant_id = $1) and ($2::text is null or tenant_id > $2)
         order by tenant_id
         limit $3",
        tenant,
        after,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Keeps a new tenant unless its id is taken; tells whether it was kept.
///
/// # Errors
/// What the database says.
pub async fn insert(db: &mut PgConnection, tenant: &TenantRow) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into tenants (tenant_id, display_name, version, created_at, updated_at)
         values ($1::text, $2, $3, $4, $5)
         on conflict do nothing",
        tenant.tenant_id,
        tenant.display_name,
        tenant.version,
        tenant.created_at,
        tenant.updated_at
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what may change of a tenant.
///
/// # Errors
/// What the database says.
pub async fn update(db: &mut PgConnection, tenant: &TenantRow) -> Result<(), Error> {
    sqlx::query!(
        "update tenants set display_name = $2, version = $3, updated_at = $4, deleted_at = $5
         where tenant_id = $1",
        tenant.tenant_id,
        tenant.display_name,
        tenant.version,
        tenant.updated_at,
        tenant.deleted_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether a tenant has any fleet.
///
/// # Errors
/// What the database says.
pub async fn has_fleets(db: &mut PgConnection, tenant: &str) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from fleets where tenant_id = $1) as "exists!""#,
        tenant
    )
    .fetch_one(db)
    .await?)
}

fn not_found(tenant: &str) -> Error {
    Error::not_found(format!("tenants/{tenant}"))
}

/// Deletes all that a tenant without fleets has, and the tenant; its audit trail stays.
///
/// # Errors
/// What the database says.
pub async fn purge(db: &mut PgConnection, tenant: &str) -> Result<(), Error> {
    sqlx::query!("delete from collectors where tenant_id = $1", tenant).execute(&mut *db).await?;
    sqlx::query!("delete from access_keys where tenant_id = $1", tenant).execute(&mut *db).await?;
    sqlx::query!("delete from api_tokens where tenant_id = $1", tenant).execute(&mut *db).await?;
    sqlx::query!("delete from tenants where tenant_id = $1", tenant).execute(db).await?;
    Ok(())
}
