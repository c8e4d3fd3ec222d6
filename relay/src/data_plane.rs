//! The listeners that run and the collectors they reach: changed in one step, or not at all.
//!
//! A change opens what is new first, then swaps, then closes what is gone. A listener keeps its socket as long as its port
//! stays, whatever else of it changes, its name included. Open TCP connections stay with the collector that they were
//! dialled to; new ones go where the settings now say. The connections of a listener that is gone have 30 s to end by themselves.
//!
//! - [`DataPlane`]: what the rest of the relay sees. `running`: what runs, and what a change makes of it.
//! - `door`: accepts, within limits. `health`: what is reported.

mod door;
mod health;
mod running;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use ekiden_settings::{CheckedSettings, Limits, Protocol, Violation};
use futures_util::{StreamExt, stream};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::health::DataPlaneHealth;
use self::{
    door::Door,
    running::{Kept, Running, Service},
};
use crate::{
    collector::{KeyTrials, Keys, OwnListeners, ProbeOutcome, Trials},
    listener::{
        CloseCause,
        connections::{Connections, SOON},
        socket,
    },
    otlp::InFlight,
    resolver::Resolver,
};

/// What connections of a listener that is gone have left.
const FAREWELL: Duration = Duration::from_secs(30);
/// How long one probe may take.
const PROBE: Duration = Duration::from_secs(10);
/// Between two batches of connections that are ended, give or take half.
const BATCH: Duration = Duration::from_millis(250);
/// Probes at once.
const PROBES: usize = 16;
/// Told to end, connections end at once; this only bounds a wait that should not be.
const ENDING: Duration = Duration::from_secs(5);

/// All listeners of a relay; cheap to clone.
#[derive(Clone, Debug)]
pub struct DataPlane(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    resolver: Resolver,
    bind: IpAddr,
    tracker: TaskTracker,
    /// Ends everything.
    cancel: CancellationToken,
    /// Ends accepting.
    leaving: CancellationToken,
    own_listeners: OwnListeners,
    keys: watch::Sender<Arc<Keys>>,
    trials: Arc<KeyTrials>,
    in_flight: Arc<InFlight>,
    running: ArcSwap<Running>,
    kept: Mutex<Kept>,
    /// By port; locked for the length of a change.
    doors: tokio::sync::Mutex<HashMap<u16, Door>>,
    /// The connections of every listener, of those that are gone as well.
    connections: Mutex<Vec<Weak<Connections>>>,
    open: AtomicU64,
    closed: Notify,
    changed: Notify,
    /// Connections that the process has file descriptors for.
    capacity: u64,
}

impl DataPlane {
    /// Starts without listeners, and lets the process open as many files as the system allows it.
    ///
    /// Listeners bind to `bind`; what serves connections runs on `tracker` and ends when `cancel` is cancelled.
    pub fn new(
        resolver: Resolver,
        bind: IpAddr,
        cancel: CancellationToken,
        tracker: TaskTracker,
    ) -> Self {
        let shared = Arc::new(Shared {
            resolver,
            bind,
            leaving: cancel.child_token(),
            cancel,
            own_listeners: OwnListeners::default(),
            keys: watch::Sender::default(),
            trials: Arc::default(),
            in_flight: InFlight::new(Limits::default().max_in_flight_bytes),
            running: ArcSwap::default(),
            kept: Mutex::default(),
            doors: tokio::sync::Mutex::default(),
            connections: Mutex::default(),
            open: AtomicU64::new(0),
            closed: Notify::new(),
            changed: Notify::new(),
            capacity: door::capacity(),
            tracker,
        });
        shared.tracker.spawn(Arc::clone(&shared).tend_connections());
        Self(shared)
    }

    /// Runs other settings; unaffected listeners and their connections notice nothing.
    ///
    /// # Errors
    /// What cannot be run, by field; nothing has changed then.
    pub async fn apply(&self, settings: Arc<CheckedSettings>) -> Result<(), Vec<Violation>> {
        let shared = &self.0;
        let mut doors = shared.doors.lock().await;
        if shared.leaving.is_cancelled() {
            return Err(vec![Violation::new("", "the relay is leaving and takes no settings")]);
        }
        let before = shared.running.load_full();
        let next = Running::next(&before, &settings, shared)?;
        let opened = shared.open_ports(&settings, &doors)?;
        let addresses =
            doors.values().map(Door::address).chain(opened.iter().map(|(_, _, address)| *address));
        shared.own_listeners.set(addresses.collect());
        shared.in_flight.set_limit(settings.limits.max_in_flight_bytes);
        shared.running.store(Arc::clone(&next));
        next.retarget(&settings);
        shared.changed.notify_one();
        for (port, listener, address) in opened {
            doors.insert(port, Door::open(Arc::clone(shared), port, listener, address));
        }
        shared.release(&before, &next);
        let gone =
            doors.extract_if(|port, _| !next.routes.contains_key(port)).map(|(_, door)| door);
        let gone = gone.inspect(Door::stop).collect::<Vec<_>>();
        shared.own_listeners.set(doors.values().map(Door::address).collect());
        for door in gone {
            door.close().await;
        }
        Ok(())
    }

