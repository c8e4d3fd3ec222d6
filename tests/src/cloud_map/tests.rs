use std::time::Duration;

use aws_sdk_servicediscovery::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::ProvideErrorMetadata as _,
    operation::register_instance::RegisterInstanceError,
    types::{
        DnsConfig, DnsRecord, HealthCheckCustomConfig, OperationStatus, OperationTargetType,
        RecordType,
    },
};

use super::{ApiError, CloudMap, Fault, RecordKind, Records, Routing};
use crate::task_role::{CREDENTIALS, REGION};

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

async fn start(delay: Duration) -> anyhow::Result<CloudMap> {
    CloudMap::start(ANY.into(), delay).await
}

fn client(cloud_map: &CloudMap, secret: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(cloud_map.url())
        .credentials_provider(Credentials::new(
            CREDENTIALS.access_key_id,
            secret,
            Some(CREDENTIALS.session_token.to_owned()),
            None,
            "tests",
        ))
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

async fn finish(client: &Client, operation: Option<&str>) -> anyhow::Result<OperationStatus> {
    loop {
        let answer =
            client.get_operation().set_operation_id(operation.map(str::to_owned)).send().await?;
        match answer.operation().and_then(|operation| operation.status()) {
            Some(OperationStatus::Pending) => tokio::task::yield_now().await,
            Some(status) => return Ok(status.clone()),
            None => anyhow::bail!("an operation without status"),
        }
    }
}

fn register(
    client: &Client,
    service: &str,
    address: &str,
) -> aws_sdk_servicediscovery::operation::register_instance::builders::RegisterInstanceFluentBuilder
{
    client
        .register_instance()
        .service_id(service)
        .instance_id("task")
        .attributes("AWS_INSTANCE_IPV4", address)
}

#[tokio::test]
async fn the_aws_sdk_makes_a_service_registers_lists_and_deregisters() -> anyhow::Result<()> {
    let cloud_map = start(Duration::from_millis(20)).await?;
    let client = client(&cloud_map, CREDENTIALS.secret);
    let made =
        client.create_private_dns_namespace().name("apps.internal").vpc("vpc-1").send().await?;
    assert_eq!(finish(&client, made.operation_id()).await?, OperationStatus::Success);
    let operation =
        client.get_operation().set_operation_id(made.operation_id).send().await?.operation;
    let targets = operation.and_then(|operation| operation.targets).unwrap_or_default();
    let namespace = targets.get(&OperationTargetType::Namespace).cloned().unwrap_or_default();
    let record = DnsRecord::builder().r#type(RecordType::A).ttl(10).build()?;
    let service = client
        .create_service()
        .name("relay")
        .namespace_id(&namespace)
        .dns_config(DnsConfig::builder().dns_records(record).build()?)
        .health_check_custom_config(HealthCheckCustomConfig::builder().build())
        .send()
        .await?;
    let service = service.service.and_then(|service| service.id).unwrap_or_default();

    let registered = register(&client, &service, "127.9.9.9").send().await?;
    assert!(
        cloud_map.instances(&service).is_empty(),
        "it should not be there before the operation is done"
    );
    assert_eq!(finish(&client, registered.operation_id()).await?, OperationStatus::Success);
    let listed = client.list_instances().service_id(&service).send().await?;
    assert_eq!(listed.instances().len(), 1);
    let health = client.get_instances_health_status().service_id(&service).send().await?;
    assert_eq!(health.status().map(|status| status.len()), Some(1));

    let left = client.deregister_instance().service_id(&service).instance_id("task").send().await?;
    assert_eq!(finish(&client, left.operation_id()).await?, OperationStatus::Success);
    let again = client.deregister_instance().service_id(&service).instance_id("task").send().await;
    let again = again.map_err(|error| error.into_service_error());
    assert!(again.is_err_and(|error| error.is_instance_not_found()));
    Ok(())
}

#[tokio::test]
async fn a_second_registration_in_progress_names_the_operation_to_follow() -> anyhow::Result<()> {
    let cloud_map = start(Duration::from_secs(60)).await?;
    let service = cloud_map.provide_service("apps.internal", "relay", 10);
    let client = client(&cloud_map, CREDENTIALS.secret);
    let first = register(&client, &service, "127.9.9.9").send().await?;
    let second = register(&client, &service, "127.9.9.9")
        .send()
        .await
        .map_err(|error| error.into_service_error());
    let Err(RegisterInstanceError::DuplicateRequest(duplicate)) = second else {
        anyhow::bail!("it should be a DuplicateRequest: {second:?}");
    };
    assert_eq!(duplicate.duplicate_operation_id(), first.operation_id());
    let leaving =
        client.deregister_instance().service_id(&service).instance_id("task").send().await;
    assert_eq!(
        leaving.err().and_then(|error| error.code().map(str::to_owned)).as_deref(),
        Some("ResourceInUse")
    );
    Ok(())
}

#[tokio::test]
async fn injected_faults_reach_the_aws_sdk_by_name_and_then_end() -> anyhow::Result<()> {
    let cloud_map = start(Duration::ZERO).await?;
    let service = cloud_map.provide_service("apps.internal", "relay", 10);
    let client = client(&cloud_map, CREDENTIALS.secret);
    cloud_map.inject(Fault::new("RegisterInstance", ApiError::throttled(), 1));
    cloud_map.inject(Fault::new("RegisterInstance", ApiError::internal(), 1));
    let mut codes = Vec::new();
    for _ in 0..3 {
        let answer = register(&client, &service, "127.9.9.9").send().await;
        codes.push(
            answer.err().and_then(|error| error.code().map(str::to_owned)).unwrap_or_default(),
        );
    }
    assert_eq!(codes, ["ThrottlingException", "InternalFailure", ""]);
    cloud_map.fail_operations(1);
    let failing = register(&client, &service, "127.9.9.8").send().await?;
    assert_eq!(finish(&client, failing.operation_id()).await?, OperationStatus::Fail);
    assert_eq!(cloud_map.instances(&service), [("task".to_owned(), "127.9.9.9".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn a_request_signed_with_another_secret_is_refused() -> anyhow::Result<()> {
    let cloud_map = start(Duration::ZERO).await?;
    let stranger = client(&cloud_map, "not the secret");
    let refused = stranger.list_services().send().await;
    let code = refused.err().and_then(|error| error.code().map(str::to_owned));
    assert_eq!(code.as_deref(), Some("SignatureDoesNotMatch"));
    let (status, body) = crate::harness::relay::http_get(cloud_map.address, "/").await?;
    assert_eq!(status, 400);
    assert!(body.contains("MissingAuthenticationToken"), "{body}");
    Ok(())
}

#[tokio::test]
async fn a_service_tells_its_records_and_takes_what_fits_them() -> anyhow::Result<()> {
    let cloud_map = start(Duration::ZERO).await?;
    let client = client(&cloud_map, CREDENTIALS.secret);
    let srv = Records { kind: RecordKind::Srv, ttl: 30, routing: Routing::Multivalue };
    let cname = Records { kind: RecordKind::Cname, ttl: 60, routing: Routing::Weighted };
    for (name, records, told) in [
        ("a", Records::a(10), "A 10 MULTIVALUE"),
        ("srv", srv, "SRV 30 MULTIVALUE"),
        ("cname", cname, "CNAME 60 WEIGHTED"),
    ] {
        let service = cloud_map.provide_service_with("apps.internal", name, records);
        let found = client.get_service().id(&service).send().await?.service;
        let config = found.and_then(|service| service.dns_config).unwrap_or_else(|| unreachable!());
        let routing = config.routing_policy.map(|policy| policy.to_string()).unwrap_or_default();
        let record = &config.dns_records[0];
        assert_eq!(format!("{} {} {routing}", record.r#type, record.ttl), told);
        let taken = register(&client, &service, "127.9.9.9").send().await;
        let code = taken.err().and_then(|error| error.code().map(str::to_owned));
        assert_eq!(code.is_none(), name == "a", "{name}: {code:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_list_comes_in_pages_and_calls_beyond_the_pace_are_throttled() -> anyhow::Result<()> {
    let cloud_map = start(Duration::ZERO).await?;
    let service = cloud_map.provide_service("apps.internal", "relay", 10);
    for number in 0..5 {
        cloud_map.plant_instance(&service, &format!("task-{number}"), "127.9.9.9");
    }
    let client = client(&cloud_map, CREDENTIALS.secret);
    let mut pages =
        client.list_instances().service_id(&service).max_results(2).into_paginator().send();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        sizes.push(page?.instances().len());
    }
    assert_eq!(sizes, [2, 2, 1]);
    let too_many = client.list_instances().service_id(&service).max_results(101).send().await;
    let code = too_many.err().and_then(|error| error.code().map(str::to_owned));
    assert_eq!(code.as_deref(), Some("InvalidInput"));

    cloud_map.hold_to_pace(Some(2));
    let mut throttled = 0;
    for _ in 0..50 {
        let answer = client.get_service().id(&service).send().await;
        throttled +=
            u32::from(answer.is_err_and(|error| error.code() == Some("ThrottlingException")));
    }
    assert!((1..50).contains(&throttled), "{throttled} of 50 calls");
    cloud_map.hold_to_pace(None);
    client.get_service().id(&service).send().await?;
    Ok(())
}
