//! Getting into DNS while AWS is slow, throttles, or fails.
use std::time::Duration;

use ekiden_tests::{
    cloud_map::{ApiError, CloudMap, Fault},
    ecs_metadata::Mode,
    harness::{
        RelayOptions,
        customer::{OTLP_PORT, READY},
        wait::SAFETY,
        world::CONTROL_PLANE_NAME,
    },
    task_credentials::{Answer, TaskCredentials},
    workloads::otlp::{Exporter, marker},
};
use rustix::process::Signal;

use super::ways::{HEALS, running};

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
async fn a_relay_is_not_ready_before_an_operation_that_takes_most_of_a_minute_has_ended()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let cloud_map = &run.world.cloud_map;
    cloud_map.set_delay(Duration::from_secs(50));
    let mut relay = run.start(run.options("patient").await?)?;
    relay.listening(OTLP_PORT, READY).await?;
    let looks = |cloud_map: &CloudMap| {
        cloud_map.calls().iter().filter(|call| call.action == "GetOperation").count()
    };
    cloud_map.wait("its operation is looked at", READY, |map| looks(map) >= 10).await?;
    assert_eq!(relay.page("/readyz").await?.0, 503);
    // Workloads that find it by other ways are served meanwhile.
    Exporter::new(relay.listener(OTLP_PORT))?.spans(&[marker("early")]).await?;
    relay.ready(READY).await?;
    let registrations =
        cloud_map.calls().iter().filter(|call| call.action == "RegisterInstance").count();
    assert_eq!(registrations, 1, "an operation that is under way is waited for");
    assert!(looks(cloud_map) < 100, "{} looks at one operation", looks(cloud_map));
    Ok(())
}

#[tokio::test]
async fn a_registry_that_fails_for_longer_than_the_stop_timeout_keeps_no_relay_from_leaving()
-> anyhow::Result<()> {
    let mut run = running(2).await?;
    run.world.cloud_map.inject(Fault::new("DeregisterInstance", ApiError::internal(), u32::MAX));
    let mut leaves = run.relays.remove(0);
    let exporter = Exporter::new(leaves.listener(OTLP_PORT))?;
    leaves.process().signal(Signal::TERM)?;
    let tries = |map: &CloudMap| {
        map.calls().iter().filter(|call| call.action == "DeregisterInstance").count()
    };
    run.world.cloud_map.wait("it tries on", SAFETY, |map| tries(map) > 3).await?;
    // Still in DNS, it still accepts.
    exporter.spans(&[marker("late")]).await?;
    Exporter::new(leaves.listener(OTLP_PORT))?.spans(&[marker("later")]).await?;
    let within = Duration::from_secs(u64::from(run.customer.stop_timeout));
    let status = leaves.process().ended(within).await?;
    assert!(status.success(), "{status}\n{}", leaves.process().tail());
    // Its record is left to its sibling, once that can.
    let listed = run.world.cloud_map.instances(&run.customer.service);
    assert!(listed.iter().any(|(task, _)| task == leaves.task()));
    run.world.cloud_map.heal();
    run.world
        .cloud_map
        .wait("its sibling takes the record out", HEALS, |map| {
            map.instances(&run.customer.service).len() == 1
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_relay_whose_task_gets_no_credentials_serves_and_registers_once_it_does()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let credentials = TaskCredentials::start(run.world.loopback.host()).await?;
    let options = run
        .options("without-credentials")
        .await?
        .variable("AWS_ACCESS_KEY_ID", "")
        .variable("AWS_SECRET_ACCESS_KEY", "")
        .variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", &credentials.url());
    let mut relay = run.start(options)?;
    relay.listening(OTLP_PORT, READY).await?;
    for answer in [Answer::Fails, Answer::Garbage, Answer::Silent] {
        let asked = credentials.answer(answer);
        credentials.asked_again(asked).await?;
        Exporter::new(relay.listener(OTLP_PORT))?.spans(&[marker("unregistered")]).await?;
        assert!(run.world.cloud_map.instances(&run.customer.service).is_empty());
    }
    credentials.answer(Answer::Serves);
    relay.ready(HEALS).await?;
    assert_eq!(run.world.cloud_map.instances(&run.customer.service).len(), 1);
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
