//! The compiler: a fleet's rows to the bytes its relays run. The same rows, in any order, give the same bytes.
use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use ekiden_proto::settings::v1::{Collector, Settings};
use ekiden_settings::{Violation, check};
use prost::Message;
use prost_types::Duration;

use self::origin::{Origin, sorted};
use crate::store::{collectors::CollectorRow, fleets::FleetRow};

mod origin;
#[cfg(test)]
mod tests;

/// What relays get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// Encoded `ekiden.settings.v1.Settings`.
    pub settings: Bytes,
    /// SHA-256 of exactly these bytes.
    pub hash: [u8; 32],
}

/// Compiles a fleet with those of `collectors` that its listeners name. Every relay can run the outcome: it has passed the
/// very check that relays make.
///
/// # Errors
/// Everything that a relay would refuse, by the operators' own fields: `fleet.…`, and `collector.…` with the collector's
/// name in the description; what is in neither has its path in the settings.
pub fn compile(fleet: &FleetRow, collectors: &[CollectorRow]) -> Result<Compiled, Vec<Violation>> {
    let (settings, origin) = assemble(fleet, collectors);
    let settings = Bytes::from(settings.encode_to_vec());
    if let Err(violations) = check(&settings) {
        return Err(violations.into_iter().map(|violation| origin.trace(violation)).collect());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &settings).as_ref());
    Ok(Compiled { settings, hash })
}

fn assemble(fleet: &FleetRow, rows: &[CollectorRow]) -> (Settings, Origin) {
    let mut origin = Origin::default();
    let (mut listeners, places) = sorted(&fleet.spec.listeners, |a, b| a.name.cmp(&b.name));
    origin.listeners = places;
    for listener in &mut listeners {
        listener.idle_timeout = unless_zero(listener.idle_timeout);
        listener.max_connection_age = unless_zero(listener.max_connection_age);
    }
    let named: HashSet<_> = listeners.iter().map(|l| l.collector.as_str()).collect();
    let mut collectors: Vec<_> = rows
        .iter()
        .map(|row| Collector { name: row.name().to_string(), ..row.spec.clone() })
        .filter(|c| named.contains(c.name.as_str()))
        .collect();
    collectors.sort_by(|a, b| a.name.cmp(&b.name));
    for collector in &mut collectors {
        let (endpoints, places) = sorted(&collector.endpoints, |a, b| {
            (a.priority, &a.host, a.port).cmp(&(b.priority, &b.host, b.port))
        });
        origin.collectors.push((collector.name.clone(), places));
        collector.endpoints = endpoints;
        collector.connect_timeout = unless_zero(collector.connect_timeout);
    }
    let settings = Settings {
        fleet: fleet.name().to_string(),
        listeners,
        collectors,
        discovery: fleet.spec.discovery.clone(),
        limits: fleet.spec.limits,
    };
    (settings, origin)
}

/// Zero means the default, as absence does; one form for both.
fn unless_zero(duration: Option<Duration>) -> Option<Duration> {
    duration.filter(|d| d.seconds != 0 || d.nanos != 0)
}
