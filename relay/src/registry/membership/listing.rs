//! One service in which the relay is listed, and when it may leave.
use std::{net::IpAddr, time::Duration};

use ekiden_settings::CloudMap;
use tokio::time::Instant;

use super::{Registry, UNDELIVERED};
use crate::dns_check::Seen;

/// A registration that DNS does not show after this is made again; twice what DNS takes (Route 53 Developer Guide).
const UNSEEN: Duration = Duration::from_secs(120);
/// The relay with the smallest address waits so much longer: of relays that all cannot deliver, one stays.
const LAST_TO_LEAVE: u32 = 3;

/// One service, and how the registration there fares.
pub(super) struct Listing {
    pub(super) at: CloudMap,
    pub(super) registry: Box<dyn Registry>,
    pub(super) instance: String,
    pub(super) registered_at: Option<Instant>,
    pub(super) verify_at: Instant,
    pub(super) seen: bool,
    pub(super) missed: u32,
}

impl Listing {
    /// Whether the registration has to be made, or made again.
    pub(super) fn lost(&self) -> bool {
        match self.registered_at {
            None => true,
            Some(at) => self.missed > 1 || (!self.seen && at.elapsed() > UNSEEN),
        }
    }

    pub(super) fn saw(&mut self, seen: &Seen, address: IpAddr) {
        match seen {
            Seen::Held => {
                if !self.seen {
                    tracing::info!(dns.name = %self.at.dns_name, address = %address, "DNS answers with this relay");
                }
                (self.seen, self.missed) = (true, 0);
            }
            // One answer may come from a server that lags: the second counts.
            Seen::Absent if self.seen => {
                self.missed += 1;
                if self.missed > 1 {
                    tracing::warn!(dns.name = %self.at.dns_name, "DNS lost this relay: registering again");
                    self.seen = false;
                }
            }
            Seen::Absent | Seen::Unknown(_) => {}
        }
    }
}

/// Whether a relay at `address` that has not delivered for `since` may leave the `others`.
pub(super) fn may_leave(address: IpAddr, others: &[IpAddr], since: Duration) -> bool {
    let last_to_leave = others.iter().all(|other| address < *other);
    !others.is_empty() && since >= UNDELIVERED * if last_to_leave { LAST_TO_LEAVE } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn the_last_relay_stays_however_long_it_does_not_deliver() {
        assert!(!may_leave(address(1), &[], Duration::from_secs(86_400)));
    }

    #[test]
    fn of_relays_that_all_do_not_deliver_the_smallest_address_stays_longest() {
        assert!(may_leave(address(2), &[address(1)], UNDELIVERED));
        assert!(!may_leave(address(1), &[address(2)], UNDELIVERED));
        assert!(may_leave(address(1), &[address(2)], UNDELIVERED * 3));
        assert!(!may_leave(address(2), &[address(1)], UNDELIVERED / 2));
    }
}
