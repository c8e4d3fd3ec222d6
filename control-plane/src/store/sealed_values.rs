//! Sealed values of every kind, by the master key that wrapped their data keys.
use sqlx::PgConnection;

use super::access_keys;
use crate::names::AccessKeyName;

/// Which value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueId {
    /// A secret of the control plane's own, by name.
    ServerSecret(String),
    /// A version of an access key.
    AccessKeyVersion(AccessKeyName, i64),
}

/// A value's data key, wrapped.
#[derive(Clone, Debug)]
pub struct WrappedRow {
    /// Of which value.
    pub id: ValueId,
    /// The data key under the master key.
    pub wrapped_data_key: Vec<u8>,
    /// Which master key.
    pub master_key_id: String,
}

/// How many values a master key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountRow {
    /// The key.
    pub master_key_id: String,
    /// Values under it.
    pub count: i64,
}

impl ValueId {
    /// The place that the value is bound to.
    pub fn place(&self) -> String {
        match self {
            Self::ServerSecret(name) => format!("server_secrets/{name}"),
            Self::AccessKeyVersion(name, version) => access_keys::place(name, *version),
        }
    }
}

/// Values by master key.
///
/// # Errors
/// What the database says.
pub async fn count(db: &mut PgConnection) -> Result<Vec<CountRow>, sqlx::Error> {
    sqlx::query_as!(
        CountRow,
        r#"select master_key_id as "master_key_id!", count(*) as "count!" from (
               select master_key_id from server_secrets union all select master_key_id from access_key_versions) as every
           group by 1 order by 1"#
    )
    .fetch_all(db)
    .await
}

/// Some of the values that one of `held` wrapped, but not `current`; at most `limit` of each kind.
///
/// # Errors
/// What the database says.
pub async fn under_others(
    db: &mut PgConnection,
    current: &str,
    held: &[String],
    limit: i64,
) -> Result<Vec<WrappedRow>, sqlx::Error> {
    let secrets = sqlx::query!(
        "select name, wrapped_data_key, master_key_id from server_secrets
         where master_key_id <> $1 and master_key_id = any($2) limit $3",
        current,
        held,
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    let versions = sqlx::query!(
        "select tenant_id, access_key_id, key_version, wrapped_data_key, master_key_id from access_key_versions
         where master_key_id <> $1 and master_key_id = any($2) limit $3",
        current,
        held,
        limit
    )
    .fetch_all(db)
    .await?;
    let secrets = secrets.into_iter().map(|row| WrappedRow {
        id: ValueId::ServerSecret(row.name),
        wrapped_data_key: row.wrapped_data_key,
        master_key_id: row.master_key_id,
    });
    let versions = versions.into_iter().map(|row| {
        let name = AccessKeyName { tenant: row.tenant_id, access_key: row.access_key_id };
        WrappedRow {
            id: ValueId::AccessKeyVersion(name, row.key_version),
            wrapped_data_key: row.wrapped_data_key,
            master_key_id: row.master_key_id,
        }
    });
    Ok(secrets.chain(versions).collect())
}

/// Puts another wrapping of the same data key in the place of `row`; tells whether `row` was still what is there.
///
/// # Errors
/// What the database says.
pub async fn rewrap(
    db: &mut PgConnection,
    row: &WrappedRow,
    wrapped_data_key: &[u8],
    master_key_id: &str,
) -> Result<bool, sqlx::Error> {
    let done = match &row.id {
        ValueId::ServerSecret(name) => {
            sqlx::query!(
                "update server_secrets set wrapped_data_key = $3, master_key_id = $4
                 where name = $1 and wrapped_data_key = $2",
                name,
                row.wrapped_data_key,
                wrapped_data_key,
                master_key_id
            )
            .execute(db)
            .await?
        }
        ValueId::AccessKeyVersion(name, version) => {
            sqlx::query!(
                "update access_key_versions set wrapped_data_key = $5, master_key_id = $6
                 where tenant_id = $1 and access_key_id = $2 and key_version = $3 and wrapped_data_key = $4",
                name.tenant,
                name.access_key,
                version,
                row.wrapped_data_key,
                wrapped_data_key,
                master_key_id
            )
            .execute(db)
            .await?
        }
    };
    Ok(done.rows_affected() == 1)
}
