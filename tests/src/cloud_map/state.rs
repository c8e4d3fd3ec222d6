//! What Cloud Map knows, and how registering changes it over time.
use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    time::Duration,
};

use tokio::time::Instant;

use super::{ApiError, faults::Pace};

/// Namespaces, services, instances and operations.
#[derive(Debug)]
pub struct State {
    delay: Duration,
    /// So many operations started from now on end in FAIL.
    failing: u32,
    next_id: u64,
    pub(super) pace: Option<Pace>,
    pub(super) namespaces: BTreeMap<String, Namespace>,
    pub(super) services: BTreeMap<String, Service>,
    pub(super) operations: HashMap<String, Operation>,
}

#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub(super) id: String,
    pub(super) name: String,
    /// Seconds that a missing name may be remembered.
    pub(super) negative_ttl: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) id: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) records: Records,
    pub(super) instances: BTreeMap<String, Attributes>,
    /// Instances put to UNHEALTHY by UpdateInstanceCustomHealthStatus.
    pub(super) unhealthy: Vec<String>,
}

pub(super) type Attributes = BTreeMap<String, String>;

#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) change: Change,
    done_at: Instant,
    pub(super) done: bool,
    /// Whether it ends without having changed anything.
    pub(super) fails: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    CreateNamespace { namespace: String },
    Register { service: String, instance: String, attributes: Attributes },
    Deregister { service: String, instance: String },
}

/// What DNS records a service's instances make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records {
    /// Their type.
    pub kind: RecordKind,
    /// Seconds that they may be remembered.
    pub ttl: u32,
    /// Which of them are in an answer.
    pub routing: Routing,
}

/// A type of DNS records that Cloud Map makes; a pair of types in one service is not modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Ports, with an A record an instance under its own name.
    Srv,
    /// A name.
    Cname,
}

/// Which of a service's records are in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// At most 8 healthy ones.
    Multivalue,
    /// One at random.
    Weighted,
}

impl Records {
    /// A records, as many as fit.
    pub fn a(ttl: u32) -> Self {
        Self { kind: RecordKind::A, ttl, routing: Routing::Multivalue }
    }
}

/// What DNS should answer for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsView {
    /// No zone here holds it.
    NotOurs,
    /// The zone has no such name; it may be remembered for this many seconds.
    Missing {
        /// Name of the zone, with its trailing dot.
        zone: String,
        /// SOA minimum in seconds.
        negative_ttl: u32,
    },
    /// The healthy instances' addresses.
    Addresses {
        /// Name of the zone, with its trailing dot.
        zone: String,
        /// SOA minimum in seconds, for types other than A.
        negative_ttl: u32,
        /// Seconds that the answer may be kept.
        ttl: u32,
        /// Which of them an answer holds.
        routing: Routing,
        /// All of them.
        addresses: Vec<Ipv4Addr>,
    },
}

impl State {
    pub(super) fn new(delay: Duration) -> Self {
        Self {
            delay,
            failing: 0,
            next_id: 1,
            pace: None,
            namespaces: BTreeMap::new(),
            services: BTreeMap::new(),
            operations: HashMap::new(),
        }
    }

    pub(super) fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    pub(super) fn fail_operations(&mut self, times: u32) {
        self.failing = times;
    }

    fn id(&mut self, prefix: &str) -> String {
        let number = self.next_id;
        self.next_id += 1;
        format!("{prefix}-{number:016}")
    }

    /// Carries out the operations whose time has come.
    pub(super) fn settle(&mut self, now: Instant) {
        let mut due: Vec<Operation> = self
            .operations
            .values()
            .filter(|one| !one.done && one.done_at <= now)
            .cloned()
            .collect();
        due.sort_by_key(|operation| operation.done_at);
        for operation in due {
            match operation.change {
                _ if operation.fails => {}
                Change::CreateNamespace { .. } => {}
                Change::Register { service, instance, attributes } => {
                    if let Some(service) = self.services.get_mut(&service) {
                        service.unhealthy.retain(|one| *one != instance);
                        if attributes
                            .get("AWS_INIT_HEALTH_STATUS")
                            .is_some_and(|status| status == "UNHEALTHY")
                        {
                            service.unhealthy.push(instance.clone());
                        }
                        service.instances.insert(instance, attributes);
                    }
                }
                Change::Deregister { service, instance } => {
                    if let Some(service) = self.services.get_mut(&service) {
                        service.unhealthy.retain(|one| *one != instance);
                        service.instances.remove(&instance);
                    }
                }
            }
            if let Some(operation) = self.operations.get_mut(&operation.id) {
                operation.done = true;
            }
        }
    }

    pub(super) fn start(&mut self, change: Change, now: Instant) -> String {
        let id = self.id("operation");
        let fails = self.failing > 0;
        self.failing = self.failing.saturating_sub(1);
        let operation =
            Operation { id: id.clone(), change, done_at: now + self.delay, done: false, fails };
        self.operations.insert(id.clone(), operation);
        self.settle(now);
        id
    }

