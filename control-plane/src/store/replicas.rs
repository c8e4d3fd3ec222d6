//! Control plane processes and their leases: a relay's session counts only while its replica's lease holds.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Takes or renews a lease of a process that holds these master keys, the one that it prefers first; forgets replicas whose lease ended an hour ago.
///
/// # Errors
/// What the database says.
pub async fn lease(
    db: &mut PgConnection,
    replica: Uuid,
    master_keys: &[String],
    now: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into replicas (replica_id, master_keys, started_at, lease_until) values ($1, $2, $3, $4)
         on conflict (replica_id) do update set lease_until = excluded.lease_until",
        replica,
        master_keys,
        now,
        until
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!("delete from replicas where lease_until < $1", now - time::Duration::HOUR)
        .execute(db)
        .await?;
    Ok(())
}

/// Gives up a lease.
///
/// # Errors
/// What the database says.
pub async fn release(db: &mut PgConnection, replica: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from replicas where replica_id = $1", replica).execute(db).await?;
    Ok(())
}

/// Remembers the CAs that a process works with.
///
/// # Errors
/// What the database says.
pub async fn adopt_authorities(
    db: &mut PgConnection,
    replica: Uuid,
    authorities: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update replicas set authorities = $2 where replica_id = $1 and authorities <> $2",
        replica,
        authorities
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many processes hold a lease and work with other CAs than these.
///
/// # Errors
/// What the database says.
pub async fn count_behind(
    db: &mut PgConnection,
    authorities: &str,
    now: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from replicas where lease_until > $2 and authorities <> $1"#,
        authorities,
        now
    )
    .fetch_one(db)
    .await
}

/// How many processes hold a lease, but not this master key.
///
/// # Errors
/// What the database says.
pub async fn count_without_key(
    db: &mut PgConnection,
    master_key: &str,
    now: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from replicas where lease_until > $2 and $1 <> all(master_keys)"#,
        master_key,
        now
    )
    .fetch_one(db)
    .await
}

/// How many processes hold a lease and prefer another master key to this one.
///
/// # Errors
/// What the database says.
pub async fn count_preferring_others(
    db: &mut PgConnection,
    master_key: &str,
    now: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from replicas where lease_until > $2 and master_keys[1] <> $1"#,
        master_key,
        now
    )
    .fetch_one(db)
    .await
}

/// Master keys of each process that holds a lease, the one that it prefers first.
///
/// # Errors
/// What the database says.
pub async fn master_keys(
    db: &mut PgConnection,
    now: OffsetDateTime,
) -> Result<Vec<Vec<String>>, sqlx::Error> {
    sqlx::query_scalar!("select master_keys from replicas where lease_until > $1", now)
        .fetch_all(db)
        .await
}
