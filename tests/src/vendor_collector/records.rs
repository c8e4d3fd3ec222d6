//! What a collector keeps of what arrived, to be asserted on.
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use tokio::sync::watch;

use crate::harness::wait::TimedOut;

/// Most names kept under one key.
const MOST_MARKERS: usize = 4_000_000;
/// Most whole requests kept of one signal.
const MOST_REQUESTS: usize = 50_000;

/// Which access keys a collector lets through.
#[derive(Clone, Debug)]
pub struct KeyCheck {
    header: String,
    prefix: String,
    /// `None`: any request passes.
    accepted: Option<Vec<String>>,
}

impl KeyCheck {
    /// Lets everything through.
    pub fn none() -> Self {
        Self { header: String::new(), prefix: String::new(), accepted: None }
    }

    /// Wants `prefix` followed by one of `keys` in the header (gRPC metadata) `header`.
    pub fn header(header: &str, prefix: &str, keys: &[&str]) -> Self {
        let accepted = keys.iter().map(|key| (*key).to_owned()).collect();
        Self { header: header.to_owned(), prefix: prefix.to_owned(), accepted: Some(accepted) }
    }

    /// Returns the request's key, or `None` when it is to be refused.
    fn check(&self, headers: &tonic::metadata::MetadataMap) -> Option<String> {
        let Some(accepted) = &self.accepted else { return Some(String::new()) };
        let mut values = headers.get_all(self.header.as_str()).iter();
        let key = values.next()?.to_str().ok()?.strip_prefix(&self.prefix)?;
        // A second value would mean that the workload's own header came through beside the relay's.
        (values.next().is_none() && accepted.iter().any(|one| one == key)).then(|| key.to_owned())
    }
}

/// What arrived under one access key.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Export requests answered with success.
    pub requests: u64,
    /// Spans in them.
    pub spans: u64,
    /// Metrics in them.
    pub metrics: u64,
    /// Log records in them.
    pub log_records: u64,
    /// Names of spans and metrics and bodies of log records, where they are to be kept.
    pub markers: HashSet<String>,
}

impl Received {
    /// Remembers names; forgets all of them rather than grow without end in a demo that runs for days.
    fn mark(&mut self, markers: impl IntoIterator<Item = String>) {
        if self.markers.len() >= MOST_MARKERS {
            self.markers.clear();
        }
        self.markers.extend(markers);
    }
}

/// One TCP connection and what went through it.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Who connected.
    pub peer: SocketAddr,
    /// Bytes that arrived.
    pub received: u64,
    /// SHA-256 of what arrived, known once the peer finished sending.
    pub received_sha256: Option<[u8; 32]>,
    /// Bytes sent.
    pub sent: u64,
    /// SHA-256 of what was sent, known once all was sent.
    pub sent_sha256: Option<[u8; 32]>,
    /// Whether it is over.
    pub ended: bool,
}

#[derive(Debug, Default)]
struct State {
    by_key: BTreeMap<String, Received>,
    refused: u64,
    open: u64,
    accepted: u64,
    streams: Vec<Stream>,
    traces: VecDeque<Arc<ExportTraceServiceRequest>>,
    metrics: VecDeque<Arc<ExportMetricsServiceRequest>>,
    logs: VecDeque<Arc<ExportLogsServiceRequest>>,
}

