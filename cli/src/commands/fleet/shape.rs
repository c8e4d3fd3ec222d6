//! What options say of a fleet, and the fields they change.
use clap::Args;
use ekiden_proto::{
    admin::v1::Fleet,
    settings::v1::{CloudMap, Discovery, Limits, Listener},
};

use crate::{
    failure::Failure,
    names::{Defaults, Kind},
    values::{ListenerValue, Period},
};

/// What a fleet is to be; what is not given stays as it is.
#[derive(Debug, Default, Args)]
pub struct Shape {
    /// `name=NAME,port=PORT,protocol=tcp|otlp,collector=NAME`, and where wanted `max-connections=N`, `idle-timeout=TIME`, `max-connection-age=TIME`. May be given several times; replaces the listener of the same name.
    #[arg(long, value_name = "LISTENER")]
    listener: Vec<ListenerValue>,
    /// Id of the AWS Cloud Map service that relays register in, `srv-…`.
    #[arg(long, value_name = "ID")]
    cloud_map_service: Option<String>,
    /// Name that workloads resolve.
    #[arg(long, value_name = "NAME")]
    dns_name: Option<String>,
    /// TTL of the DNS records.
    #[arg(long, value_name = "TIME")]
    ttl: Option<Period>,
    /// Connections open at once on one relay.
    #[arg(long, value_name = "NUMBER")]
    max_connections: Option<u32>,
    /// Largest OTLP request taken, in bytes.
    #[arg(long, value_name = "BYTES")]
    max_request_bytes: Option<u32>,
    /// OTLP bytes waiting for collectors at once on one relay.
    #[arg(long, value_name = "BYTES")]
    max_in_flight_bytes: Option<u64>,
    /// Name for people.
    #[arg(long)]
    display_name: Option<String>,
}

/// What an update takes away.
#[derive(Debug, Default, Args)]
pub struct Removal {
    /// Close this listener; may be given several times.
    #[arg(long, value_name = "NAME")]
    remove_listener: Vec<String>,
    /// Register nowhere from now on.
    #[arg(long, conflicts_with_all = ["cloud_map_service", "dns_name", "ttl"])]
    no_discovery: bool,
}

impl Shape {
    /// Changes `fleet` and tells which fields. `tenant` is the fleet's, for short names of collectors.
    pub(super) fn apply(
        &self,
        fleet: &mut Fleet,
        tenant: &str,
    ) -> Result<Vec<&'static str>, Failure> {
        let mut paths = Vec::new();
        let names = Defaults { tenant: Some(tenant.to_owned()) };
        for value in &self.listener {
            let listener = listener(value, &names)?;
            match fleet.listeners.iter_mut().find(|l| l.name == listener.name) {
                Some(old) => *old = listener,
                None => fleet.listeners.push(listener),
            }
            paths.push("listeners");
        }
        if self.cloud_map_service.is_some() || self.dns_name.is_some() || self.ttl.is_some() {
            let cloud_map = fleet
                .discovery
                .get_or_insert_with(Discovery::default)
                .cloud_map
                .get_or_insert_with(CloudMap::default);
            if let Some(service) = &self.cloud_map_service {
                cloud_map.service_id.clone_from(service);
            }
            if let Some(name) = &self.dns_name {
                cloud_map.dns_name = absolute(name);
            }
            if let Some(ttl) = self.ttl {
                cloud_map.ttl = Some(ttl.to_proto());
            }
            paths.push("discovery");
        }
        if self.max_connections.is_some()
            || self.max_request_bytes.is_some()
            || self.max_in_flight_bytes.is_some()
        {
            let limits = fleet.limits.get_or_insert_with(Limits::default);
            limits.max_connections = self.max_connections.unwrap_or(limits.max_connections);
            limits.max_request_bytes = self.max_request_bytes.unwrap_or(limits.max_request_bytes);
            limits.max_in_flight_bytes =
                self.max_in_flight_bytes.unwrap_or(limits.max_in_flight_bytes);
            paths.push("limits");
        }
        if let Some(name) = &self.display_name {
            fleet.display_name.clone_from(name);
            paths.push("display_name");
        }
        Ok(paths)
    }
}

impl Removal {
    /// Changes `fleet` and tells which fields.
    pub(super) fn apply(&self, fleet: &mut Fleet) -> Result<Vec<&'static str>, Failure> {
        let mut paths = Vec::new();
        for name in &self.remove_listener {
            let before = fleet.listeners.len();
            fleet.listeners.retain(|listener| listener.name != *name);
            if fleet.listeners.len() == before {
                return Err(Failure::usage(
                    format!("{} has no listener {name:?}", fleet.name),
                    format!("`ekidenctl fleet get {}` shows its listeners", fleet.name),
                ));
            }
            paths.push("listeners");
        }
        if self.no_discovery {
            fleet.discovery = None;
            paths.push("discovery");
        }
        Ok(paths)
    }
}

fn listener(value: &ListenerValue, names: &Defaults) -> Result<Listener, Failure> {
    Ok(Listener {
        name: value.name.clone(),
        port: value.port.into(),
        protocol: value.protocol.into(),
        collector: names.resolve(Kind::Collector, &value.collector, None)?,
        max_connections: value.max_connections,
        idle_timeout: value.idle_timeout.map(Period::to_proto),
        max_connection_age: value.max_connection_age.map(Period::to_proto),
    })
}

/// The contract wants absolute names; people write them without the last dot.
fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}
