//! Keeps the relay's registration as it should be: compares, repairs, and is woken by change and by a timer.
//!
//! A relay is listed when its settings run, its listeners accept and its collectors answered. One that can no longer
//! deliver leaves after a while, unless it is the last: then a record that may fail beats a name that does not exist,
//! which workloads would remember for minutes.
mod listing;

use std::{net::IpAddr, sync::Arc, time::Duration};

use ekiden_settings::{CheckedSettings, CloudMap};
use prost_types::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use listing::{Listing, may_leave};

use super::{Record, Registry};
use crate::{
    clock::Clock,
    dns_check::{Seen, ask},
    error_chain::chain,
    identity::Identity,
    resolver::Resolver,
    session::{backoff::Retries, standing::Running},
};

/// DNS is asked this often until it holds the relay, give or take jitter.
const UNTIL_SEEN: Duration = Duration::from_secs(1);
/// And this often from then on.
const ONCE_SEEN: Duration = Duration::from_secs(60);
/// A relay that cannot deliver leaves after this.
const UNDELIVERED: Duration = Duration::from_secs(30);
/// Everything is looked at at least this often.
const LOOK: Duration = Duration::from_secs(15);

/// The registration as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// Whether the fleet wants its relays listed.
    pub wanted: bool,
    /// Whether the registry confirmed it.
    pub registered: bool,
    /// Whether DNS answers with this relay.
    pub in_dns: bool,
    /// Address that is or would be listed.
    pub address: Option<IpAddr>,
    /// What went wrong last; empty: nothing.
    pub message: String,
    /// When DNS was asked last.
    pub verified_at: Option<Timestamp>,
}

/// What a membership looks at; each change wakes it.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The settings that run.
    pub settings: watch::Receiver<Option<Arc<CheckedSettings>>>,
    /// Who this relay is.
    pub identity: watch::Receiver<Option<Arc<Identity>>>,
    /// Whether workloads' telemetry would reach its collectors.
    pub delivers: watch::Receiver<bool>,
    /// What runs.
    pub running: watch::Receiver<Running>,
}

/// As what this relay is listed.
#[derive(Clone, Debug)]
pub struct Place {
    /// Address that workloads reach; none: not known, so nothing can be listed.
    pub address: Option<IpAddr>,
    /// Name of the availability zone.
    pub zone: Option<String>,
    /// Id of the ECS task; none: outside ECS.
    pub task: Option<String>,
}

/// Opens the registry that settings name.
pub type Registries = Box<dyn Fn(&CloudMap) -> Box<dyn Registry> + Send + Sync>;

/// Keeps the registration.
pub struct Membership {
    inputs: Inputs,
    place: Place,
    registries: Registries,
    resolver: Resolver,
    clock: Clock,
    state: watch::Sender<Registration>,
    /// Where the relay is listed, or was asked to be.
    current: Option<Listing>,
    /// Where it was, and has to leave.
    former: Option<Listing>,
    undelivered_since: Option<Instant>,
    retries: Retries,
    retry_at: Option<Instant>,
}

impl Membership {
    /// A membership that has not begun.
    pub fn new(
        inputs: Inputs,
        place: Place,
        registries: Registries,
        resolver: Resolver,
        clock: Clock,
        state: watch::Sender<Registration>,
    ) -> Self {
        state.send_modify(|state| state.address = place.address);
        Self {
            inputs,
            place,
            registries,
            resolver,
            clock,
            state,
            current: None,
            former: None,
            undelivered_since: None,
            retries: Retries::default(),
            retry_at: None,
        }
    }

    /// Keeps the registration for as long as the future lives; dropping it loses nothing that [`Membership::leave`]
    /// needs. `random` gives uniform numbers in `[0, 1)`.
    pub async fn run(&mut self, mut random: impl FnMut() -> f64 + Send) {
        loop {
            let wait = self.look(&mut random).await;
            let inputs = &mut self.inputs;
            tokio::select! {
                Ok(()) = inputs.settings.changed() => {}
                Ok(()) = inputs.identity.changed() => {}
                Ok(()) = inputs.delivers.changed() => {}
                () = sleep(wait.min(LOOK)) => {}
            }
        }
    }

