//! The rules over what a fleet says: listeners, where they lead, discovery, limits.
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use ekiden_proto::settings::v1 as proto;

use crate::{
    AssumedRole, CloudMap, Limits, Protocol, RegistrationMode, Service, Violation,
    rules::{self, MAX_CELLS, MAX_LISTENERS, or_default},
    violation::Violations,
};

/// What a listener says by itself, apart from where it leads; what is unusable is none.
pub(crate) struct ListenerAlone {
    pub(crate) port: Option<u16>,
    pub(crate) protocol: Option<Protocol>,
    /// Whether it names a collector of the tenant, there or not.
    pub(crate) names_collector: bool,
    pub(crate) max_connections: Option<u64>,
    pub(crate) idle_timeout: Option<Duration>,
    /// Within: none where connections may grow old.
    pub(crate) max_connection_age: Option<Option<Duration>>,
}

/// Checks what a tenant's fleet says itself – listeners, discovery, limits – and gives everything that is wrong; `path` is
/// the fleet's own. Where its listeners lead is for [`check_routes`].
pub fn check_fleet(path: &str, tenant: &str, fleet: &proto::Settings) -> Vec<Violation> {
    let mut found = Violations::default();
    listeners(&format!("{path}.listeners"), Some(tenant), &fleet.listeners, &mut found);
    if let Some(given) = &fleet.discovery {
        discovery(&format!("{path}.discovery"), given, &mut found);
    }
    if let Some(given) = &fleet.limits {
        limits(&format!("{path}.limits"), given, &mut found);
    }
    found.0
}

/// Checks that the collectors that a fleet's listeners name are among these and speak what the listeners need, and gives
/// everything that is wrong; `path` is the fleet's own.
pub fn check_routes(
    path: &str,
    listeners: &[proto::Listener],
    collectors: &[proto::Collector],
) -> Vec<Violation> {
    let spoken: HashMap<_, _> =
        collectors.iter().map(|collector| (collector.name.as_str(), collector.protocol)).collect();
    let mut found = Violations::default();
    for (at, listener) in listeners.iter().enumerate() {
        let spoken =
            spoken.get(listener.collector.as_str()).map(|it| rules::collector_protocol(*it));
        // What is wrong with a protocol stands where it is set.
        let (Ok(takes), Ok(spoken)) =
            (rules::listener_protocol(listener.protocol), spoken.transpose())
        else {
            continue;
        };
        found.pass(
            format!("{path}.listeners[{at}].collector"),
            rules::route(takes, &listener.collector, spoken),
        );
    }
    found.0
}

pub(crate) fn listeners(
    path: &str,
    tenant: Option<&str>,
    listeners: &[proto::Listener],
    found: &mut Violations,
) -> Vec<ListenerAlone> {
    found.pass(path, rules::at_most(MAX_LISTENERS, listeners.len()));
    let (mut names, mut ports) = (HashSet::new(), HashSet::new());
    let mut alone = Vec::new();
    for (at, listener) in listeners.iter().enumerate().take(MAX_LISTENERS) {
        let path = format!("{path}[{at}]");
        found.pass(format!("{path}.name"), rules::id(&listener.name));
        if !names.insert(&listener.name) {
            found.add(format!("{path}.name"), "another listener has the same name");
        }
        let port = found.pass(format!("{path}.port"), rules::port(listener.port));
        if port.is_some_and(|port| !ports.insert(port)) {
            found.add(
                format!("{path}.port"),
                format!("another listener has the same port {}", listener.port),
            );
        }
        let protocol = rules::listener_protocol(listener.protocol);
        let collector = rules::resource(&listener.collector, "collectors", tenant);
        let most = rules::listener_connections(listener.max_connections);
        let idle = rules::idle_timeout(listener.idle_timeout.as_ref());
        let age = rules::max_connection_age(listener.max_connection_age.as_ref());
        alone.push(ListenerAlone {
            port,
            protocol: found.pass(format!("{path}.protocol"), protocol),
            names_collector: found.pass(format!("{path}.collector"), collector).is_some(),
            max_connections: found.pass(format!("{path}.max_connections"), most),
            idle_timeout: found.pass(format!("{path}.idle_timeout"), idle),
            max_connection_age: found.pass(format!("{path}.max_connection_age"), age),
        });
    }
    alone
}

pub(crate) fn discovery(
    path: &str,
    discovery: &proto::Discovery,
    found: &mut Violations,
) -> Option<CloudMap> {
    let path = format!("{path}.cloud_map");
    let Some(cloud_map) = &discovery.cloud_map else {
        found.add(path, "is not set, and no other registry is known");
        return None;
    };
    let service = service(&path, &cloud_map.service_id, &cloud_map.dns_name, found);
    let ttl = found.pass(format!("{path}.ttl"), rules::record_ttl(cloud_map.ttl.as_ref()));
    let mode = found.pass(format!("{path}.mode"), rules::registration_mode(cloud_map.mode));
    let role = cloud_map.role.as_ref().map(|role| assumed(&format!("{path}.role"), role, found));
    found.pass(format!("{path}.cells"), rules::at_most(MAX_CELLS, cloud_map.cells.len()));
    let mut cells = Vec::new();
    for (at, cell) in cloud_map.cells.iter().enumerate().take(MAX_CELLS) {
        let path = format!("{path}.cells[{at}]");
        let cell = self::service(&path, &cell.service_id, &cell.dns_name, found)?;
        let others = || service.iter().chain(&cells);
        if others().any(|other| other.id == cell.id) {
            found.add(format!("{path}.service_id"), "is in use here twice");
        }
        if others().any(|other| other.dns_name == cell.dns_name) {
            found.add(format!("{path}.dns_name"), "is in use here twice");
        }
        cells.push(cell);
    }
    if mode == Some(RegistrationMode::Ecs) && !cells.is_empty() {
        found.add(
            format!("{path}.cells"),
            "ECS registers a task in one service alone: cells need REGISTRATION_MODE_SELF",
        );
    }
    let role = match role {
        Some(assumed) => Some(assumed?),
        None => None,
    };
    Some(CloudMap { service: service?, ttl: ttl?, mode: mode?, role, cells })
}

fn service(path: &str, id: &str, dns_name: &str, found: &mut Violations) -> Option<Service> {
    let good = found.pass(format!("{path}.service_id"), rules::cloud_map_service(id));
    let dns_name = found.pass(format!("{path}.dns_name"), rules::absolute_dns_name(dns_name));
    good?;
    Some(Service { id: id.to_owned(), dns_name: dns_name? })
}

fn assumed(path: &str, role: &proto::AssumedRole, found: &mut Violations) -> Option<AssumedRole> {
    let arn = found.pass(format!("{path}.role_arn"), rules::role_arn(&role.role_arn));
    let external = rules::external_id(&role.external_id);
    let external_id = found.pass(format!("{path}.external_id"), external)?;
    arn?;
    Some(AssumedRole { arn: role.role_arn.clone(), external_id })
}

pub(crate) fn limits(path: &str, limits: &proto::Limits, found: &mut Violations) -> Option<Limits> {
    let default = Limits::default();
    let request = rules::request_bytes(limits.max_request_bytes);
    Some(Limits {
        max_connections: or_default(limits.max_connections.into(), default.max_connections),
        max_request_bytes: found.pass(format!("{path}.max_request_bytes"), request)?,
        max_in_flight_bytes: or_default(limits.max_in_flight_bytes, default.max_in_flight_bytes),
    })
}
