//! What the registry may hold of each relay, and who may leave it.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::names::FleetName;

/// Remembers where a relay may be listed and under which services' names DNS answers with it; tells whether the session is
/// the current one.
///
/// # Errors
/// What the database says.
pub async fn set(
    db: &mut PgConnection,
    id: Uuid,
    epoch: i64,
    listed_in: &[String],
    in_dns: &[String],
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update relays set listed_in = $3, in_dns = $4 where relay_id = $1 and session_epoch = $2",
        id,
        epoch,
        listed_in,
        in_dns
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Remembers that relays without a session are listed in a service, as a sibling saw it there.
///
/// # Errors
/// What the database says.
pub async fn seen_in(
    db: &mut PgConnection,
    fleet: &FleetName,
    service: &str,
    relays: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update relays set listed_in = array_append(listed_in, $3)
         where tenant_id = $1 and fleet_id = $2 and relay_id = any($4) and session_id is null
           and $3 <> all(listed_in) and cardinality(listed_in) < 66",
        fleet.tenant,
        fleet.fleet,
        service,
        relays
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A relay as its siblings' leaving depends on it.
#[derive(Clone, Debug)]
pub struct SiblingRow {
    /// Its id.
    pub relay_id: Uuid,
    /// Whether it has a session.
    pub live: bool,
    /// Services under whose names DNS answers with it.
    pub in_dns: Vec<String>,
    /// Whether it was let go.
    pub leaving: bool,
    /// When it was there last.
    pub seen_at: OffsetDateTime,
}

/// Relays of a fleet that did not say goodbye, its row locked so that two that leave are asked about one after the other.
///
/// # Errors
/// What the database says.
pub async fn lock_siblings(
    db: &mut PgConnection,
    fleet: &FleetName,
    since: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<Vec<SiblingRow>, sqlx::Error> {
    sqlx::query!(
        "select from fleets where tenant_id = $1 and fleet_id = $2 for no key update",
        fleet.tenant,
        fleet.fleet
    )
    .fetch_optional(&mut *db)
    .await?;
    sqlx::query_as!(
        SiblingRow,
        r#"select r.relay_id, (r.session_id is not null and p.replica_id is not null) as "live!", r.in_dns,
            (r.leaving_at is not null or r.drain_requested_at is not null) as "leaving!",
            coalesce(r.last_seen_at, r.enrolled_at) as "seen_at!"
         from relays r
         left join replicas p on p.replica_id = r.replica_id and p.lease_until > $4
         where r.tenant_id = $1 and r.fleet_id = $2 and r.left_at is null and r.revoked_at is null
           and coalesce(r.last_seen_at, r.enrolled_at) > $3"#,
        fleet.tenant,
        fleet.fleet,
        since,
        now
    )
    .fetch_all(db)
    .await
}

/// Remembers that a relay was let go.
///
/// # Errors
/// What the database says.
pub async fn let_go(
    db: &mut PgConnection,
    id: Uuid,
    epoch: i64,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update relays set leaving_at = coalesce(leaving_at, $3) where relay_id = $1 and session_epoch = $2",
        id,
        epoch,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Asks a relay to drain; tells whether it is one of the fleet's.
///
/// # Errors
/// What the database says.
pub async fn drain(
    db: &mut PgConnection,
    fleet: &FleetName,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update relays set drain_requested_at = coalesce(drain_requested_at, $4)
         where tenant_id = $1 and fleet_id = $2 and relay_id = $3",
        fleet.tenant,
        fleet.fleet,
        id,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Relays with a session that are to drain.
///
/// # Errors
/// What the database says.
pub async fn to_drain(db: &mut PgConnection) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select relay_id from relays where drain_requested_at is not null and session_id is not null"
    )
    .fetch_all(db)
    .await
}

/// A relay of a fleet in which one may be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// Its tenant.
    pub tenant_id: String,
    /// Its fleet.
    pub fleet_id: String,
    /// Its id.
    pub relay_id: Uuid,
    /// Epoch of its last session.
    pub epoch: i64,
    /// When it was lost; none: it has a session.
    pub gone_at: Option<OffsetDateTime>,
    /// Before when its siblings are not to be asked again.
    pub reap_after: Option<OffsetDateTime>,
    /// Whether it was let go.
    pub leaving: bool,
}

/// Every relay that may be listed, of the fleets that have one that is gone. Sessions of processes whose lease ended count with
/// `ended_leases` alone: finding them reads every relay.
///
/// # Errors
/// What the database says.
pub async fn of_fleets_with_gone(
    db: &mut PgConnection,
    now: OffsetDateTime,
    ended_leases: bool,
) -> Result<Vec<ListedRow>, sqlx::Error> {
    sqlx::query_as!(
        ListedRow,
        r#"with concerned as (
            select tenant_id, fleet_id from relays where listed_in <> '{}' and session_id is null
            union
            select r.tenant_id, r.fleet_id from relays r
            where $2 and r.listed_in <> '{}' and r.session_id is not null
              and not exists (select from replicas p where p.replica_id = r.replica_id and p.lease_until > $1)
         ), listed as (
            select r.tenant_id, r.fleet_id, r.relay_id, r.session_epoch, r.reap_after, r.leaving_at,
                case when r.session_id is null then coalesce(r.disconnected_at, r.last_seen_at, r.enrolled_at)
                     when p.lease_until > $1 then null
                     else coalesce(p.lease_until, r.last_seen_at, r.enrolled_at) end as gone_at
            from concerned join relays r using (tenant_id, fleet_id) left join replicas p on p.replica_id = r.replica_id
            where r.listed_in <> '{}'
         )
         select l.tenant_id, l.fleet_id, l.relay_id, l.session_epoch as epoch, l.gone_at, l.reap_after,
            l.leaving_at is not null as "leaving!"
         from listed l
         where exists (select from listed g where g.tenant_id = l.tenant_id and g.fleet_id = l.fleet_id and g.gone_at is not null)"#,
        now,
        ended_leases
    )
    .fetch_all(db)
    .await
}

/// Takes over asking about these relays until `until`; gives those that no other process took.
///
/// # Errors
/// What the database says.
pub async fn claim(
    db: &mut PgConnection,
    relays: &[Uuid],
    now: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "update relays set reap_after = $3
         where relay_id = any($1) and (reap_after is null or reap_after <= $2) returning relay_id",
        relays,
        now,
        until
    )
    .fetch_all(db)
    .await
}

