//! Discovery settings that a relay cannot be found by: refused by field, the relay stays as it was, and mending heals.
use ekiden_proto::{
    admin::v1::{Fleet, Relay as KnownRelay},
    relay::v1::SettingsPhase,
    settings::v1::Discovery,
};
use ekiden_tests::{
    cloud_map::{ApiError, Fault, RecordKind, Records, Routing},
    harness::{customer::discovery, world::NAMESPACE},
};

use super::ways::{Running, TTL, running};

/// Sets the fleet's discovery and waits for the relay's word on it: each violation as field and text.
async fn refused(run: &Running, discovery: Discovery) -> anyhow::Result<Vec<(String, String)>> {
    let before = run.known(&run.relays[0], "it is known", |_| true).await?;
    let fleet =
        Fleet { name: run.customer.fleet.clone(), discovery: Some(discovery), ..Fleet::default() };
    run.operator.change_fleet(fleet, &["discovery"]).await?;
    let failed = |known: &KnownRelay| {
        known.attempted_revision > before.attempted_revision
            && known.settings_phase() == SettingsPhase::Failed
    };
    let known = run.known(&run.relays[0], "the relay refuses the settings", failed).await?;
    assert_eq!(known.running_revision, before.running_revision);
    Ok(known.violations.into_iter().map(|v| (v.field, v.description)).collect())
}

fn only(violations: &[(String, String)], field: &str, says: &str) {
    let [(at, description)] = violations else { panic!("{violations:?}") };
    assert_eq!(at, &format!("discovery.cloud_map.{field}"));
    assert!(description.contains(says), "{description}");
}

#[tokio::test]
async fn discovery_that_cannot_work_is_refused_by_field_and_heals_when_mended() -> anyhow::Result<()>
{
    let run = running(1).await?;
    let (cloud_map, relay) = (&run.world.cloud_map, &run.relays[0]);
    let made = |name: &str, records| cloud_map.provide_service_with(NAMESPACE, name, records);
    let name = |name: &str| format!("{name}.{NAMESPACE}.");

    let absent = discovery("srv-doesnotexist0001", &name("absent"), TTL);
    only(&refused(&run, absent).await?, "service_id", "ServiceNotFound");

    let aliases = made("aliases", Records { kind: RecordKind::Cname, ..Records::a(TTL) });
    let aliases = discovery(&aliases, &name("aliases"), TTL);
    only(&refused(&run, aliases).await?, "service_id", "records of type CNAME");

    let one = made("one", Records { routing: Routing::Weighted, ..Records::a(TTL) });
    only(&refused(&run, discovery(&one, &name("one"), TTL)).await?, "service_id", "MULTIVALUE");

    let long = made("long", Records::a(60));
    let wrong = refused(&run, discovery(&long, &name("long"), 60)).await?;
    only(&wrong, "ttl", "stopTimeout (EKIDEN_STOP_TIMEOUT) be 150 s or more");
    only(&refused(&run, discovery(&long, &name("long"), 5)).await?, "ttl", "say 60 s here");

    assert_eq!(cloud_map.instances(&run.customer.service).len(), 1, "it stays where it was");
    cloud_map.inject(Fault::new("GetService", ApiError::denied("GetService"), 1));
    let good = made("good", Records::a(TTL));
    let denied = refused(&run, discovery(&good, &name("good"), TTL)).await?;
    only(&denied, "service_id", "servicediscovery:GetService");
    // The right is given, and nobody has to say anything to the relay.
    let moved = |map: &ekiden_tests::cloud_map::CloudMap| map.instances(&good).len() == 1;
    cloud_map.wait("it has moved", ekiden_tests::harness::wait::SAFETY, moved).await?;
    let runs = |known: &KnownRelay| known.settings_phase() == SettingsPhase::Applied;
    run.known(relay, "the settings run", runs).await?;
    Ok(())
}
