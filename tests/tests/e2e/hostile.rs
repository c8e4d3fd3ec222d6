//! A relay against a control plane that says what a real one never would.
use ekiden_proto::{
    relay::v1::{SettingsPhase, SettingsSnapshot},
    settings::v1::{Collector, CollectorProtocol, ListenerProtocol, Settings, Tls},
};
use ekiden_tests::{
    harness::{
        Relay, RelayOptions, World,
        customer::{OTLP_PORT, READY, TCP_PORT, endpoint, listener},
        relay::RelayPort,
        world::CONTROL_PLANE_NAME,
    },
    hostile_control_plane::{FLEET, HostileControlPlane},
    vendor_collector::{Exchange, KeyCheck, VendorCollector},
    workloads::{
        otlp::{Exporter, marker},
        tcp::Held,
    },
};
use prost::Message as _;

const OTLP: &str = "tenants/acme/collectors/otlp";
const TCP: &str = "tenants/acme/collectors/tcp";

/// A relay that runs revision 1, which is good.
struct Hostile {
    relay: Relay,
    good: Settings,
    control_plane: HostileControlPlane,
    _vendors: [VendorCollector; 2],
    _world: World,
}

async fn set_up() -> anyhow::Result<Hostile> {
    let world = World::start().await?;
    let control_plane =
        HostileControlPlane::start(world.loopback.any_port(), CONTROL_PLANE_NAME).await?;
    if let std::net::IpAddr::V4(address) = world.loopback.host() {
        world.dns.set_addresses(&format!("{CONTROL_PLANE_NAME}."), 1, &[address]);
    }
    let otlp_vendor = world.otlp_vendor("otlp.vendor.test", KeyCheck::none()).await?;
    let tcp_vendor = world.tcp_vendor("tcp.vendor.test", true, Exchange::Echo).await?;
    let collector = |name: &str, protocol: CollectorProtocol, host: &str, port: u16| Collector {
        name: name.to_owned(),
        protocol: protocol.into(),
        endpoints: vec![endpoint(host, port)],
        tls: Some(Tls { ca_certificates_pem: world.authority.pem(), ..Tls::default() }),
        ..Collector::default()
    };
    let otlp = (CollectorProtocol::OtlpGrpc, "otlp.vendor.test", otlp_vendor.address().port());
    let tcp = (CollectorProtocol::Tcp, "tcp.vendor.test", tcp_vendor.address().port());
    let good = Settings {
        fleet: FLEET.to_owned(),
        listeners: vec![
            listener("otlp", OTLP_PORT, ListenerProtocol::Otlp, OTLP),
            listener("tcp", TCP_PORT, ListenerProtocol::Tcp, TCP),
        ],
        collectors: vec![
            collector(OTLP, otlp.0, otlp.1, otlp.2),
            collector(TCP, tcp.0, tcp.1, tcp.2),
        ],
        ..Settings::default()
    };
    control_plane.say(1, &good);
    let ca = world.folder().join("hostile-ca.pem");
    std::fs::write(&ca, control_plane.ca_pem())?;
    let url = format!("https://{CONTROL_PLANE_NAME}:{}", control_plane.address().port());
    let options = RelayOptions::new("victim", "ekr_0123456789abcdef_any-token-is-let-in-here");
    let mut relay = Relay::start(&world, &RelayPort { url, ca }, options)?;
    relay.ready(READY).await?;
    Ok(Hostile { relay, good, control_plane, _vendors: [otlp_vendor, tcp_vendor], _world: world })
}

