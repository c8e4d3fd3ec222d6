//! The open connections of one listener: counted, watched for silence and age, and told when to end.
//!
//! `connection`: one of them. `stay`: how long it may stay.

mod connection;
mod stay;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ekiden_settings::Protocol;
use tokio::time::Instant;

pub(crate) use self::connection::{Connection, Told};
use self::stay::{Due, Stay};
use super::CloseCause;
use crate::counters::ListenerCounters;

/// How soon to look again at a connection whose time is over and that is not quiet; no look is sooner.
pub(crate) const SOON: Duration = Duration::from_millis(250);

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
    stay: Stay,
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

    /// Takes in a connection; `random` is uniform in `[0, 1)`.
    pub(crate) fn open(
        self: &Arc<Self>,
        peer: SocketAddr,
        protocol: Protocol,
        now: Instant,
        random: f64,
    ) -> Place {
        let connection = Arc::new(Connection::new(peer, protocol, now));
        self.counters.opened(peer.ip(), now);
        let stay = Stay::begin(now, random);
        let slot = Slot { connection: Arc::clone(&connection), bytes: 0, active: now, stay };
        let mut slots = self.slots();
        let id = slots.next;
        slots.next += 1;
        slots.open.insert(id, slot);
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

    /// How many raw connections are open.
    pub(crate) fn count_raw(&self) -> usize {
        self.slots().open.values().filter(|slot| slot.connection.protocol == Protocol::Tcp).count()
    }

    /// Tells so many raw connections to end that were not told before: those that were silent for the longest.
    pub(crate) fn end_quietest(&self, count: usize, cause: CloseCause, now: Instant) {
        let mut slots = self.slots();
        let mut raw: Vec<&mut Slot> = slots
            .open
            .values_mut()
            .filter(|slot| slot.connection.protocol == Protocol::Tcp)
            .filter(|slot| !slot.connection.was_ordered())
            .collect();
        for slot in &mut raw {
            slot.look(now);
        }
        raw.sort_by_key(|slot| slot.active);
        for slot in raw.iter().take(count) {
            slot.connection.tell(cause);
        }
    }

    /// Tells raw connections to end through which nothing came for `idle_timeout`, and asks those to go that are older
    /// than `max_age` or were picked; gives when there will be something to do, none: not for a known time.
    ///
    /// Silence is found by looking at byte counts from time to time, so that bytes in flight pay nothing for it.
    pub(crate) fn tend(
        &self,
        idle_timeout: Duration,
        max_age: Option<Duration>,
        now: Instant,
    ) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for slot in self.slots().open.values_mut() {
            let again = slot.tend(idle_timeout, max_age, now);
            next = again.map(|again| next.map_or(again, |next| next.min(again))).or(next);
        }
        next
    }

    /// The connections that may be picked to go, with the time that each was opened.
    pub(crate) fn settled(&self) -> Vec<(Instant, u64)> {
        let slots = self.slots();
        let settled = slots.open.iter().filter(|(_, slot)| slot.carries() && !slot.stay.leaves());
        settled.map(|(id, slot)| (slot.stay.opened(), *id)).collect()
    }

    /// How many are on their way out.
    pub(crate) fn count_leaving(&self) -> usize {
        self.slots().open.values().filter(|slot| slot.stay.leaves()).count()
    }

    /// Picks a connection to go then, if it is still open and its listener lets connections go at all.
    pub(crate) fn shed(&self, id: u64, at: Instant) {
        if let Some(slot) = self.slots().open.get_mut(&id) {
            slot.stay.shed(at);
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

impl Slot {
    /// Notes whether bytes came since the last look.
    fn look(&mut self, now: Instant) {
        let (received, sent) = self.connection.bytes();
        if received + sent != self.bytes || !self.carries() {
            (self.bytes, self.active) = (received + sent, now);
        }
    }

    /// Whether the connection has come through to its collector.
    fn carries(&self) -> bool {
        self.connection.protocol == Protocol::Otlp || self.connection.flowing()
    }

    fn tend(
        &mut self,
        idle_timeout: Duration,
        max_age: Option<Duration>,
        now: Instant,
    ) -> Option<Instant> {
        self.look(now);
        let connection = &self.connection;
        let silent_for = now.saturating_duration_since(self.active);
        let raw = connection.protocol == Protocol::Tcp;
        if raw && silent_for >= idle_timeout && !self.stay.was_asked() {
            connection.tell(CloseCause::IdleTimeout);
            return None;
        }
        if !self.carries() {
            return None;
        }
        match self.stay.due(connection.protocol, max_age, silent_for, now) {
            Due::Later(at) => at,
            Due::Soon => Some(now + SOON),
            Due::Ask(cause) => {
                connection.ask(cause);
                self.stay.asked(now, cause);
                None
            }
            Due::End(cause) => {
                connection.tell(cause);
                None
            }
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
        let (received_bytes, sent_bytes) = connection.bytes();
        self.of.counters.closed(self.cause);
        tracing::debug!(
            listener = self.of.name,
            network.peer.address = %connection.peer,
            cause = self.cause.kind(),
            side = self.cause.side().name(),
            received_bytes,
            sent_bytes,
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
