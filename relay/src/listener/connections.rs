//! The open connections of one listener: counted, watched for silence, and told when to end.

use std::{
    collections::HashMap,
    future::poll_fn,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use ekiden_settings::Protocol;
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::CloseCause;
use crate::counters::ListenerCounters;

/// The open connections of the listener called `name`; they outlive changes of its settings.
#[derive(Debug)]
pub(crate) struct Connections {
    name: String,
    counters: Arc<ListenerCounters>,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    open: HashMap<u64, Slot>,
    next: u64,
}

/// A connection, and what the last look at it saw.
#[derive(Debug)]
struct Slot {
    connection: Arc<Connection>,
    bytes: u64,
    active: Instant,
}

/// One workload's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    peer: SocketAddr,
    protocol: Protocol,
    opened: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    /// Whether bytes can flow; before, the collector is being dialled.
    flowing: AtomicBool,
    /// A cause's number and one, once the connection was told to end.
    told: AtomicU8,
    waker: AtomicWaker,
}

/// A connection's place among the open ones; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<Connections>,
    connection: Arc<Connection>,
    id: u64,
    cause: CloseCause,
}

impl Connections {
    pub(crate) fn new(name: &str, counters: Arc<ListenerCounters>) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), counters, slots: Mutex::default() })
    }

    pub(crate) fn counters(&self) -> &Arc<ListenerCounters> {
        &self.counters
    }

    /// Whether none is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots().open.is_empty()
    }

    /// Takes in a connection.
    pub(crate) fn open(
        self: &Arc<Self>,
        peer: SocketAddr,
        protocol: Protocol,
        now: Instant,
    ) -> Place {
        let connection = Arc::new(Connection {
            peer,
            protocol,
            opened: now,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            flowing: AtomicBool::new(false),
            told: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        });
        self.counters.opened(peer.ip(), now);
        let mut slots = self.slots();
        let id = slots.next;
        slots.next += 1;
        slots.open.insert(id, Slot { connection: Arc::clone(&connection), bytes: 0, active: now });
        drop(slots);
        Place { of: Arc::clone(self), connection, id, cause: CloseCause::Internal }
    }

    /// Tells the connections of a protocol to end; all without one.
    pub(crate) fn end(&self, protocol: Option<Protocol>, cause: CloseCause) {
        for slot in self.slots().open.values() {
            if protocol.is_none_or(|protocol| protocol == slot.connection.protocol) {
                slot.connection.tell(cause);
            }
        }
    }

    /// Tells raw connections to end through which nothing came for `timeout`.
    ///
    /// Silence is found by looking at byte counts from time to time, so that bytes in flight pay nothing for it.
    pub(crate) fn end_idle(&self, timeout: Duration, now: Instant) {
        for slot in self.slots().open.values_mut() {
            let connection = &slot.connection;
            let bytes = connection.received.load(Relaxed) + connection.sent.load(Relaxed);
            if bytes != slot.bytes || !connection.flowing.load(Relaxed) {
                (slot.bytes, slot.active) = (bytes, now);
            } else if connection.protocol == Protocol::Tcp
                && now.saturating_duration_since(slot.active) >= timeout
            {
                connection.tell(CloseCause::IdleTimeout);
            }
        }
    }

    /// Notes which workloads are there, however long ago they came.
    pub(crate) fn note_workloads(&self, now: Instant) {
        for slot in self.slots().open.values() {
            self.counters.still_open(slot.connection.peer.ip(), now);
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Counts bytes from the workload.
    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes to the workload.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// Notes that the collector is there: from now on silence counts.
    pub(crate) fn flows(&self) {
        self.flowing.store(true, Relaxed);
    }

    /// Ready once the connection was told to end.
    pub(crate) fn poll_told(&self, context: &mut Context<'_>) -> Poll<CloseCause> {
        self.waker.register(context.waker());
        match self
            .told
            .load(Relaxed)
            .checked_sub(1)
            .and_then(|number| CloseCause::ALL.get(usize::from(number)))
        {
            Some(cause) => Poll::Ready(*cause),
            None => Poll::Pending,
        }
    }

    /// Waits until the connection was told to end.
    pub(crate) async fn told(&self) -> CloseCause {
        poll_fn(|context| self.poll_told(context)).await
    }

    /// Tells the connection to end; the first cause stays.
    fn tell(&self, cause: CloseCause) {
        if self.told.compare_exchange(0, cause as u8 + 1, Relaxed, Relaxed).is_ok() {
            self.waker.wake();
        }
    }
}

impl Place {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn counters(&self) -> &Arc<ListenerCounters> {
        &self.of.counters
    }

    /// Gives the place back and says why.
    pub(crate) fn close(mut self, cause: CloseCause) {
        self.cause = cause;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let connection = &self.connection;
        self.of.counters.closed(self.cause);
        tracing::debug!(
            listener = self.of.name,
            network.peer.address = %connection.peer,
            cause = self.cause.kind(),
            side = self.cause.side().name(),
            received_bytes = connection.received.load(Relaxed),
            sent_bytes = connection.sent.load(Relaxed),
            duration_ms = connection.opened.elapsed().as_millis() as u64,
            "a connection ended"
        );
        let mut slots = self.of.slots();
        slots.open.remove(&self.id);
        if slots.open.is_empty() {
            // A burst should not be paid for until the next one.
            slots.open.shrink_to(1024);
        }
    }
}
