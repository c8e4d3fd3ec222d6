//! The compiler: a fleet's rows to the bytes its relays run. The same rows, in any order, give the same bytes.
use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use ekiden_proto::settings::v1::{Collector, Settings};
use prost::Message;
use prost_types::Duration;

use super::check;
use crate::{
    error::Violation,
    store::{collectors::CollectorRow, fleets::FleetRow},
};

#[cfg(test)]
mod tests;

/// Most bytes of compiled settings.
const MAX_BYTES: usize = 1024 * 1024;

/// What relays get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// Encoded `ekiden.settings.v1.Settings`.
    pub settings: Bytes,
    /// SHA-256 of exactly these bytes.
    pub hash: [u8; 32],
}

/// Compiles a fleet with those of `collectors` that its listeners name.
///
/// # Errors
/// Every limit that the outcome would break.
pub fn compile(fleet: &FleetRow, collectors: &[CollectorRow]) -> Result<Compiled, Vec<Violation>> {
    let settings = assemble(fleet, collectors);
    let violations = check::settings(&settings);
    if !violations.is_empty() {
        return Err(violations);
    }
    let settings = Bytes::from(settings.encode_to_vec());
    if settings.len() > MAX_BYTES {
        return Err(vec![Violation {
            field: "collectors".to_owned(),
            description: format!(
                "the settings have {} bytes and may have 1,048,576 (1 MiB): take out CA certificates, or split the fleet",
                settings.len()
            ),
        }]);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &settings).as_ref());
    Ok(Compiled { settings, hash })
}

fn assemble(fleet: &FleetRow, collectors: &[CollectorRow]) -> Settings {
    let mut listeners = fleet.spec.listeners.clone();
    listeners.sort_by(|a, b| a.name.cmp(&b.name));
    for listener in &mut listeners {
        listener.idle_timeout = unless_zero(listener.idle_timeout);
    }
    let named: HashSet<_> = listeners.iter().map(|l| l.collector.as_str()).collect();
    let mut collectors: Vec<_> = collectors
        .iter()
        .map(|row| Collector { name: row.name().to_string(), ..row.spec.clone() })
        .filter(|c| named.contains(c.name.as_str()))
        .collect();
    collectors.sort_by(|a, b| a.name.cmp(&b.name));
    for collector in &mut collectors {
        collector
            .endpoints
            .sort_by(|a, b| (a.priority, &a.host, a.port).cmp(&(b.priority, &b.host, b.port)));
        collector.connect_timeout = unless_zero(collector.connect_timeout);
    }
    Settings {
        fleet: fleet.name().to_string(),
        listeners,
        collectors,
        discovery: fleet.spec.discovery.clone(),
        limits: fleet.spec.limits,
    }
}

/// Zero means the default, as absence does; one form for both.
fn unless_zero(duration: Option<Duration>) -> Option<Duration> {
    duration.filter(|d| d.seconds != 0 || d.nanos != 0)
}
