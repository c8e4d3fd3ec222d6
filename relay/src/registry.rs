//! Where workloads find this relay: AWS Cloud Map, or nowhere.
//!
//! - [`cloud_map`]: registers through the AWS SDK.
//! - [`fitness`]: whether this relay can be found as settings want it.
//! - [`membership`]: keeps the registrations as they should be.
//! - [`reaping`]: takes the records of siblings that are gone out of it.

pub mod cloud_map;
pub mod fitness;
pub mod membership;
pub mod reaping;

use std::{net::IpAddr, time::Duration};

use futures_util::future::BoxFuture;

/// A relay's record as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id in the registry, the same over restarts of one task.
    pub instance: String,
    /// Address that workloads reach.
    pub address: IpAddr,
    /// Port of the first listener.
    pub port: u16,
    /// Name of its availability zone.
    pub zone: Option<String>,
    /// Id of the relay.
    pub relay: String,
    /// Epoch of its session; 0: it never had one.
    pub epoch: u64,
    /// Revision it runs.
    pub revision: u64,
}

/// A record as the registry holds it; what it does not say is empty or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its id in the registry.
    pub instance: String,
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Name of the availability zone.
    pub zone: Option<String>,
    /// Id of the relay that made it; empty: no relay did.
    pub relay: String,
    /// Epoch of that relay's session then.
    pub epoch: u64,
    /// Revision that it ran then.
    pub revision: u64,
}

/// What a service in the registry answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKind {
    /// Types of its DNS records: `A`, `AAAA`, `SRV`, `CNAME`; none: it has no DNS.
    pub records: Vec<String>,
    /// The longest of their TTLs.
    pub ttl: Duration,
    /// Whether an answer holds one record alone, chosen by weight.
    pub one_answer: bool,
}

/// Why a registration is not as asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry says that the request is wrong or that the service is not there: a person has to act.
    #[error("the registry refuses: {0}")]
    Refused(String),
    /// The registry took the request and failed at it.
    #[error("the registry failed at it: {0}")]
    Failed(String),
    /// The registry did not finish in time.
    #[error("the registry did not finish in time")]
    Unfinished,
    /// The registry cannot be reached, throttles, or has trouble.
    #[error("the registry cannot be reached: {0}")]
    Unavailable(String),
}

/// Lists relays for workloads. Calls may be repeated: the same instance is replaced, a missing one is gone.
pub trait Registry: Send + Sync {
    /// Lists the relay, and comes back when the registry has done so.
    fn register<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), RegistryError>>;

    /// Takes a record off the list, and comes back when the registry has done so.
    fn deregister<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), RegistryError>>;

    /// All records of the service.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, RegistryError>>;

    /// What the service answers with.
    fn kind(&self) -> BoxFuture<'_, Result<ServiceKind, RegistryError>>;
}

impl Listed {
    /// Whether the record is as `record` wants it.
    fn is(&self, record: &Record) -> bool {
        *self == Self::from(record)
    }
}

impl From<&Record> for Listed {
    fn from(record: &Record) -> Self {
        Self {
            instance: record.instance.clone(),
            address: Some(record.address),
            port: record.port,
            zone: record.zone.clone(),
            relay: record.relay.clone(),
            epoch: record.epoch,
            revision: record.revision,
        }
    }
}
