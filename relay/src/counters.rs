//! Counts what passes: cumulative since the relay's start, cheap enough for every read.
//!
//! - [`ListenerCounters`]: one listener's. `workloads`: the addresses seen lately.

mod workloads;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use ekiden_proto::health::v1::{CauseCount, ListenerHealth};
use tokio::time::Instant;

use self::workloads::Workloads;
use crate::{listener::CloseCause, otlp::RequestCounters};

/// Counts of one listener; they live on when its settings change.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    open: AtomicU64,
    accepted: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    closed: [AtomicU64; CloseCause::ALL.len()],
    accept_pauses: AtomicU64,
    workloads: Workloads,
    requests: Arc<RequestCounters>,
}

impl ListenerCounters {
    /// Counts bytes from workloads.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes to workloads.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// Counts of its export requests; an OTLP listener's work.
    pub fn requests(&self) -> Arc<RequestCounters> {
        Arc::clone(&self.requests)
    }

    /// Counts a connection that was let in.
    pub(crate) fn opened(&self, workload: IpAddr, now: Instant) {
        self.open.fetch_add(1, Relaxed);
        self.accepted.fetch_add(1, Relaxed);
        self.workloads.seen(workload, now);
    }

    /// Counts the end of a connection that was let in.
    pub(crate) fn closed(&self, cause: CloseCause) {
        self.open.fetch_sub(1, Relaxed);
        self.count(cause);
    }

    /// Counts a connection that was turned away.
    pub(crate) fn refused(&self, cause: CloseCause, workload: IpAddr, now: Instant) {
        self.count(cause);
        self.workloads.seen(workload, now);
    }

    /// Counts a pause of accepting because the process had no file descriptor or memory left.
    pub(crate) fn accept_paused(&self) {
        self.accept_pauses.fetch_add(1, Relaxed);
    }

    /// Notes that a workload's connection is still open.
    pub(crate) fn still_open(&self, workload: IpAddr, now: Instant) {
        self.workloads.seen(workload, now);
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// How often accepting paused because the process had no file descriptor or memory left.
    pub fn accept_pauses(&self) -> u64 {
        self.accept_pauses.load(Relaxed)
    }

    /// How often connections ended with a cause.
    pub fn count_of(&self, cause: CloseCause) -> u64 {
        self.closed.get(cause as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// Writes what health reports of the listener called `name`.
    pub(crate) fn health(&self, name: &str, port: u16, now: Instant) -> ListenerHealth {
        let causes = CloseCause::ALL.into_iter().map(|cause| (cause, self.count_of(cause)));
        let closed = causes
            .clone()
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| CauseCount { cause: cause.kind().to_owned(), count });
        ListenerHealth {
            name: name.to_owned(),
            port: u32::from(port),
            connections_open: self.open(),
            connections_accepted: self.accepted.load(Relaxed),
            connections_refused: causes
                .filter(|(cause, _)| cause.is_refusal())
                .map(|(_, count)| count)
                .sum(),
            bytes_received: self.received.load(Relaxed),
            bytes_sent: self.sent.load(Relaxed),
            requests_accepted: self.requests.accepted(),
            requests_failed: self.requests.failed(),
            closed: closed.collect(),
            workloads_seen: self.workloads.count(now),
        }
    }

    fn count(&self, cause: CloseCause) {
        if let Some(count) = self.closed.get(cause as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}
