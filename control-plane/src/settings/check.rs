//! The limits documented in `ekiden/settings/v1/settings.proto`, checked with a path for each violation.
use std::collections::{HashMap, HashSet};

use ekiden_proto::settings::v1::{
    Collector, CollectorProtocol, Limits, Listener, ListenerProtocol, Settings,
};
use prost_types::Duration;

use crate::{
    error::Violation,
    names::{CollectorName, FleetName, check_id},
};

mod collector;
mod discovery;
mod host;
#[cfg(test)]
mod tests;

pub use collector::collector;

/// Most listeners of a fleet.
const MAX_LISTENERS: usize = 32;
/// Most collectors of a fleet.
const MAX_COLLECTORS: usize = 64;
/// Most connections of a listener.
const MAX_LISTENER_CONNECTIONS: u32 = 60_000;
/// Largest OTLP request that may be allowed, bytes.
const MAX_REQUEST_BYTES: u32 = 16 * 1024 * 1024;

/// Violations found so far, each with the path of its field.
#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), description: description.into() });
    }

    fn require(&mut self, holds: bool, field: impl Into<String>, description: &str) {
        if !holds {
            self.add(field, description);
        }
    }
}

/// Checks compiled settings as a relay will.
pub fn settings(settings: &Settings) -> Vec<Violation> {
    let mut found = Violations::default();
    let Ok(fleet) = FleetName::parse("fleet", &settings.fleet) else {
        found.add("fleet", "it is no name of the form `tenants/{tenant}/fleets/{fleet}`");
        return found.0;
    };
    found.0.extend(self::fleet("", &fleet.tenant, settings));
    found.require(settings.collectors.len() <= MAX_COLLECTORS, "collectors", "more than 64");
    let mut names = HashSet::new();
    for (i, c) in settings.collectors.iter().enumerate() {
        let path = format!("collectors[{i}]");
        match CollectorName::parse("name", &c.name) {
            Ok(name) => found.require(
                name.tenant == fleet.tenant,
                format!("{path}.name"),
                "it is of another tenant than the fleet",
            ),
            Err(_) => found.add(format!("{path}.name"), "it is no collector's name"),
        }
        found.require(names.insert(&c.name), format!("{path}.name"), "it is there twice");
        found.0.extend(collector(&path, &fleet.tenant, c));
    }
    found.0.extend(routes("", &settings.listeners, &settings.collectors));
    found.0
}

/// Checks what a fleet itself says: listeners, discovery, limits. `path` is that of the fleet; empty: of the settings.
pub fn fleet(path: &str, tenant: &str, fleet: &Settings) -> Vec<Violation> {
    let mut found = Violations::default();
    listeners(&join(path, "listeners"), tenant, &fleet.listeners, &mut found);
    if let Some(discovery) = &fleet.discovery {
        discovery::check(&join(path, "discovery"), discovery, &mut found);
    }
    if let Some(limits) = &fleet.limits {
        check_limits(&join(path, "limits"), limits, &mut found);
    }
    found.0
}

/// Checks that each listener's collector is among `collectors` and speaks what the listener needs.
pub fn routes(path: &str, listeners: &[Listener], collectors: &[Collector]) -> Vec<Violation> {
    let by_name: HashMap<_, _> = collectors.iter().map(|c| (c.name.as_str(), c)).collect();
    let mut found = Violations::default();
    for (i, listener) in listeners.iter().enumerate() {
        let field = || format!("{}[{i}].collector", join(path, "listeners"));
        let Some(collector) = by_name.get(listener.collector.as_str()) else {
            found.add(field(), format!("{:?} does not exist", listener.collector));
            continue;
        };
        let needed = match listener.protocol() {
            ListenerProtocol::Unspecified => continue,
            ListenerProtocol::Tcp => CollectorProtocol::Tcp,
            ListenerProtocol::Otlp => CollectorProtocol::OtlpGrpc,
        };
        if collector.protocol() != needed {
            found.add(
                field(),
                format!(
                    "{} speaks {}, but a listener of protocol {} needs one that speaks {}",
                    listener.collector,
                    collector.protocol().as_str_name(),
                    listener.protocol().as_str_name(),
                    needed.as_str_name()
                ),
            );
        }
    }
    found.0
}

fn listeners(path: &str, tenant: &str, listeners: &[Listener], found: &mut Violations) {
    found.require(listeners.len() <= MAX_LISTENERS, path, "more than 32");
    let (mut names, mut ports) = (HashSet::new(), HashSet::new());
    for (i, listener) in listeners.iter().enumerate() {
        let field = |name: &str| format!("{path}[{i}].{name}");
        if check_id("name", &listener.name).is_err() {
            found.add(
                field("name"),
                "it is no id: 1 to 63 characters a-z, 0-9 and -, a letter first, no - last",
            );
        }
        found.require(
            names.insert(&listener.name),
            field("name"),
            "another listener has this name",
        );
        found.require(is_port(listener.port), field("port"), "it must be 1 to 65535");
        found.require(ports.insert(listener.port), field("port"), "another listener has this port");
        found.require(
            ListenerProtocol::try_from(listener.protocol)
                .is_ok_and(|p| p != ListenerProtocol::Unspecified),
            field("protocol"),
            "it must be LISTENER_PROTOCOL_TCP or LISTENER_PROTOCOL_OTLP",
        );
        match CollectorName::parse("collector", &listener.collector) {
            Ok(name) => found.require(
                name.tenant == tenant,
                field("collector"),
                "it must be a collector of the fleet's own tenant",
            ),
            Err(_) => found.add(
                field("collector"),
                format!("it must be a collector's name: tenants/{tenant}/collectors/{{collector}}"),
            ),
        }
        found.require(
            listener.max_connections <= MAX_LISTENER_CONNECTIONS,
            field("max_connections"),
            "it must be at most 60,000; 0 means 10,000",
        );
        if let Some(idle) = &listener.idle_timeout {
            found.require(
                milliseconds(idle).is_some_and(|ms| ms == 0 || ms >= 1000),
                field("idle_timeout"),
                "it must be at least 1 s; absent or 0 means 1 hour",
            );
        }
    }
}

fn check_limits(path: &str, limits: &Limits, found: &mut Violations) {
    found.require(
        limits.max_request_bytes <= MAX_REQUEST_BYTES,
        join(path, "max_request_bytes"),
        "it must be at most 16,777,216 (16 MiB); 0 means 4 MiB",
    );
}

fn is_port(port: u32) -> bool {
    (1..=65_535).contains(&port)
}

/// A duration in whole milliseconds, rounded up, so that none but zero is zero; none when it is negative or malformed.
fn milliseconds(duration: &Duration) -> Option<u64> {
    let nanos = u64::try_from(duration.nanos).ok().filter(|n| *n < 1_000_000_000)?;
    let seconds = u64::try_from(duration.seconds).ok().filter(|s| *s <= 315_576_000_000)?;
    Some(seconds * 1000 + nanos.div_ceil(1_000_000))
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}
