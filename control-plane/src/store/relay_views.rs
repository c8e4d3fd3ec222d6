//! Relays as operators see them: what they said last, and whether they are there by their replica's lease.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayRow {
    /// Its tenant.
    pub tenant_id: String,
    /// Its fleet.
    pub fleet_id: String,
    /// Its id.
    pub relay_id: Uuid,
    /// Address it advertises.
    pub address: String,
    /// Availability zone by name.
    pub availability_zone: String,
    /// ARN of its ECS task as it says.
    pub task_arn: String,
    /// Version of its software.
    pub software_version: String,
    /// When it enrolled.
    pub enrolled_at: OffsetDateTime,
    /// When its certificate ends.
    pub certificate_expires_at: OffsetDateTime,
    /// When its session began; none without a session.
    pub session_since: Option<OffsetDateTime>,
    /// When it said goodbye.
    pub left_at: Option<OffsetDateTime>,
    /// When it was heard of last.
    pub last_seen_at: Option<OffsetDateTime>,
    /// Revision it runs.
    pub running_revision: i64,
    /// `SettingsPhase` of the last attempt.
    pub settings_phase: i16,
    /// Encoded `SettingsStatus` of the last attempt.
    pub settings_status: Option<Vec<u8>>,
    /// Version of the keys it holds.
    pub secret_version: i64,
    /// Revision it should run.
    pub desired_revision: i64,
    /// `RelayPhase` by its last report.
    pub phase: Option<i16>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was asked to drain.
    pub drain_requested_at: Option<OffsetDateTime>,
    /// Services in which it may be listed.
    pub listed_in: Vec<String>,
}

/// Which relays.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this tenant; none: of all.
    pub tenant: Option<String>,
    /// Of this fleet; none: of all.
    pub fleet: Option<String>,
    /// This one.
    pub relay: Option<Uuid>,
    /// Those after this tenant, fleet and relay.
    pub after: Option<(String, String, Uuid)>,
    /// Not those that left, nor those that have been gone since before this time.
    pub gone_since: Option<OffsetDateTime>,
}

/// Relays by tenant, fleet and id.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    wanted: &Wanted,
    limit: i64,
    now: OffsetDateTime,
) -> Result<Vec<RelayRow>, sqlx::Error> {
    let (after_tenant, after_fleet, after_relay) = match wanted.after.clone() {
        Some((tenant, fleet, relay)) => (Some(tenant), Some(fleet), Some(relay)),
        None => (None, None, None),
    };
    sqlx::query_as!(
        RelayRow,
        r#"select r.tenant_id, r.fleet_id, r.relay_id, r.address, r.availability_zone, r.task_arn, r.software_version,
            r.enrolled_at, r.certificate_expires_at,
            case when p.replica_id is not null then r.connected_at end as session_since,
            r.left_at, r.last_seen_at, r.running_revision, r.settings_phase, r.settings_status, r.secret_version,
            coalesce(h.revision, 0) as "desired_revision!", l.phase as "phase?", r.revoked_at,
            r.drain_requested_at, r.listed_in
         from relays r
         join tenants t on t.tenant_id = r.tenant_id and t.deleted_at is null
         left join replicas p on p.replica_id = r.replica_id and p.lease_until > $8
         left join heads h on h.tenant_id = r.tenant_id and h.fleet_id = r.fleet_id
         left join relay_health l on l.tenant_id = r.tenant_id and l.fleet_id = r.fleet_id and l.relay_id = r.relay_id
         where ($1::text is null or r.tenant_id = $1) and ($2::text is null or r.fleet_id = $2)
           and ($3::uuid is null or r.relay_id = $3)
           and ($4::text is null or (r.tenant_id::text, r.fleet_id::text, r.relay_id) > ($4, $5, $6))
           and ($7::timestamptz is null or p.replica_id is not null
                or (r.left_at is null and coalesce(r.last_seen_at, r.enrolled_at) > $7))
         order by r.tenant_id::text, r.fleet_id::text, r.relay_id
         limit $9"#,
        wanted.tenant,
        wanted.fleet,
        wanted.relay,
        after_tenant,
        after_fleet,
        after_relay,
        wanted.gone_since,
        now,
        limit
    )
    .fetch_all(db)
    .await
}

/// The last health report of a relay, encoded.
///
/// # Errors
/// What the database says.
pub async fn last_report(
    db: &mut PgConnection,
    relay: Uuid,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("select report from relay_health where relay_id = $1", relay)
        .fetch_optional(db)
        .await
}