    /// The TTL of the record that workloads may hold; none where there never was one.
    pub fn ttl(&self) -> Option<Duration> {
        [&self.current, &self.former].into_iter().flatten().map(|listing| listing.at.ttl).max()
    }

    /// Leaves every list, however often it takes, and comes back when DNS no longer answers with this relay.
    pub async fn leave(&mut self) {
        while let Some(listing) = self.former.as_ref().or(self.current.as_ref()) {
            if let Err(error) = listing.registry.deregister(&listing.instance).await {
                let message = chain(&error);
                tracing::warn!(error = %message, "The relay could not leave its registry yet");
                self.state.send_modify(|state| state.message = message);
                sleep(UNTIL_SEEN).await;
                continue;
            }
            tracing::info!(service.id = %listing.at.service_id, "The relay has left its registry");
            self.state.send_modify(|state| state.registered = false);
            self.until_gone(&listing.at.dns_name).await;
            if self.former.take().is_none() {
                self.current = None;
            }
        }
        self.state.send_modify(|state| state.in_dns = false);
    }

    async fn until_gone(&self, name: &str) {
        let Some(address) = self.place.address else { return };
        while ask(&self.resolver, name, address).await != Seen::Absent {
            sleep(UNTIL_SEEN).await;
        }
        tracing::info!(dns.name = name, "DNS no longer answers with this relay");
    }

    /// Compares and does the next step; gives how long nothing else is due.
    async fn look(&mut self, random: &mut (impl FnMut() -> f64 + Send)) -> Duration {
        let wanted = self
            .inputs
            .settings
            .borrow_and_update()
            .as_ref()
            .and_then(|settings| settings.discovery.clone());
        let identity = self.inputs.identity.borrow_and_update().clone();
        let delivers = *self.inputs.delivers.borrow_and_update();
        self.undelivered_since =
            if delivers { None } else { self.undelivered_since.or(Some(Instant::now())) };
        self.change(|state| state.wanted = wanted.is_some());

        if let Some(moved) = self.current.take_if(|current| wanted.as_ref() != Some(&current.at)) {
            // Two moves in a row: what was not left yet must not be forgotten.
            if let Some(forgotten) = self.former.replace(moved) {
                forgotten.registry.deregister(&forgotten.instance).await.ok();
            }
        }
        if let Some(left) = self.retry_at.and_then(|at| at.checked_duration_since(Instant::now())) {
            return left;
        }
        let settled = wanted.is_none() || self.current.as_ref().is_some_and(|current| current.seen);
        if self.former.is_some() && settled {
            return self.leave_former(random).await;
        }
        let Some(wanted) = wanted else { return LOOK };
        if !delivers {
            return self.undelivered(random).await;
        }
        match &self.current {
            Some(current) if !current.lost() => self.verify(random).await,
            _ => self.join(wanted, identity.as_deref(), random).await,
        }
    }

    /// Registers, or registers again.
    async fn join(
        &mut self,
        at: CloudMap,
        identity: Option<&Identity>,
        random: &mut (impl FnMut() -> f64 + Send),
    ) -> Duration {
        let record = match self.record(identity) {
            Ok(record) => record,
            Err(missing) => {
                self.change(|state| missing.clone_into(&mut state.message));
                return LOOK;
            }
        };
        // Before the call: if this future is dropped in the middle of it, the relay may be listed nevertheless.
        let current = self.current.get_or_insert_with(|| Listing {
            registry: (self.registries)(&at),
            at,
            instance: record.instance.clone(),
            registered_at: None,
            verify_at: Instant::now(),
            seen: false,
            missed: 0,
        });
        match current.registry.register(&record).await {
            Ok(()) => {
                tracing::info!(
                    service.id = %current.at.service_id, address = %record.address, relay.id = %record.relay,
                    "The relay is registered"
                );
                current.registered_at = Some(Instant::now());
                current.verify_at = Instant::now();
                current.missed = 0;
                self.done();
                self.change(|state| {
                    state.registered = true;
                    state.message.clear();
                });
                Duration::ZERO
            }
            Err(error) => self.failed("The relay could not register yet", &chain(&error), random),
        }
    }

