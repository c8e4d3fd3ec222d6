//! Bad input gets a clear answer and disturbs nothing else.
use std::{net::SocketAddr, time::Duration};

use ekiden_proto::{
    admin::v1::{
        Collector, CreateTenantRequest, EnrollmentToken, Fleet, GetTenantRequest, Role, Tenant,
        UpdateTenantRequest,
    },
    relay::v1::{
        EnrollRequest, EnrollResponse, GetSettingsRequest, RelayDescription, SettingsPhase,
        enroll_request::Proof, enrollment_service_client::EnrollmentServiceClient,
        session_service_client::SessionServiceClient,
    },
    settings::v1::{Endpoint, ListenerProtocol},
};
use ekiden_tests::{
    certificates::{Authority, client_config},
    harness::{
        ControlPlane,
        customer::{OTLP_PORT, TCP_PORT, listener},
        operator::tls_channel,
        wait::{self, SAFETY},
        world::CONTROL_PLANE_NAME,
    },
    workloads::{
        otlp::{Exporter, marker},
        tcp::Held,
    },
};
use prost_types::FieldMask;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::ways::{Running, running};

/// The fields that a BadRequest names.
fn fields(status: &Status) -> Vec<String> {
    let violations =
        status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn refused<T>(answer: Result<T, Status>) -> anyhow::Result<Status> {
    answer.err().ok_or_else(|| anyhow::anyhow!("it should have been refused"))
}

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
    Ok(())
}

#[tokio::test]
async fn a_ten_mebibyte_message_is_refused_on_both_ports_and_by_a_relay() -> anyhow::Result<()> {
    let run = running(1).await?;
    let big = "x".repeat(10 << 20);
    let tenant = Tenant { display_name: big.clone(), ..Tenant::default() };
    let request = CreateTenantRequest {
        tenant_id: "big".to_owned(),
        tenant: Some(tenant),
        ..Default::default()
    };
    let status = refused(run.operator.tenants().create_tenant(request).await)?;
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status:?}");

    let mut enrollment = enrollment(&run.control_plane)?;
    let request = EnrollRequest { csr: big.clone().into_bytes(), ..EnrollRequest::default() };
    let status = refused(enrollment.enroll(request).await)?;
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument),
        "{status:?}"
    );

    let exporter = Exporter::new(run.relays[0].listener(OTLP_PORT))?;
    let status = refused(exporter.spans(&[big]).await)?;
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument),
        "{status:?}"
    );
    exporter.spans(&[marker("small")]).await?;
    run.operator.create_tenant("small").await?;
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

fn enrollment(
    control_plane: &ControlPlane,
) -> anyhow::Result<EnrollmentServiceClient<tonic::transport::Channel>> {
    let config = client_config(&control_plane.ca_pem()?, None)?;
    Ok(EnrollmentServiceClient::new(tls_channel(
        control_plane.relays(),
        CONTROL_PLANE_NAME,
        config,
    )?))
}

/// Enrolls with this token and a CSR that carries `uri` where given.
async fn enroll(
    run: &Running,
    token: &str,
    uri: Option<&str>,
) -> anyhow::Result<Result<EnrollResponse, Status>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(uri) = uri {
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    }
    let csr = params.serialize_request(&KeyPair::generate()?)?.der().to_vec();
    let request = EnrollRequest {
        proof: Some(Proof::EnrollmentToken(token.to_owned())),
        csr,
        description: Some(RelayDescription::default()),
    };
    Ok(enrollment(&run.control_plane)?.enroll(request).await.map(tonic::Response::into_inner))
}

#[tokio::test]
async fn an_enrollment_needs_a_token_that_is_unused_unexpired_and_unrevoked() -> anyhow::Result<()>
{
    let run = running(0).await?;
    let once = run.operator.create_enrollment_token(&run.customer.fleet, 1).await?;
    let enrolled = enroll(&run, &once, None).await??;
    assert!(
        enrolled.relay.starts_with(&format!("{}/relays/", run.customer.fleet)),
        "{}",
        enrolled.relay
    );
    let again = refused(enroll(&run, &once, None).await?)?;
    assert_eq!(again.code(), Code::Unauthenticated, "{again:?}");
    let garbage = refused(enroll(&run, "ekr_00000000_nonsense", None).await?)?;
    assert_eq!(garbage.code(), Code::Unauthenticated, "{garbage:?}");
    for status in [&again, &garbage] {
        assert!(!reason(status).is_empty(), "no reason: {status:?}");
    }

    let request = ekiden_proto::admin::v1::CreateEnrollmentTokenRequest {
        parent: run.customer.fleet.clone(),
        enrollment_token: Some(EnrollmentToken { max_uses: 1_000, ..EnrollmentToken::default() }),
        ..Default::default()
    };
    let mut tokens = run.operator.enrollment_tokens();
    let made = tokens.create_enrollment_token(request.clone()).await?.into_inner();
    let token = made.enrollment_token.unwrap_or_default();
    let revoke = ekiden_proto::admin::v1::RevokeEnrollmentTokenRequest {
        name: token.name.clone(),
        ..Default::default()
    };
    tokens.revoke_enrollment_token(revoke).await?;
    assert_eq!(refused(enroll(&run, &made.text, None).await?)?.code(), Code::Unauthenticated);

    // The control plane's own clock, a second from now.
    let mut expire = token.create_time.unwrap_or_default();
    expire.seconds += 3;
    let mut request = request;
    request.enrollment_token = Some(EnrollmentToken {
        max_uses: 1_000,
        expire_time: Some(expire),
        ..EnrollmentToken::default()
    });
    let short = tokens.create_enrollment_token(request).await?.into_inner().text;
    let expires = async || Ok(enroll(&run, &short, None).await?.err());
    let status = wait::until("the token expires", SAFETY, expires).await?;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    Ok(())
}

