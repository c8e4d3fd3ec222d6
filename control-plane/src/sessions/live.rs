//! Which sessions are open in this process; the newest of a relay wins.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Sessions that are open here.
#[derive(Clone, Default)]
pub struct LiveSessions {
    open: Arc<Mutex<HashMap<Uuid, (i64, CancellationToken)>>>,
    drain: CancellationToken,
}

/// One session's place among the open ones; dropping it gives the place up.
pub struct Lease {
    sessions: LiveSessions,
    relay: Uuid,
    epoch: i64,
    /// Cancelled when a newer session of the same relay took over.
    pub taken_over: CancellationToken,
}

impl LiveSessions {
    /// Enters a session; an older one of the same relay is told to end.
    pub fn enter(&self, relay: Uuid, epoch: i64) -> Lease {
        let taken_over = CancellationToken::new();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get(&relay) {
            // Two that opened at once may enter in either order; the epoch decides.
            Some((newer, _)) if *newer > epoch => taken_over.cancel(),
            _ => {
                if let Some((_, older)) = open.insert(relay, (epoch, taken_over.clone())) {
                    older.cancel();
                }
            }
        }
        Lease { sessions: self.clone(), relay, epoch, taken_over }
    }

    /// Tells the session of `relay` with this or an earlier epoch that it was fenced off elsewhere.
    pub fn fence_off(&self, relay: Uuid, epoch: i64) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, session)) = open.get(&relay)
            && *held <= epoch
        {
            session.cancel();
        }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Asks every session to move elsewhere.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Cancelled when sessions are to move elsewhere.
    pub fn draining(&self) -> &CancellationToken {
        &self.drain
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&self.relay).is_some_and(|(epoch, _)| *epoch == self.epoch) {
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
