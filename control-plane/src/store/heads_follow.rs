//! Heads, the read side: what fleets should run, and the keys that go with it.
use ekiden_proto::{
    relay::v1::KeyUse,
    settings::v1::{Collector, CollectorProtocol},
};
use prost::Message;
use sqlx::PgConnection;

use crate::names::FleetName;

/// A fleet's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// Tenant of the fleet.
    pub tenant_id: String,
    /// The fleet.
    pub fleet_id: String,
    /// Desired revision.
    pub revision: i64,
    /// SHA-256 of its settings.
    pub hash: Vec<u8>,
    /// Version of the key bundle.
    pub secret_version: i64,
    /// Traceparent of the bundle's last change.
    pub secret_traceparent: String,
}

/// Heads of these fleets; a fleet that is gone, or whose tenant is deleted, has none.
///
/// # Errors
/// What the database says.
pub async fn of(db: &mut PgConnection, fleets: &[FleetName]) -> Result<Vec<HeadRow>, sqlx::Error> {
    let tenants: Vec<String> = fleets.iter().map(|f| f.tenant.clone()).collect();
    let ids: Vec<String> = fleets.iter().map(|f| f.fleet.clone()).collect();
    sqlx::query_as!(
        HeadRow,
        "select h.tenant_id, h.fleet_id, h.revision, h.hash, h.secret_version, h.secret_traceparent
         from unnest($1::text[], $2::text[]) as wanted (tenant_id, fleet_id)
         join heads h on h.tenant_id = wanted.tenant_id and h.fleet_id = wanted.fleet_id
         join tenants t on t.tenant_id = h.tenant_id and t.deleted_at is null",
        &tenants,
        &ids
    )
    .fetch_all(db)
    .await
}

/// One revision as it is sent.
#[derive(Clone, Debug)]
pub struct SnapshotRow {
    /// Encoded settings.
    pub settings: Vec<u8>,
    /// SHA-256 of them.
    pub hash: Vec<u8>,
    /// Traceparent of the change.
    pub traceparent: String,
    /// Tracestate of the change.
    pub tracestate: String,
}

/// One revision of a fleet.
///
/// # Errors
/// What the database says.
pub async fn snapshot(
    db: &mut PgConnection,
    fleet: &FleetName,
    revision: i64,
) -> Result<Option<SnapshotRow>, sqlx::Error> {
    sqlx::query_as!(
        SnapshotRow,
        "select settings, hash, traceparent, tracestate from revisions
         where tenant_id = $1 and fleet_id = $2 and revision = $3",
        fleet.tenant,
        fleet.fleet,
        revision
    )
    .fetch_optional(db)
    .await
}

/// A version of a key of a fleet, sealed.
#[derive(Clone, Debug)]
pub struct SealedKeyRow {
    /// Its id.
    pub access_key_id: String,
    /// Number of the version.
    pub key_version: i64,
    /// What it is for.
    pub usage: KeyUse,
    /// The value under its data key.
    pub sealed: Vec<u8>,
    /// The data key under the master key.
    pub wrapped_data_key: Vec<u8>,
    /// Which master key.
    pub master_key_id: String,
}

/// The enabled keys that a fleet's relays use, sealed: of each the current version last, and before it the other one of a
/// rotation. May be newer than a secret version read before, never older.
///
/// # Errors
/// What the database says.
pub async fn keys(
    db: &mut PgConnection,
    fleet: &FleetName,
) -> Result<Vec<SealedKeyRow>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select c.spec, k.access_key_id, v.key_version, v.key_version = k.current_version as "current!",
            v.key_version > k.current_version as "newer!", v.sealed, v.wrapped_data_key, v.master_key_id
         from fleet_collectors f
         join collectors c on c.tenant_id = f.tenant_id and c.collector_id = f.collector_id
         join access_keys k on k.tenant_id = c.tenant_id and k.access_key_id = c.access_key_id
         left join key_rotations r on r.tenant_id = k.tenant_id and r.access_key_id = k.access_key_id
           and r.state in ('distributing', 'preferred', 'old-draining')
         join access_key_versions v on v.tenant_id = k.tenant_id and v.access_key_id = k.access_key_id
           and v.key_version in (k.current_version, r.old_version, r.new_version)
         where f.tenant_id = $1 and f.fleet_id = $2 and k.disabled_at is null
         order by 2, 4"#,
        fleet.tenant,
        fleet.fleet
    )
    .fetch_all(db)
    .await?;
    let mut keys: Vec<SealedKeyRow> = Vec::new();
    for row in rows {
        let spec = Collector::decode(row.spec.as_slice())
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        // Of collectors that speak raw TCP workloads carry the keys themselves.
        let known = keys.last().is_some_and(|k| {
            (&k.access_key_id, k.key_version) == (&row.access_key_id, row.key_version)
        });
        if known || spec.protocol() == CollectorProtocol::Tcp {
            continue;
        }
        keys.push(SealedKeyRow {
            access_key_id: row.access_key_id,
            key_version: row.key_version,
            usage: match (row.current, row.newer) {
                (true, _) => KeyUse::Preferred,
                (false, true) => KeyUse::Candidate,
                (false, false) => KeyUse::Fallback,
            },
            sealed: row.sealed,
            wrapped_data_key: row.wrapped_data_key,
            master_key_id: row.master_key_id,
        });
    }
    Ok(keys)
}
