//! Rotations of access keys, and what they rest on: relays, their collectors, and what those said to the new version.
use ekiden_proto::settings::v1::{Collector, CollectorProtocol};
use prost::Message;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    error::Error,
    names::{AccessKeyName, FleetName},
};

/// A rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationRow {
    /// Tenant of the access key.
    pub tenant_id: String,
    /// The access key.
    pub access_key_id: String,
    /// Version that it brings.
    pub new_version: i64,
    /// Version that was current when it began.
    pub old_version: i64,
    /// Fingerprint of the new version.
    pub new_fingerprint: String,
    /// Fingerprint of the old version.
    pub old_fingerprint: String,
    /// Where it is, as `RotationState` writes it.
    pub state: String,
    /// How long the old version drains, seconds.
    pub grace_seconds: i64,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// When it came to its state.
    pub state_at: OffsetDateTime,
    /// Since when a refusal holds it up.
    pub stopped_at: Option<OffsetDateTime>,
    /// Traceparent of the call that began it.
    pub traceparent: String,
}

impl RotationRow {
    /// Whose rotation it is.
    pub fn name(&self) -> AccessKeyName {
        AccessKeyName { tenant: self.tenant_id.clone(), access_key: self.access_key_id.clone() }
    }
}

/// The last rotation of a key.
///
/// # Errors
/// What the database says.
pub async fn last(
    db: &mut PgConnection,
    name: &AccessKeyName,
) -> Result<Option<RotationRow>, sqlx::Error> {
    sqlx::query_as!(
        RotationRow,
        "select tenant_id, access_key_id, new_version, old_version, new_fingerprint, old_fingerprint, state, grace_seconds,
            started_at, state_at, stopped_at, traceparent
         from key_rotations where tenant_id = $1 and access_key_id = $2
         order by new_version desc limit 1",
        name.tenant,
        name.access_key
    )
    .fetch_optional(db)
    .await
}

/// Rotations of enabled keys that are under way, of all tenants.
///
/// # Errors
/// What the database says.
pub async fn under_way(db: &mut PgConnection) -> Result<Vec<AccessKeyName>, sqlx::Error> {
    let rows = sqlx::query!(
        "select r.tenant_id, r.access_key_id
         from key_rotations r
         join access_keys k using (tenant_id, access_key_id)
         join tenants t using (tenant_id)
         where r.state not in ('old-destroyed', 'cancelled') and k.disabled_at is null and t.deleted_at is null
         order by r.started_at"
    )
    .fetch_all(db)
    .await?;
    let name = |tenant, access_key| AccessKeyName { tenant, access_key };
    Ok(rows.into_iter().map(|row| name(row.tenant_id, row.access_key_id)).collect())
}