    /// Puts other access keys into use, from the next request on.
    pub fn set_keys(&self, keys: Arc<Keys>) {
        self.0.trials.keep(&keys);
        self.0.keys.send_replace(keys);
    }

    /// What collectors say to the newest versions of keys that are being rotated, and each change of it.
    pub fn key_trials(&self) -> watch::Receiver<Trials> {
        self.0.trials.watch()
    }

    /// Shows collectors the versions on trial; gives whether all of them consent.
    pub async fn try_keys(&self) -> bool {
        let running = self.0.running.load_full();
        let trials = running
            .exporters
            .values()
            .cloned()
            .map(|exporter| async move { exporter.try_key(Instant::now() + PROBE).await });
        let trials = trials.collect::<Vec<_>>();
        let consents = stream::iter(trials).buffer_unordered(PROBES).collect::<Vec<_>>().await;
        !consents.contains(&false)
    }

    /// Asks every collector whether it can be reached and takes its key.
    pub async fn probe(&self) -> Vec<(String, ProbeOutcome)> {
        let running = self.0.running.load_full();
        let probes = running.pools.values().map(|pool| {
            let exporter = running.exporters.get(&pool.settings().name).cloned();
            let pool = Arc::clone(pool);
            async move {
                let deadline = Instant::now() + PROBE;
                let outcome = match exporter {
                    Some(exporter) => exporter.probe(deadline).await,
                    None => match tokio::time::timeout_at(deadline, pool.probe()).await {
                        Ok(outcome) => outcome,
                        Err(_) => {
                            ProbeOutcome::failed("dial", "the collector did not answer in time")
                        }
                    },
                };
                (pool.settings().name.clone(), outcome)
            }
        });
        // Collected: a closure that borrows would tie the future to one lifetime, and no task could run it.
        let probes = probes.collect::<Vec<_>>();
        let mut outcomes = stream::iter(probes).buffer_unordered(PROBES).collect::<Vec<_>>().await;
        outcomes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        outcomes
    }

    /// What is reported of listeners and collectors.
    pub fn health(&self) -> DataPlaneHealth {
        self.0.health()
    }

    /// Where a listener's port really is.
    pub async fn address(&self, listener: &str) -> Option<SocketAddr> {
        let running = self.0.running.load_full();
        let (port, _) = running.routes.iter().find(|(_, route)| route.settings.name == listener)?;
        self.0.doors.lock().await.get(port).map(Door::address)
    }

    /// Closes every port; open connections go on.
    pub fn stop_accepting(&self) {
        self.0.leaving.cancel();
    }

    /// Waits until no connection is open, asking OTLP workloads to go. From half time on raw connections are ended a few at a
    /// time, the quietest first, so that their workloads do not all come to the siblings at once; at the deadline what is left.
    /// `random` gives uniform numbers in `[0, 1)`.
    pub async fn finish(&self, deadline: Instant, random: impl FnMut() -> f64) {
        let shared = &self.0;
        self.stop_accepting();
        for (_, door) in std::mem::take(&mut *shared.doors.lock().await) {
            door.close().await;
        }
        let running = shared.running.load_full();
        for route in running.routes.values() {
            if let Service::Otlp { drain, .. } = &route.service {
                drain.cancel();
            }
        }
        tokio::select! {
            () = shared.none_open() => {}
            () = shared.end_in_batches(deadline, random) => {
                tracing::info!(connections = self.connections_open(), "connections are ended: the time to leave is over");
                shared.end_all();
                tokio::select! {
                    () = shared.none_open() => {}
                    () = sleep(ENDING) => tracing::warn!(connections = self.connections_open(), "connections did not end"),
                }
            }
        }
        for exporter in running.exporters.values() {
            exporter.close();
        }
    }

    /// Sees to it that as many connections go as `count` says, the oldest first, of listeners that let connections go: those with
    /// a maximum age. Who is on the way out already counts; the others are asked one after the other over `within`, each in its part of it at a random moment; `random`
    /// gives uniform numbers in `[0, 1)`. Gives how many were picked.
    pub fn shed(&self, count: usize, within: Duration, mut random: impl FnMut() -> f64) -> usize {
        let running = self.0.running.load();
        let mut settled = running.settled();
        settled.sort_unstable_by_key(|(opened, id, _)| (*opened, *id));
        settled.truncate(count.saturating_sub(running.count_leaving()));
        let (now, picked) = (Instant::now(), settled.len());
        for (at, (_, id, connections)) in settled.iter().enumerate() {
            let part = (at as f64 + random()) / picked as f64;
            connections.shed(*id, now + within.mul_f64(part));
        }
        self.0.changed.notify_one();
        picked
    }

