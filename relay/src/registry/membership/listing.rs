//! One service in which the relay is listed, and when it may leave.
use std::{net::IpAddr, sync::Arc, time::Duration};

use ekiden_settings::{CloudMap, RegistrationMode, Service};
use prost_types::Timestamp;
use tokio::time::Instant;

use super::{LOOK, Record, Registry, ServiceState};
use crate::{
    clock::Clock,
    dns_check::{Seen, ask},
    error_chain::chain,
    registry::{Listed, RegistryError},
    resolver::Resolver,
    session::backoff::Retries,
};

/// DNS is asked this often until it holds the relay, give or take jitter.
const UNTIL_SEEN: Duration = Duration::from_secs(1);
/// And this often from then on; the registry as well.
const ONCE_SEEN: Duration = Duration::from_secs(60);
/// A registration that DNS does not show after this is made again; twice what DNS takes (Route 53 Developer Guide).
const UNSEEN: Duration = Duration::from_secs(120);
/// Other relays that are told of.
const MOST_OTHERS: usize = 256;

/// One service, and how the registration there fares.
pub(super) struct Listing {
    at: CloudMap,
    service: Service,
    pub(super) registry: Arc<dyn Registry>,
    /// What the registry holds, or may hold since it was asked to; none: nothing.
    record: Option<Record>,
    /// When the registry confirmed it.
    registered_at: Option<Instant>,
    /// When the registry is compared next.
    compare_at: Instant,
    others: Option<Vec<String>>,
    verify_at: Instant,
    verified_at: Option<Timestamp>,
    seen: bool,
    missed: u32,
    /// Since when DNS has been other than it should be.
    differs_since: Option<Instant>,
    message: String,
    retries: Retries,
    retry_at: Option<Instant>,
}

impl Listing {
    pub(super) fn new(at: &CloudMap, service: &Service, registry: Arc<dyn Registry>) -> Self {
        let now = Instant::now();
        Self {
            at: at.clone(),
            service: service.clone(),
            registry,
            record: None,
            registered_at: None,
            compare_at: now,
            others: None,
            verify_at: now,
            verified_at: None,
            seen: false,
            missed: 0,
            differs_since: None,
            message: String::new(),
            retries: Retries::default(),
            retry_at: None,
        }
    }

    /// The same service as settings have it now; `open` opens its registry anew.
    pub(super) fn adopt(
        mut self,
        at: &CloudMap,
        service: &Service,
        open: impl FnOnce() -> Arc<dyn Registry>,
    ) -> Self {
        if (self.at.mode, &self.at.role) != (at.mode, &at.role) {
            self.registry = open();
            self.compare_at = Instant::now();
        }
        if self.service != *service {
            (self.seen, self.missed, self.verify_at) = (false, 0, Instant::now());
        }
        (self.at, self.service) = (at.clone(), service.clone());
        self
    }

    pub(super) fn ttl(&self) -> Duration {
        self.at.ttl
    }

    pub(super) fn mode(&self) -> RegistrationMode {
        self.at.mode
    }

    pub(super) fn service_id(&self) -> &str {
        &self.service.id
    }

    pub(super) fn dns_name(&self) -> &str {
        &self.service.dns_name
    }

    pub(super) fn instance(&self) -> Option<&str> {
        self.record.as_ref().map(|record| record.instance.as_str())
    }

    /// Whether the registry may hold a record.
    pub(super) fn listed(&self) -> bool {
        self.record.is_some()
    }

    pub(super) fn in_dns(&self) -> bool {
        self.seen
    }

    pub(super) fn others(&self) -> Option<(String, Vec<String>)> {
        Some((self.service.id.clone(), self.others.clone()?))
    }

    pub(super) fn state(&self) -> ServiceState {
        let differs = self.differs_since.is_some_and(|since| since.elapsed() > self.at.ttl * 2);
        ServiceState {
            id: self.service.id.clone(),
            dns_name: self.service.dns_name.clone(),
            ttl: self.at.ttl,
            listed: self.record.is_some(),
            registered: self.registered_at.is_some(),
            in_dns: self.seen,
            dns_differs: differs,
            message: self.message.clone(),
            verified_at: self.verified_at,
        }
    }

    /// Does what is due to be listed as `record`; gives how long nothing else is.
    pub(super) async fn settle(
        &mut self,
        record: &Record,
        resolver: &Resolver,
        clock: &Clock,
        random: &mut (impl FnMut() -> f64 + Send),
    ) -> Duration {
        if let Some(left) = self.retry_at.and_then(|at| at.checked_duration_since(Instant::now())) {
            return left;
        }
        if self.must_compare(record) {
            if let Err(error) = self.compare(record, random).await {
                return self.failed("The relay could not register yet", &error, random);
            }
            self.succeeded();
        }
        self.verify(record.address, resolver, clock, random).await;
        self.compare_at.min(self.verify_at).saturating_duration_since(Instant::now())
    }

    fn must_compare(&self, record: &Record) -> bool {
        let lost = match self.registered_at {
            None => true,
            Some(at) => self.missed > 1 || (!self.seen && at.elapsed() > UNSEEN),
        };
        lost || self.record.as_ref() != Some(record) || Instant::now() >= self.compare_at
    }

