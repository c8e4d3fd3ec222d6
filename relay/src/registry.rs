//! Where workloads find this relay: AWS Cloud Map, or nowhere.
//!
//! - [`cloud_map`]: registers through the AWS SDK.
//! - [`membership`]: keeps the registration as it should be.

pub mod cloud_map;
pub mod membership;

use std::net::IpAddr;

use futures_util::future::BoxFuture;

/// A relay as the registry lists it.
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
    /// Revision it ran when it registered.
    pub revision: u64,
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

/// Lists relays for workloads. Both calls may be repeated: the same instance is replaced, a missing one is gone.
pub trait Registry: Send + Sync {
    /// Lists the relay, and comes back when the registry has done so.
    fn register<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), RegistryError>>;

    /// Takes the relay off the list, and comes back when the registry has done so.
    fn deregister<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), RegistryError>>;
}
