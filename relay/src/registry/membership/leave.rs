//! The way out, for good: whether the relay may leave, and leaving.
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{Membership, listing::Listing};
use crate::{
    dns_check::{Seen, ask},
    error_chain::chain,
    session::departure::LeaveVerdict,
};

/// What failed is tried again after this, and DNS is asked this often.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How long a control plane that does not answer is waited for before DNS is asked instead.
pub(super) const UNANSWERED: Duration = Duration::from_secs(5);

/// Whether the relay may leave its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Leave,
    /// A sibling is expected and not there yet: its record has to stay, even past the end of the process.
    Stay,
}

impl Membership {
    /// Asks whether the relay may leave, until it may or `until`. While it asks it stays listed.
    ///
    /// The control plane decides. Where that does not answer, DNS does: a name that others are under keeps its answer.
    pub async fn permit(&mut self, until: Instant) -> Permit {
        let departure = self.inputs.departure.clone();
        let services: Vec<String> =
            self.listed().map(|listing| listing.service_id().to_owned()).collect();
        if services.is_empty() {
            return Permit::Leave;
        }
        departure.ask(services);
        let began = Instant::now();
        loop {
            let verdict = departure.verdict();
            if verdict == Some(LeaveVerdict::Granted) {
                return Permit::Leave;
            }
            let dns_decides = match verdict {
                Some(LeaveVerdict::OnItsOwn) => true,
                None => began.elapsed() >= UNANSWERED || Instant::now() >= until,
                Some(_) => false,
            };
            if dns_decides && self.others_answer().await {
                tracing::info!("No control plane answers; DNS knows siblings, so the relay leaves");
                return Permit::Leave;
            }
            if Instant::now() >= until {
                return match verdict {
                    Some(LeaveVerdict::Last | LeaveVerdict::OnItsOwn) => {
                        tracing::warn!(
                            "The last relay of its service leaves: its names have no address from now on"
                        );
                        Permit::Leave
                    }
                    Some(LeaveVerdict::Granted) => Permit::Leave,
                    Some(LeaveVerdict::Wait) | None => {
                        tracing::warn!(
                            "No sibling is listed yet: the last record stays, for the sibling that is expected to take out"
                        );
                        Permit::Stay
                    }
                };
            }
            let next = (Instant::now() + PAUSE).min(until);
            timeout_at(next, departure.answered()).await.ok();
        }
    }

    /// Leaves every service, however often it takes, and comes back when DNS no longer answers with this relay.
    pub async fn leave(&mut self) {
        loop {
            let mut left_all = true;
            for listing in self.current.iter_mut().chain(&mut self.former) {
                let Some(instance) = listing.instance().map(str::to_owned) else { continue };
                match listing.registry.deregister(&instance).await {
                    Ok(()) => {
                        tracing::info!(service.id = %listing.service_id(), "The relay has left its registry");
                        listing.left();
                    }
                    Err(error) => {
                        let message = chain(&error);
                        tracing::warn!(service.id = %listing.service_id(), error = %message, "The relay could not leave its registry yet");
                        listing.trouble(message);
                        left_all = false;
                    }
                }
            }
            self.tell();
            if left_all {
                break;
            }
            sleep(PAUSE).await;
        }
        let Some(address) = self.place.address else { return };
        for listing in self.current.iter().chain(&self.former) {
            while ask(&self.resolver, listing.dns_name(), address).await != Seen::Absent {
                sleep(PAUSE).await;
            }
            tracing::info!(dns.name = listing.dns_name(), "DNS no longer answers with this relay");
        }
    }

    /// Whether every name that this relay is under has other addresses as well.
    async fn others_answer(&self) -> bool {
        for listing in self.listed() {
            let answer = self.resolver.addresses_from_dns(listing.dns_name()).await;
            let own = self.place.address;
            let others =
                answer.unwrap_or_default().into_iter().any(|other| own != Some(other.into()));
            if !others {
                return false;
            }
        }
        true
    }

    fn listed(&self) -> impl Iterator<Item = &Listing> {
        self.current.iter().chain(&self.former).filter(|listing| listing.listed())
    }
}
