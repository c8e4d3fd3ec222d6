//! Which sessions are open in this process; the newest of a relay wins.
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ekiden_proto::relay::v1::{Reap, Shed};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::names::FleetName;

/// Orders that wait for a session; they are given again.
const ORDERS: usize = 4;

/// What a relay is asked to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// To leave in good order.
    Drain,
    /// To take out the records of siblings that are gone.
    Reap(Reap),
    /// To let connections go.
    Shed(Shed),
}

/// Sessions that are open here.
#[derive(Clone, Default)]
pub struct LiveSessions {
    open: Arc<Mutex<HashMap<Uuid, Open>>>,
    drain: CancellationToken,
}

struct Open {
    fleet: FleetName,
    epoch: i64,
    orders: mpsc::Sender<Order>,
    cells: watch::Sender<Option<Vec<String>>>,
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
    /// What the relay is asked to do.
    pub orders: mpsc::Receiver<Order>,
    /// Services of the cells that the relay is to be in; none: not known yet.
    pub cells: watch::Receiver<Option<Vec<String>>>,
}

impl LiveSessions {
    /// Enters a session; an older one of the same relay is told to end.
    pub fn enter(&self, fleet: &FleetName, relay: Uuid, epoch: i64) -> Lease {
        let (taken_over, revoked) = (CancellationToken::new(), CancellationToken::new());
        let (given, orders) = mpsc::channel(ORDERS);
        let (placed, cells) = watch::channel(None);
        let mut open = self.lock();
        match open.get(&relay) {
            // Two that opened at once may enter in either order; the epoch decides.
            Some(newer) if newer.epoch > epoch => taken_over.cancel(),
            _ => {
                let entered = Open {
                    fleet: fleet.clone(),
                    epoch,
                    orders: given,
                    cells: placed,
                    taken_over: taken_over.clone(),
                    revoked: revoked.clone(),
                };
                if let Some(older) = open.insert(relay, entered) {
                    older.taken_over.cancel();
                }
            }
        }
        Lease { sessions: self.clone(), relay, epoch, taken_over, revoked, orders, cells }
    }

    /// Whether `relay` has a session here.
    pub fn has(&self, relay: Uuid) -> bool {
        self.lock().contains_key(&relay)
    }

    /// The fleets of the sessions here.
    pub fn fleets(&self) -> HashSet<FleetName> {
        self.lock().values().map(|open| open.fleet.clone()).collect()
    }

    /// Gives the session of `relay` an order, where there is one and it has not too many to carry out.
    pub fn order(&self, relay: Uuid, order: Order) {
        if let Some(open) = self.lock().get(&relay) {
            open.orders.try_send(order).ok();
        }
    }

    /// Tells the relays of a fleet that have sessions here in which cells to be.
    pub fn place(&self, fleet: &FleetName, cells: impl Fn(Uuid) -> Vec<String>) {
        for (relay, open) in self.lock().iter().filter(|(_, open)| open.fleet == *fleet) {
            let placed = Some(cells(*relay));
            open.cells.send_if_modified(|before| {
                let news = *before != placed;
                *before = placed;
                news
            });
        }
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
        let fleet = FleetName { tenant: "acme".to_owned(), fleet: "tokyo".to_owned() };
        let first = live.enter(&fleet, relay, 1);
        let third = live.enter(&fleet, relay, 3);
        let second = live.enter(&fleet, relay, 2);
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
