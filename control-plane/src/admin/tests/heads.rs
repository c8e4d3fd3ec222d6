//! What becomes a revision and what a secret version, and that keys lie nowhere in the open.
use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row};
use tonic::Code;

use super::*;

const KEY: &str = "plain-key-3f9c1e77";

async fn revisions(world: &World, fleet: &str) -> Vec<u64> {
    let request = ListRevisionsRequest {
        parent: format!("tenants/acme/fleets/{fleet}"),
        page_size: 1000,
        ..Default::default()
    };
    let listed: ListRevisionsResponse =
        world.call("RevisionService/ListRevisions", request).await.unwrap();
    listed.revisions.iter().map(|r| r.revision).collect()
}

#[tokio::test]
async fn changes_at_the_same_time_make_revisions_without_gaps_and_the_last_is_what_the_rows_say() {
    let world = World::start().await;
    world.tenant("acme").await;
    for collector in ["one", "two"] {
        world.collector("acme", collector, "").await;
    }
    world.fleet("acme", "tokyo", &["one", "two"]).await;
    let changes = (0..24).map(|i| {
        let name = format!("tenants/acme/collectors/{}", if i % 2 == 0 { "one" } else { "two" });
        let request = move_collector(&name, &format!("host-{i}.test"));
        world.call::<_, UpdateCollectorResponse>("CollectorService/UpdateCollector", request)
    });
    for answer in futures_util::future::join_all(changes).await {
        answer.unwrap();
    }
    assert_eq!(revisions(&world, "tokyo").await, (1..=25).rev().collect::<Vec<_>>());
    assert_eq!(world.read_fleet("acme", "tokyo").await.desired_revision, 25);

    let request = GetRevisionRequest { name: "tenants/acme/fleets/tokyo/revisions/25".to_owned() };
    let last: GetRevisionResponse =
        world.call("RevisionService/GetRevision", request).await.unwrap();
    let settings = last.revision.unwrap().settings.unwrap();
    let run: BTreeMap<_, _> =
        settings.collectors.into_iter().map(|c| (c.name, c.endpoints)).collect();
    let request = ListCollectorsRequest { parent: "tenants/acme".to_owned(), ..Default::default() };
    let rows: ListCollectorsResponse =
        world.call("CollectorService/ListCollectors", request).await.unwrap();
    let rows: BTreeMap<_, _> = rows.collectors.into_iter().map(|c| (c.name, c.endpoints)).collect();
    assert_eq!(run, rows);
}

#[tokio::test]
async fn a_change_that_changes_nothing_for_relays_makes_no_revision() {
    let world = World::start().await;
    world.tenant("acme").await;
    let made = world.collector("acme", "vendor", "").await;
    world.fleet("acme", "tokyo", &["vendor"]).await;
    let same = move_collector(&made.name, "vendor.test");
    let _: UpdateCollectorResponse =
        world.call("CollectorService/UpdateCollector", same).await.unwrap();
    let renamed =
        Collector { name: made.name.clone(), display_name: "V".to_owned(), ..Default::default() };
    let request = UpdateCollectorRequest {
        collector: Some(renamed),
        update_mask: mask(&["display_name"]),
        ..Default::default()
    };
    let _: UpdateCollectorResponse =
        world.call("CollectorService/UpdateCollector", request).await.unwrap();
    assert_eq!(revisions(&world, "tokyo").await, [1]);
}

#[tokio::test]
async fn a_new_key_reaches_exactly_the_fleets_that_take_it_and_makes_no_revision() {
    let world = World::start().await;
    world.tenant("acme").await;
    for key in ["used", "other"] {
        world.access_key("acme", key, KEY).await;
    }
    world.collector("acme", "with", "used").await;
    world.collector("acme", "without", "other").await;
    for (fleet, collectors) in
        [("tokyo", ["with"].as_slice()), ("osaka", &["with", "without"]), ("kyoto", &["without"])]
    {
        world.fleet("acme", fleet, collectors).await;
    }
    let mut before = BTreeMap::new();
    for fleet in ["tokyo", "osaka", "kyoto"] {
        before.insert(fleet, world.read_fleet("acme", fleet).await);
    }
    let key = AccessKey {
        name: "tenants/acme/accessKeys/used".to_owned(),
        value: "another-value".to_owned(),
        ..Default::default()
    };
    let request = UpdateAccessKeyRequest {
        access_key: Some(key),
        update_mask: mask(&["value"]),
        ..Default::default()
    };
    let updated: UpdateAccessKeyResponse =
        world.call("AccessKeyService/UpdateAccessKey", request).await.unwrap();
    let updated = updated.access_key.unwrap();
    assert_eq!((updated.version, updated.value.as_str()), (2, ""));
    for (fleet, expected) in [("tokyo", 1), ("osaka", 1), ("kyoto", 0)] {
        let after = world.read_fleet("acme", fleet).await;
        let before = &before[fleet];
        assert_eq!(after.secret_version - before.secret_version, expected, "{fleet}");
        assert_eq!(after.desired_revision, before.desired_revision, "{fleet}");
    }
}

