//! Getting into DNS while AWS is slow, throttles, or fails.
use std::time::Duration;

use ekiden_tests::{
    cloud_map::{ApiError, Fault},
    ecs_metadata::Mode,
    harness::{
        RelayOptions,
        customer::{OTLP_PORT, READY},
        world::CONTROL_PLANE_NAME,
    },
    workloads::otlp::{Exporter, marker},
};

use super::ways::running;

#[tokio::test]
async fn a_relay_gets_registered_through_throttling_errors_and_failed_operations()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let cloud_map = &run.world.cloud_map;
    cloud_map.set_delay(Duration::from_secs(1));
    cloud_map.inject(Fault::new("RegisterInstance", ApiError::throttled(), 2));
    cloud_map.inject(Fault::new("RegisterInstance", ApiError::internal(), 1));
    cloud_map.inject(Fault::new("GetOperation", ApiError::throttled(), 2));
    cloud_map.fail_operations(1);
    let relay = run.ready_relay("registers").await?;
    let instances = cloud_map.instances(&run.customer.service);
    assert_eq!(instances, [(relay.task().to_owned(), relay.address().to_string())]);
    let resolver = run.world.resolver()?;
    assert_eq!(resolver.addresses(&run.customer.dns_name).await?, [relay.address()]);
    let registrations =
        cloud_map.calls().iter().filter(|call| call.action == "RegisterInstance").count();
    assert!(
        (5..20).contains(&registrations),
        "{registrations} calls: retries should be few and apart"
    );
    Ok(())
}

#[tokio::test]
async fn a_relay_without_usable_task_metadata_still_serves() -> anyhow::Result<()> {
    let run = running(0).await?;
    for (name, metadata) in [
        ("garbage", Mode::Garbage),
        ("failing", Mode::Fail),
        ("slow", Mode::Slow(Duration::from_secs(600))),
    ] {
        let mut relay = run.start(RelayOptions { metadata, ..run.options(name).await? })?;
        relay.ready(READY).await?;
        Exporter::new(relay.listener(OTLP_PORT))?.spans(&[marker(name)]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_finds_its_control_plane_by_srv_record() -> anyhow::Result<()> {
    let run = running(0).await?;
    let target = format!("{CONTROL_PLANE_NAME}.");
    run.world.dns.set_services(
        "_relays._tcp.msp.test.",
        5,
        &[(run.control_plane.relays().port(), &target)],
    );
    let options = run
        .options("by-srv")
        .await?
        .variable("EKIDEN_CONTROL_PLANE", "srv:_relays._tcp.msp.test")
        // What DNS says is no proof: the certificate's name is stated beside it.
        .variable("EKIDEN_CONTROL_PLANE_SERVER_NAME", CONTROL_PLANE_NAME);
    run.start(options)?.ready(READY).await
}
