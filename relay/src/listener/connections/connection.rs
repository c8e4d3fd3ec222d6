//! One workload's connection, and what it was told.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    task::{Context, Poll},
};

use ekiden_settings::Protocol;
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::listener::CloseCause;

/// Set where the connection was asked, not ordered.
const ASKED: u8 = 0x80;

/// One workload's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) opened: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    /// Whether bytes can flow; before, the collector is being dialled.
    flowing: AtomicBool,
    /// A cause's number and one, with [`ASKED`] or without, once the connection was told something.
    told: AtomicU8,
    waker: AtomicWaker,
}

/// What a connection was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) cause: CloseCause,
    /// Whether it should end in good order, in its own time.
    pub(crate) politely: bool,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, protocol: Protocol, opened: Instant) -> Self {
        Self {
            peer,
            protocol,
            opened,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            flowing: AtomicBool::new(false),
            told: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// Counts bytes from the workload.
    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes to the workload.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// Bytes from the workload, and to it.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.received.load(Relaxed), self.sent.load(Relaxed))
    }

    /// Notes that the collector is there: from now on silence counts.
    pub(crate) fn flows(&self) {
        self.flowing.store(true, Relaxed);
    }

    pub(super) fn flowing(&self) -> bool {
        self.flowing.load(Relaxed)
    }

    /// Ready once the connection was told something.
    pub(crate) fn poll_told(&self, context: &mut Context<'_>) -> Poll<Told> {
        self.waker.register(context.waker());
        let told = self.told.load(Relaxed);
        let number = (told & !ASKED).checked_sub(1).map(usize::from);
        match number.and_then(|number| CloseCause::ALL.get(number)) {
            Some(cause) => Poll::Ready(Told { cause: *cause, politely: told & ASKED != 0 }),
            None => Poll::Pending,
        }
    }

    /// Waits until the connection was told something.
    pub(crate) async fn told(&self) -> Told {
        poll_fn(|context| self.poll_told(context)).await
    }

    /// Waits until the connection was told to end at once.
    pub(crate) async fn ordered(&self) -> CloseCause {
        let ordered = poll_fn(|context| match self.poll_told(context) {
            Poll::Ready(Told { cause, politely: false }) => Poll::Ready(cause),
            Poll::Ready(_) | Poll::Pending => Poll::Pending,
        });
        ordered.await
    }

    /// Asks the connection to end in good order.
    pub(super) fn ask(&self, cause: CloseCause) {
        self.say(|told| (told == 0).then_some((cause as u8 + 1) | ASKED));
    }

    /// Tells the connection to end at once; the first cause stays.
    pub(super) fn tell(&self, cause: CloseCause) {
        self.say(|told| (told == 0 || told & ASKED != 0).then_some(cause as u8 + 1));
    }

    /// Whether it was told to end at once.
    pub(super) fn was_ordered(&self) -> bool {
        let told = self.told.load(Relaxed);
        told != 0 && told & ASKED == 0
    }

    fn say(&self, next: impl Fn(u8) -> Option<u8>) {
        if self.told.fetch_update(Relaxed, Relaxed, next).is_ok() {
            self.waker.wake();
        }
    }
}
