//! Who gets a certificate, and what it is good for.
use ekiden_proto::{
    admin::v1::{CreateEnrollmentTokenRequest, EnrollmentToken, RevokeEnrollmentTokenRequest},
    relay::v1::{EnrollRequest, GetSettingsRequest, enroll_request::Proof},
};
use ekiden_tests::{
    certificates::Authority,
    harness::{
        wait::{self, SAFETY},
        world::CONTROL_PLANE_NAME,
    },
};
use rustls_pki_types::ServerName;
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;
use tonic::Code;

use super::{
    bystander::Bystander,
    impostor::{enroll, enrollment, sessions, tls},
    refused::{counted, fields, reason, refused},
    ways::{Running, running},
};

const ENROLL: &str = "ekiden.relay.v1.EnrollmentService/Enroll";

/// Presents a token that is to be refused for `wanted`, and sees that this is counted.
async fn refused_for(run: &Running, token: &str, wanted: &str) -> anyhow::Result<()> {
    let status = refused(enroll(&run.control_plane, token, None).await?)?;
    assert_eq!(status.code(), Code::Unauthenticated, "{wanted}: {status:?}");
    assert_eq!(reason(&status), wanted, "{status:?}");
    counted(&run.world, ENROLL, wanted, 1.0).await
}

#[tokio::test]
async fn an_enrollment_needs_a_token_that_is_unused_unexpired_and_unrevoked() -> anyhow::Result<()>
{
    let run = running(1).await?;
    let mut bystander = Bystander::start(&run).await?;
    let once = run.operator.create_enrollment_token(&run.customer.fleet, 1).await?;
    let (enrolled, _) = enroll(&run.control_plane, &once, None).await??;
    let of_the_fleet = format!("{}/relays/", run.customer.fleet);
    assert!(enrolled.relay.starts_with(&of_the_fleet), "{}", enrolled.relay);
    refused_for(&run, &once, "ENROLLMENT_TOKEN_USED_UP").await?;
    refused_for(&run, "ekr_00000000_nonsense", "ENROLLMENT_TOKEN_UNKNOWN").await?;

    let mut tokens = run.operator.enrollment_tokens();
    let mut request = CreateEnrollmentTokenRequest {
        parent: run.customer.fleet.clone(),
        enrollment_token: Some(EnrollmentToken { max_uses: 1_000, ..EnrollmentToken::default() }),
        ..Default::default()
    };
    let made = tokens.create_enrollment_token(request.clone()).await?.into_inner();
    let token = made.enrollment_token.unwrap_or_default();
    let revoke = RevokeEnrollmentTokenRequest { name: token.name, ..Default::default() };
    tokens.revoke_enrollment_token(revoke).await?;
    refused_for(&run, &made.text, "ENROLLMENT_TOKEN_REVOKED").await?;

    // By the control plane's own clock, some seconds from now.
    let mut expire = token.create_time.unwrap_or_default();
    expire.seconds += 3;
    request.enrollment_token = Some(EnrollmentToken {
        max_uses: 1_000,
        expire_time: Some(expire),
        ..EnrollmentToken::default()
    });
    let short = tokens.create_enrollment_token(request).await?.into_inner().text;
    let expires = async || Ok(enroll(&run.control_plane, &short, None).await?.err());
    wait::until("the token expires", SAFETY, expires).await?;
    refused_for(&run, &short, "ENROLLMENT_TOKEN_EXPIRED").await?;
    bystander.passes().await
}

#[tokio::test]
async fn a_csr_with_another_tenants_name_is_refused() -> anyhow::Result<()> {
    let run = running(1).await?;
    let mut bystander = Bystander::start(&run).await?;
    let token = run.operator.create_enrollment_token(&run.customer.fleet, 10).await?;
    let foreign = "spiffe://ekiden.internal/tenants/globex/fleets/main/relays/0190b6b2-0000-7000-8000-000000000000";
    let named = refused(enroll(&run.control_plane, &token, Some(foreign)).await?)?;
    assert!(named.message().contains("globex"), "{named:?}");
    let garbage = EnrollRequest {
        proof: Some(Proof::EnrollmentToken(token.clone())),
        csr: b"not a certificate request".to_vec(),
        description: None,
    };
    let garbage = refused(enrollment(&run.control_plane)?.enroll(garbage).await)?;
    for status in [&named, &garbage] {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(fields(status), ["csr"], "{status:?}");
    }
    counted(&run.world, ENROLL, "INVALID_REQUEST", 2.0).await?;
    // Refused requests used nothing of the token up, and it is still good.
    enroll(&run.control_plane, &token, None).await??;
    bystander.passes().await
}

#[tokio::test]
async fn a_session_needs_a_certificate_of_the_built_in_authority() -> anyhow::Result<()> {
    let run = running(1).await?;
    let mut bystander = Bystander::start(&run).await?;
    let nobody = sessions(&run.control_plane, None)?.get_settings(GetSettingsRequest {}).await;
    let status = refused(nobody)?;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(reason(&status), "RELAY_CERTIFICATE_MISSING", "{status:?}");
    let method = "ekiden.relay.v1.SessionService/GetSettings";
    counted(&run.world, method, "RELAY_CERTIFICATE_MISSING", 1.0).await?;

    let stranger = Authority::new("a stranger's authority")?;
    let relay = run.operator.relays(&run.customer.fleet).await?.remove(0).name;
    let forged = || stranger.client_identity(&format!("spiffe://ekiden.internal/{relay}"));
    let mut client = sessions(&run.control_plane, Some(forged()?))?;
    refused(client.get_settings(GetSettingsRequest {}).await)?;
    // What the other side sees of it, without HTTP/2 around.
    let stream = TcpStream::connect(run.control_plane.relays()).await?;
    let connector = TlsConnector::from(tls(&run.control_plane, Some(forged()?))?);
    let mut stream = connector.connect(ServerName::try_from(CONTROL_PLANE_NAME)?, stream).await?;
    let told = tokio::time::timeout(SAFETY, stream.read_to_end(&mut Vec::new())).await?;
    let told = told.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("UnknownCA"), "the alert says: {told}");
    let attributes = [("port", "relays"), ("cause", "unknown_ca")];
    let failures = "ekiden.control_plane.handshake.failures";
    run.world.sink.counter_reaches(failures, &attributes, 2.0).await?;
    bystander.passes().await
}

#[tokio::test]
async fn a_relay_refuses_a_control_plane_whose_certificate_is_of_another_authority()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let ca = run.world.folder().join("stranger.pem");
    std::fs::write(&ca, Authority::new("a stranger's authority")?.pem())?;
    let options = run.options("misled").await?;
    let mut relay =
        run.start(options.variable("EKIDEN_CONTROL_PLANE_CA", &ca.display().to_string()))?;
    let attributes = [("port", "relays"), ("cause", "peer_distrusts_us")];
    let failures = "ekiden.control_plane.handshake.failures";
    run.world.sink.counter_reaches(failures, &attributes, 1.0).await?;
    let says = async || {
        let (status, page) = relay.page("/readyz").await?;
        assert_eq!(status, 503, "{page}");
        Ok(page.contains("UnknownIssuer").then_some(()))
    };
    wait::until("the relay says that it knows no such authority", SAFETY, says).await?;
    assert!(run.operator.relays(&run.customer.fleet).await?.is_empty());
    Ok(())
}
