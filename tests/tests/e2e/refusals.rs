//! Mistakes of operators get a clear answer and disturb nothing else.
use ekiden_proto::{
    admin::v1::{
        Collector, Fleet, GetTenantRequest, Relay as KnownRelay, Role, Tenant, UpdateTenantRequest,
    },
    relay::v1::SettingsPhase,
    settings::v1::{Endpoint, ListenerProtocol},
};
use ekiden_tests::harness::customer::{OTLP_PORT, TCP_PORT, listener};
use prost_types::FieldMask;
use tokio::net::TcpListener;
use tonic::Code;

use super::{
    bystander::Bystander,
    refused::{counted, fields, refused},
    ways::running,
};

#[tokio::test]
async fn an_operators_mistake_is_answered_with_the_field_that_is_wrong() -> anyhow::Result<()> {
    let run = running(0).await?;
    let tenant = run.customer.tenant.clone();

    let update = |paths: &[&str]| UpdateTenantRequest {
        tenant: Some(Tenant {
            name: tenant.clone(),
            display_name: "other".to_owned(),
            ..Tenant::default()
        }),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..Default::default()
    };
    for path in ["no_such_field", "etag", "display_name.inner"] {
        let status = refused(run.operator.tenants().update_tenant(update(&[path])).await)?;
        assert_eq!(status.code(), Code::InvalidArgument, "{path}: {status:?}");
        assert!(
            fields(&status).iter().any(|field| field.contains("update_mask")),
            "{path}: {:?}",
            fields(&status)
        );
    }

    for id in ["", "Acme", "1st", "a_b", "-a", "a-", &"a".repeat(64), "a/b", "ä"] {
        let status = refused(run.operator.create_tenant(id).await)?;
        assert_eq!(status.code(), Code::InvalidArgument, "{id:?}: {status:?}");
        assert!(
            fields(&status).iter().any(|field| field == "tenant_id"),
            "{id:?}: {:?}",
            fields(&status)
        );
    }

    let stale = Tenant { etag: "stale".to_owned(), ..update(&[]).tenant.unwrap_or_default() };
    let request = UpdateTenantRequest { tenant: Some(stale), ..update(&["display_name"]) };
    assert_eq!(refused(run.operator.tenants().update_tenant(request).await)?.code(), Code::Aborted);
    assert_eq!(refused(run.operator.create_tenant("acme").await)?.code(), Code::AlreadyExists);

    for port in [0, 65_536, 4_000_000_000] {
        let mut otlp = listener("otlp", 1, ListenerProtocol::Otlp, &run.customer.otlp_collector);
        otlp.port = port;
        let fleet = Fleet { listeners: vec![otlp], ..Fleet::default() };
        let status = refused(run.operator.create_fleet(&tenant, "bad", fleet).await)?;
        assert_eq!(status.code(), Code::InvalidArgument, "{port}: {status:?}");
        assert_eq!(fields(&status), ["fleet.listeners[0].port"]);
        let endpoint = Endpoint { host: "vendor.test".to_owned(), port, priority: 0 };
        let collector =
            Collector { protocol: 1, endpoints: vec![endpoint], ..Collector::default() };
        let status = refused(run.operator.create_collector(&tenant, "bad", collector).await)?;
        assert_eq!(fields(&status), ["collector.endpoints[0].port"]);
    }
    // Three paths, nine names, three ports twice.
    for (method, times) in [
        ("TenantService/UpdateTenant", 3.0),
        ("TenantService/CreateTenant", 9.0),
        ("FleetService/CreateFleet", 3.0),
        ("CollectorService/CreateCollector", 3.0),
    ] {
        let method = format!("ekiden.admin.v1.{method}");
        counted(&run.world, &method, "INVALID_REQUEST", times).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_callers_tenant_is_its_tokens_and_anothers_resources_do_not_exist_for_it()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let other = run.operator.create_tenant("globex").await?;
    let token = run.operator.create_api_token(Role::TenantAdmin, &other.name).await?;
    let stranger = run.operator.with_token(&token)?;
    let request = GetTenantRequest { name: run.customer.tenant.clone() };
    assert_eq!(refused(stranger.tenants().get_tenant(request).await)?.code(), Code::NotFound);
    let change = stranger.change_access_key(&run.customer.access_key, "stolen").await;
    assert_eq!(refused(change)?.code(), Code::NotFound);
    assert_eq!(
        refused(stranger.create_enrollment_token(&run.customer.fleet, 1).await)?.code(),
        Code::NotFound
    );
    assert_eq!(refused(stranger.create_tenant("third").await)?.code(), Code::PermissionDenied);

    for token in ["", "eka_nonsense", "eka_00000000_nonsense", &format!("{token}x")] {
        let nobody = run.operator.with_token(token)?;
        let status = refused(nobody.relays("tenants/-/fleets/-").await)?;
        assert_eq!(status.code(), Code::Unauthenticated, "{token:?}: {status:?}");
    }
    Ok(())
}

#[tokio::test]
async fn settings_that_a_relay_cannot_run_leave_the_old_ones_in_place_and_say_why()
-> anyhow::Result<()> {
    let run = running(1).await?;
    let mut bystander = Bystander::start(&run).await?;
    // Someone else has the port on the relay's address.
    let _taken = TcpListener::bind(run.relays[0].listener(7_777)).await?;
    let fleet = Fleet {
        name: run.customer.fleet.clone(),
        listeners: vec![
            listener("otlp", OTLP_PORT, ListenerProtocol::Otlp, &run.customer.otlp_collector),
            listener("tcp", TCP_PORT, ListenerProtocol::Tcp, &run.customer.tcp_collector),
            listener("taken", 7_777, ListenerProtocol::Tcp, &run.customer.tcp_collector),
        ],
        ..Fleet::default()
    };
    let changed = run.operator.change_fleet(fleet.clone(), &["listeners"]).await?;
    let failed = |known: &KnownRelay| {
        known.settings_phase() == SettingsPhase::Failed
            && known.attempted_revision == changed.desired_revision
    };
    let what = "the relay says that it cannot run the settings";
    let relay = run.known(&run.relays[0], what, failed).await?;
    assert!(relay.running_revision < relay.attempted_revision);
    // The path is the snapshot's, whose listeners are in order of name.
    let named = relay
        .violations
        .iter()
        .any(|one| one.field == "listeners[1].port" && one.description.contains("7777"));
    assert!(named, "{:?}", relay.violations);
    bystander.passes().await?;

    // The next revision without the bad listener runs.
    let good = Fleet { listeners: fleet.listeners[..2].to_vec(), ..fleet };
    let good = run.operator.change_fleet(good, &["listeners"]).await?;
    let runs = |known: &KnownRelay| known.running_revision == good.desired_revision;
    run.known(&run.relays[0], "the relay runs the next revision", runs).await?;
    bystander.passes().await
}