    /// Looks what the registry holds, and registers where that is not `record`.
    async fn compare(
        &mut self,
        record: &Record,
        random: &mut (impl FnMut() -> f64 + Send),
    ) -> Result<(), RegistryError> {
        self.compare_at = Instant::now() + ONCE_SEEN.mul_f64(0.75 + 0.5 * random());
        let listed = self.registry.list().await?;
        let others = listed.iter().filter(|one| one.instance != record.instance);
        let others = others.map(|one| one.relay.clone()).filter(|relay| !relay.is_empty());
        self.others = Some(others.take(MOST_OTHERS).collect());
        let own = listed.iter().filter(|one| one.instance == record.instance);
        let own: Vec<&Listed> = own.collect();
        if self.at.mode == RegistrationMode::Ecs {
            let there = own.iter().any(|one| one.address == Some(record.address));
            self.record = there.then(|| record.clone());
            self.registered_at = there.then(|| self.registered_at.unwrap_or_else(Instant::now));
            return match there {
                true => Ok(()),
                false => Err(RegistryError::Failed(format!(
                    "ECS has not registered the task {} in {}: is the service's registry this one?",
                    record.instance, self.service.id
                ))),
            };
        }
        if let Some(other) = own.iter().find(|one| is_foreign(one, record)) {
            return Err(RegistryError::Refused(format!(
                "the instance {} belongs to the relay {} at {}: two tasks must not have one id",
                record.instance,
                other.relay,
                other
                    .address
                    .map_or_else(|| "no address".to_owned(), |address| address.to_string())
            )));
        }
        let as_wanted = own.iter().all(|one| one.is(record)) && !own.is_empty();
        // Before the call: if this future is dropped in the middle of it, the relay may be listed nevertheless.
        let before = self.record.replace(record.clone());
        if as_wanted && self.missed <= 1 {
            self.registered_at.get_or_insert_with(Instant::now);
            return Ok(());
        }
        if before.as_ref() == Some(record) && self.registered_at.is_some() && !own.is_empty() {
            tracing::warn!(service.id = %self.service.id, "The relay's record was changed: it is put right");
        }
        self.registry.register(record).await?;
        tracing::info!(
            service.id = %self.service.id, address = %record.address, relay.id = %record.relay, epoch = record.epoch,
            "The relay is registered"
        );
        self.registered_at = Some(Instant::now());
        (self.verify_at, self.missed) = (Instant::now(), 0);
        Ok(())
    }

    /// Asks DNS, as workloads do, when it is time.
    async fn verify(
        &mut self,
        address: IpAddr,
        resolver: &Resolver,
        clock: &Clock,
        random: &mut (impl FnMut() -> f64 + Send),
    ) {
        if self.verify_at > Instant::now() {
            return;
        }
        let seen = ask(resolver, &self.service.dns_name, address).await;
        self.saw(&seen, address);
        let every = if self.seen && self.missed == 0 { ONCE_SEEN } else { UNTIL_SEEN };
        self.verify_at = Instant::now() + every.mul_f64(0.75 + 0.5 * random());
        self.verified_at = Some(clock.timestamp());
        self.message = match seen {
            Seen::Unknown(why) => format!("DNS did not answer: {why}"),
            Seen::Held | Seen::Absent => String::new(),
        };
    }

    fn saw(&mut self, seen: &Seen, address: IpAddr) {
        match seen {
            Seen::Held => {
                if !self.seen {
                    tracing::info!(dns.name = %self.service.dns_name, address = %address, "DNS answers with this relay");
                }
                (self.seen, self.missed, self.differs_since) = (true, 0, None);
            }
            Seen::Absent => {
                self.differs_since.get_or_insert_with(Instant::now);
                // One answer may come from a server that lags: the second counts.
                if self.seen {
                    self.missed += 1;
                }
                if self.missed > 1 && self.seen {
                    tracing::warn!(dns.name = %self.service.dns_name, "DNS lost this relay: registering again");
                    self.seen = false;
                }
            }
            Seen::Unknown(_) => {}
        }
    }

    /// Takes the record out, when it is time; gives how long nothing else is due.
    pub(super) async fn quit(&mut self, random: &mut (impl FnMut() -> f64 + Send)) -> Duration {
        let Some(instance) = self.instance().map(str::to_owned) else { return LOOK };
        if let Some(left) = self.retry_at.and_then(|at| at.checked_duration_since(Instant::now())) {
            return left;
        }
        match self.registry.deregister(&instance).await {
            Ok(()) => {
                tracing::info!(service.id = %self.service.id, "The relay has left a registry");
                self.left();
                self.succeeded();
                Duration::ZERO
            }
            Err(error) => self.failed("The relay could not leave a registry yet", &error, random),
        }
    }

    /// Notes that the registry holds nothing of this relay any more.
    pub(super) fn left(&mut self) {
        (self.record, self.registered_at, self.differs_since) = (None, None, None);
        self.message.clear();
        self.seen = false;
    }

    pub(super) fn trouble(&mut self, message: String) {
        self.message = message;
    }

    fn succeeded(&mut self) {
        self.retries = Retries::default();
        self.retry_at = None;
        self.message.clear();
    }

    fn failed(
        &mut self,
        what: &str,
        error: &RegistryError,
        random: &mut impl FnMut() -> f64,
    ) -> Duration {
        let wait = self.retries.failed(None, random());
        let error = chain(error);
        tracing::warn!(service.id = %self.service.id, error, retry_in_ms = wait.as_millis() as u64, "{what}");
        self.retry_at = Some(Instant::now() + wait);
        self.message = error;
        wait
    }
}

/// Whether a record under this relay's instance is another task's: an earlier life of this one had the same address.
fn is_foreign(listed: &Listed, record: &Record) -> bool {
    !listed.relay.is_empty()
        && listed.relay != record.relay
        && listed.address.is_some_and(|address| address != record.address)
}
