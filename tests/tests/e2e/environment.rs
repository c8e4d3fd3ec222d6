//! A relay that is started like the vendor's container.
use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ekiden_tests::{
    egress_proxy::EgressProxy,
    harness::{
        Relay, RelayOptions, World,
        customer::{READY, TCP_PORT},
        wait,
        world::CONTROL_PLANE_NAME,
    },
    vendor_collector::{Exchange, VendorCollector},
    workloads::tcp::{Held, exchange},
};
use serde_json::Value;

use super::ways::{HEALS, TTL, running};

const VENDOR: &str = "collector.vendor.test";
const ACCESS_KEY: &str = "the-vendor-s-access-key-0001";

/// Options with what a task of the vendor's Terraform module is started with.
fn options(world: &World, name: &str, vendor: &VendorCollector) -> RelayOptions {
    RelayOptions::new(name, "")
        .variable("ACCESS_KEY", ACCESS_KEY)
        .variable("CHECK_CERTIFICATE", "true")
        .variable("COLLECTOR", VENDOR)
        .variable("COLLECTOR_PORT", &vendor.address().port().to_string())
        .variable("TAGS", "role:web")
        .variable("ADDITIONAL_CONF", &format!("agentino_port: {TCP_PORT}"))
        .variable("COLLECTOR_CA_CERTIFICATE_TYPE", "base64")
        .variable("COLLECTOR_CA_CERTIFICATE_VALUE", &STANDARD.encode(world.authority.pem()))
        .variable("COLLECTOR_CA_CERTIFICATE_PATH", "/ssl/collector_cert.pem")
        .variable("COLLECTOR_CA_CERTIFICATE", "/ssl/collector_cert.pem")
}

