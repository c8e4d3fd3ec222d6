//! Which certificates count.
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use rcgen::{BasicConstraints, IsCa, Issuer};
use time::OffsetDateTime;

use super::*;
use crate::clock::Clock;

#[tokio::test]
async fn a_crash_between_issue_and_use_of_a_renewed_certificate_heals() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let first = enrolled(&app, "acme").await;
    let lost = first.renew(&app).await.unwrap();
    // The relay never came to use it; what it has still counts, and what was issued does too.
    let second = first.renew(&app).await.unwrap();
    second.joined(&app).await;
    let third = second.renew(&app).await.unwrap();
    third.joined(&app).await;
    assert_eq!(third.name, first.name);

    for (old, what) in [(&lost, "the lost one"), (&first, "the first")] {
        let status = old.renew(&app).await.err().unwrap();
        assert_eq!(reason(&status), "RELAY_UNKNOWN", "{what}");
        let status = refused(&app, old).await;
        assert_eq!(reason(&status), "RELAY_UNKNOWN", "{what}");
    }
}

/// How a session is refused, at its opening or in place of its first message.
async fn refused(app: &TestApp, device: &Device) -> Status {
    match device.session(app, Hello::default()).await {
        Err(status) => status,
        Ok(mut stream) => stream.next().await.unwrap_err(),
    }
}

/// What the server's TLS said; the connection never came to carry a call.
fn alert(status: &Status) -> String {
    format!("{status:?}")
}

#[tokio::test]
async fn no_certificate_or_one_of_another_authority_opens_nothing() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let mut bystander = enrolled(&app, "acme").await.joined(&app).await;
    let bare = Device { name: String::new(), key: KeyPair::generate().unwrap(), chain: vec![] };
    let anyone =
        test_app::channel(app.relays, test_app::client(&app.app.authorities.trust_roots(), None));
    let mut client = SessionServiceClient::new(anyone.clone());
    let status = client.session(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let renewed: Result<RenewResponse, _> = test_app::call(
        &anyone,
        None,
        "/ekiden.relay.v1.EnrollmentService/Renew",
        RenewRequest { csr: csr(&bare.key, None) },
    )
    .await;
    assert_eq!(renewed.unwrap_err().code(), Code::Unauthenticated);

    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let other = Issuer::new(params, KeyPair::generate().unwrap());
    let real = enrolled(&app, "acme").await;
    let mut params = CertificateParams::default();
    let uri = format!("spiffe://ekiden.internal/{}", real.name);
    params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    let forged = params.signed_by(&key, &other).unwrap().der().clone();
    let forged = Device { name: real.name.clone(), key, chain: vec![forged] };
    let status = refused(&app, &forged).await;
    assert!(alert(&status).contains("UnknownCA"), "{status:?}");

    real.joined(&app).await;
    change(&app, "acme", "moved.test").await;
    let snapshot = bystander.snapshot().await;
    assert!(snapshot.revision >= 1);
}

/// A relay whose certificate of one hour was issued so long ago.
pub(super) async fn issued_ago(ago: Duration) -> (TestApp, Device) {
    let behind = Arc::new(AtomicI64::new(ago.as_secs().cast_signed()));
    let lag = Arc::clone(&behind);
    let clock = Clock::from_fn(move || {
        OffsetDateTime::now_utc() - time::Duration::seconds(lag.load(Relaxed))
    });
    let app = TestApp::start_at(clock).await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    behind.store(0, Relaxed);
    (app, relay)
}

#[tokio::test]
async fn a_certificate_that_ended_lately_can_be_renewed_and_nothing_else() {
    let (app, relay) = issued_ago(Duration::from_secs(2 * 3600)).await;
    let status = refused(&app, &relay).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(reason(&status), "RELAY_CERTIFICATE_EXPIRED");
    let settings: Result<GetSettingsResponse, _> = test_app::call(
        &relay.channel(&app, app.relays),
        None,
        "/ekiden.relay.v1.SessionService/GetSettings",
        GetSettingsRequest {},
    )
    .await;
    assert_eq!(reason(&settings.unwrap_err()), "RELAY_CERTIFICATE_EXPIRED");
    let renewed = relay.renew(&app).await.unwrap();
    assert_eq!(renewed.name, relay.name);
    renewed.joined(&app).await;
}