#[tokio::test]
async fn impossible_settings_never_replace_good_ones_and_each_refusal_names_the_field_and_is_counted()
-> anyhow::Result<()> {
    let mut run = set_up().await?;
    let mut held = Held::open(run.relay.listener(TCP_PORT)).await?.keep_beating();
    let good = run.good.clone();
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = good.clone();
        change(&mut settings);
        settings
    };
    let cases = [
        ("listeners[0].port", with(&|settings| settings.listeners[0].port = 70_000)),
        ("listeners[1].port", with(&|settings| settings.listeners[1].port = 0)),
        ("listeners[1].port", with(&|settings| settings.listeners[1].port = u32::from(OTLP_PORT))),
        (
            "listeners[0].collector",
            with(&|settings| settings.listeners[0].collector = "nowhere".to_owned()),
        ),
        (
            "collectors[1].endpoints[0].port",
            with(&|settings| settings.collectors[1].endpoints[0].port = 65_536),
        ),
        ("collectors[0].endpoints", with(&|settings| settings.collectors[0].endpoints.clear())),
        ("fleet", with(&|settings| settings.fleet = "tenants/acme/fleets/other".to_owned())),
    ];
    for (number, (field, settings)) in cases.iter().enumerate() {
        let revision = number as u64 + 2;
        let rejected = run.relay.figure("settings_rejected_total", &[]).await?;
        run.control_plane.say(revision, settings);
        let what = format!("revision {revision} is refused for {field}");
        let refused = run.control_plane.status(&what, |status| {
            status.attempted_revision == revision && status.phase() == SettingsPhase::Failed
        });
        let status = refused.await?;
        let named = status.violations.iter().any(|one| one.field == *field);
        assert!(named, "{field}: {:?}", status.violations);
        assert_eq!(status.running_revision, 1, "{field}");
        run.relay.figure_reaches("settings_rejected_total", &[], rejected + 1.0).await?;
        held.passes(2).await?;
    }
    Exporter::new(run.relay.listener(OTLP_PORT))?.spans(&[marker("still")]).await?;
    run.control_plane.say(100, &good);
    let applied = run.control_plane.status("revision 100 runs", |status| {
        status.running_revision == 100 && status.phase() == SettingsPhase::Applied
    });
    applied.await?;
    held.passes(2).await
}

#[tokio::test]
async fn a_snapshot_that_was_damaged_is_too_large_or_goes_back_is_not_run() -> anyhow::Result<()> {
    let mut run = set_up().await?;
    let mut held = Held::open(run.relay.listener(TCP_PORT)).await?.keep_beating();
    let mut moved = run.good.clone();
    moved.listeners[1].port = 7_777;
    let damaged = SettingsSnapshot {
        revision: 5,
        hash: vec![7; 32].into(),
        settings: moved.encode_to_vec().into(),
        ..SettingsSnapshot::default()
    };
    run.control_plane.say_exactly(damaged);
    let refused = run.control_plane.status("the damaged snapshot is refused", |status| {
        status.attempted_revision == 5 && status.phase() == SettingsPhase::Failed
    });
    assert_eq!(refused.await?.running_revision, 1);

    // Ten mebibytes end the session that they come in, and no more than that.
    let lost = run.relay.figure("sessions_lost_total", &[]).await?;
    let large = SettingsSnapshot {
        revision: 6,
        settings: vec![0; 10 << 20].into(),
        ..SettingsSnapshot::default()
    };
    run.control_plane.say_exactly(large);
    run.relay.figure_reaches("sessions_lost_total", &[], lost + 1.0).await?;
    held.passes(2).await?;

    // Up to 9, then back to 8: a relay's revision only goes up.
    run.control_plane.say(9, &run.good);
    run.control_plane.status("revision 9 runs", |status| status.running_revision == 9).await?;
    run.control_plane.say(8, &moved);
    let refused = run.control_plane.status("revision 8 is refused", |status| {
        status.attempted_revision == 8 && status.phase() == SettingsPhase::Failed
    });
    let status = refused.await?;
    assert!(status.violations.iter().any(|one| one.field == "revision"), "{status:?}");
    assert_eq!(status.running_revision, 9);
    run.control_plane.say(10, &run.good);
    run.control_plane.status("revision 10 runs", |status| status.running_revision == 10).await?;
    held.passes(2).await
}