/// Remembers what a sibling found of a relay of its fleet that has no session since `epoch`: no records any more, or when to ask again.
///
/// # Errors
/// What the database says.
pub async fn reaped(
    db: &mut PgConnection,
    fleet: &FleetName,
    id: Uuid,
    epoch: i64,
    again: Option<OffsetDateTime>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update relays
         set reap_after = $5, listed_in = case when $5::timestamptz is null then '{}' else listed_in end,
             in_dns = case when $5::timestamptz is null then '{}' else in_dns end
         where tenant_id = $1 and fleet_id = $2 and relay_id = $3 and session_epoch = $4
           and (session_id is null or not exists (select from replicas p where p.replica_id = relays.replica_id and p.lease_until > now()))",
        fleet.tenant,
        fleet.fleet,
        id,
        epoch,
        again
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Relays of a fleet that have a session and stay.
///
/// # Errors
/// What the database says.
pub async fn staying(
    db: &mut PgConnection,
    fleet: &FleetName,
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select r.relay_id from relays r join replicas p on p.replica_id = r.replica_id and p.lease_until > $3
         where r.tenant_id = $1 and r.fleet_id = $2 and r.session_id is not null and r.leaving_at is null
           and r.drain_requested_at is null and r.revoked_at is null
         order by r.relay_id",
        fleet.tenant,
        fleet.fleet,
        now
    )
    .fetch_all(db)
    .await
}

/// A relay as workloads come to it.
#[derive(Clone, Debug)]
pub struct CrowdRow {
    /// Its id.
    pub relay_id: Uuid,
    /// Services under whose names DNS answers with it.
    pub in_dns: Vec<String>,
    /// Its last health report, encoded.
    pub report: Vec<u8>,
}

/// Relays of a fleet that workloads find and that stay.
///
/// # Errors
/// What the database says.
pub async fn crowds(
    db: &mut PgConnection,
    fleet: &FleetName,
    now: OffsetDateTime,
) -> Result<Vec<CrowdRow>, sqlx::Error> {
    sqlx::query_as!(
        CrowdRow,
        "select r.relay_id, r.in_dns, h.report
         from relays r
         join replicas p on p.replica_id = r.replica_id and p.lease_until > $3
         join relay_health h using (tenant_id, fleet_id, relay_id)
         where r.tenant_id = $1 and r.fleet_id = $2 and r.session_id is not null and r.leaving_at is null
           and r.drain_requested_at is null and r.in_dns <> '{}'",
        fleet.tenant,
        fleet.fleet,
        now
    )
    .fetch_all(db)
    .await
}
