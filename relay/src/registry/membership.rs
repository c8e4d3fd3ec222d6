//! Keeps the relay's registrations as they should be: compares, repairs, and is woken by change and by a timer.
//!
//! A relay is listed when its settings run, its listeners accept and its collectors answered: in the fleet's own service,
//! and in the cells that the control plane places it in.
//!
//! - `leave`: the way out, for good. `undelivered`: the way out for as long as collectors cannot be reached.
//! - `listing`: one service, and how the registration there fares.
//! - `registration`: what others see of it.

mod leave;
mod listing;
mod registration;
mod undelivered;

use std::{net::IpAddr, sync::Arc, time::Duration};

use ekiden_settings::{CheckedSettings, CloudMap, Service};
use tokio::{sync::watch, time::sleep};

pub use leave::Permit;
pub use registration::{Registration, ServiceState};

use listing::Listing;
use undelivered::Undelivered;

use super::{Record, Registry};
use crate::{
    clock::Clock,
    identity::Identity,
    resolver::Resolver,
    session::{departure::Departure, orders::Assignment, standing::Running},
};

/// Everything is looked at at least this often.
const LOOK: Duration = Duration::from_secs(15);

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
    /// Where the control plane wants it.
    pub assignment: watch::Receiver<Assignment>,
    /// Whether it may leave.
    pub departure: Departure,
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

/// Opens the registry that settings name, for one of their services.
pub type Registries = Box<dyn Fn(&CloudMap, &Service) -> Arc<dyn Registry> + Send + Sync>;

/// Keeps the registrations.
pub struct Membership {
    inputs: Inputs,
    place: Place,
    registries: Registries,
    resolver: Resolver,
    clock: Clock,
    state: watch::Sender<Registration>,
    /// Where the relay is to be; the fleet's own service first.
    current: Vec<Listing>,
    /// Where it was, and has to leave.
    former: Vec<Listing>,
    undelivered: Undelivered,
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
        let (current, former) = (Vec::new(), Vec::new());
        Self {
            inputs,
            place,
            registries,
            resolver,
            clock,
            state,
            current,
            former,
            undelivered: Undelivered::default(),
        }
    }

    /// Keeps the registrations for as long as the future lives; dropping it loses nothing that [`Membership::leave`]
    /// needs. `random` gives uniform numbers in `[0, 1)`.
    pub async fn run(&mut self, mut random: impl FnMut() -> f64 + Send) {
        loop {
            let wait = self.look(&mut random).await;
            self.tell();
            let inputs = &mut self.inputs;
            tokio::select! {
                Ok(()) = inputs.settings.changed() => {}
                Ok(()) = inputs.identity.changed() => {}
                Ok(()) = inputs.delivers.changed() => {}
                Ok(()) = inputs.running.changed() => {}
                Ok(()) = inputs.assignment.changed() => {}
                () = sleep(wait.min(LOOK)) => {}
            }
        }
    }

    /// The TTL of the records that workloads may hold; none where there never was one.
    pub fn ttl(&self) -> Option<Duration> {
        self.listings().map(Listing::ttl).max()
    }

    /// Compares and does what is due; gives how long nothing else is.
    async fn look(&mut self, random: &mut (impl FnMut() -> f64 + Send)) -> Duration {
        let settings = self.inputs.settings.borrow_and_update().clone();
        let identity = self.inputs.identity.borrow_and_update().clone();
        let assignment = self.inputs.assignment.borrow_and_update().clone();
        self.inputs.running.mark_unchanged();
        let delivers = *self.inputs.delivers.borrow_and_update();
        let wanted = settings.as_ref().and_then(|settings| settings.discovery.as_ref());
        self.arrange(wanted, &assignment.cells);
        self.tell();

        let record = settings.as_deref().and_then(|settings| {
            let record = self.record(settings, identity.as_deref(), assignment.epoch);
            record.map_err(|missing| self.missing(missing)).ok()
        });
        let mut wait = LOOK;
        if !delivers {
            wait = wait.min(self.undelivered(random).await);
        } else {
            self.delivers_again();
        }
        if delivers && let Some(record) = record {
            for at in 0..self.current.len() {
                let step = self.current[at].settle(&record, &self.resolver, &self.clock, random);
                wait = wait.min(step.await);
                self.tell();
            }
        }
        // What is new is joined, and seen, before what was is left.
        if self.current.iter().all(Listing::in_dns) || (!delivers && !self.former.is_empty()) {
            for former in &mut self.former {
                wait = wait.min(former.quit(random).await);
            }
            self.former.retain(Listing::listed);
        }
        wait
    }

    /// Makes the listings those of `wanted` and of the cells that the relay is placed in.
    fn arrange(&mut self, wanted: Option<&CloudMap>, placement: &[String]) {
        let services: Vec<&Service> = wanted
            .iter()
            .flat_map(|at| {
                let placed = |cell: &&Service| placement.contains(&cell.id);
                std::iter::once(&at.service).chain(at.cells.iter().filter(placed))
            })
            .collect();
        let mut before = std::mem::take(&mut self.current);
        for service in services {
            let Some(at) = wanted else { continue };
            // One record a service: what changed beside it changes how it is looked after, not whether it stays.
            let same = |listing: &Listing| listing.service_id() == service.id;
            let known = before.iter().position(same).map(|place| before.remove(place));
            let known = known.or_else(|| {
                let place = self.former.iter().position(same)?;
                Some(self.former.remove(place))
            });
            let open = || (self.registries)(at, service);
            self.current.push(match known {
                Some(known) => known.adopt(at, service, open),
                None => Listing::new(at, service, open()),
            });
        }
        self.former.extend(before.into_iter().filter(Listing::listed));
    }

    fn record(
        &self,
        settings: &CheckedSettings,
        identity: Option<&Identity>,
        epoch: u64,
    ) -> Result<Record, &'static str> {
        let relay = identity.map(|identity| identity.relay.relay.clone());
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
            port: settings.listeners.first().ok_or("the fleet has no listener")?.port,
            zone: self.place.zone.clone(),
            relay: relay.unwrap_or_default(),
            epoch,
            revision: self.inputs.running.borrow().revision,
        })
    }

    fn missing(&self, what: &'static str) {
        self.state.send_if_modified(|state| {
            let news = state.missing != what;
            what.clone_into(&mut state.missing);
            news
        });
    }

    fn listings(&self) -> impl Iterator<Item = &Listing> {
        self.current.iter().chain(&self.former)
    }

    /// Shows how things are, and wakes those who watch only if that has changed.
    fn tell(&self) {
        let now = Registration {
            wanted: !self.current.is_empty(),
            address: self.place.address,
            missing: String::new(),
            services: self.listings().map(Listing::state).collect(),
            current: self.current.len(),
            others: self.current.iter().filter_map(Listing::others).collect(),
        };
        self.state.send_if_modified(|state| {
            let missing = match now.wanted && now.services.iter().all(|one| !one.listed) {
                true => state.missing.clone(),
                false => String::new(),
            };
            let now = Registration { missing, ..now };
            let news = *state != now;
            *state = now;
            news
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
