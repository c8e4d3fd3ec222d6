//! The way out of DNS for as long as collectors cannot be reached.
//!
//! It is of use only where others deliver: while a vendor is down for all, everybody stays. The control plane knows; where
//! it does not answer, DNS says who else is listed, and one relay stays whatever happens: a record that may fail beats a
//! name that does not exist, which workloads would remember for minutes.
use std::{net::IpAddr, time::Duration};

use ekiden_settings::RegistrationMode;
use tokio::time::Instant;

use super::{
    LOOK, Membership,
    leave::{PAUSE, UNANSWERED},
    listing::Listing,
};
use crate::session::departure::LeaveVerdict;

/// What lasts no longer is not worth leaving for.
const BLIP: Duration = Duration::from_secs(5);
/// Without a control plane a relay waits this long.
const ALONE: Duration = Duration::from_secs(30);
/// And the one with the smallest address so much longer: of relays that all cannot deliver, one stays.
const LAST_TO_LEAVE: u32 = 3;

/// How long there has been no delivery, and what was done about it.
#[derive(Debug, Default)]
pub(super) struct Undelivered {
    since: Option<Instant>,
    /// When leaving is due; with jitter, so that siblings do not decide all at once.
    due_at: Option<Instant>,
}

impl Membership {
    /// Notes that telemetry is delivered.
    pub(super) fn delivers_again(&mut self) {
        if self.undelivered.since.is_some() {
            self.undelivered = Undelivered::default();
            self.inputs.departure.withdraw();
        }
    }

    /// Leaves after a while of not delivering, where others deliver; gives how long nothing else is due.
    pub(super) async fn undelivered(
        &mut self,
        random: &mut (impl FnMut() -> f64 + Send),
    ) -> Duration {
        let now = Instant::now();
        let since = *self.undelivered.since.get_or_insert(now);
        let due_at =
            *self.undelivered.due_at.get_or_insert(since + BLIP.mul_f64(1.0 + 0.5 * random()));
        let Some(address) = self.place.address else { return LOOK };
        // What ECS registered it would not register again.
        let leaves =
            |listing: &&Listing| listing.listed() && listing.mode() == RegistrationMode::Relay;
        let (services, names): (Vec<String>, Vec<String>) = self
            .current
            .iter()
            .filter(leaves)
            .map(|listing| (listing.service_id().to_owned(), listing.dns_name().to_owned()))
            .unzip();
        if services.is_empty() {
            return LOOK;
        }
        if now < due_at {
            return due_at - now;
        }
        let departure = self.inputs.departure.clone();
        departure.ask_undelivered(services);
        let may = match departure.verdict() {
            Some(LeaveVerdict::Granted) => true,
            Some(LeaveVerdict::Wait | LeaveVerdict::Last) => false,
            Some(LeaveVerdict::OnItsOwn) => self.dns_lets_go(address, &names, since).await,
            None if now < due_at + UNANSWERED => false,
            None => self.dns_lets_go(address, &names, since).await,
        };
        if !may {
            return PAUSE;
        }
        tracing::warn!("The relay cannot deliver: it leaves its registry until it can");
        let mut wait = LOOK;
        for listing in &mut self.current {
            if listing.mode() == RegistrationMode::Relay {
                wait = wait.min(listing.quit(random).await);
            }
        }
        wait
    }

    /// Whether each name would keep an answer, and it is this relay's turn.
    async fn dns_lets_go(&self, address: IpAddr, names: &[String], since: Instant) -> bool {
        for name in names {
            let listed = self.resolver.addresses_from_dns(name).await.unwrap_or_default();
            let others = listed.into_iter().map(IpAddr::V4).filter(|other| *other != address);
            if !may_leave(address, &others.collect::<Vec<_>>(), since.elapsed()) {
                return false;
            }
        }
        true
    }
}

/// Whether a relay at `address` that has not delivered for `since` may leave the `others`.
fn may_leave(address: IpAddr, others: &[IpAddr], since: Duration) -> bool {
    let last_to_leave = others.iter().all(|other| address < *other);
    !others.is_empty() && since >= ALONE * if last_to_leave { LAST_TO_LEAVE } else { 1 }
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
        assert!(may_leave(address(2), &[address(1)], ALONE));
        assert!(!may_leave(address(1), &[address(2)], ALONE));
        assert!(may_leave(address(1), &[address(2)], ALONE * 3));
        assert!(!may_leave(address(2), &[address(1)], ALONE / 2));
    }
}
