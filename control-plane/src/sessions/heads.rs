//! What each fleet should run: LISTEN is a hint, a re-read every two seconds the truth.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ekiden_proto::relay::v1::SettingsSnapshot;
use sqlx::{
    PgConnection, Row,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    names::FleetName,
    store::{
        databases, heads_follow,
        scope::{Scope, ScopedPool},
    },
};

/// How long a lost notification can go unnoticed.
const REREAD_EVERY: Duration = Duration::from_secs(2);
/// How often the listening connection is asked whether it still is one, and how long it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));
const CHANNEL: &str = "ekiden_heads";

/// What a fleet should run, encoded once and shared by its sessions.
#[derive(Clone, Debug)]
pub struct Head {
    /// The desired revision; its bytes are shared, not copied.
    pub snapshot: SettingsSnapshot,
    /// Version of the key bundle.
    pub secret_version: u64,
    /// Traceparent of the bundle's last change.
    pub secret_traceparent: String,
}

type Published = watch::Sender<Option<Arc<Head>>>;

/// Follows the heads of fleets that have live sessions here.
#[derive(Clone, Default)]
pub struct HeadsFollower {
    fleets: Arc<Mutex<HashMap<FleetName, Published>>>,
}

impl HeadsFollower {
    /// The head of `fleet` and each later one; none inside when the fleet is gone.
    ///
    /// # Errors
    /// What the database says.
    pub async fn follow(
        &self,
        pool: &ScopedPool,
        fleet: &FleetName,
    ) -> Result<watch::Receiver<Option<Arc<Head>>>, sqlx::Error> {
        if let Some(published) = self.lock().get(fleet)
            && published.borrow().is_some()
        {
            return Ok(published.subscribe());
        }
        let receiver =
            self.lock().entry(fleet.clone()).or_insert_with(|| watch::channel(None).0).subscribe();
        self.reread(&mut *pool.begin(&Scope::Provider).await?, std::slice::from_ref(fleet)).await?;
        Ok(receiver)
    }

    /// The head of a fleet that is followed, as last read.
    pub fn known(&self, fleet: &FleetName) -> Option<Arc<Head>> {
        self.lock().get(fleet)?.borrow().clone()
    }

    /// Follows until cancelled. `direct` leads to the database without a pooler between.
    pub async fn run(
        &self,
        pool: &ScopedPool,
        direct: &PgConnectOptions,
        cancel: &CancellationToken,
    ) {
        while !cancel.is_cancelled() {
            let outcome = tokio::select! {
                () = cancel.cancelled() => return,
                outcome = self.listen(pool, direct) => outcome,
            };
            if let Err(error) = outcome {
                tracing::info!(error = %error, "Heads are re-read without notifications until the database listens again");
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(REREAD_EVERY) => {}
            }
            if let Err(error) = self.reread_all(pool).await {
                tracing::debug!(error = %error, "Heads could not be re-read");
            }
        }
    }

    async fn listen(
        &self,
        pool: &ScopedPool,
        direct: &PgConnectOptions,
    ) -> Result<(), sqlx::Error> {
        let own = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(direct.clone());
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(CHANNEL).await?;
        // What was announced before LISTEN held was announced to nobody.
        self.reread_all(pool).await?;
        let mut reread = tokio::time::interval(REREAD_EVERY);
        reread.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ping = tokio::time::interval(PING.0);
        loop {
            tokio::select! {
                hint = listener.try_recv() => {
                    let Some(hint) = hint? else { return Err(sqlx::Error::PoolClosed) };
                    if let Ok(fleet) = FleetName::parse("payload", hint.payload())
                        && self.lock().contains_key(&fleet)
                    {
                        self.reread(&mut *pool.begin(&Scope::Provider).await?, std::slice::from_ref(&fleet)).await?;
                    }
                }
                _ = reread.tick() => self.reread_all(pool).await?,
                _ = ping.tick() => {
                    let answered = timeout(PING.1, sqlx::Executor::fetch_one(&mut listener, "select 1")).await;
                    let row = answered.map_err(|_| sqlx::Error::PoolTimedOut)??;
                    row.try_get::<i32, _>(0)?;
                }
            }
        }
    }

    async fn reread_all(&self, pool: &ScopedPool) -> Result<(), sqlx::Error> {
        let fleets: Vec<_> = {
            let mut fleets = self.lock();
            fleets.retain(|_, published| published.receiver_count() > 0);
            fleets.keys().cloned().collect()
        };
        if fleets.is_empty() {
            // Asked all the same: a database that is away should be noticed before a session needs it.
            return databases::ping(&mut *pool.begin(&Scope::Provider).await?).await;
        }
        self.reread(&mut *pool.begin(&Scope::Provider).await?, &fleets).await
    }

    async fn reread(&self, db: &mut PgConnection, fleets: &[FleetName]) -> Result<(), sqlx::Error> {
        let rows = heads_follow::of(&mut *db, fleets).await?;
        for fleet in fleets {
            let row =
                rows.iter().find(|r| r.tenant_id == fleet.tenant && r.fleet_id == fleet.fleet);
            let Some(row) = row else {
                self.publish(fleet, None);
                continue;
            };
            let known = self.lock().get(fleet).and_then(|p| p.borrow().clone());
            let (revision, secrets) =
                (row.revision.unsigned_abs(), row.secret_version.unsigned_abs());
            let snapshot = match &known {
                Some(k) if k.snapshot.revision == revision && k.snapshot.hash == row.hash => {
                    if k.secret_version == secrets {
                        continue;
                    }
                    k.snapshot.clone()
                }
                _ => {
                    let Some(found) = heads_follow::snapshot(&mut *db, fleet, row.revision).await?
                    else {
                        continue;
                    };
                    SettingsSnapshot {
                        revision,
                        hash: Bytes::from(found.hash),
                        settings: Bytes::from(found.settings),
                        traceparent: found.traceparent,
                        tracestate: found.tracestate,
                    }
                }
            };
            let head = Head {
                snapshot,
                secret_version: secrets,
                secret_traceparent: row.secret_traceparent.clone(),
            };
            self.publish(fleet, Some(Arc::new(head)));
        }
        Ok(())
    }

    /// Publishes a head unless a newer one is there: readers may overtake each other.
    fn publish(&self, fleet: &FleetName, head: Option<Arc<Head>>) {
        let fleets = self.lock();
        let Some(published) = fleets.get(fleet) else { return };
        published.send_if_modified(|current| {
            let older = match (current.as_ref(), head.as_ref()) {
                (Some(c), Some(h)) => {
                    h.snapshot.revision < c.snapshot.revision || h.secret_version < c.secret_version
                }
                (None, None) => true,
                _ => false,
            };
            if !older {
                *current = head;
            }
            !older
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FleetName, Published>> {
        self.fleets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