#[tokio::test]
async fn a_certificate_that_ended_long_ago_opens_nothing() {
    let (app, relay) = issued_ago(Duration::from_secs(5 * 3600)).await;
    let status = relay.renew(&app).await.err().unwrap();
    assert!(alert(&status).contains("CertificateExpired"), "{status:?}");
}

async fn revoke(app: &TestApp, relay: &Device) {
    let request = RevokeRelayRequest { name: relay.name.clone(), ..Default::default() };
    let answer: RevokeRelayResponse = app.call("RelayService/RevokeRelay", request).await.unwrap();
    assert!(answer.relay.unwrap().revoke_time.is_some());
}

#[tokio::test]
async fn a_revoked_relay_loses_its_session_on_every_replica_and_gets_nothing_any_more() {
    let app = TestApp::start().await;
    let beside = app.beside().await;
    customer(&app, "acme").await;
    let (here, there, spared) =
        (enrolled(&app, "acme").await, enrolled(&app, "acme").await, enrolled(&app, "acme").await);
    let (mut one, mut two) = (here.joined(&app).await, there.joined(&beside).await);
    let mut three = spared.joined(&beside).await;
    let first = three.snapshot().await;
    three.answer(&first, Some(&first)).await;
    revoke(&app, &here).await;
    revoke(&app, &there).await;
    for stream in [&mut one, &mut two] {
        // Until the stream ends: what was under way may still come.
        let status = loop {
            match stream.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended without a reason"),
                Err(status) => break status,
            }
        };
        assert_eq!(reason(&status), "RELAY_REVOKED");
    }
    for relay in [&here, &there] {
        assert_eq!(reason(&refused(&app, relay).await), "RELAY_REVOKED");
        assert_eq!(reason(&relay.renew(&app).await.err().unwrap()), "RELAY_REVOKED");
    }
    change(&app, "acme", "second.test").await;
    assert_eq!(three.snapshot().await.revision, 2);
}

#[tokio::test]
async fn revoking_a_token_with_its_relays_spares_those_of_another_token() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let made = token(&app, "acme", 3).await;
    let (one, two) = (joining(&app, &made.text).await, joining(&app, &made.text).await);
    let other = enrolled(&app, "acme").await;
    let request = RevokeEnrollmentTokenRequest {
        name: made.enrollment_token.unwrap().name,
        revoke_relays: true,
        ..Default::default()
    };
    let answer: RevokeEnrollmentTokenResponse =
        app.call("EnrollmentTokenService/RevokeEnrollmentToken", request).await.unwrap();
    assert_eq!(answer.revoked_relays, 2);
    for relay in [one, two] {
        assert_eq!(reason(&refused(&app, &relay).await), "RELAY_REVOKED");
    }
    other.joined(&app).await;
}

#[tokio::test]
async fn sessions_that_end_each_other_are_counted_and_a_connection_that_broke_is_not() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(relay.joined(&app).await);
    }
    let contests = async || {
        let mut db = app.database.pool.acquire().await.unwrap();
        crate::test_database::text(&mut db, "select contests::text from relays").await
    };
    assert_eq!(contests().await, "3");
    // An hour later, as after a broken connection, it begins anew.
    let mut db = app.database.pool.acquire().await.unwrap();
    let earlier = "update relays set connected_at = connected_at - interval '1 hour'";
    crate::test_database::execute(&mut db, earlier).await;
    drop(db);
    relay.joined(&app).await;
    assert_eq!(contests().await, "0");
}