#[tokio::test]
async fn a_csr_with_another_tenants_name_is_refused() -> anyhow::Result<()> {
    let run = running(0).await?;
    let token = run.operator.create_enrollment_token(&run.customer.fleet, 10).await?;
    let foreign = "spiffe://ekiden.internal/tenants/globex/fleets/main/relays/0190b6b2-0000-7000-8000-000000000000";
    let status = refused(enroll(&run, &token, Some(foreign)).await?)?;
    assert!(matches!(status.code(), Code::InvalidArgument | Code::PermissionDenied), "{status:?}");
    let garbage = EnrollRequest {
        proof: Some(Proof::EnrollmentToken(token.clone())),
        csr: b"not a certificate request".to_vec(),
        description: None,
    };
    let status = refused(enrollment(&run.control_plane)?.enroll(garbage).await)?;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    enroll(&run, &token, None).await??;
    Ok(())
}

#[tokio::test]
async fn a_session_needs_a_certificate_of_the_built_in_authority() -> anyhow::Result<()> {
    let run = running(1).await?;
    let stranger = Authority::new("a stranger's authority")?;
    let relay = run.operator.relays(&run.customer.fleet).await?.remove(0).name;
    let identity = stranger.client_identity(&format!("spiffe://ekiden.internal/{relay}"))?;
    for identity in [Some(identity), None] {
        let shown = identity.is_some();
        let config = client_config(&run.control_plane.ca_pem()?, identity)?;
        let channel = tls_channel(run.control_plane.relays(), CONTROL_PLANE_NAME, config)?;
        let answer = SessionServiceClient::new(channel).get_settings(GetSettingsRequest {}).await;
        let status = refused(answer)?;
        let right = if shown {
            // The handshake itself fails.
            matches!(
                status.code(),
                Code::Unavailable | Code::Unknown | Code::Unauthenticated | Code::Cancelled
            )
        } else {
            status.code() == Code::Unauthenticated
        };
        assert!(right, "shown: {shown}: {status:?}");
    }
    Exporter::new(run.relays[0].listener(OTLP_PORT))?.spans(&[marker("unharmed")]).await?;
    Ok(())
}

#[tokio::test]
async fn settings_that_a_relay_cannot_run_leave_the_old_ones_in_place_and_say_why()
-> anyhow::Result<()> {
    let run = running(1).await?;
    let mut held = Held::open(run.relays[0].listener(TCP_PORT)).await?;
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
    let failed = async || {
        let relay = run.operator.relays(&run.customer.fleet).await?.remove(0);
        let failed = relay.settings_phase() == SettingsPhase::Failed;
        Ok((failed && relay.attempted_revision == changed.desired_revision).then_some(relay))
    };
    let relay =
        wait::until("the relay says that it cannot run the settings", SAFETY, failed).await?;
    assert!(relay.running_revision < relay.attempted_revision);
    // The path is the snapshot's, whose listeners are in order of name.
    let named = relay
        .violations
        .iter()
        .any(|one| one.field == "listeners[1].port" && one.description.contains("7777"));
    assert!(named, "{:?}", relay.violations);
    held.beat().await?;
    Exporter::new(run.relays[0].listener(OTLP_PORT))?.spans(&[marker("old")]).await?;

    // The next revision without the bad listener runs.
    let good = Fleet { listeners: fleet.listeners[..2].to_vec(), ..fleet };
    let good = run.operator.change_fleet(good, &["listeners"]).await?;
    let runs = async || {
        let relay = run.operator.relays(&run.customer.fleet).await?.remove(0);
        Ok((relay.running_revision == good.desired_revision).then_some(()))
    };
    wait::until("the relay runs the next revision", SAFETY, runs).await?;
    held.beat().await
}

#[tokio::test]
async fn garbage_on_every_port_disturbs_no_one() -> anyhow::Result<()> {
    let mut run = running(1).await?;
    let mut held = Held::open(run.relays[0].listener(TCP_PORT)).await?;
    let endpoints = std::fs::read_to_string(run.relays[0].state().join("endpoints.json"))?;
    let http: serde_json::Value = serde_json::from_str(&endpoints)?;
    let http: SocketAddr = http["http"].as_str().unwrap_or_default().parse()?;
    let mut random = vec![0; 100_000];
    random.fill_with(rand::random::<u8>);
    let settings_frame_flood =
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), [0, 0, 0, 4, 0, 0, 0, 0, 0].repeat(20_000)];
    let samples: [&[u8]; 6] = [
        &random,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not quite a client hello",
        &settings_frame_flood.concat(),
        &[0; 70_000],
        b"",
    ];
    let ports = [
        run.control_plane.relays(),
        run.control_plane.operators(),
        run.relays[0].listener(OTLP_PORT),
        http,
    ];
    for port in ports {
        for sample in samples {
            throw(port, sample).await?;
        }
        held.beat().await?;
    }
    Exporter::new(run.relays[0].listener(OTLP_PORT))?.spans(&[marker("after")]).await?;
    run.operator.create_tenant("after").await?;
    run.relays[0].ready(SAFETY).await?;
    run.control_plane.process().signal(rustix::process::Signal::CONT)?;
    Ok(())
}

/// Sends bytes and reads until the other side ends or has nothing more to say.
async fn throw(to: SocketAddr, bytes: &[u8]) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    // It may well hang up in the middle.
    if stream.write_all(bytes).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut answer = Vec::new();
        drop(tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await);
    }
    Ok(())
}
