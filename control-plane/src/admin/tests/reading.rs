//! Masks, etags and pages.
use std::collections::BTreeSet;

use tonic::Code;

use super::*;

async fn update(world: &World, collector: Collector, paths: &[&str]) -> Result<Collector, Status> {
    let request = UpdateCollectorRequest {
        collector: Some(collector),
        update_mask: mask(paths),
        ..Default::default()
    };
    let answer: UpdateCollectorResponse =
        world.call("CollectorService/UpdateCollector", request).await?;
    Ok(answer.collector.unwrap())
}

#[tokio::test]
async fn only_what_the_mask_names_changes() {
    let world = World::start().await;
    world.tenant("acme").await;
    let made = world.collector("acme", "vendor", "").await;
    let given = Collector {
        name: made.name.clone(),
        display_name: "Vendor".to_owned(),
        endpoints: vec![Endpoint { host: "moved.test".to_owned(), port: 1, priority: 1 }],
        ..Default::default()
    };
    let after = update(&world, given.clone(), &["display_name"]).await.unwrap();
    assert_eq!(after.display_name, "Vendor");
    assert_eq!(after.endpoints, made.endpoints);
    assert_ne!(after.etag, made.etag);

    // Without a mask every field that is set changes.
    let after = update(&world, Collector { display_name: String::new(), ..given.clone() }, &[])
        .await
        .unwrap();
    assert_eq!(after.display_name, "Vendor");
    assert_eq!(after.endpoints, given.endpoints);
}

#[tokio::test]
async fn a_path_that_is_unknown_or_output_only_is_refused_by_its_name() {
    let world = World::start().await;
    world.tenant("acme").await;
    let made = world.collector("acme", "vendor", "").await;
    for path in ["colour", "etag", "create_time", "endpoints.host", ""] {
        let status = update(&world, made.clone(), &["display_name", path]).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{path}");
        assert_eq!(fields(&status), ["update_mask"], "{path}: {status:?}");
        assert!(status.message().contains(path), "{path}: {}", status.message());
    }
}

#[tokio::test]
async fn an_update_of_what_was_read_before_another_changed_it_is_aborted() {
    let world = World::start().await;
    world.tenant("acme").await;
    let read = world.collector("acme", "vendor", "").await;
    let name = read.name.clone();
    let first = Collector { display_name: "first".to_owned(), ..read.clone() };
    let first = update(&world, first, &["display_name"]).await.unwrap();
    let second = Collector { display_name: "second".to_owned(), ..read.clone() };
    let status = update(&world, second, &["display_name"]).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);

    let delete =
        DeleteCollectorRequest { name: name.clone(), etag: read.etag, ..Default::default() };
    let refused: Result<DeleteCollectorResponse, _> =
        world.call("CollectorService/DeleteCollector", delete).await;
    assert_eq!(refused.unwrap_err().code(), Code::Aborted);
    let got: GetCollectorResponse =
        world.call("CollectorService/GetCollector", GetCollectorRequest { name }).await.unwrap();
    assert_eq!(got.collector.unwrap(), first);
}

async fn page(world: &World, size: i32, token: &str) -> Result<ListCollectorsResponse, Status> {
    let request = ListCollectorsRequest {
        parent: "tenants/acme".to_owned(),
        page_size: size,
        page_token: token.to_owned(),
    };
    world.call("CollectorService/ListCollectors", request).await
}

#[tokio::test]
async fn pages_show_each_row_once_also_while_rows_come_and_go() {
    let world = World::start().await;
    world.tenant("acme").await;
    for i in 0..25 {
        world.collector("acme", &format!("c{i:02}"), "").await;
    }
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let answer = page(&world, 10, &token).await.unwrap();
        seen.extend(answer.collectors.into_iter().map(|c| c.name));
        pages += 1;
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
        // One before the place reached, and one that was shown goes.
        world.collector("acme", &format!("a{pages}"), "").await;
        let name = seen.last().unwrap().clone();
        let request = DeleteCollectorRequest { name, ..Default::default() };
        let _: DeleteCollectorResponse =
            world.call("CollectorService/DeleteCollector", request).await.unwrap();
    }
    assert_eq!(pages, 3);
    assert_eq!(seen.len(), 25);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 25);
}

