//! What options say of a fleet, and the fields they change.
use clap::Args;
use ekiden_proto::{
    admin::v1::Fleet,
    settings::v1::{Limits, Listener},
};

use super::discovery::{DiscoveryRemoval, DiscoveryShape};
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
    #[command(flatten)]
    discovery: DiscoveryShape,
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
    #[command(flatten)]
    discovery: DiscoveryRemoval,
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
        if self.discovery.apply(fleet) {
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
        if self.discovery.apply(fleet)? {
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