/// Everything a collector keeps.
#[derive(Debug)]
pub struct Records {
    keys: Mutex<KeyCheck>,
    keep_requests: Mutex<bool>,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Records {
    pub(super) fn new(keys: KeyCheck) -> Self {
        Self {
            keys: Mutex::new(keys),
            keep_requests: Mutex::new(false),
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// Replaces the keys that are let through.
    pub fn accept_keys(&self, keys: &[&str]) {
        lock(&self.keys).accepted = Some(keys.iter().map(|key| (*key).to_owned()).collect());
    }

    /// Keeps whole requests from now on, not only counts and markers.
    pub fn keep_requests(&self) {
        *lock(&self.keep_requests) = true;
    }

    /// Returns what arrived under `key`; without a key check everything arrives under the empty one.
    pub fn received(&self, key: &str) -> Received {
        lock(&self.state).by_key.get(key).cloned().unwrap_or_default()
    }

    /// Returns whether `marker` arrived under `key`.
    pub fn has(&self, key: &str, marker: &str) -> bool {
        lock(&self.state).by_key.get(key).is_some_and(|received| received.markers.contains(marker))
    }

    /// Returns the markers that arrived under any key.
    pub fn markers(&self) -> HashSet<String> {
        lock(&self.state)
            .by_key
            .values()
            .flat_map(|received| received.markers.iter().cloned())
            .collect()
    }

    /// Returns the counts of all keys together, without markers.
    pub fn total(&self) -> Received {
        let state = lock(&self.state);
        state.by_key.values().fold(Received::default(), |sum, one| Received {
            requests: sum.requests + one.requests,
            spans: sum.spans + one.spans,
            metrics: sum.metrics + one.metrics,
            log_records: sum.log_records + one.log_records,
            markers: HashSet::new(),
        })
    }

    /// Returns how many requests had no key or a wrong one.
    pub fn refused(&self) -> u64 {
        lock(&self.state).refused
    }

    /// Returns how many connections are open.
    pub fn open(&self) -> u64 {
        lock(&self.state).open
    }

    /// Returns how many connections were accepted.
    pub fn accepted(&self) -> u64 {
        lock(&self.state).accepted
    }

    /// Returns every TCP connection so far, in the order in which they came.
    pub fn streams(&self) -> Vec<Stream> {
        lock(&self.state).streams.clone()
    }

    /// Returns the trace requests kept.
    pub fn traces(&self) -> Vec<Arc<ExportTraceServiceRequest>> {
        lock(&self.state).traces.iter().cloned().collect()
    }

    /// Returns the metrics requests kept.
    pub fn metrics(&self) -> Vec<Arc<ExportMetricsServiceRequest>> {
        lock(&self.state).metrics.iter().cloned().collect()
    }

    /// Returns the log requests kept.
    pub fn logs(&self) -> Vec<Arc<ExportLogsServiceRequest>> {
        lock(&self.state).logs.iter().cloned().collect()
    }

    /// Waits until `condition` holds, looking again at each change.
    pub async fn wait(
        &self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Result<(), TimedOut> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !condition(self) {
                if changed.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::time::timeout(within, wait).await.map_err(|_| TimedOut::new(what, within))
    }

    pub(super) fn check(&self, headers: &tonic::metadata::MetadataMap) -> Option<String> {
        let key = lock(&self.keys).check(headers);
        if key.is_none() {
            self.change(|state| state.refused += 1);
        }
        key
    }

    pub(super) fn trace(&self, key: String, request: ExportTraceServiceRequest) {
        let spans = request
            .resource_spans
            .iter()
            .flat_map(|one| &one.scope_spans)
            .flat_map(|one| &one.spans);
        let markers: Vec<String> = spans.map(|span| span.name.clone()).collect();
        let keep = *lock(&self.keep_requests);
        self.change(|state| {
            let received = state.by_key.entry(key).or_default();
            received.requests += 1;
            received.spans += markers.len() as u64;
            received.mark(markers);
            if keep {
                keep_last(&mut state.traces, request);
            }
        });
    }

    pub(super) fn metric(&self, key: String, request: ExportMetricsServiceRequest) {
        let metrics = request
            .resource_metrics
            .iter()
            .flat_map(|one| &one.scope_metrics)
            .flat_map(|one| &one.metrics);
        let markers: Vec<String> = metrics.map(|metric| metric.name.clone()).collect();
        let keep = *lock(&self.keep_requests);
        self.change(|state| {
            let received = state.by_key.entry(key).or_default();
            received.requests += 1;
            received.metrics += markers.len() as u64;
            received.mark(markers);
            if keep {
                keep_last(&mut state.metrics, request);
            }
        });
    }

    pub(super) fn log(&self, key: String, request: ExportLogsServiceRequest) {
        use opentelemetry_proto::tonic::common::v1::any_value::Value;
        let records = request
            .resource_logs
            .iter()
            .flat_map(|one| &one.scope_logs)
            .flat_map(|one| &one.log_records);
        let bodies: Vec<Option<String>> = records
            .map(|record| match record.body.as_ref().and_then(|body| body.value.as_ref()) {
                Some(Value::StringValue(text)) => Some(text.clone()),
                _ => None,
            })
            .collect();
        let keep = *lock(&self.keep_requests);
        self.change(|state| {
            let received = state.by_key.entry(key).or_default();
            received.requests += 1;
            received.log_records += bodies.len() as u64;
            received.mark(bodies.into_iter().flatten());
            if keep {
                keep_last(&mut state.logs, request);
            }
        });
    }

    pub(super) fn connected(&self) {
        self.change(|state| {
            state.open += 1;
            state.accepted += 1;
        });
    }

    pub(super) fn disconnected(&self) {
        self.change(|state| state.open -= 1);
    }

    pub(super) fn open_stream(&self, peer: SocketAddr) -> usize {
        self.change(|state| {
            state.streams.push(Stream {
                peer,
                received: 0,
                received_sha256: None,
                sent: 0,
                sent_sha256: None,
                ended: false,
            });
            state.streams.len() - 1
        })
    }

    pub(super) fn stream(&self, index: usize, change: impl FnOnce(&mut Stream)) {
        self.change(|state| {
            if let Some(stream) = state.streams.get_mut(index) {
                change(stream);
            }
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut lock(&self.state));
        self.changed.send_modify(|count| *count += 1);
        result
    }
}

fn keep_last<T>(requests: &mut VecDeque<Arc<T>>, request: T) {
    if requests.len() >= MOST_REQUESTS {
        requests.pop_front();
    }
    requests.push_back(Arc::new(request));
}

/// A test that panicked elsewhere must not hide what was recorded.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