#[tokio::test]
async fn a_page_token_holds_only_for_the_list_it_came_from() {
    let world = World::start().await;
    world.tenant("acme").await;
    world.tenant("globex").await;
    for i in 0..3 {
        world.collector("acme", &format!("c{i}"), "").await;
    }
    let token = page(&world, 2, "").await.unwrap().next_page_token;
    assert!(page(&world, 2, &token).await.is_ok());

    let mut altered = token.clone().into_bytes();
    altered[10] = if altered[10] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    for bad in [altered.as_str(), "nonsense", "%%%"] {
        let status = page(&world, 2, bad).await.unwrap_err();
        assert_eq!(fields(&status), ["page_token"], "{bad}: {status:?}");
    }
    let request = ListCollectorsRequest {
        parent: "tenants/globex".to_owned(),
        page_size: 2,
        page_token: token.clone(),
    };
    let elsewhere: Result<ListCollectorsResponse, _> =
        world.call("CollectorService/ListCollectors", request).await;
    assert_eq!(fields(&elsewhere.unwrap_err()), ["page_token"]);
    let request =
        ListFleetsRequest { parent: "tenants/acme".to_owned(), page_size: 2, page_token: token };
    let other_list: Result<ListFleetsResponse, _> =
        world.call("FleetService/ListFleets", request).await;
    assert_eq!(fields(&other_list.unwrap_err()), ["page_token"]);
    assert_eq!(fields(&page(&world, -1, "").await.unwrap_err()), ["page_size"]);
}

#[tokio::test]
async fn what_is_in_use_is_not_deleted_and_a_deleted_tenant_comes_back_whole() {
    let world = World::start().await;
    world.tenant("acme").await;
    world.access_key("acme", "main", "the-secret").await;
    world.collector("acme", "vendor", "main").await;
    world.fleet("acme", "tokyo", &["vendor"]).await;
    let name = |rest: &str| format!("tenants/acme{rest}");

    let key = DeleteAccessKeyRequest { name: name("/accessKeys/main"), ..Default::default() };
    let key: Result<DeleteAccessKeyResponse, _> =
        world.call("AccessKeyService/DeleteAccessKey", key).await;
    assert_eq!(key.unwrap_err().code(), Code::FailedPrecondition);
    let collector =
        DeleteCollectorRequest { name: name("/collectors/vendor"), ..Default::default() };
    let collector: Result<DeleteCollectorResponse, _> =
        world.call("CollectorService/DeleteCollector", collector).await;
    let status = collector.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("tenants/acme/fleets/tokyo"), "{}", status.message());
    let tenant = DeleteTenantRequest { name: name(""), ..Default::default() };
    let refused: Result<DeleteTenantResponse, _> =
        world.call("TenantService/DeleteTenant", tenant.clone()).await;
    assert_eq!(reason(&refused.unwrap_err()), "TENANT_HAS_FLEETS");

    let fleet = DeleteFleetRequest { name: name("/fleets/tokyo"), ..Default::default() };
    let _: DeleteFleetResponse = world.call("FleetService/DeleteFleet", fleet).await.unwrap();
    let _: DeleteTenantResponse = world.call("TenantService/DeleteTenant", tenant).await.unwrap();
    let gone: Result<ListCollectorsResponse, _> = page(&world, 10, "").await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    let back = UndeleteTenantRequest { name: name(""), ..Default::default() };
    let _: UndeleteTenantResponse = world.call("TenantService/UndeleteTenant", back).await.unwrap();
    assert_eq!(page(&world, 10, "").await.unwrap().collectors.len(), 1);
}

#[tokio::test]
async fn what_the_vendor_grants_with_a_key_is_kept_and_must_make_sense() {
    let world = World::start().await;
    world.tenant("acme").await;
    let mut request = create_access_key("acme", "main", "the-secret");
    let given = request.access_key.as_mut().unwrap();
    (given.agent_limit, given.agent_reservation) = (500, 50);
    let made: CreateAccessKeyResponse =
        world.call("AccessKeyService/CreateAccessKey", request.clone()).await.unwrap();
    let made = made.access_key.unwrap();
    assert_eq!((made.agent_limit, made.agent_reservation), (500, 50));

    let update = async |agent_limit, agent_reservation, paths: &[&str]| {
        let access_key = AccessKey {
            name: made.name.clone(),
            agent_limit,
            agent_reservation,
            ..AccessKey::default()
        };
        let request = UpdateAccessKeyRequest {
            access_key: Some(access_key),
            update_mask: mask(paths),
            ..Default::default()
        };
        world.call::<_, UpdateAccessKeyResponse>("AccessKeyService/UpdateAccessKey", request).await
    };
    let limit = &["agent_limit"];
    let below = update(49, 0, limit).await.unwrap_err();
    assert_eq!(fields(&below), ["access_key.agent_reservation"]);
    let huge = update(1_000_001, 0, limit).await.unwrap_err();
    assert_eq!(fields(&huge), ["access_key.agent_limit"]);
    let unlimited = update(0, 0, limit).await.unwrap().access_key.unwrap();
    assert_eq!((unlimited.agent_limit, unlimited.agent_reservation), (0, 50));
    let both = update(60, 60, &["agent_limit", "agent_reservation"]).await.unwrap();
    let both = both.access_key.unwrap();
    assert_eq!((both.agent_limit, both.agent_reservation, both.version), (60, 60, 1));
}
