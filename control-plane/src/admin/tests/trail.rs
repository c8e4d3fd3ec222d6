//! The audit: one event for each change, in its transaction, without any value.
use ekiden_proto::audit_chain::{self, Break};

use super::*;
use crate::test_database::execute;

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

/// What checking everything that the operator can see finds, after `sql` was done to the database behind its back.
async fn found_after(world: &World, sql: &str) -> Vec<Break> {
    execute(&mut world.database.pool.acquire().await.unwrap(), sql).await;
    let parent = || "tenants/-".to_owned();
    let request = ListAuditHeadsRequest { parent: parent(), ..Default::default() };
    let heads: ListAuditHeadsResponse =
        world.call("AuditService/ListAuditHeads", request).await.unwrap();
    let request =
        ListAuditEventsRequest { parent: parent(), page_size: 1000, ..Default::default() };
    let events: ListAuditEventsResponse =
        world.call("AuditService/ListAuditEvents", request).await.unwrap();
    let key = world.app.audit.public_key();
    match audit_chain::check(&events.audit_events, &heads.audit_heads, key) {
        Ok(whole) => {
            assert!(
                whole.iter().all(|chain| chain.events > 0 && chain.unchained == 0),
                "{whole:?}"
            );
            Vec::new()
        }
        Err(breaks) => breaks,
    }
}

/// Two tenants that made changes side by side, on two replicas.
async fn busy() -> (World, World) {
    let world = World::start().await;
    let beside = world.beside().await;
    for tenant in ["acme", "globex"] {
        world.tenant(tenant).await;
        let mut changes = tokio::task::JoinSet::new();
        for n in 0..8 {
            let channel = if n % 2 == 0 { world.channel.clone() } else { beside.channel.clone() };
            let (token, request) =
                (world.token.clone(), create_access_key(tenant, &format!("key-{n}"), "secret"));
            changes.spawn(async move {
                let path = "/ekiden.admin.v1.AccessKeyService/CreateAccessKey";
                let made: Result<CreateAccessKeyResponse, Status> =
                    test_app::call(&channel, Some(&token), path, request).await;
                made.unwrap();
            });
        }
        changes.join_all().await;
    }
    (world, beside)
}

#[tokio::test]
async fn events_of_changes_at_once_on_two_replicas_are_whole_chains() {
    let (world, _beside) = busy().await;
    assert_eq!(found_after(&world, "select 1").await, []);
}

#[tokio::test]
async fn an_altered_a_removed_and_a_cut_off_event_are_found() {
    let (world, _beside) = busy().await;
    let chain = || "tenants/acme/auditHead".to_owned();
    let altered = "update audit_events set actor = 'apiTokens/someone' where tenant_id = 'acme' and sequence = 3";
    let breaks = found_after(&world, altered).await;
    assert!(matches!(&breaks[..], [Break::Altered { sequence: 3, .. }]), "{breaks:?}");

    let (world, _beside) = busy().await;
    let removed = "delete from audit_events where tenant_id = 'acme' and sequence = 4";
    assert_eq!(
        found_after(&world, removed).await,
        [Break::Missing { chain: chain(), sequence: 4 }]
    );

    let (world, _beside) = busy().await;
    let cut = "delete from audit_events where tenant_id = 'acme' and sequence > 7";
    assert_eq!(
        found_after(&world, cut).await,
        [Break::Truncated { chain: chain(), head: 9, last: 7 }]
    );
    // Turning the head back as well takes a signature that only the control plane can make.
    let back = "update audit_heads h set sequence = 7, hash = e.hash from audit_events e where h.tenant_id = 'acme' and e.tenant_id = 'acme' and e.sequence = 7";
    assert_eq!(found_after(&world, back).await, [Break::Signature { chain: chain() }]);
}