    fn record(&self, identity: Option<&Identity>) -> Result<Record, &'static str> {
        let relay = identity.map(|identity| identity.relay.relay.clone());
        let settings = self.inputs.settings.borrow().clone();
        let first = settings.as_ref().and_then(|settings| settings.listeners.first());
        Ok(Record {
            instance: self
                .place
                .task
                .clone()
                .or_else(|| relay.clone())
                .ok_or("the relay has no name yet")?,
            address: self
                .place
                .address
                .ok_or("the relay does not know its address: set EKIDEN_ADVERTISE_ADDRESS")?,
            port: first.ok_or("the fleet has no listener")?.port,
            zone: self.place.zone.clone(),
            relay: relay.unwrap_or_default(),
            revision: self.inputs.running.borrow().revision,
        })
    }

    /// Asks DNS, as workloads do, when it is time.
    async fn verify(&mut self, random: &mut (impl FnMut() -> f64 + Send)) -> Duration {
        let (Some(current), Some(address)) = (&mut self.current, self.place.address) else {
            return LOOK;
        };
        if let Some(left) = current.verify_at.checked_duration_since(Instant::now()) {
            return left;
        }
        let seen = ask(&self.resolver, &current.at.dns_name, address).await;
        current.saw(&seen, address);
        let every = if current.seen && current.missed == 0 { ONCE_SEEN } else { UNTIL_SEEN };
        let mut wait = every.mul_f64(0.75 + 0.5 * random());
        current.verify_at = Instant::now() + wait;
        if current.seen && self.former.is_some() {
            wait = Duration::ZERO;
        }
        let in_dns = current.seen;
        let verified_at = self.clock.timestamp();
        self.change(|state| {
            state.in_dns = in_dns;
            state.verified_at = Some(verified_at);
            state.message = match seen {
                Seen::Unknown(why) => format!("DNS did not answer: {why}"),
                Seen::Held | Seen::Absent => String::new(),
            };
        });
        wait
    }

    /// Leaves after a while of not delivering, unless that would leave no one.
    async fn undelivered(&mut self, random: &mut (impl FnMut() -> f64 + Send)) -> Duration {
        let since = self.undelivered_since.map_or(Duration::ZERO, |since| since.elapsed());
        let (Some(current), Some(address)) = (&self.current, self.place.address) else {
            return LOOK;
        };
        if since < UNDELIVERED {
            return (UNDELIVERED - since).mul_f64(1.0 + 0.5 * random());
        }
        let listed =
            self.resolver.addresses_from_dns(&current.at.dns_name).await.unwrap_or_default();
        let others: Vec<IpAddr> =
            listed.into_iter().map(IpAddr::V4).filter(|other| *other != address).collect();
        if !may_leave(address, &others, since) {
            return LOOK;
        }
        tracing::warn!("The relay cannot deliver: it leaves its registry until it can");
        self.former = self.current.take();
        self.leave_former(random).await
    }

    async fn leave_former(&mut self, random: &mut (impl FnMut() -> f64 + Send)) -> Duration {
        let Some(former) = &self.former else { return LOOK };
        match former.registry.deregister(&former.instance).await {
            Ok(()) => {
                tracing::info!(service.id = %former.at.service_id, "The relay has left a registry");
                self.former = None;
                self.done();
                let (registered, in_dns) =
                    self.current.as_ref().map_or((false, false), |current| {
                        (current.registered_at.is_some(), current.seen)
                    });
                self.change(|state| {
                    state.registered = registered;
                    state.in_dns = in_dns;
                });
                Duration::ZERO
            }
            Err(error) => {
                self.failed("The relay could not leave a registry yet", &chain(&error), random)
            }
        }
    }

    fn done(&mut self) {
        self.retries = Retries::default();
        self.retry_at = None;
    }

    fn failed(&mut self, what: &str, error: &str, random: &mut impl FnMut() -> f64) -> Duration {
        let wait = self.retries.failed(None, random());
        tracing::warn!(error, retry_in_ms = wait.as_millis() as u64, "{what}");
        self.retry_at = Some(Instant::now() + wait);
        self.change(|state| error.clone_into(&mut state.message));
        wait
    }

    /// Changes what others see, and wakes them only if it did change.
    fn change(&self, change: impl FnOnce(&mut Registration)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
