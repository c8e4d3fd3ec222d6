//! Access keys and their sealed versions.
use std::collections::BTreeMap;

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{error::Error, names::AccessKeyName, vault::Sealed};

/// An access key without its value.
#[derive(Clone, Debug)]
pub struct AccessKeyRow {
    /// Tenant it belongs to.
    pub tenant_id: String,
    /// Its id within the tenant.
    pub access_key_id: String,
    /// Name for people.
    pub display_name: String,
    /// Free labels.
    pub metadata: BTreeMap<String, String>,
    /// Agents that the vendor lets use it; 0: not known.
    pub agent_limit: i32,
    /// Agents that the vendor reserves for it.
    pub agent_reservation: i32,
    /// Number of the version that relays use.
    pub current_version: i64,
    /// Highest number that a version ever had.
    pub last_version: i64,
    /// Tells versions apart without revealing them.
    pub fingerprint: String,
    /// Goes up with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
    /// When it was disabled.
    pub disabled_at: Option<OffsetDateTime>,
}

impl AccessKeyRow {
    /// Its resource name.
    pub fn name(&self) -> AccessKeyName {
        AccessKeyName { tenant: self.tenant_id.clone(), access_key: self.access_key_id.clone() }
    }
}

/// Where a version of a key lives: the associated data of its sealing.
pub fn place(name: &AccessKeyName, key_version: i64) -> String {
    format!("access_key_versions/{}/{}/{key_version}", name.tenant, name.access_key)
}

/// An access key as the database has it.
struct Record {
    tenant_id: String,
    access_key_id: String,
    display_name: String,
    metadata: String,
    agent_limit: i32,
    agent_reservation: i32,
    current_version: i64,
    last_version: i64,
    fingerprint: String,
    version: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    disabled_at: Option<OffsetDateTime>,
}

impl TryFrom<Record> for AccessKeyRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        Ok(Self {
            tenant_id: record.tenant_id,
            access_key_id: record.access_key_id,
            display_name: record.display_name,
            metadata: serde_json::from_str(&record.metadata)
                .map_err(|e| Error::Internal(e.into()))?,
            agent_limit: record.agent_limit,
            agent_reservation: record.agent_reservation,
            current_version: record.current_version,
            last_version: record.last_version,
            fingerprint: record.fingerprint,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
            disabled_at: record.disabled_at,
        })
    }
}

/// One access key of a tenant that is not deleted.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(db: &mut PgConnection, name: &AccessKeyName) -> Result<AccessKeyRow, Error> {
    sqlx::query_as!(
        Record,
        r#"select k.tenant_id, k.access_key_id, k.display_name, k.metadata::text as "metadata!", k.agent_limit,
            k.agent_reservation, k.current_version, k.last_version, k.fingerprint, k.version, k.created_at, k.updated_at, k.disabled_at
         from access_keys k join tenants t using (tenant_id)
         where k.tenant_id = $1 and k.access_key_id = $2 and t.deleted_at is null"#,
        name.tenant,
        name.access_key
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| Error::not_found(name))?
    .try_into()
}

/// A page of access keys by tenant and id: of one tenant, or all.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    tenant: Option<&str>,
    after: Option<&(String, String)>,
    limit: i64,
) -> Result<Vec<AccessKeyRow>, Error> {
    let (after_tenant, after_id) = after.map(|(t, i)| (t.as_str(), i.as_str())).unzip();
    sqlx::query_as!(
        Record,
        r#"select k.tenant_id, k.access_key_id, k.display_name, k.metadata::text as "metadata!", k.agent_limit,
            k.agent_reservation, k.current_version, k.last_version, k.fingerprint, k.version, k.created_at, k.updated_at, k.disabled_at
         from access_keys k join tenants t using (tenant_id)
         where t.deleted_at is null
           and ($1::text is null or k.tenant_id = $1)
           and ($2::text is null or (k.tenant_id, k.access_key_id) > ($2, $3))
         order by k.tenant_id, k.access_key_id
         limit $4"#,
        tenant,
        after_tenant,
        after_id,
        limit
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// Keeps a new access key unless its id is taken; tells whether it was kept.
///
/// # Errors
/// What the database says.
pub async fn insert(db: &mut PgConnection, key: &AccessKeyRow) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into access_keys
            (tenant_id, access_key_id, display_name, metadata, current_version, last_version, fingerprint, version,
             created_at, updated_at, disabled_at, agent_limit, agent_reservation)
         values ($1::text, $2::text, $3, ($4::text)::jsonb, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict do nothing",
        key.tenant_id,
        key.access_key_id,
        key.display_name,
        encode(&key.metadata)?,
        key.current_version,
        key.last_version,
        key.fingerprint,
        key.version,
        key.created_at,
        key.updated_at,
        key.disabled_at,
        key.agent_limit,
        key.agent_reservation
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what may change of an access key.
///
/// # Errors
/// What the database says.
pub async fn update(db: &mut PgConnection, key: &AccessKeyRow) -> Result<(), Error> {
    sqlx::query!(
        "update access_keys
         set display_name = $3, metadata = ($4::text)::jsonb, current_version = $5, last_version = $6, fingerprint = $7,
             version = $8, updated_at = $9, disabled_at = $10, agent_limit = $11, agent_reservation = $12
         where tenant_id = $1 and access_key_id = $2",
        key.tenant_id,
        key.access_key_id,
        key.display_name,
        encode(&key.metadata)?,
        key.current_version,
        key.last_version,
        key.fingerprint,
        key.version,
        key.updated_at,
        key.disabled_at,
        key.agent_limit,
        key.agent_reservation
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps a sealed value as the key's last version.
///
/// # Errors
/// What the database says.
pub async fn insert_version(
    db: &mut PgConnection,
    key: &AccessKeyRow,
    sealed: &Sealed,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into access_key_versions
            (tenant_id, access_key_id, key_version, sealed, wrapped_data_key, master_key_id, created_at)
         values ($1::text, $2::text, $3, $4, $5, $6, $7)",
        key.tenant_id,
        key.access_key_id,
        key.last_version,
        sealed.sealed,
        sealed.wrapped_data_key,
        sealed.master_key_id,
        key.updated_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Destroys the sealed value of a version.
///
/// # Errors
/// What the database says.
pub async fn delete_version(
    db: &mut PgConnection,
    name: &AccessKeyName,
    version: i64,
) -> Result<(), Error> {
    sqlx::query!(
        "delete from access_key_versions where tenant_id = $1 and access_key_id = $2 and key_version = $3",
        name.tenant,
        name.access_key,
        version
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes an access key and its sealed versions.
///
/// # Errors
/// What the database says.
pub async fn delete(db: &mut PgConnection, name: &AccessKeyName) -> Result<(), Error> {
    sqlx::query!(
        "delete from access_keys where tenant_id = $1 and access_key_id = $2",
        name.tenant,
        name.access_key
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Id of a collector that uses the key, if any does.
///
/// # Errors
/// What the database says.
pub async fn used_by(db: &mut PgConnection, name: &AccessKeyName) -> Result<Option<String>, Error> {
    Ok(sqlx::query_scalar!(
        "select collector_id from collectors where tenant_id = $1 and access_key_id = $2
         order by collector_id limit 1",
        name.tenant,
        name.access_key
    )
    .fetch_optional(db)
    .await?)
}

fn encode(metadata: &BTreeMap<String, String>) -> Result<String, Error> {
    serde_json::to_string(metadata).map_err(|e| Error::Internal(e.into()))
}
