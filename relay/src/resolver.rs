//! Finds addresses: DNS by hickory, with what hickory lacks.
//!
//! Names are absolute and only A records are asked for: a name without its dot walks the search list, and AAAA doubles
//! what Route 53 bills. Answers live for their TTL, at most a minute, and "no such name" for a few seconds at most,
//! whatever the zone's SOA says. When DNS fails, the last good answer serves on; see [`last_good`].

mod last_good;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ekiden_settings::Host;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData},
    system_conf::read_system_conf,
};
use rand::{Rng, seq::SliceRandom};
use tokio::time::Instant;

use self::last_good::{Asked, LastGood};

const TIMEOUT: Duration = Duration::from_secs(1);
/// Retries after the first.
const ATTEMPTS: usize = 2;
const LONGEST: Duration = Duration::from_secs(5);
const POSITIVE_MAX_TTL: Duration = Duration::from_secs(60);
/// A TTL of 0 would make every connection a query.
const POSITIVE_MIN_TTL: Duration = Duration::from_secs(1);
const NEGATIVE_MIN_TTL: Duration = Duration::from_secs(1);
const NEGATIVE_MAX_TTL: Duration = Duration::from_secs(2);
const CACHED_NAMES: u64 = 1024;

/// Resolves names; cheap to clone.
#[derive(Clone, Debug)]
pub struct Resolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cached: TokioResolver,
    /// Asks each time, and nothing but DNS.
    fresh: TokioResolver,
    last_good: Mutex<LastGood>,
}

/// Why a name gave no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("{name:?} is no DNS name")]
    NotAName { name: String },
    #[error("DNS knows no {name}")]
    NoSuchName { name: String },
    #[error("DNS has no addresses for {name}")]
    NoRecords { name: String },
    #[error("DNS failed for {name}: {reason}")]
    Failed { name: String, reason: String },
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
#[error("the system's name servers cannot be read; name some in EKIDEN_RESOLVERS")]
pub struct SetupError(#[from] NetError);

/// A place that an SRV record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub host: Host,
    pub port: u16,
    /// Lower is tried first.
    pub priority: u16,
    pub weight: u16,
}

impl Resolver {
    /// Asks these name servers; none: the system's.
    pub fn new(name_servers: &[SocketAddr]) -> Result<Self, SetupError> {
        let name_servers = match name_servers {
            [] => read_system_conf()?.0.name_servers().to_vec(),
            given => given.iter().map(|address| name_server(*address)).collect(),
        };
        let build = |options| {
            let config = ResolverConfig::from_parts(None, Vec::new(), name_servers.clone());
            let provider = TokioRuntimeProvider::default();
            TokioResolver::builder_with_config(config, provider).with_options(options).build()
        };
        let cached = build(options())?;
        let mut uncached = options();
        uncached.cache_size = 0;
        uncached.use_hosts_file = ResolveHosts::Never;
        let fresh = build(uncached)?;
        Ok(Self(Arc::new(Inner { cached, fresh, last_good: Mutex::default() })))
    }

    /// Gives a host's addresses in the order of the answer; an address gives itself.
    ///
    /// Where DNS fails or denies the name, the last good answer of the last 15 minutes serves on; only the second denial
    /// in a row counts.
    pub async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, ResolveError> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        if let Some(addresses) = self.last_good().held(name, Instant::now()) {
            return Ok(addresses);
        }
        let answer = ipv4(&self.0.cached, name).await;
        let asked = match &answer {
            Ok(addresses) => Asked::Found(addresses.iter().copied().map(IpAddr::V4).collect()),
            Err(ResolveError::NoSuchName { .. } | ResolveError::NoRecords { .. }) => Asked::Denied,
            Err(_) => Asked::Failed,
        };
        match (self.last_good().after(name, asked, Instant::now()), answer) {
            (Some(addresses), Ok(_)) => Ok(addresses),
            (Some(addresses), Err(error)) => {
                tracing::debug!(dns.name = name, %error, "the last good answer of DNS is used");
                Ok(addresses)
            }
            (None, Ok(_)) => Err(ResolveError::NoRecords { name: name.clone() }),
            (None, Err(error)) => Err(error),
        }
    }

    /// Asks DNS itself for a name's addresses: no cache, no hosts file, no last good answer.
    pub async fn addresses_from_dns(&self, name: &str) -> Result<Vec<Ipv4Addr>, ResolveError> {
        ipv4(&self.0.fresh, name).await
    }

    /// Gives what a name's SRV records say, by priority.
    pub async fn services(&self, name: &str) -> Result<Vec<Service>, ResolveError> {
        let absolute = absolute(name)?;
        let lookup = within(name, self.0.cached.srv_lookup(absolute)).await?;
        let services = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Service {
                host: host(&srv.target),
                port: srv.port,
                priority: srv.priority,
                weight: srv.weight,
            }),
            _ => None,
        });
        let mut services = services.collect::<Vec<_>>();
        services.sort_by_key(|service| service.priority);
        if services.is_empty() {
            Err(ResolveError::NoRecords { name: name.to_owned() })
        } else {
            Ok(services)
        }
    }

    fn last_good(&self) -> MutexGuard<'_, LastGood> {
        self.0.last_good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings addresses into random order, so that relays do not all lean on the first.
pub fn shuffle<T>(addresses: &mut [T], random: &mut impl Rng) {
    addresses.shuffle(random);
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
    options.cache_size = CACHED_NAMES;
    options.positive_min_ttl = Some(POSITIVE_MIN_TTL);
    options.positive_max_ttl = Some(POSITIVE_MAX_TTL);
    options.negative_min_ttl = Some(NEGATIVE_MIN_TTL);
    options.negative_max_ttl = Some(NEGATIVE_MAX_TTL);
    options.use_hosts_file = ResolveHosts::Always;
    // Some resolvers in the field do not echo the case of a name.
    options.case_randomization = false;
    options
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

async fn ipv4(resolver: &TokioResolver, name: &str) -> Result<Vec<Ipv4Addr>, ResolveError> {
    let absolute = absolute(name)?;
    let lookup = within(name, resolver.ipv4_lookup(absolute)).await?;
    let addresses = lookup.answers().iter().filter_map(|record| match record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    });
    let addresses = addresses.collect::<Vec<_>>();
    if addresses.is_empty() {
        Err(ResolveError::NoRecords { name: name.to_owned() })
    } else {
        Ok(addresses)
    }
}

fn absolute(name: &str) -> Result<Name, ResolveError> {
    let mut absolute =
        Name::from_ascii(name).map_err(|_| ResolveError::NotAName { name: name.to_owned() })?;
    absolute.set_fqdn(true);
    Ok(absolute)
}

fn host(target: &Name) -> Host {
    let name = target.to_ascii().to_ascii_lowercase();
    Host::Name(name.strip_suffix('.').unwrap_or(&name).to_owned())
}

async fn within(
    name: &str,
    lookup: impl Future<Output = Result<Lookup, NetError>>,
) -> Result<Lookup, ResolveError> {
    let name = || name.to_owned();
    match tokio::time::timeout(LONGEST, lookup).await {
        Ok(Ok(lookup)) => Ok(lookup),
        Ok(Err(error)) if error.is_nx_domain() => Err(ResolveError::NoSuchName { name: name() }),
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => {
            Err(ResolveError::NoRecords { name: name() })
        }
        Ok(Err(error)) => Err(ResolveError::Failed { name: name(), reason: error.to_string() }),
        Err(_) => {
            Err(ResolveError::Failed { name: name(), reason: "no answer in time".to_owned() })
        }
    }
}
