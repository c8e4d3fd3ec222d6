//! Health reports: the last of each relay, and every one in partitions by the hour of arrival.
use sqlx::{AssertSqlSafe, PgConnection};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Reports to be written, a column each; all of one length.
#[derive(Debug, Default)]
pub struct Batch {
    /// Tenants.
    pub tenants: Vec<String>,
    /// Fleets.
    pub fleets: Vec<String>,
    /// Relays.
    pub relays: Vec<Uuid>,
    /// Epochs of their sessions.
    pub epochs: Vec<i64>,
    /// `RelayPhase`s.
    pub phases: Vec<i16>,
    /// Encoded reports.
    pub reports: Vec<Vec<u8>>,
    /// By the relays' clocks.
    pub observed: Vec<OffsetDateTime>,
    /// By ours.
    pub received: Vec<OffsetDateTime>,
}

/// Writes the last report of each relay, unless its session is fenced off; gives the relays that were written.
///
/// # Errors
/// What the database says.
pub async fn write_last(db: &mut PgConnection, batch: &Batch) -> Result<Vec<Uuid>, sqlx::Error> {
    let current = sqlx::query_scalar!(
        r#"update relays r set last_seen_at = n.received_at
         from unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) as n (relay_id, session_epoch, received_at)
         where r.relay_id = n.relay_id and r.session_epoch = n.session_epoch
         returning r.relay_id"#,
        &batch.relays,
        &batch.epochs,
        &batch.received
    )
    .fetch_all(&mut *db)
    .await?;
    sqlx::query!(
        "insert into relay_health
            (tenant_id, fleet_id, relay_id, session_epoch, phase, report, observed_at, received_at)
         select n.* from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::smallint[], $6::bytea[],
                $7::timestamptz[], $8::timestamptz[])
                as n (tenant_id, fleet_id, relay_id, session_epoch, phase, report, observed_at, received_at)
         where n.relay_id = any($9)
         on conflict (tenant_id, fleet_id, relay_id) do update
         set session_epoch = excluded.session_epoch, phase = excluded.phase, report = excluded.report,
             observed_at = excluded.observed_at, received_at = excluded.received_at",
        &batch.tenants,
        &batch.fleets,
        &batch.relays,
        &batch.epochs,
        &batch.phases,
        &batch.reports,
        &batch.observed,
        &batch.received,
        &current
    )
    .execute(db)
    .await?;
    Ok(current)
}

/// Appends reports to the history.
///
/// # Errors
/// What the database says.
pub async fn append(db: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into relay_health_history (tenant_id, fleet_id, relay_id, phase, report, observed_at, received_at)
         select * from unnest($1::text[], $2::text[], $3::uuid[], $4::smallint[], $5::bytea[],
                $6::timestamptz[], $7::timestamptz[])",
        &batch.tenants,
        &batch.fleets,
        &batch.relays,
        &batch.phases,
        &batch.reports,
        &batch.observed,
        &batch.received
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The rest of this transaction is not waited for on disk: a lost report costs nothing.
///
/// # Errors
/// What the database says.
pub async fn lossy(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("set local synchronous_commit = off").execute(db).await?;
    Ok(())
}

/// Makes the partition of the hour that begins at `hour` (a full hour, UTC) unless it is there.
///
/// # Errors
/// What the database says.
pub async fn ensure_partition(
    db: &mut PgConnection,
    hour: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    // Built of numbers alone: partition bounds cannot be parameters.
    let sql = format!(
        "create table if not exists {0} partition of relay_health_history for values from (to_timestamp({1})) to (to_timestamp({2}));
         alter table {0} enable row level security, force row level security",
        partition(hour),
        hour.unix_timestamp(),
        (hour + Duration::HOUR).unix_timestamp()
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await?;
    Ok(())
}

/// Drops the partition of that hour if it is there.
///
/// # Errors
/// What the database says.
pub async fn drop_partition(
    db: &mut PgConnection,
    hour: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let sql = format!("drop table if exists {}", partition(hour));
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await?;
    Ok(())
}

fn partition(hour: OffsetDateTime) -> String {
    format!("relay_health_history_{}", hour.unix_timestamp() / 3600)
}

/// A report of the history.
#[derive(Debug)]
pub struct ReportRow {
    /// Encoded report.
    pub report: Vec<u8>,
    /// When it came.
    pub received_at: OffsetDateTime,
}

/// A page of a relay's reports, newest first; those before `before`, in µs since 1970.
///
/// # Errors
/// What the database says.
pub async fn history(
    db: &mut PgConnection,
    relay: Uuid,
    before: Option<OffsetDateTime>,
    limit: i64,
) -> Result<Vec<ReportRow>, sqlx::Error> {
    sqlx::query_as!(
        ReportRow,
        "select report, received_at from relay_health_history
         where relay_id = $1 and ($2::timestamptz is null or received_at < $2)
         order by received_at desc limit $3",
        relay,
        before,
        limit
    )
    .fetch_all(db)
    .await
}
