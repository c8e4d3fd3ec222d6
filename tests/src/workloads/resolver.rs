//! A workload's resolver: asks the world's DNS, keeps an answer for its TTL and not longer, takes addresses in turn.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};
use rand::seq::IndexedRandom as _;

/// Resolves names as a well-behaved client does.
#[derive(Clone, Debug)]
pub struct Resolver {
    resolver: TokioResolver,
}

impl Resolver {
    /// Makes a resolver that asks only `server`, by UDP and, when an answer is cut short, by TCP.
    pub fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        udp.port = server.port();
        tcp.port = server.port();
        let name_server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
        let config = ResolverConfig::from_name_servers(vec![name_server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.try_tcp_on_error = false;
        Ok(Self { resolver: builder.build()? })
    }

    /// Returns the addresses of `name` (absolute, with its trailing dot), from memory while their TTL lasts.
    pub async fn addresses(&self, name: &str) -> Result<Vec<Ipv4Addr>, NetError> {
        let lookup = self.lookup(name, RecordType::A).await?;
        let addresses = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        });
        Ok(addresses.collect())
    }

    /// Returns the whole answer to one question, its TTLs as what is left of them.
    pub async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Lookup, NetError> {
        self.resolver.lookup(name, record_type).await
    }

    /// Returns one of the addresses of `name`, drawn at random, with `port`.
    pub async fn pick(&self, name: &str, port: u16) -> anyhow::Result<SocketAddr> {
        let addresses = self.addresses(name).await?;
        let address = addresses.choose(&mut rand::rng());
        let address = address.ok_or_else(|| anyhow::anyhow!("{name} has no address"))?;
        Ok(SocketAddr::new(IpAddr::V4(*address), port))
    }

    /// Forgets what it knows.
    pub fn forget(&self) {
        self.resolver.clear_cache();
    }
}
