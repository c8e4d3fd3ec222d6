//! A tenant as an operator sets one up: a vendor, an access key, an OTLP and a TCP collector, and a fleet.
use std::{net::Ipv4Addr, time::Duration};

use anyhow::Context as _;
use ekiden_proto::{
    admin::v1::{Collector, Fleet},
    settings::v1::{
        CloudMap, CollectorProtocol, Discovery, Endpoint, KeyPlacement, Listener, ListenerProtocol,
        Tls,
    },
};

use super::{ControlPlane, Operator, Relay, RelayOptions, World, wait};
use crate::{
    vendor_collector::{Exchange, KeyCheck, VendorCollector},
    workloads::resolver::Resolver,
};

/// Port of the fleet's OTLP listener.
pub const OTLP_PORT: u16 = 4317;
/// Port of the fleet's TCP listener.
pub const TCP_PORT: u16 = 6667;
/// Header in which the vendor wants the key.
pub const KEY_HEADER: &str = "api-key";

/// How long a relay may take from its start to being ready, in a debug build on a busy machine.
pub const READY: Duration = Duration::from_secs(60);

/// A tenant with all that belongs to it.
pub struct Customer {
    /// Resource name of the tenant.
    pub tenant: String,
    /// Resource name of the access key.
    pub access_key: String,
    /// The key's current text.
    pub key: String,
    /// Resource name of the OTLP collector.
    pub otlp_collector: String,
    /// Resource name of the TCP collector.
    pub tcp_collector: String,
    /// Resource name of the fleet.
    pub fleet: String,
    /// Id of the Cloud Map service.
    pub service: String,
    /// Name that workloads resolve.
    pub dns_name: String,
    /// What relays started from now on are told of ECS's stop timeout, in seconds.
    pub stop_timeout: u32,
    /// Further environment variables of relays started from now on.
    pub variables: Vec<(String, String)>,
    /// The vendor's OTLP endpoint, with TLS.
    pub otlp_vendor: VendorCollector,
    /// The vendor's TCP endpoint, with TLS; echoes.
    pub tcp_vendor: VendorCollector,
}

impl Customer {
    /// Sets up tenant `id`; its fleet's DNS records live for `ttl` seconds.
    pub async fn set_up(
        world: &World,
        operator: &Operator,
        id: &str,
        ttl: u32,
    ) -> anyhow::Result<Self> {
        let key = new_key(id);
        let (otlp_host, tcp_host) =
            (format!("otlp.{id}.vendor.test"), format!("tcp.{id}.vendor.test"));
        let check = KeyCheck::header(KEY_HEADER, "", &[&key]);
        let otlp_vendor = world.otlp_vendor(&otlp_host, check).await?;
        let tcp_vendor = world.tcp_vendor(&tcp_host, true, Exchange::Echo).await?;
        let (service, dns_name) = world.provide_service(&format!("relay-{id}"), ttl);

        let tenant = operator.create_tenant(id).await.context("creating the tenant")?.name;
        let access_key = operator
            .create_access_key(&tenant, "vendor", &key)
            .await
            .context("creating the key")?
            .name;
        let otlp = Collector {
            protocol: CollectorProtocol::OtlpGrpc.into(),
            endpoints: vec![endpoint(&otlp_host, otlp_vendor.address().port())],
            key_placement: Some(KeyPlacement {
                access_key: access_key.clone(),
                header: KEY_HEADER.to_owned(),
                prefix: String::new(),
            }),
            ..collector(world)
        };
        let otlp = operator
            .create_collector(&tenant, "otlp", otlp)
            .await
            .context("creating the OTLP collector")?;
        let tcp = Collector {
            protocol: CollectorProtocol::Tcp.into(),
            endpoints: vec![endpoint(&tcp_host, tcp_vendor.address().port())],
            ..collector(world)
        };
        let tcp = operator
            .create_collector(&tenant, "tcp", tcp)
            .await
            .context("creating the TCP collector")?;
        let fleet = Fleet {
            display_name: "ap-northeast-1, main VPC".to_owned(),
            listeners: vec![
                listener("otlp", OTLP_PORT, ListenerProtocol::Otlp, &otlp.name),
                listener("tcp", TCP_PORT, ListenerProtocol::Tcp, &tcp.name),
            ],
            discovery: Some(discovery(&service, &dns_name, ttl)),
            ..Fleet::default()
        };
        let fleet =
            operator.create_fleet(&tenant, "main", fleet).await.context("creating the fleet")?.name;
        Ok(Self {
            tenant,
            access_key,
            key,
            otlp_collector: otlp.name,
            tcp_collector: tcp.name,
            fleet,
            service,
            dns_name,
            stop_timeout: 30,
            variables: Vec::new(),
            otlp_vendor,
            tcp_vendor,
        })
    }

