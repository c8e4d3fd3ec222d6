//! Load: many workloads that resolve, send, and remember what was acknowledged and what failed.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    otlp::{Exporter, marker},
    resolver::Resolver,
    tcp::Held,
};
use crate::harness::wait::TimedOut;

/// Pause of one workload between two sends, unless it is told otherwise.
const PAUSE: Duration = Duration::from_millis(5);
/// Pause after a failure.
const RETRY: Duration = Duration::from_millis(50);

/// Most names kept of acknowledged spans.
const MOST_MARKERS: usize = 4_000_000;

/// What the workloads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Export a span over a connection kept per relay.
    Export,
    /// Export a span over a new connection each time.
    ExportAnew,
    /// Connect, send and receive a few bytes of raw TCP, close.
    Tcp,
}

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Sends that were acknowledged.
    pub acknowledged: u64,
    /// Names of the spans that were acknowledged.
    pub markers: HashSet<String>,
    /// How often a send failed, by what it said.
    pub failures: BTreeMap<String, u64>,
    /// Acknowledged sends by relay.
    pub by_relay: BTreeMap<SocketAddr, u64>,
}

/// Running workloads; they stop when dropped.
#[derive(Debug)]
pub struct Load {
    report: Arc<Mutex<Report>>,
    changed: Arc<watch::Sender<u64>>,
    pause: watch::Sender<Duration>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts `workloads` that find their relay as `name` and send to `port`, each with its own memory of DNS.
    pub fn start(
        kind: Kind,
        workloads: usize,
        dns: SocketAddr,
        name: &str,
        port: u16,
    ) -> anyhow::Result<Self> {
        let report = Arc::new(Mutex::new(Report::default()));
        let changed = Arc::new(watch::Sender::new(0));
        let pause = watch::Sender::new(PAUSE);
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for _ in 0..workloads {
            let workload = Workload {
                kind,
                resolver: Resolver::new(dns)?,
                name: name.to_owned(),
                port,
                exporters: HashMap::new(),
                pause: pause.subscribe(),
            };
            let (report, changed, cancel) =
                (Arc::clone(&report), Arc::clone(&changed), cancel.clone());
            tasks.spawn(async move { workload.run(&report, &changed, &cancel).await });
        }
        Ok(Self { report, changed, pause, cancel, tasks })
    }

    /// Makes each workload pause so long between two sends.
    pub fn pause(&self, pause: Duration) {
        self.pause.send_replace(pause);
    }

    /// Returns what happened so far.
    pub fn report(&self) -> Report {
        lock(&self.report).clone()
    }

    /// Waits until `count` more sends were acknowledged than now.
    pub async fn acknowledged_more(&self, count: u64, within: Duration) -> Result<(), TimedOut> {
        let goal = lock(&self.report).acknowledged + count;
        let mut changed = self.changed.subscribe();
        let wait = async {
            while lock(&self.report).acknowledged < goal {
                if changed.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::time::timeout(within, wait).await.map_err(|_| {
            let report = self.report();
            TimedOut::new(&format!("{count} more sends are acknowledged"), within).with_detail(
                format!("acknowledged: {}; failures: {:#?}", report.acknowledged, report.failures),
            )
        })
    }

    /// Lets each workload finish what it is at, then returns everything.
    pub async fn stop(mut self) -> Report {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.report()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

struct Workload {
    kind: Kind,
    resolver: Resolver,
    name: String,
    port: u16,
    exporters: HashMap<SocketAddr, Exporter>,
    pause: watch::Receiver<Duration>,
}

impl Workload {
    async fn run(
        mut self,
        report: &Mutex<Report>,
        changed: &watch::Sender<u64>,
        cancel: &CancellationToken,
    ) {
        while !cancel.is_cancelled() {
            let pause = match self.send().await {
                Ok((relay, marker)) => {
                    let mut report = lock(report);
                    report.acknowledged += 1;
                    // Rather forget than grow without end in a demo that runs for days.
                    if report.markers.len() >= MOST_MARKERS {
                        report.markers.clear();
                    }
                    report.markers.extend(marker);
                    *report.by_relay.entry(relay).or_default() += 1;
                    *self.pause.borrow()
                }
                Err(error) => {
                    *lock(report).failures.entry(format!("{error:#}")).or_default() += 1;
                    RETRY
                }
            };
            changed.send_modify(|count| *count += 1);
            tokio::time::sleep(pause).await;
        }
    }

    async fn send(&mut self) -> anyhow::Result<(SocketAddr, Option<String>)> {
        let relay = self.resolver.pick(&self.name, self.port).await?;
        match self.kind {
            Kind::Tcp => {
                let pass = async {
                    let mut held = Held::open(relay).await?;
                    held.beat().await?;
                    held.close().await
                };
                pass.await.with_context(|| relay.to_string())?;
                Ok((relay, None))
            }
            Kind::Export => {
                let exporter = match self.exporters.get(&relay) {
                    Some(exporter) => exporter.clone(),
                    None => Exporter::new(relay)?,
                };
                let marker = marker("load");
                let answer = exporter.spans(std::slice::from_ref(&marker)).await;
                // A workload that was refused starts over with a new connection.
                match &answer {
                    Ok(_) => self.exporters.insert(relay, exporter),
                    Err(_) => self.exporters.remove(&relay),
                };
                answer.map_err(|status| failed(relay, &status))?;
                Ok((relay, Some(marker)))
            }
            Kind::ExportAnew => {
                let marker = marker("load");
                let answer = Exporter::new(relay)?.spans(std::slice::from_ref(&marker)).await;
                answer.map_err(|status| failed(relay, &status))?;
                Ok((relay, Some(marker)))
            }
        }
    }
}

fn failed(relay: SocketAddr, status: &tonic::Status) -> anyhow::Error {
    let source =
        std::error::Error::source(status).map(|source| format!(" ({source})")).unwrap_or_default();
    anyhow::anyhow!("{relay}: {:?}: {}{source}", status.code(), status.message())
}

fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}
