//! The registrations as they are, for whoever watches.
use std::{net::IpAddr, time::Duration};

use prost_types::Timestamp;

/// The registrations as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// Whether the fleet wants its relays listed.
    pub wanted: bool,
    /// Address that is or would be listed.
    pub address: Option<IpAddr>,
    /// What has to be known before anything can be listed; empty: nothing.
    pub missing: String,
    /// One a service: where the relay is to be, the fleet's own first, then where it was and has to leave.
    pub services: Vec<ServiceState>,
    /// How many of them it is to be in.
    pub current: usize,
    /// Other relays by service, where the registry was asked.
    pub others: Vec<(String, Vec<String>)>,
}

/// The registration in one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceState {
    /// Id of the service.
    pub id: String,
    /// Name that workloads resolve.
    pub dns_name: String,
    /// TTL of its records.
    pub ttl: Duration,
    /// Whether the registry may hold a record.
    pub listed: bool,
    /// Whether it confirmed one.
    pub registered: bool,
    /// Whether DNS answers with this relay.
    pub in_dns: bool,
    /// Whether DNS has been off for longer than twice the TTL.
    pub dns_differs: bool,
    /// What went wrong last; empty: nothing.
    pub message: String,
    /// When DNS was asked last.
    pub verified_at: Option<Timestamp>,
}

impl Registration {
    /// The services that the relay is to be in.
    pub fn current(&self) -> &[ServiceState] {
        self.services.get(..self.current).unwrap_or_default()
    }

    /// Whether the registry confirmed all that is wanted.
    pub fn registered(&self) -> bool {
        self.wanted && self.current().iter().all(|one| one.registered)
    }

    /// Whether DNS answers with this relay under every name that it is to be under.
    pub fn in_dns(&self) -> bool {
        self.wanted && self.current().iter().all(|one| one.in_dns)
    }

    /// What is in the way; empty: nothing.
    pub fn message(&self) -> &str {
        let troubled = self.services.iter().find(|one| !one.message.is_empty());
        troubled.map_or(&self.missing, |one| &one.message)
    }

    /// When DNS was asked last.
    pub fn verified_at(&self) -> Option<Timestamp> {
        self.current().first()?.verified_at
    }
}