    /// Refuses a second change of an instance while one is in progress.
    pub(super) fn check_idle(
        &self,
        service: &str,
        instance: &str,
        registers: bool,
    ) -> Result<(), ApiError> {
        let running =
            self.operations.values().filter(|one| !one.done).find_map(|one| match &one.change {
                Change::Register { service: s, instance: i, .. }
                    if s == service && i == instance =>
                {
                    Some((one, true))
                }
                Change::Deregister { service: s, instance: i } if s == service && i == instance => {
                    Some((one, false))
                }
                _ => None,
            });
        match running {
            None => Ok(()),
            Some((operation, same)) if same == registers => Err(ApiError::duplicate(&operation.id)),
            Some(_) => {
                Err(ApiError::new("ResourceInUse", "another operation changes this instance"))
            }
        }
    }

    /// Returns the id of the namespace of this name, making it where it is missing.
    pub(super) fn provide_namespace(&mut self, name: &str, negative_ttl: u32) -> String {
        if let Some(namespace) = self.namespaces.values().find(|one| one.name == name) {
            return namespace.id.clone();
        }
        let id = self.id("ns");
        let namespace = Namespace { id: id.clone(), name: name.to_owned(), negative_ttl };
        self.namespaces.insert(id.clone(), namespace);
        id
    }

    pub(super) fn create_service(
        &mut self,
        namespace: &str,
        name: &str,
        records: Records,
    ) -> Result<String, ApiError> {
        if !self.namespaces.contains_key(namespace) {
            return Err(ApiError::new("NamespaceNotFound", format!("no namespace {namespace}")));
        }
        if self.services.values().any(|one| one.namespace == namespace && one.name == name) {
            return Err(ApiError::new("ServiceAlreadyExists", format!("{name} exists")));
        }
        let id = self.id("srv");
        let service = Service {
            id: id.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            records,
            instances: BTreeMap::new(),
            unhealthy: Vec::new(),
        };
        self.services.insert(id.clone(), service);
        Ok(id)
    }

    pub(super) fn service(&mut self, id: &str) -> Result<&mut Service, ApiError> {
        self.services
            .get_mut(id)
            .ok_or_else(|| ApiError::new("ServiceNotFound", format!("no service {id}")))
    }

    pub(super) fn plant(&mut self, service: &str, instance: &str, address: &str) {
        if let Some(service) = self.services.get_mut(service) {
            let attributes = [("AWS_INSTANCE_IPV4".to_owned(), address.to_owned())].into();
            service.instances.insert(instance.to_owned(), attributes);
        }
    }

    pub(super) fn instances(&mut self, service: &str, now: Instant) -> Vec<(String, String)> {
        self.settle(now);
        let instances =
            self.services.get(service).into_iter().flat_map(|service| &service.instances);
        let address = |attributes: &Attributes| {
            attributes.get("AWS_INSTANCE_IPV4").cloned().unwrap_or_default()
        };
        instances.map(|(id, attributes)| (id.clone(), address(attributes))).collect()
    }

    /// Returns what Route 53 would answer for `name` (lower case, with its trailing dot).
    pub(super) fn dns(&mut self, name: &str, now: Instant) -> DnsView {
        self.settle(now);
        let zone_of = |namespace: &Namespace| format!("{}.", namespace.name.to_ascii_lowercase());
        let namespace = self.namespaces.values().find(|namespace| {
            let zone = zone_of(namespace);
            name == zone || name.ends_with(&format!(".{zone}"))
        });
        let Some(namespace) = namespace else { return DnsView::NotOurs };
        let (zone, negative_ttl) = (zone_of(namespace), namespace.negative_ttl);
        let service = self.services.values().find(|service| {
            service.namespace == namespace.id
                && format!("{}.{zone}", service.name.to_ascii_lowercase()) == name
        });
        let named = service.filter(|service| {
            service.records.kind == RecordKind::A && !service.instances.is_empty()
        });
        let Some(service) = named else {
            return DnsView::Missing { zone, negative_ttl };
        };
        let addresses = |healthy: bool| -> Vec<Ipv4Addr> {
            let instances = service
                .instances
                .iter()
                .filter(|(id, _)| service.unhealthy.contains(id) != healthy);
            instances
                .filter_map(|(_, attributes)| attributes.get("AWS_INSTANCE_IPV4")?.parse().ok())
                .collect()
        };
        // With no healthy record left Route 53 answers as if all were.
        let healthy = addresses(true);
        let addresses = if healthy.is_empty() { addresses(false) } else { healthy };
        let Records { ttl, routing, .. } = service.records;
        DnsView::Addresses { zone, negative_ttl, ttl, routing, addresses }
    }
}
