//! One body of tests for registering, against the Cloud Map stand-in and against moto.
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_servicediscovery::{
    Client,
    config::{Config, Credentials, Region, retry::RetryConfig},
};
use ekiden_relay::{
    registry::{
        Listed, Record, Registry, RegistryError,
        cloud_map::{Aws, CloudMap},
    },
    session::backoff::Retries,
};
use ekiden_tests::{
    cloud_map::{ApiError, Fault},
    harness::World,
    task_role::{CREDENTIALS, REGION},
};
use futures_util::future::try_join_all;
use tokio::task::JoinSet;

use super::moto::Moto;

/// What the stand-in takes for an operation: the relay sees PENDING in between.
const PENDING: Duration = Duration::from_millis(1500);

fn aws(endpoint: &str) -> Aws {
    let role = CREDENTIALS;
    let session = Some(role.session_token.to_owned());
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new(
            role.access_key_id,
            role.secret,
            session,
            None,
            "test",
        ))
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .build();
    Aws::with_client(Client::from_conf(config))
}

fn record(number: u8) -> Record {
    Record {
        instance: format!("{number:032x}"),
        address: [10, 0, 1, number].into(),
        port: 4317,
        zone: Some("ap-northeast-1a".to_owned()),
        relay: format!("0199c2a0-0000-7000-8000-{number:012x}"),
        epoch: 1,
        revision: 7,
    }
}

async fn listed(registry: &CloudMap) -> Result<Vec<Listed>, RegistryError> {
    let mut listed = registry.list().await?;
    listed.sort_by(|one, other| one.instance.cmp(&other.instance));
    Ok(listed)
}

/// All that relays ask of a service that is empty and answers with A records of a TTL of a second. `replaces`: it holds one
/// record an instance, as AWS does; moto 5 holds each that it was ever asked for.
async fn a_service_does_as_asked(service: &CloudMap, replaces: bool) -> anyhow::Result<()> {
    let kind = service.kind().await?;
    assert_eq!((kind.records, kind.ttl), (vec!["A".to_owned()], Duration::from_secs(1)));
    assert!(!kind.one_answer);
    assert_eq!(listed(service).await?, []);

    let (one, other) = (record(1), record(2));
    try_join_all([service.register(&one), service.register(&other)]).await?;
    assert_eq!(listed(service).await?, [Listed::from(&one), Listed::from(&other)]);
    if replaces {
        // A restart: the same task, a later session; the life before had not heard yet that it is registered.
        let restarted = Record { epoch: 2, revision: 8, ..one.clone() };
        try_join_all([service.register(&restarted), service.register(&restarted)]).await?;
        assert_eq!(listed(service).await?, [Listed::from(&restarted), Listed::from(&other)]);
    }

    service.deregister(&one.instance).await?;
    assert_eq!(listed(service).await?, [Listed::from(&other)]);
    service.deregister(&one.instance).await?;
    try_join_all([service.deregister(&other.instance), service.deregister(&other.instance)])
        .await?;
    assert_eq!(listed(service).await?, []);
    Ok(())
}

#[tokio::test]
async fn the_stand_in_registers_through_duplicates_throttling_and_pending_operations()
-> anyhow::Result<()> {
    let world = World::start().await?;
    let (service, _) = world.provide_service("relay", 1);
    let cloud_map = &world.cloud_map;
    cloud_map.set_delay(PENDING);
    for action in ["RegisterInstance", "DeregisterInstance", "GetOperation", "ListInstances"] {
        cloud_map.inject(Fault::new(action, ApiError::throttled(), 1));
        cloud_map.inject(Fault::new(action, ApiError::internal(), 1));
    }
    a_service_does_as_asked(&CloudMap::new(aws(&cloud_map.url()), service), true).await?;
    let calls = cloud_map.calls();
    let met = |error: &str| calls.iter().any(|call| call.error.as_deref() == Some(error));
    for error in ["DuplicateRequest", "ThrottlingException", "InternalFailure"] {
        assert!(met(error), "{error} was not met");
    }
    let looks = calls.iter().filter(|call| call.action == "GetOperation" && call.error.is_none());
    let changes = calls.iter().filter(|call| call.action.ends_with("egisterInstance"));
    assert!(looks.count() > changes.count() / 2, "no operation was pending");
    Ok(())
}

#[tokio::test]
async fn moto_registers_all_the_same() -> anyhow::Result<()> {
    let world = World::start().await?;
    let moto = Moto::start(&world).await?;
    let service = moto.ask("moto_service.py", &["make"]).await?;
    a_service_does_as_asked(&CloudMap::new(aws(&moto.endpoint), service), false).await
}

/// Relays of one account share its quota: most calls are throttled, and everybody gets through.
#[tokio::test]
async fn five_hundred_relays_register_at_once_though_the_account_is_throttled() -> anyhow::Result<()>
{
    let world = World::start().await?;
    let (service, _) = world.provide_service("relay", 1);
    world.cloud_map.hold_to_pace(Some(100));
    // Each client keeps count of its retries, as each task's does; one for fifty is as many as this machine makes in time.
    let clients: Vec<Aws> = (0..10).map(|_| aws(&world.cloud_map.url())).collect();
    let mut tasks = JoinSet::new();
    for (number, aws) in (0..500_u32).zip(clients.iter().cycle()) {
        let service = CloudMap::new(aws.clone(), service.clone());
        let bytes = number.to_be_bytes();
        let record = Record {
            instance: format!("{number:032x}"),
            address: [10, 1, bytes[2], bytes[3]].into(),
            ..record(1)
        };
        tasks.spawn(async move {
            let mut retries = Retries::default();
            let mut attempts = 0_u32;
            while service.register(&record).await.is_err() {
                attempts += 1;
                tokio::time::sleep(retries.failed(None, rand::random())).await;
            }
            attempts
        });
    }
    let attempts = tokio::time::timeout(Duration::from_secs(180), tasks.join_all()).await?;
    assert_eq!(world.cloud_map.instances(&service).len(), 500);
    let calls = world.cloud_map.calls();
    let throttled =
        calls.iter().filter(|call| call.error.as_deref() == Some("ThrottlingException")).count();
    assert!(throttled > 0, "nothing was throttled");
    let (most, all) = (attempts.iter().max(), calls.len());
    assert!(all < 500 * 30, "{all} calls, {throttled} throttled, at most {most:?} attempts");
    Ok(())
}
