//! Collectors.
use ekiden_proto::settings::v1::Collector;
use prost::Message;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    error::Error,
    names::{CollectorName, FleetName},
};

/// A collector.
#[derive(Clone, Debug)]
pub struct CollectorRow {
    /// Tenant it belongs to.
    pub tenant_id: String,
    /// Its id within the tenant.
    pub collector_id: String,
    /// Name for people.
    pub display_name: String,
    /// Preset it was made from; empty: none.
    pub preset: String,
    /// What relays get, without its name.
    pub spec: Collector,
    /// Id of the access key that it takes.
    pub access_key_id: Option<String>,
    /// Goes up with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

impl CollectorRow {
    /// Its resource name.
    pub fn name(&self) -> CollectorName {
        CollectorName { tenant: self.tenant_id.clone(), collector: self.collector_id.clone() }
    }
}

/// A collector as the database has it.
struct Record {
    tenant_id: String,
    collector_id: String,
    display_name: String,
    preset: String,
    spec: Vec<u8>,
    access_key_id: Option<String>,
    version: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Record> for CollectorRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        Ok(Self {
            tenant_id: record.tenant_id,
            collector_id: record.collector_id,
            display_name: record.display_name,
            preset: record.preset,
            spec: Collector::decode(record.spec.as_slice())
                .map_err(|e| Error::Internal(e.into()))?,
            access_key_id: record.access_key_id,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        })
    }
}

/// One collector of a tenant that is not deleted.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(db: &mut PgConnection, name: &CollectorName) -> Result<CollectorRow, Error> {
    sqlx::query_as!(
        Record,
        "select c.tenant_id, c.collector_id, c.display_name, c.preset, c.spec, c.access_key_id, c.version,
            c.created_at, c.updated_at
         from collectors c join tenants t using (tenant_id)
         where c.tenant_id = $1 and c.collector_id = $2 and t.deleted_at is null",
        name.tenant,
        name.collector
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| Error::not_found(name))?
    .try_into()
}

/// A page of collectors by tenant and id: of one tenant, or all.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    tenant: Option<&str>,
    after: Option<&(String, String)>,
    limit: i64,
) -> Result<Vec<CollectorRow>, Error> {
    let (after_tenant, after_id) = after.map(|(t, i)| (t.as_str(), i.as_str())).unzip();
    sqlx::query_as!(
        Record,
        "select c.tenant_id, c.collector_id, c.display_name, c.preset, c.spec, c.access_key_id, c.version,
            c.created_at, c.updated_at
         from collectors c join tenants t using (tenant_id)
         where t.deleted_at is null
           and ($1::text is null or c.tenant_id = $1)
           and ($2::text is null or (c.tenant_id, c.collector_id) > ($2, $3))
         order by c.tenant_id, c.collector_id
         limit $4",
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

/// Those of a tenant's collectors that have one of these ids.
///
/// # Errors
/// What the database says.
pub async fn with_ids(
    db: &mut PgConnection,
    tenant: &str,
    ids: &[String],
) -> Result<Vec<CollectorRow>, Error> {
    sqlx::query_as!(
        Record,
        "select tenant_id, collector_id, display_name, preset, spec, access_key_id, version, created_at, updated_at
         from collectors where tenant_id = $1 and collector_id = any($2::text[])
         order by collector_id",
        tenant,
        ids
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// The collectors that a fleet's listeners name.
///
/// # Errors
/// What the database says.
pub async fn of_fleet(
    db: &mut PgConnection,
    fleet: &FleetName,
) -> Result<Vec<CollectorRow>, Error> {
    sqlx::query_as!(
        Record,
        "select c.tenant_id, c.collector_id, c.display_name, c.preset, c.spec, c.access_key_id, c.version,
            c.created_at, c.updated_at
         from fleet_collectors f join collectors c using (tenant_id, collector_id)
         where f.tenant_id = $1 and f.fleet_id = $2
         order by c.collector_id",
        fleet.tenant,
        fleet.fleet
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// Keeps a new collector unless its id is taken; tells whether it was kept.
///
/// # Errors
/// What the database says.
pub async fn insert(db: &mut PgConnection, collector: &CollectorRow) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into collectors
            (tenant_id, collector_id, display_name, preset, spec, access_key_id, version, created_at, updated_at)
         values ($1::text, $2::text, $3, $4, $5, $6::text, $7, $8, $9)
         on conflict do nothing",
        collector.tenant_id,
        collector.collector_id,
        collector.display_name,
        collector.preset,
        collector.spec.encode_to_vec(),
        collector.access_key_id.as_deref(),
        collector.version,
        collector.created_at,
        collector.updated_at
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what may change of a collector.
///
/// # Errors
/// What the database says.
pub async fn update(db: &mut PgConnection, collector: &CollectorRow) -> Result<(), Error> {
    sqlx::query!(
        "update collectors
         set display_name = $3, spec = $4, access_key_id = $5::text, version = $6, updated_at = $7
         where tenant_id = $1 and collector_id = $2",
        collector.tenant_id,
        collector.collector_id,
        collector.display_name,
        collector.spec.encode_to_vec(),
        collector.access_key_id.as_deref(),
        collector.version,
        collector.updated_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a collector.
///
/// # Errors
/// What the database says.
pub async fn delete(db: &mut PgConnection, name: &CollectorName) -> Result<(), Error> {
    sqlx::query!(
        "delete from collectors where tenant_id = $1 and collector_id = $2",
        name.tenant,
        name.collector
    )
    .execute(db)
    .await?;
    Ok(())
}
