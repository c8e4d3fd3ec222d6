//! Fleets and the collectors that their listeners name.
use ekiden_proto::settings::v1::Settings;
use prost::Message;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    error::Error,
    names::{CollectorName, FleetName},
};

/// A fleet.
#[derive(Clone, Debug)]
pub struct FleetRow {
    /// Tenant it belongs to.
    pub tenant_id: String,
    /// Its id within the tenant.
    pub fleet_id: String,
    /// Name for people.
    pub display_name: String,
    /// Listeners, discovery and limits only.
    pub spec: Settings,
    /// The revision its relays should run; 0: none was committed yet.
    pub revision: i64,
    /// Version of its key bundle.
    pub secret_version: i64,
    /// Goes up with every change of the fleet itself.
    pub version: i64,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

impl FleetRow {
    /// Its resource name.
    pub fn name(&self) -> FleetName {
        FleetName { tenant: self.tenant_id.clone(), fleet: self.fleet_id.clone() }
    }
}

/// A fleet as the database has it, with its head.
struct Record {
    tenant_id: String,
    fleet_id: String,
    display_name: String,
    spec: Vec<u8>,
    revision: i64,
    secret_version: i64,
    version: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<Record> for FleetRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self, Error> {
        Ok(Self {
            tenant_id: record.tenant_id,
            fleet_id: record.fleet_id,
            display_name: record.display_name,
            spec: Settings::decode(record.spec.as_slice())
                .map_err(|e| Error::Internal(e.into()))?,
            revision: record.revision,
            secret_version: record.secret_version,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        })
    }
}

/// One fleet of a tenant that is not deleted.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(db: &mut PgConnection, name: &FleetName) -> Result<FleetRow, Error> {
    sqlx::query_as!(
        Record,
        "select f.tenant_id, f.fleet_id, f.display_name, f.spec, h.revision, h.secret_version, f.version,
            f.created_at, f.updated_at
         from fleets f join heads h using (tenant_id, fleet_id) join tenants t using (tenant_id)
         where f.tenant_id = $1 and f.fleet_id = $2 and t.deleted_at is null",
        name.tenant,
        name.fleet
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| Error::not_found(name))?
    .try_into()
}

/// A page of fleets by tenant and id: of one tenant, or all.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    tenant: Option<&str>,
    after: Option<&(String, String)>,
    limit: i64,
) -> Result<Vec<FleetRow>, Error> {
    let (after_tenant, after_id) = after.map(|(t, i)| (t.as_str(), i.as_str())).unzip();
    sqlx::query_as!(
        Record,
        "select f.tenant_id, f.fleet_id, f.display_name, f.spec, h.revision, h.secret_version, f.version,
            f.created_at, f.updated_at
         from fleets f join heads h using (tenant_id, fleet_id) join tenants t using (tenant_id)
         where t.deleted_at is null
           and ($1::text is null or f.tenant_id = $1)
           and ($2::text is null or (f.tenant_id, f.fleet_id) > ($2, $3))
         order by f.tenant_id, f.fleet_id
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

/// The fleets with a listener that names this collector, by id.
///
/// # Errors
/// What the database says.
pub async fn using(
    db: &mut PgConnection,
    collector: &CollectorName,
) -> Result<Vec<FleetRow>, Error> {
    sqlx::query_as!(
        Record,
        "select f.tenant_id, f.fleet_id, f.display_name, f.spec, h.revision, h.secret_version, f.version,
            f.created_at, f.updated_at
         from fleet_collectors u join fleets f using (tenant_id, fleet_id) join heads h using (tenant_id, fleet_id)
         where u.tenant_id = $1 and u.collector_id = $2
         order by f.fleet_id",
        collector.tenant,
        collector.collector
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// Keeps a new fleet unless its id is taken; tells whether it was kept. Its head comes with its first revision.
///
/// # Errors
/// What the database says.
pub async fn insert(db: &mut PgConnection, fleet: &FleetRow) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into fleets (tenant_id, fleet_id, display_name, spec, version, created_at, updated_at)
         values ($1::text, $2::text, $3, $4, $5, $6, $7)
         on conflict do nothing",
        fleet.tenant_id,
        fleet.fleet_id,
        fleet.display_name,
        fleet.spec.encode_to_vec(),
        fleet.version,
        fleet.created_at,
        fleet.updated_at
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what may change of a fleet.
///
/// # Errors
/// What the database says.
pub async fn update(db: &mut PgConnection, fleet: &FleetRow) -> Result<(), Error> {
    sqlx::query!(
        "update fleets set display_name = $3, spec = $4, version = $5, updated_at = $6
         where tenant_id = $1 and fleet_id = $2",
        fleet.tenant_id,
        fleet.fleet_id,
        fleet.display_name,
        fleet.spec.encode_to_vec(),
        fleet.version,
        fleet.updated_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps which collectors a fleet's listeners name, in place of what was kept before.
///
/// # Errors
/// What the database says.
pub async fn set_collectors(
    db: &mut PgConnection,
    name: &FleetName,
    collectors: &[String],
) -> Result<(), Error> {
    sqlx::query!(
        "delete from fleet_collectors
         where tenant_id = $1 and fleet_id = $2 and not collector_id = any($3::text[])",
        name.tenant,
        name.fleet,
        collectors
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into fleet_collectors (tenant_id, fleet_id, collector_id)
         select $1::text, $2::text, collector_id from unnest($3::text[]) as given (collector_id)
         on conflict do nothing",
        name.tenant,
        name.fleet,
        collectors
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ids of the access keys that a fleet's collectors take, sorted.
///
/// # Errors
/// What the database says.
pub async fn access_keys(db: &mut PgConnection, name: &FleetName) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        r#"select distinct c.access_key_id as "access_key_id!"
         from fleet_collectors f join collectors c using (tenant_id, collector_id)
         where f.tenant_id = $1 and f.fleet_id = $2 and c.access_key_id is not null
         order by c.access_key_id"#,
        name.tenant,
        name.fleet
    )
    .fetch_all(db)
    .await?)
}

/// How many of a fleet's relays have a session, on a replica that is alive.
///
/// # Errors
/// What the database says.
pub async fn connected_relays(
    db: &mut PgConnection,
    name: &FleetName,
    now: OffsetDateTime,
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!"
         from relays r join replicas p on p.replica_id = r.replica_id and p.lease_until > $3
         where r.tenant_id = $1 and r.fleet_id = $2 and r.session_id is not null"#,
        name.tenant,
        name.fleet,
        now
    )
    .fetch_one(db)
    .await?)
}

/// Deletes a fleet with its revisions, tokens and relays.
///
/// # Errors
/// What the database says.
pub async fn delete(db: &mut PgConnection, name: &FleetName) -> Result<(), Error> {
    sqlx::query!(
        "delete from fleets where tenant_id = $1 and fleet_id = $2",
        name.tenant,
        name.fleet
    )
    .execute(db)
    .await?;
    Ok(())
}