    /// Connections of workloads open now.
    pub fn connections_open(&self) -> u64 {
        self.0.open.load(Relaxed)
    }
}

impl Shared {
    /// Opens every port that is not open yet; all or none.
    fn open_ports(
        &self,
        settings: &CheckedSettings,
        doors: &HashMap<u16, Door>,
    ) -> Result<Vec<(u16, TcpListener, SocketAddr)>, Vec<Violation>> {
        let mut opened = Vec::new();
        let mut violations = Vec::new();
        for (at, listener) in settings.listeners.iter().enumerate() {
            if doors.contains_key(&listener.port) {
                continue;
            }
            let address = SocketAddr::new(self.bind, listener.port);
            let open = || {
                let socket = socket::listen(address)?;
                let address = socket.local_addr()?;
                Ok::<_, std::io::Error>((listener.port, socket, address))
            };
            match open() {
                Ok(open) => opened.push(open),
                Err(error) => violations.push(Violation::new(
                    format!("listeners[{at}].port"),
                    format!("this relay cannot listen on {address}: {error}"),
                )),
            }
        }
        if violations.is_empty() { Ok(opened) } else { Err(violations) }
    }

    /// Lets go of what ran before and runs no more.
    fn release(self: &Arc<Self>, before: &Running, next: &Running) {
        for route in before.routes.values() {
            let protocol = route.settings.protocol;
            for connections in route.all_connections() {
                let mut heirs = next.routes.values();
                match heirs.find(|now| now.all_connections().any(|it| Arc::ptr_eq(it, connections)))
                {
                    None => self.bid_farewell(route, connections, None),
                    Some(now)
                        if protocol == Protocol::Otlp && now.settings.protocol != protocol =>
                    {
                        self.bid_farewell(route, connections, Some(protocol));
                    }
                    Some(_) => {}
                }
            }
        }
        self.everyone().retain(|connections| connections.strong_count() > 0);
    }

    /// Gives the connections of a listener that is gone, or those of a protocol that it no longer speaks, time to end.
    fn bid_farewell(
        self: &Arc<Self>,
        route: &running::Route,
        connections: &Arc<Connections>,
        protocol: Option<Protocol>,
    ) {
        if let Service::Otlp { drain, .. } = &route.service {
            drain.cancel();
        }
        let connections = Arc::clone(connections);
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = sleep(FAREWELL) => connections.end(protocol, CloseCause::SettingsRemoved),
            }
        });
    }

    /// Ends connections without traffic and asks old ones to go; ends everything when the process ends.
    async fn tend_connections(self: Arc<Self>) {
        let mut due: Option<Instant> = None;
        loop {
            let every = self.running.load().look_every();
            let until_due = due.map(|due| due.saturating_duration_since(Instant::now()).max(SOON));
            tokio::select! {
                () = self.cancel.cancelled() => break,
                // What is due may be sooner now.
                () = self.changed.notified() => due = Some(Instant::now()),
                () = sleep(until_due.map_or(every, |until| until.min(every))) => {
                    due = self.running.load().tend(Instant::now());
                }
            }
        }
        self.end_all();
        for exporter in self.running.load().exporters.values() {
            exporter.close();
        }
    }

    fn end_all(&self) {
        for connections in self.everyone().iter().filter_map(Weak::upgrade) {
            connections.end(None, CloseCause::Drained);
        }
    }

    /// Ends raw connections evenly from half time on, and comes back at the deadline.
    async fn end_in_batches(&self, deadline: Instant, mut random: impl FnMut() -> f64) {
        let half = deadline.saturating_duration_since(Instant::now()) / 2;
        sleep(half).await;
        let mut lists: Vec<(Arc<Connections>, usize, usize)> = self
            .everyone()
            .iter()
            .filter_map(Weak::upgrade)
            .map(|connections| (Arc::clone(&connections), connections.count_raw(), 0))
            .collect();
        loop {
            let pause = BATCH.mul_f64(0.5 + random());
            sleep_until(deadline.min(Instant::now() + pause)).await;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let progress = 1.0 - left.as_secs_f64() / half.as_secs_f64();
            for (connections, count, ended) in &mut lists {
                let due = (*count as f64 * progress) as usize;
                connections.end_quietest(due - *ended, CloseCause::Drained, Instant::now());
                *ended = due;
            }
        }
    }

    async fn none_open(&self) {
        loop {
            let mut closed = pin!(self.closed.notified());
            closed.as_mut().enable();
            if self.open.load(Relaxed) == 0 {
                return;
            }
            closed.await;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn everyone(&self) -> MutexGuard<'_, Vec<Weak<Connections>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
