//! The audit: one event for each change, in its transaction, without any value.
use super::*;

/// The fields of the last event of a tenant.
async fn last(world: &World, tenant: &str) -> AuditEvent {
    world.audit(tenant).await.into_iter().next().unwrap()
}

#[tokio::test]
async fn each_change_leaves_one_event_that_says_who_did_what_to_what() {
    let world = World::start().await;
    let mut count = 0;
    let mut check = async |method: &str, resource: &str, changed: &[&str]| {
        let events = world.audit("acme").await;
        count += 1;
        assert_eq!(events.len(), count, "{method}");
        let event = &events[0];
        assert_eq!(event.method, format!("/ekiden.admin.v1.{method}"));
        assert_eq!(event.resource, resource, "{method}");
        assert_eq!(event.changed_fields, changed, "{method}");
        assert!(event.actor.starts_with("apiTokens/"), "{event:?}");
        assert!(event.peer.starts_with("127.0.0.1"), "{event:?}");
        assert!(event.create_time.is_some());
    };
    world.tenant("acme").await;
    check("TenantService/CreateTenant", "tenants/acme", &[]).await;
    world.access_key("acme", "main", "the-secret").await;
    check("AccessKeyService/CreateAccessKey", "tenants/acme/accessKeys/main", &["value"]).await;
    world.collector("acme", "vendor", "main").await;
    check(
        "CollectorService/CreateCollector",
        "tenants/acme/collectors/vendor",
        &["protocol", "endpoints", "key_placement"],
    )
    .await;
    world.fleet("acme", "tokyo", &["vendor"]).await;
    check("FleetService/CreateFleet", "tenants/acme/fleets/tokyo", &["listeners"]).await;
    let request = move_collector("tenants/acme/collectors/vendor", "moved.test");
    let _: UpdateCollectorResponse =
        world.call("CollectorService/UpdateCollector", request).await.unwrap();
    check("CollectorService/UpdateCollector", "tenants/acme/collectors/vendor", &["endpoints"])
        .await;
    let fleet =
        DeleteFleetRequest { name: "tenants/acme/fleets/tokyo".to_owned(), ..Default::default() };
    let _: DeleteFleetResponse = world.call("FleetService/DeleteFleet", fleet).await.unwrap();
    check("FleetService/DeleteFleet", "tenants/acme/fleets/tokyo", &[]).await;
}

#[tokio::test]
async fn a_refused_change_leaves_no_event() {
    let world = World::start().await;
    world.tenant("acme").await;
    let before = world.audit("acme").await;
    let viewer = world.api_token(Role::Viewer, "acme").await;
    let request = create_access_key("acme", "main", "the-secret");
    let forbidden: Result<CreateAccessKeyResponse, _> =
        world.call_as(Some(&viewer), "AccessKeyService/CreateAccessKey", request).await;
    assert_eq!(reason(&forbidden.unwrap_err()), "ROLE_CANNOT_CHANGE");
    let bad: Result<CreateAccessKeyResponse, _> = world
        .call("AccessKeyService/CreateAccessKey", create_access_key("acme", "main", "ümlaut"))
        .await;
    assert_eq!(fields(&bad.unwrap_err()), ["access_key.value"]);
    let absent: Result<UpdateCollectorResponse, _> = world
        .call(
            "CollectorService/UpdateCollector",
            move_collector("tenants/acme/collectors/none", "moved.test"),
        )
        .await;
    assert!(absent.is_err());
    let events: Vec<_> =
        world.audit("acme").await.into_iter().filter(|e| !e.method.contains("ApiToken")).collect();
    assert_eq!(events, before);
}

#[tokio::test]
async fn an_event_says_that_a_key_changed_and_never_what_to() {
    let world = World::start().await;
    world.tenant("acme").await;
    world.access_key("acme", "main", "first-value").await;
    let key = AccessKey {
        name: "tenants/acme/accessKeys/main".to_owned(),
        value: "second-value".to_owned(),
        ..Default::default()
    };
    let request = UpdateAccessKeyRequest {
        access_key: Some(key),
        update_mask: mask(&["value"]),
        ..Default::default()
    };
    let _: UpdateAccessKeyResponse =
        world.call("AccessKeyService/UpdateAccessKey", request).await.unwrap();
    let event = last(&world, "acme").await;
    assert_eq!(event.changed_fields, ["value"]);
    assert!(!format!("{event:?}").contains("second-value"));
}
