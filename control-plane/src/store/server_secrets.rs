//! The control plane's own secrets, sealed: CA private keys, keys for page tokens and fingerprints.
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::vault::Sealed;

/// The secret of this name, if there is one.
///
/// # Errors
/// What the database says.
pub async fn find(db: &mut PgConnection, name: &str) -> Result<Option<Sealed>, sqlx::Error> {
    sqlx::query_as!(
        Sealed,
        "select sealed, wrapped_data_key, master_key_id from server_secrets where name = $1",
        name
    )
    .fetch_optional(db)
    .await
}

/// Keeps a secret unless one of this name is there; tells whether it was kept.
///
/// # Errors
/// What the database says.
pub async fn insert(
    db: &mut PgConnection,
    name: &str,
    secret: &Sealed,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into server_secrets (name, sealed, wrapped_data_key, master_key_id, created_at)
         values ($1, $2, $3, $4, $5) on conflict (name) do nothing",
        name,
        secret.sealed,
        secret.wrapped_data_key,
        secret.master_key_id,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
