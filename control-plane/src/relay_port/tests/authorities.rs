//! One CA follows another.
use super::*;
use crate::pki::Roots;

async fn authorities(app: &TestApp) -> Vec<CertificateAuthority> {
    let request = ListCertificateAuthoritiesRequest::default();
    let listed: ListCertificateAuthoritiesResponse =
        app.call("CertificateAuthorityService/ListCertificateAuthorities", request).await.unwrap();
    listed.certificate_authorities
}

async fn rotate(app: &TestApp) -> Result<CertificateAuthority, Status> {
    let request = RotateCertificateAuthorityRequest::default();
    let answer: RotateCertificateAuthorityResponse =
        app.call("CertificateAuthorityService/RotateCertificateAuthority", request).await?;
    Ok(answer.certificate_authority.unwrap())
}

async fn retire(app: &TestApp, name: &str) -> Result<CertificateAuthority, Status> {
    let request = RetireCertificateAuthorityRequest { name: name.to_owned(), ..Default::default() };
    let answer: RetireCertificateAuthorityResponse =
        app.call("CertificateAuthorityService/RetireCertificateAuthority", request).await?;
    Ok(answer.certificate_authority.unwrap())
}

/// States of all CAs, newest first, as soon as they are as wanted and every process works with them.
async fn until_states(app: &TestApp, wanted: &[CertificateAuthorityState]) {
    let reached = timeout(PATIENCE, async {
        loop {
            let all = authorities(app).await;
            let states: Vec<_> = all.iter().map(CertificateAuthority::state).collect();
            if states == wanted && all.iter().all(|ca| ca.waiting_replicas == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    if reached.await.is_err() {
        panic!("they stayed {:?}", authorities(app).await);
    }
}

/// Whether a relay port proves itself to who trusts `roots` alone.
async fn trusted_by(app: &TestApp, roots: &[CertificateDer<'static>]) -> bool {
    let channel = test_app::channel(app.relays, test_app::client(roots, None));
    let mut client = SessionServiceClient::new(channel);
    let status = client.session(tokio_stream::empty()).await.unwrap_err();
    match status.code() {
        Code::Unauthenticated => true,
        Code::Unavailable | Code::Unknown => false,
        _ => panic!("{status:?}"),
    }
}

/// Waits until every process shows a certificate that this root alone vouches for.
async fn until_shown(apps: [&TestApp; 2], root: &CertificateDer<'static>) {
    for app in apps {
        let shown = async {
            while !trusted_by(app, std::slice::from_ref(root)).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, shown).await.unwrap();
    }
}

fn own_root(app: &TestApp) -> CertificateDer<'static> {
    app.app.authorities.trust_roots()[0].clone()
}

async fn keys_of_cas(app: &TestApp) -> i64 {
    let keys = sqlx::query_scalar("select count(*) from server_secrets where name like 'ca_key/%'");
    keys.fetch_one(&app.database.pool).await.unwrap()
}

use CertificateAuthorityState::{Issuing, Retired, Retiring, Staged};

#[tokio::test]
async fn one_ca_follows_another_and_no_session_is_lost() {
    let one = TestApp::start().await;
    let two = one.beside().await;
    customer(&one, "acme").await;
    let old_root = own_root(&one);
    let (first, idle) = (enrolled(&one, "acme").await, enrolled(&one, "acme").await);
    let (mut at_one, mut at_two) = (idle.joined(&one).await, first.joined(&two).await);
    let (seen_by_one, seen_by_two) = (at_one.snapshot().await, at_two.snapshot().await);
    at_one.answer(&seen_by_one, Some(&seen_by_one)).await;
    at_two.answer(&seen_by_two, Some(&seen_by_two)).await;

    let made = rotate(&one).await.unwrap();
    assert_eq!(made.state(), Staged);
    until_states(&two, &[Issuing, Retiring]).await;
    let new_root = CertificateDer::from(made.certificate);
    until_shown([&one, &two], &new_root).await;
    // Tasks that know the old root alone find the way to the new one, and are let in.
    assert!(trusted_by(&one, std::slice::from_ref(&old_root)).await);
    assert_eq!(own_root(&two), new_root);
    let late = enrolled(&two, "acme").await;
    let mut third = late.joined(&one).await;
    third.snapshot().await;

    // What was issued before goes on to count, at every process.
    let all = authorities(&one).await;
    assert_eq!((all[0].relays, all[1].relays), (1, 2));
    assert_eq!(all[1].waiting_relays.len(), 2);
    let renewed = first.renew(&one).await.unwrap();
    let idle_renewed = idle.renew(&two).await.unwrap();
    // Until a renewed certificate is shown, the one before it may be needed again.
    assert_eq!(authorities(&one).await[1].relays, 2);
    let again = renewed.renew(&two).await.unwrap();
    idle_renewed.renew(&one).await.unwrap();
    until_states(&one, &[Issuing, Retired]).await;
    assert_eq!(keys_of_cas(&one).await, 1);

    // Sessions of before are still there, and told of changes.
    change(&one, "acme", "moved.test").await;
    assert_eq!((at_one.snapshot().await.revision, at_two.snapshot().await.revision), (2, 2));
    again.joined(&two).await;
    for app in [&one, &two] {
        let refused = async {
            loop {
                let Err(status) = first.session(app, Hello::default()).await else { continue };
                // A process takes the roots up within a second; before, it knows that the serial number is of the past.
                if format!("{status:?}").contains("UnknownCA") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, refused).await.unwrap();
        assert_eq!(app.app.authorities.trust_roots().len(), 1);
        assert!(trusted_by(app, std::slice::from_ref(&old_root)).await);
    }
}

#[tokio::test]
async fn after_three_rotations_a_task_with_the_first_root_still_finds_its_control_plane() {
    let app = TestApp::start().await;
    let first = own_root(&app);
    for round in 1..=3 {
        let made = rotate(&app).await.unwrap();
        let mut wanted = vec![Retired; round];
        wanted.insert(0, Issuing);
        until_states(&app, &wanted).await;
        until_shown([&app, &app], &CertificateDer::from(made.certificate)).await;
        assert!(trusted_by(&app, std::slice::from_ref(&first)).await, "round {round}");
    }
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    assert!(!trusted_by(&app, std::slice::from_ref(stranger.cert.der())).await);
}

#[tokio::test]
async fn nothing_is_issued_before_every_process_trusts_it() {
    let one = TestApp::start().await;
    let two = one.beside().await;
    until_states(&one, &[Issuing]).await;
    // It takes up nothing any more; its lease goes on for a while.
    two.stop();
    rotate(&one).await.unwrap();
    let roots: Roots = timeout(PATIENCE, async {
        let mut roots = one.app.authorities.roots();
        Roots::clone(&roots.wait_for(|roots| roots.len() == 2).await.unwrap())
    })
    .await
    .unwrap();
    for _ in 0..30 {
        let all = authorities(&one).await;
        assert_eq!((all[0].state(), all[0].waiting_replicas), (Staged, 1));
        assert_eq!(own_root(&one), roots[0]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused = rotate(&one).await.unwrap_err();
    assert_eq!(reason(&refused), "CERTIFICATE_AUTHORITY_STAGED");
    // A process whose lease is over is not waited for.
    until_states(&one, &[Issuing, Retired]).await;
}

#[tokio::test]
async fn a_ca_retired_by_hand_turns_its_relays_away() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let issuing = authorities(&app).await.remove(0).name;
    assert_eq!(
        reason(&retire(&app, &issuing).await.unwrap_err()),
        "CERTIFICATE_AUTHORITY_NOT_RETIRING"
    );
    let nothing = "certificateAuthorities/0193a0b0-0000-7000-8000-000000000001";
    assert_eq!(retire(&app, nothing).await.unwrap_err().code(), Code::NotFound);

    rotate(&app).await.unwrap();
    until_states(&app, &[Issuing, Retiring]).await;
    relay.joined(&app).await;
    assert_eq!(retire(&app, &issuing).await.unwrap().state(), Retired);
    let turned_away = async {
        while relay.session(&app, Hello::default()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, turned_away).await.unwrap();
    let status = relay.session(&app, Hello::default()).await.err().unwrap();
    assert!(format!("{status:?}").contains("UnknownCA"), "{status:?}");
    enrolled(&app, "acme").await.joined(&app).await;
}

#[tokio::test]
async fn a_rehearsed_rotation_changes_nothing() {
    let app = TestApp::start().await;
    let request = RotateCertificateAuthorityRequest { validate_only: true, ..Default::default() };
    let _: RotateCertificateAuthorityResponse =
        app.call("CertificateAuthorityService/RotateCertificateAuthority", request).await.unwrap();
    assert_eq!(authorities(&app).await.len(), 1);
    assert_eq!(keys_of_cas(&app).await, 1);
}