    /// Starts `count` relays of the fleet, spread over zones, and waits until all are ready and in DNS.
    pub async fn start_relays(
        &self,
        world: &World,
        control_plane: &ControlPlane,
        count: u32,
    ) -> anyhow::Result<Vec<Relay>> {
        let token = control_plane.operator()?.create_enrollment_token(&self.fleet, count).await?;
        let mut relays = Vec::new();
        for (number, zone) in (1..=count).zip(["a", "c", "d"].iter().cycle()) {
            let name = format!("{}-relay-{number}", self.tenant.trim_start_matches("tenants/"));
            let mut options = RelayOptions::new(&name, &token);
            options.stop_timeout = self.stop_timeout;
            options.variables.clone_from(&self.variables);
            options.zone = format!("ap-northeast-1{zone}");
            relays.push(Relay::start(world, &control_plane.relay_port(), options)?);
        }
        for relay in &mut relays {
            relay.ready(READY).await?;
        }
        self.in_dns(world, &relays).await?;
        Ok(relays)
    }

    /// Waits until DNS answers with exactly these relays (at most 8).
    pub async fn in_dns(&self, world: &World, relays: &[Relay]) -> anyhow::Result<()> {
        let mut wanted: Vec<Ipv4Addr> = relays.iter().map(Relay::address).collect();
        wanted.sort();
        let resolver = world.resolver()?;
        let what = format!("{} resolves to {wanted:?}", self.dns_name);
        wait::until(&what, READY, async || {
            Ok((self.resolve(&resolver).await == wanted).then_some(()))
        })
        .await
    }

    /// Returns what DNS says now, in order.
    pub async fn resolve(&self, resolver: &Resolver) -> Vec<Ipv4Addr> {
        resolver.forget();
        let mut addresses = resolver.addresses(&self.dns_name).await.unwrap_or_default();
        addresses.sort();
        addresses
    }
}

/// Returns a key that occurs nowhere else in the world.
pub fn new_key(owner: &str) -> String {
    format!("key-of-{owner}-{:032x}", rand::random::<u128>())
}

/// Returns an endpoint of the first priority.
pub fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint { host: host.to_owned(), port: u32::from(port), priority: 0 }
}

/// Returns a listener with the documented defaults.
pub fn listener(name: &str, port: u16, protocol: ListenerProtocol, collector: &str) -> Listener {
    Listener {
        name: name.to_owned(),
        port: u32::from(port),
        protocol: protocol.into(),
        collector: collector.to_owned(),
        ..Listener::default()
    }
}

/// Returns the discovery settings of a fleet.
pub fn discovery(service: &str, dns_name: &str, ttl: u32) -> Discovery {
    Discovery {
        cloud_map: Some(CloudMap {
            service_id: service.to_owned(),
            dns_name: dns_name.to_owned(),
            ttl: Some(prost_types::Duration { seconds: i64::from(ttl), nanos: 0 }),
            ..CloudMap::default()
        }),
    }
}

/// Returns a collector that trusts the world's vendors, without endpoints and protocol.
pub fn collector(world: &World) -> Collector {
    let tls = Tls { ca_certificates_pem: world.authority.pem(), ..Tls::default() };
    Collector { tls: Some(tls), ..Collector::default() }
}
