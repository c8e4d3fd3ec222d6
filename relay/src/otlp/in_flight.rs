//! Bounds the bytes of export requests that a relay holds while collectors have not answered.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The bytes held over all listeners, and how many may be.
#[derive(Debug)]
pub struct InFlight {
    held: AtomicU64,
    limit: AtomicU64,
}

/// No more bytes may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// The limit in bytes.
    pub(super) limit: u64,
}

impl InFlight {
    /// Starts with nothing held.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { held: AtomicU64::new(0), limit: AtomicU64::new(limit) })
    }

    /// Sets another limit, in bytes; what is held stays held.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    /// Says how many bytes are held.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Begins one request's holding.
    pub(super) fn begin(self: &Arc<Self>) -> Held {
        Held { of: Arc::clone(self), bytes: 0 }
    }
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    of: Arc<InFlight>,
    bytes: u64,
}

impl Held {
    /// Holds that many bytes more, or none.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let bytes = bytes as u64;
        let limit = self.of.limit.load(Relaxed);
        let before = self.of.held.fetch_add(bytes, Relaxed);
        if before.saturating_add(bytes) > limit {
            self.of.held.fetch_sub(bytes, Relaxed);
            return Err(Full { limit });
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.held.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_over_all_requests_and_is_given_back() {
        let in_flight = InFlight::new(100);
        let mut first = in_flight.begin();
        let mut second = in_flight.begin();
        first.grow(60).unwrap();
        assert_eq!(second.grow(41), Err(Full { limit: 100 }));
        second.grow(40).unwrap();
        assert_eq!(in_flight.held(), 100);
        drop(first);
        assert_eq!(in_flight.held(), 40);
        second.grow(60).unwrap();
        in_flight.set_limit(50);
        assert_eq!(second.grow(1), Err(Full { limit: 50 }));
        drop(second);
        assert_eq!(in_flight.held(), 0);
    }
}
