//! Which sessions are open in this process; the newest of a relay wins.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Sessions that are open here.
#[derive(Clone, Default)]
pub struct LiveSessions {
    open: Arc<Mutex<HashMap<Uuid, Open>>>,
    drain: CancellationToken,
}

struct Open {
    epoch: i64,
    taken_over: CancellationToken,
    revoked: CancellationToken,
}

/// One session's place among the open ones; dropping it gives the place up.
pub struct Lease {
    sessions: LiveSessions,
    relay: Uuid,
    epoch: i64,
    /// Cancelled when a newer session of the same relay took over.
    pub taken_over: CancellationToken,
    /// Cancelled when the relay was revoked.
    pub revoked: CancellationToken,
}

impl LiveSessions {
    /// Enters a session; an older one of the same relay is told to end.
    pub fn enter(&self, relay: Uuid, epoch: i64) -> Lease {
        let (taken_over, revoked) = (CancellationToken::new(), CancellationToken::new());
        let mut open = self.lock();
        match open.get(&relay) {
            // Two that opened at once may enter in either order; the epoch decides.
            Some(newer) if newer.epoch > epoch => taken_over.cancel(),
            _ => {
                let entered =
                    Open { epoch, taken_over: taken_over.clone(), revoked: revoked.clone() };
                if let Some(older) = open.insert(relay, entered) {
                    older.taken_over.cancel();
                }
            }
        }
        Lease { sessions: self.clone(), relay, epoch, taken_over, revoked }
    }

    /// Tells the session of `relay` with this or an earlier epoch that it was fenced off elsewhere.
    pub fn fence_off(&self, relay: Uuid, epoch: i64) {
        if let Some(open) = self.lock().get(&relay)
            && open.epoch <= epoch
        {
            open.taken_over.cancel();
        }
    }

    /// Tells the session of `relay`, where there is one, that the relay was revoked.
    pub fn revoke(&self, relay: Uuid) {
        if let Some(open) = self.lock().get(&relay) {
            open.revoked.cancel();
        }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Asks every session to move elsewhere.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Cancelled when sessions are to move elsewhere.
    pub fn draining(&self) -> &CancellationToken {
        &self.drain
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut open = self.sessions.lock();
        if open.get(&self.relay).is_some_and(|open| open.epoch == self.epoch) {
            open.remove(&self.relay);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_session_of_a_relay_ends_the_older_in_whatever_order_they_enter() {
        let (live, relay) = (LiveSessions::default(), Uuid::now_v7());
        let first = live.enter(relay, 1);
        let third = live.enter(relay, 3);
        let second = live.enter(relay, 2);
        assert!(first.taken_over.is_cancelled() && second.taken_over.is_cancelled());
        assert!(!third.taken_over.is_cancelled());
        drop((first, second));
        assert_eq!(live.count(), 1);
        live.fence_off(relay, 3);
        assert!(third.taken_over.is_cancelled());
        drop(third);
        assert_eq!(live.count(), 0);
    }
}