#[tokio::test]
async fn no_column_of_any_table_holds_a_key_or_a_tokens_secret() {
    let world = World::start().await;
    world.tenant("acme").await;
    let mut request = create_access_key("acme", "main", KEY);
    request.request_id = "01920f6e-5a3c-7a51-b9d3-0a6f1c2e4b87".to_owned();
    let _: CreateAccessKeyResponse =
        world.call("AccessKeyService/CreateAccessKey", request).await.unwrap();
    world.collector("acme", "vendor", "main").await;
    world.fleet("acme", "tokyo", &["vendor"]).await;
    let api_token = world.api_token(Role::Viewer, "acme").await;
    let request = CreateEnrollmentTokenRequest {
        parent: "tenants/acme/fleets/tokyo".to_owned(),
        enrollment_token: Some(EnrollmentToken::default()),
        ..Default::default()
    };
    let enrollment: CreateEnrollmentTokenResponse =
        world.call("EnrollmentTokenService/CreateEnrollmentToken", request).await.unwrap();

    let mut db = world.database.pool.acquire().await.unwrap();
    let tables = sqlx::query(
        "select quote_ident(tablename) as name from pg_tables where schemaname = 'public'",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    let mut all = String::new();
    for table in &tables {
        let name: String = table.get("name");
        // Bytes come out as hex, so a secret is searched for in both forms.
        let rows = sqlx::query(AssertSqlSafe(format!("select t::text as row from {name} t")))
            .fetch_all(&mut *db)
            .await
            .unwrap();
        for row in rows {
            all.push_str(row.get("row"));
            all.push('\n');
        }
    }
    let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    assert!(all.contains(&hex("vendor.test")), "the search finds bytes");
    assert!(all.contains("apiTokens/"), "the search finds text");
    let secret = |token: &str| token.rsplit('_').next().unwrap().to_owned();
    for secret in [KEY.to_owned(), secret(&api_token), secret(&enrollment.text)] {
        assert!(
            !all.contains(&secret) && !all.contains(&hex(&secret)),
            "{secret} lies in the open"
        );
    }
}

#[tokio::test]
async fn bad_values_are_refused_by_their_field() {
    let world = World::start().await;
    world.tenant("acme").await;
    world.collector("acme", "vendor", "").await;
    let refused = |collector: Collector| {
        let request = CreateCollectorRequest {
            parent: "tenants/acme".to_owned(),
            collector_id: "bad".to_owned(),
            collector: Some(collector),
            ..Default::default()
        };
        world.call::<_, CreateCollectorResponse>("CollectorService/CreateCollector", request)
    };
    let endpoint = |host: &str, port| vec![Endpoint { host: host.to_owned(), port, priority: 0 }];
    for (host, port, field) in [
        ("vendor.test", 0, "collector.endpoints[0].port"),
        ("vendor.test", 65_536, "collector.endpoints[0].port"),
        ("http://vendor.test", 443, "collector.endpoints[0].host"),
        ("", 443, "collector.endpoints[0].host"),
        ("0.0.0.0", 443, "collector.endpoints[0].host"),
        ("vendor..test", 443, "collector.endpoints[0].host"),
    ] {
        let collector = Collector { endpoints: endpoint(host, port), ..otlp_collector("acme", "") };
        let status = refused(collector).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{host}:{port}");
        assert_eq!(fields(&status), [field], "{host}:{port}");
    }
    for id in ["", "Acme", "a_b", "-a", "a-", &"a".repeat(64)] {
        let request = CreateTenantRequest {
            tenant_id: id.to_owned(),
            tenant: Some(Tenant::default()),
            ..Default::default()
        };
        let refused: Result<CreateTenantResponse, _> =
            world.call("TenantService/CreateTenant", request).await;
        assert_eq!(fields(&refused.unwrap_err()), ["tenant_id"], "{id:?}");
    }
    let missing: Result<CreateCollectorResponse, _> = world
        .call(
            "CollectorService/CreateCollector",
            CreateCollectorRequest {
                parent: "tenants/acme".to_owned(),
                collector_id: "c".to_owned(),
                ..Default::default()
            },
        )
        .await;
    assert_eq!(fields(&missing.unwrap_err()), ["collector"]);
}