/// Reasons and messages of the conditions that `/readyz` shows.
async fn conditions(relay: &mut Relay) -> anyhow::Result<Vec<(String, String)>> {
    let ready: Value = serde_json::from_str(&relay.page("/readyz").await?.1)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = ready["conditions"].as_array().cloned().unwrap_or_default();
    Ok(conditions.iter().map(|it| (text(&it["reason"]), text(&it["message"]))).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_control_plane_a_relay_does_what_the_vendors_variables_say() -> anyhow::Result<()>
{
    let world = World::start().await?;
    let vendor = world.tcp_vendor(VENDOR, true, Exchange::Echo).await?;
    let (service, dns_name) = world.provide_service("relay-alone", TTL);
    let options = options(&world, "alone", &vendor)
        .variable("EKIDEN_CLOUD_MAP_SERVICE_ID", &service)
        .variable("EKIDEN_CLOUD_MAP_DNS_NAME", dns_name.trim_end_matches('.'))
        .variable("EKIDEN_CLOUD_MAP_TTL", &TTL.to_string());
    let mut relay = Relay::start(&world, None, options)?;
    relay.ready(READY).await?;

    let instances = world.cloud_map.instances(&service);
    assert_eq!(instances, [(relay.task().to_owned(), relay.address().to_string())]);
    let found = world.resolver()?.pick(&dns_name, TCP_PORT).await?;
    let carried = exchange(found, 4 << 20).await?;
    assert_eq!((carried.received, carried.received_sha256), (carried.sent, carried.sent_sha256));
    assert!(vendor.records().streams().iter().any(|stream| stream.received == carried.sent));

    let conditions = conditions(&mut relay).await?;
    let naming = |name: &str| {
        conditions
            .iter()
            .filter(|(reason, message)| {
                reason == "VARIABLE_WITHOUT_EFFECT" && message.starts_with(name)
            })
            .count()
    };
    assert_eq!(
        (naming("ACCESS_KEY"), naming("TAGS"), conditions.len()),
        (1, 1, 3),
        "{conditions:?}"
    );
    assert!(conditions.iter().any(|(reason, _)| reason == "SETTINGS_FROM_ENVIRONMENT"));
    let log = relay.process().log();
    let logged =
        |name: &str| log.lines().filter(|line| line.contains(&format!("\"{name}\""))).count();
    assert_eq!((logged("ACCESS_KEY"), logged("TAGS")), (1, 1), "{log}");
    assert!(!log.contains(ACCESS_KEY));

    let status = relay.terminate(Duration::from_secs(31)).await?;
    assert!(status.success(), "{status}");
    assert_eq!(world.cloud_map.instances(&service), []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_the_vendors_variables_name_is_the_only_way_to_the_collector()
-> anyhow::Result<()> {
    let world = World::start().await?;
    let vendor = world.tcp_vendor(VENDOR, true, Exchange::Echo).await?;
    let proxy = EgressProxy::start(world.loopback.any_port()).await?;
    let address = proxy.address();
    let options = options(&world, "proxied", &vendor)
        .variable("COLLECTOR_PORT", "443")
        .variable("PROXY_HOST", &address.ip().to_string())
        .variable("PROXY_PORT", &address.port().to_string());
    let mut relay = Relay::start(&world, None, options)?;
    relay.listening(TCP_PORT, READY).await?;
    let refused = [("cause", "proxy_refused")];
    relay.figure_reaches("listener_connections_closed_total", &refused, 1.0).await?;
    assert_eq!(vendor.records().accepted(), 0);
    assert_eq!(relay.page("/readyz").await?.0, 503);

    proxy.lead(VENDOR, vendor.address());
    relay.ready(HEALS).await?;
    let carried = exchange(relay.listener(TCP_PORT), 1 << 20).await?;
    assert_eq!(carried.received_sha256, carried.sent_sha256);
    assert!(proxy.asked().iter().all(|asked| asked == "collector.vendor.test:443"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleets_settings_win_once_the_control_plane_is_heard_and_cut_no_connection()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let world = &run.world;
    let vendor = world.tcp_vendor(VENDOR, true, Exchange::Echo).await?;
    let token = run.options("settles").await?.token;
    let later = "later.msp.test";
    let url = format!("https://{later}:{}", run.control_plane.relays().port());
    let options = options(world, "settles", &vendor)
        .variable("EKIDEN_ENROLLMENT_TOKEN", &token)
        .variable("EKIDEN_CONTROL_PLANE", &url)
        .variable("EKIDEN_CONTROL_PLANE_SERVER_NAME", CONTROL_PLANE_NAME);
    let mut relay = run.start(options)?;
    relay.ready(READY).await?;
    let listener = relay.listener(TCP_PORT);
    let mut beating = Held::open(listener).await?.keep_beating();
    beating.passes(3).await?;
    assert_eq!(run.customer.tcp_vendor.records().accepted(), 0);

    let IpAddr::V4(control_plane) = run.control_plane.relays().ip() else {
        anyhow::bail!("the control plane listens on IPv6");
    };
    world.dns.set_addresses(&format!("{later}."), 1, &[control_plane]);
    wait::until("the fleet's settings run", HEALS, async || {
        let reasons = conditions(&mut relay).await?;
        Ok((!reasons.iter().any(|(reason, _)| reason == "SETTINGS_FROM_ENVIRONMENT")).then_some(()))
    })
    .await?;
    run.customer.in_dns(world, std::slice::from_ref(&relay)).await?;
    let before = vendor.records().accepted();
    Held::open(listener).await?.close().await?;
    assert!(
        run.customer.tcp_vendor.records().accepted() > 0,
        "new connections go where the fleet says"
    );
    assert_eq!(vendor.records().accepted(), before);
    // That they stay for longer than a farewell takes, the data plane's own tests show.
    beating.passes(100).await?;
    let figure =
        relay.figure("listener_connections_closed_total", &[("cause", "settings_removed")]);
    assert!(figure.await? < 1.0);
    assert!(!relay.process().log().contains(ACCESS_KEY));
    Ok(())
}
