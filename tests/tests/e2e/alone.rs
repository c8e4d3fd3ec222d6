//! A relay among real stand-ins, with a bare control plane in place of the real one: for what is the relay's own.
use ekiden_proto::{
    relay::v1::{KeyBundle, KeyMaterial},
    settings::v1::{Collector, CollectorProtocol, KeyPlacement, ListenerProtocol, Settings, Tls},
};
use ekiden_tests::{
    bare_control_plane::{BareControlPlane, FLEET, TOKEN},
    harness::{
        Relay, RelayOptions, World,
        customer::{KEY_HEADER, OTLP_PORT, READY, TCP_PORT, discovery, endpoint, listener},
        relay::RelayPort,
        wait::{self, SAFETY},
        world::CONTROL_PLANE_NAME,
    },
    vendor_collector::{Exchange, KeyCheck, VendorCollector},
};

/// The access key's text.
pub(super) const KEY: &str = "the-key-that-a-bare-control-plane-gives";
/// The OTLP collector, its vendor's name, and the same for TCP.
pub(super) const OTLP: &str = "tenants/acme/collectors/otlp";
pub(super) const OTLP_HOST: &str = "otlp.vendor.test";
pub(super) const TCP: &str = "tenants/acme/collectors/tcp";
pub(super) const TCP_HOST: &str = "tcp.vendor.test";
/// Name that workloads resolve.
pub(super) const DNS_NAME: &str = "relay.telemetry.internal.";
const ACCESS_KEY: &str = "tenants/acme/accessKeys/vendor";

/// Returns a bundle in which the access key has these texts (none or one).
pub(super) fn keys(secret_version: u64, texts: &[&str]) -> KeyBundle {
    let key = |text: &&str| KeyMaterial {
        access_key: ACCESS_KEY.to_owned(),
        version: secret_version,
        value: text.as_bytes().to_vec(),
    };
    KeyBundle { secret_version, keys: texts.iter().map(key).collect(), ..KeyBundle::default() }
}

/// Everything but relays; settings of revision 1 are ready to be pulled.
pub(super) struct Alone {
    pub(super) settings: Settings,
    pub(super) service: String,
    pub(super) otlp_vendor: VendorCollector,
    pub(super) tcp_vendor: VendorCollector,
    pub(super) control_plane: BareControlPlane,
    relay_port: RelayPort,
    pub(super) world: World,
}

impl Alone {
    /// Makes a world whose settings are an OTLP listener with a key and a TCP listener toward an echo.
    pub(super) async fn set_up() -> anyhow::Result<Self> {
        let world = World::start().await?;
        let control_plane =
            BareControlPlane::start(world.loopback.any_port(), &[CONTROL_PLANE_NAME]).await?;
        if let std::net::IpAddr::V4(address) = world.loopback.host() {
            world.dns.set_addresses(&format!("{CONTROL_PLANE_NAME}."), 1, &[address]);
        }
        let check = KeyCheck::header(KEY_HEADER, "", &[KEY]);
        let otlp_vendor = world.otlp_vendor(OTLP_HOST, check).await?;
        let tcp_vendor = world.tcp_vendor(TCP_HOST, true, Exchange::Echo).await?;
        let (service, dns_name) = world.provide_service("relay", 1);
        let tls = Tls { ca_certificates_pem: world.authority.pem(), ..Tls::default() };
        let key_placement = KeyPlacement {
            access_key: ACCESS_KEY.to_owned(),
            header: KEY_HEADER.to_owned(),
            prefix: String::new(),
        };
        let collector = |name: &str,
                         protocol: CollectorProtocol,
                         host: &str,
                         vendor: &VendorCollector| Collector {
            name: name.to_owned(),
            protocol: protocol.into(),
            endpoints: vec![endpoint(host, vendor.address().port())],
            tls: Some(tls.clone()),
            ..Collector::default()
        };
        let otlp = collector(OTLP, CollectorProtocol::OtlpGrpc, OTLP_HOST, &otlp_vendor);
        let settings = Settings {
            fleet: FLEET.to_owned(),
            listeners: vec![
                listener("otlp", OTLP_PORT, ListenerProtocol::Otlp, OTLP),
                listener("tcp", TCP_PORT, ListenerProtocol::Tcp, TCP),
            ],
            collectors: vec![
                Collector { key_placement: Some(key_placement), ..otlp },
                collector(TCP, CollectorProtocol::Tcp, TCP_HOST, &tcp_vendor),
            ],
            discovery: Some(discovery(&service, &dns_name, 1)),
            ..Settings::default()
        };
        control_plane.give(keys(1, &[KEY]));
        control_plane.say(1, &settings);
        let ca = world.folder().join("bare-ca.pem");
        std::fs::write(&ca, control_plane.ca_pem())?;
        let url = format!("https://{CONTROL_PLANE_NAME}:{}", control_plane.address().port());
        let relay_port = RelayPort { url, ca };
        Ok(Self { settings, service, otlp_vendor, tcp_vendor, control_plane, relay_port, world })
    }

    /// Returns how to start a relay of the fleet.
    pub(super) fn options(&self, name: &str) -> RelayOptions {
        RelayOptions::new(name, TOKEN)
    }

    /// Starts a relay; it is not waited for.
    pub(super) fn start(&self, options: RelayOptions) -> anyhow::Result<Relay> {
        Relay::start(&self.world, &self.relay_port, options)
    }

    /// Starts a relay and waits until it is ready.
    pub(super) async fn ready_relay(&self, name: &str) -> anyhow::Result<Relay> {
        let mut relay = self.start(self.options(name))?;
        relay.ready(READY).await?;
        Ok(relay)
    }

    /// Waits until DNS does not answer with `relay` any more.
    pub(super) async fn gone_from_dns(&self, relay: &Relay) -> anyhow::Result<()> {
        let resolver = self.world.resolver()?;
        wait::until("the relay has left DNS", SAFETY, async || {
            resolver.forget();
            let addresses = resolver.addresses(DNS_NAME).await.unwrap_or_default();
            Ok((!addresses.contains(&relay.address())).then_some(()))
        })
        .await
    }
}