/// Keeps a rotation that begins; false: one is under way.
///
/// # Errors
/// What the database says.
pub async fn insert(db: &mut PgConnection, row: &RotationRow) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into key_rotations
            (tenant_id, access_key_id, new_version, old_version, new_fingerprint, old_fingerprint, state, grace_seconds,
             started_at, state_at, traceparent)
         values ($1::text, $2::text, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict do nothing",
        row.tenant_id,
        row.access_key_id,
        row.new_version,
        row.old_version,
        row.new_fingerprint,
        row.old_fingerprint,
        row.state,
        row.grace_seconds,
        row.started_at,
        row.state_at,
        row.traceparent
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes where a rotation is.
///
/// # Errors
/// What the database says.
pub async fn update(db: &mut PgConnection, row: &RotationRow) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update key_rotations set state = $4, state_at = $5, stopped_at = $6
         where tenant_id = $1 and access_key_id = $2 and new_version = $3",
        row.tenant_id,
        row.access_key_id,
        row.new_version,
        row.state,
        row.state_at,
        row.stopped_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A relay that a rotation counts.
#[derive(Clone, Debug)]
pub struct CountedRelay {
    /// Its fleet.
    pub fleet_id: String,
    /// The relay.
    pub relay_id: Uuid,
    /// Whether it has a session.
    pub connected: bool,
    /// Whether it holds the keys of its fleet's head.
    pub up_to_date: bool,
    /// When it was last heard of.
    pub last_seen_at: OffsetDateTime,
}

/// Relays of fleets whose collectors take the key; neither those that left or were revoked, nor those whose certificates
/// ended before `renewable_since`.
///
/// # Errors
/// What the database says.
pub async fn relays(
    db: &mut PgConnection,
    name: &AccessKeyName,
    renewable_since: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<Vec<CountedRelay>, sqlx::Error> {
    sqlx::query_as!(
        CountedRelay,
        r#"select r.fleet_id, r.relay_id, p.replica_id is not null as "connected!",
            r.secret_version >= h.secret_version as "up_to_date!",
            coalesce(r.last_seen_at, r.enrolled_at) as "last_seen_at!"
         from relays r
         join heads h on h.tenant_id = r.tenant_id and h.fleet_id = r.fleet_id
         left join replicas p on p.replica_id = r.replica_id and p.lease_until > $4
         where r.tenant_id = $1 and r.left_at is null and r.revoked_at is null
           and (p.replica_id is not null or r.certificate_expires_at > $3)
           and r.fleet_id in (
               select f.fleet_id from fleet_collectors f join collectors c using (tenant_id, collector_id)
               where f.tenant_id = $1 and c.access_key_id = $2)
         order by r.fleet_id, r.relay_id"#,
        name.tenant,
        name.access_key,
        renewable_since,
        now
    )
    .fetch_all(db)
    .await
}

/// A collector of a fleet that takes the key.
#[derive(Clone, Debug)]
pub struct TakingCollector {
    /// The fleet.
    pub fleet_id: String,
    /// The collector.
    pub collector_id: String,
    /// Whether it answers to a key; one that does not speaks raw TCP.
    pub answers: bool,
}

/// Collectors that take the key, once for each fleet.
///
/// # Errors
/// What the database says.
pub async fn collectors(
    db: &mut PgConnection,
    name: &AccessKeyName,
) -> Result<Vec<TakingCollector>, Error> {
    let rows = sqlx::query!(
        "select f.fleet_id, c.collector_id, c.spec
         from fleet_collectors f join collectors c using (tenant_id, collector_id)
         where f.tenant_id = $1 and c.access_key_id = $2
         order by f.fleet_id, c.collector_id",
        name.tenant,
        name.access_key
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let spec =
                Collector::decode(row.spec.as_slice()).map_err(|e| Error::Internal(e.into()))?;
            let answers = spec.protocol() != CollectorProtocol::Tcp;
            Ok(TakingCollector { fleet_id: row.fleet_id, collector_id: row.collector_id, answers })
        })
        .collect()
}

/// What a collector said to a version of a key, from one relay.
#[derive(Clone, Debug)]
pub struct TrialRow {
    /// The relay that asked.
    pub relay_id: Uuid,
    /// The access key.
    pub access_key_id: String,
    /// Its version.
    pub key_version: i64,
    /// The collector.
    pub collector_id: String,
    /// `KeyTrialOutcome`.
    pub outcome: i16,
    /// What it said.
    pub message: String,
    /// When, by the relay's clock.
    pub observed_at: OffsetDateTime,
}

/// All that was said to a version of a key.
///
/// # Errors
/// What the database says.
pub async fn trials(
    db: &mut PgConnection,
    name: &AccessKeyName,
    version: i64,
) -> Result<Vec<TrialRow>, sqlx::Error> {
    sqlx::query_as!(
        TrialRow,
        "select relay_id, access_key_id, key_version, collector_id, outcome, message, observed_at
         from relay_key_trials where tenant_id = $1 and access_key_id = $2 and key_version = $3",
        name.tenant,
        name.access_key,
        version
    )
    .fetch_all(db)
    .await
}

/// Replaces what a relay said of its trials; those of keys that do not exist are left out.
///
/// # Errors
/// What the database says.
pub async fn set_trials(
    db: &mut PgConnection,
    fleet: &FleetName,
    relay: Uuid,
    trials: &[TrialRow],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from relay_key_trials where tenant_id = $1 and relay_id = $2",
        fleet.tenant,
        relay
    )
    .execute(&mut *db)
    .await?;
    if trials.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&TrialRow) -> &str| -> Vec<String> {
        trials.iter().map(|trial| of(trial).to_owned()).collect()
    };
    sqlx::query!(
        "insert into relay_key_trials
            (tenant_id, fleet_id, relay_id, access_key_id, key_version, collector_id, outcome, message, observed_at)
         select $1::text, $2::text, $3, k.access_key_id, t.key_version, t.collector_id, t.outcome, t.message, t.observed_at
         from unnest($4::text[], $5::bigint[], $6::text[], $7::smallint[], $8::text[], $9::timestamptz[])
           as t (access_key_id, key_version, collector_id, outcome, message, observed_at)
         join access_keys k on k.tenant_id = $1 and k.access_key_id = t.access_key_id
         on conflict do nothing",
        fleet.tenant,
        fleet.fleet,
        relay,
        &texts(|t| &t.access_key_id),
        &trials.iter().map(|t| t.key_version).collect::<Vec<_>>(),
        &texts(|t| &t.collector_id),
        &trials.iter().map(|t| t.outcome).collect::<Vec<_>>(),
        &texts(|t| &t.message),
        &trials.iter().map(|t| t.observed_at).collect::<Vec<_>>()
    )
    .execute(db)
    .await?;
    Ok(())
}
