//! Takes relays' health reports and writes them in batches, once a second at most.
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ekiden_proto::health::v1::HealthReport;
use prost::Message;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    clock::Clock,
    error::Error,
    metrics::Metrics,
    names::FleetName,
    sessions::LiveSessions,
    store::{
        relay_health::{self, Batch},
        scope::{Scope, ScopedPool},
    },
    timestamps,
};

const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Reports of one flush.
const MOST_PER_FLUSH: usize = 2000;
/// Reports that wait while the database is away; the oldest go first.
const MOST_WAITING: usize = 20_000;
/// Hours of partitions made ahead and kept behind.
const HOURS: (i64, i64) = (24, 24);

struct Waiting {
    fleet: FleetName,
    relay: Uuid,
    epoch: i64,
    phase: i16,
    report: Vec<u8>,
    observed: OffsetDateTime,
    received: OffsetDateTime,
}

/// Takes reports; bounded, and never waits for the database.
pub struct HealthSink {
    waiting: Mutex<VecDeque<Waiting>>,
    metrics: Metrics,
}

impl HealthSink {
    /// An empty one.
    pub fn new(metrics: Metrics) -> Self {
        Self { waiting: Mutex::default(), metrics }
    }

    /// Takes a report of a session.
    ///
    /// # Errors
    /// [`Error::invalid`] naming the field that no sane relay sends.
    pub fn take(
        &self,
        fleet: &FleetName,
        relay: Uuid,
        epoch: i64,
        report: &HealthReport,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let Some(observed) = &report.observed_at else {
            return Err(Error::invalid("health.observed_at", "it must be set"));
        };
        let observed = timestamps::from_proto("health.observed_at", observed)?;
        if report.listeners.len() > 64
            || report.collectors.len() > 128
            || report.conditions.len() > 64
        {
            return Err(Error::invalid("health", "it has more entries than a relay can have"));
        }
        let waiting = Waiting {
            fleet: fleet.clone(),
            relay,
            epoch,
            phase: i16::try_from(report.phase).unwrap_or(0),
            report: report.encode_to_vec(),
            observed,
            received: now,
        };
        let mut queue = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(waiting);
        if queue.len() > MOST_WAITING {
            queue.pop_front();
            self.metrics.health_dropped(1, "queue_full");
        }
        Ok(())
    }

    /// Writes until cancelled, and once more then.
    pub async fn run(
        &self,
        pool: &ScopedPool,
        direct: &PgConnectOptions,
        clock: &Clock,
        live: &LiveSessions,
        cancel: &CancellationToken,
    ) {
        let mut hour = None;
        loop {
            let last = tokio::select! {
                () = cancel.cancelled() => true,
                () = tokio::time::sleep(FLUSH_EVERY) => false,
            };
            let now = clock.now();
            if hour != Some(now.unix_timestamp() / 3600) {
                match partitions(direct, now).await {
                    Ok(()) => hour = Some(now.unix_timestamp() / 3600),
                    Err(error) => {
                        tracing::info!(error = %error, "Partitions for health reports could not be made yet")
                    }
                }
            }
            if let Err(error) = self.flush(pool, live).await {
                tracing::info!(error = %error, "Health reports wait for the database");
            }
            if last {
                return;
            }
        }
    }

    async fn flush(&self, pool: &ScopedPool, live: &LiveSessions) -> Result<(), sqlx::Error> {
        loop {
            let mut reports: Vec<Waiting> = {
                let mut queue = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let n = queue.len().min(MOST_PER_FLUSH);
                queue.drain(..n).collect()
            };
            if reports.is_empty() {
                return Ok(());
            }
            let full = reports.len() == MOST_PER_FLUSH;
            if let Err(error) = self.write(pool, live, &reports).await {
                let mut queue = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some(report) = reports.pop() {
                    queue.push_front(report);
                }
                return Err(error);
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        pool: &ScopedPool,
        live: &LiveSessions,
        reports: &[Waiting],
    ) -> Result<(), sqlx::Error> {
        let begun = tokio::time::Instant::now();
        let mut newest: HashMap<Uuid, &Waiting> = HashMap::new();
        for report in reports {
            let known = newest.entry(report.relay).or_insert(report);
            // A session that was taken over may still speak after its successor.
            if report.epoch >= known.epoch {
                *known = report;
            }
        }
        let last = batch(newest.values().copied());
        let mut transaction = pool.begin(&Scope::Provider).await?;
        relay_health::lossy(&mut transaction).await?;
        let current: HashSet<Uuid> =
            relay_health::write_last(&mut transaction, &last).await?.into_iter().collect();
        let (kept, stale): (Vec<_>, Vec<_>) = reports.iter().partition(|r| {
            current.contains(&r.relay) && newest.get(&r.relay).is_some_and(|n| n.epoch == r.epoch)
        });
        let all = batch(kept.into_iter());
        relay_health::append(&mut transaction, &all).await?;
        transaction.commit().await?;
        for stale in stale {
            self.metrics.health_dropped(1, "stale_epoch");
            live.fence_off(stale.relay, stale.epoch);
        }
        self.metrics.health_flushed(all.relays.len() as u64, begun.elapsed());
        Ok(())
    }
}

fn batch<'a>(reports: impl Iterator<Item = &'a Waiting>) -> Batch {
    let mut batch = Batch::default();
    for report in reports {
        batch.tenants.push(report.fleet.tenant.clone());
        batch.fleets.push(report.fleet.fleet.clone());
        batch.relays.push(report.relay);
        batch.epochs.push(report.epoch);
        batch.phases.push(report.phase);
        batch.reports.push(report.report.clone());
        batch.observed.push(report.observed);
        batch.received.push(report.received);
    }
    batch
}

/// Makes partitions ahead and drops old ones, as the tables' owner.
async fn partitions(direct: &PgConnectOptions, now: OffsetDateTime) -> Result<(), sqlx::Error> {
    let mut db = PgConnection::connect_with(direct).await?;
    let this =
        OffsetDateTime::from_unix_timestamp(now.unix_timestamp() / 3600 * 3600).unwrap_or(now);
    // An hour back as well: clocks of replicas differ.
    for ahead in -1..=HOURS.0 {
        relay_health::ensure_partition(&mut db, this + time::Duration::hours(ahead)).await?;
    }
    for behind in HOURS.1 + 1..HOURS.1 * 3 {
        relay_health::drop_partition(&mut db, this - time::Duration::hours(behind)).await?;
    }
    db.close().await
}
