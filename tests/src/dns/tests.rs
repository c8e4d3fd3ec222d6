use std::{net::Ipv4Addr, time::Duration};

use hickory_resolver::proto::rr::RecordType;

use super::{Dns, Failure, cache::Cache};
use crate::{
    cloud_map::CloudMap,
    harness::wait::{self, SAFETY},
    workloads::resolver::Resolver,
};

const NAME: &str = "relay.apps.internal.";

struct Fixture {
    cloud_map: CloudMap,
    service: String,
    dns: Dns,
}

async fn fixture(instances: u8) -> anyhow::Result<Fixture> {
    let cloud_map = CloudMap::start(([127, 0, 0, 1], 0).into(), Duration::ZERO).await?;
    let service = cloud_map.provide_service("apps.internal", "relay", 60);
    for number in 1..=instances {
        cloud_map.plant_instance(&service, &format!("task-{number}"), &format!("127.1.1.{number}"));
    }
    let dns = Dns::start(Ipv4Addr::LOCALHOST.into(), cloud_map.view()).await?;
    Ok(Fixture { cloud_map, service, dns })
}

#[tokio::test]
async fn an_answer_holds_at_most_eight_of_many_addresses_and_not_always_the_same()
-> anyhow::Result<()> {
    let world = fixture(20).await?;
    let resolver = Resolver::new(world.dns.address())?;
    let mut seen = std::collections::BTreeSet::new();
    // 20 addresses, 8 drawn each time: the chance that 200 draws miss one is below 1e-40.
    for _ in 0..200 {
        resolver.forget();
        let addresses = resolver.addresses(NAME).await?;
        assert_eq!(addresses.len(), 8);
        seen.extend(addresses);
    }
    assert_eq!(seen.len(), 20);
    Ok(())
}

#[tokio::test]
async fn a_missing_record_is_remembered_and_a_new_one_seen_after_forgetting() -> anyhow::Result<()>
{
    let world = fixture(0).await?;
    let resolver = Resolver::new(world.dns.address())?;
    assert!(resolver.addresses(NAME).await.is_err_and(|error| error.is_nx_domain()));
    world.cloud_map.plant_instance(&world.service, "task", "127.1.1.1");
    assert!(
        resolver.addresses(NAME).await.is_err_and(|error| error.is_nx_domain()),
        "the SOA minimum is 15 s"
    );
    assert_eq!(world.dns.queries(NAME, RecordType::A), 1);
    resolver.forget();
    assert_eq!(resolver.addresses(NAME).await?, [Ipv4Addr::new(127, 1, 1, 1)]);
    Ok(())
}

#[tokio::test]
async fn an_answer_cut_short_by_udp_is_complete_by_tcp() -> anyhow::Result<()> {
    let world = fixture(3).await?;
    world.dns.fail(Failure::Truncate);
    let resolver = Resolver::new(world.dns.address())?;
    assert_eq!(resolver.addresses(NAME).await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_failing_server_gives_errors_and_a_healed_one_answers() -> anyhow::Result<()> {
    let world = fixture(1).await?;
    world.dns.fail(Failure::ServFail);
    let resolver = Resolver::new(world.dns.address())?;
    assert!(resolver.addresses(NAME).await.is_err_and(|error| !error.is_nx_domain()));
    world.dns.fail(Failure::None);
    assert_eq!(resolver.addresses(NAME).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn names_that_the_world_sets_have_addresses_and_services() -> anyhow::Result<()> {
    let world = fixture(0).await?;
    world.dns.set_addresses("vendor.test.", 5, &[Ipv4Addr::new(127, 2, 2, 2)]);
    world.dns.set_services("_relays._tcp.msp.test.", 5, &[(8443, "vendor.test.")]);
    let resolver = Resolver::new(world.dns.address())?;
    assert_eq!(resolver.pick("vendor.test.", 80).await?, ([127, 2, 2, 2], 80).into());
    assert!(resolver.addresses("_relays._tcp.msp.test.").await.is_err(), "it has no A records");
    assert_eq!(world.dns.queries("_relays._tcp.msp.test.", RecordType::A), 1);
    Ok(())
}

#[tokio::test]
async fn a_cache_before_it_remembers_an_answer_for_what_is_left_of_its_ttl() -> anyhow::Result<()> {
    let world = fixture(1).await?;
    let cache = Cache::start(Ipv4Addr::LOCALHOST.into(), world.dns.address()).await?;
    let workloads = [Resolver::new(cache.address())?, Resolver::new(cache.address())?];
    assert_eq!(workloads[0].addresses(NAME).await?.len(), 1);
    world.cloud_map.plant_instance(&world.service, "later", "127.1.1.2");
    // TTLs are whole seconds: what is left is less when one of them has gone by.
    let mut left = 60;
    wait::until("the TTL goes down", SAFETY, async || {
        workloads[1].forget();
        let lookup = workloads[1].lookup(NAME, RecordType::A).await?;
        assert_eq!(lookup.answers().len(), 1, "the cache should still hold the old answer");
        left = lookup.answers()[0].ttl;
        Ok((left < 60).then_some(()))
    })
    .await?;
    assert!(left >= 30, "{left}");
    assert_eq!(world.dns.queries(NAME, RecordType::A), 1);
    Ok(())
}

#[tokio::test]
async fn a_cache_before_it_remembers_that_there_is_nothing() -> anyhow::Result<()> {
    let world = fixture(0).await?;
    let cache = Cache::start(Ipv4Addr::LOCALHOST.into(), world.dns.address()).await?;
    let workload = Resolver::new(cache.address())?;
    for _ in 0..3 {
        workload.forget();
        assert!(workload.addresses(NAME).await.is_err_and(|error| error.is_nx_domain()));
    }
    world.cloud_map.plant_instance(&world.service, "task", "127.1.1.1");
    workload.forget();
    assert!(workload.addresses(NAME).await.is_err_and(|error| error.is_nx_domain()));
    assert_eq!(world.dns.queries(NAME, RecordType::A), 1);
    world.dns.fail(Failure::ServFail);
    let other = workload.addresses("else.apps.internal.").await;
    assert!(other.is_err_and(|error| !error.is_nx_domain()));
    Ok(())
}
