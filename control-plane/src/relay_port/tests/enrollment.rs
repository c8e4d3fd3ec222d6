//! Who gets a certificate, and whose name is in it.
use rcgen::PKCS_ED25519;

use super::*;

#[tokio::test]
async fn each_token_that_does_not_admit_is_refused_for_a_reason_of_its_own() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let key = KeyPair::generate().unwrap();
    let refused = async |text: &str, why: &str| {
        let status = send_enrollment(&app, text, csr(&key, None)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{why}: {status:?}");
        assert_eq!(reason(&status), why);
    };
    let made = token(&app, "acme", 1).await;
    let mut altered = made.text.clone();
    altered.pop();
    altered.push('!');
    refused("nonsense", "ENROLLMENT_TOKEN_UNKNOWN").await;
    refused(&altered, "ENROLLMENT_TOKEN_UNKNOWN").await;
    refused(&app.token, "ENROLLMENT_TOKEN_UNKNOWN").await;
    send_enrollment(&app, &made.text, csr(&key, None)).await.unwrap();
    refused(&made.text, "ENROLLMENT_TOKEN_USED_UP").await;

    let made = token(&app, "acme", 5).await;
    let name = made.enrollment_token.unwrap().name;
    let request = RevokeEnrollmentTokenRequest { name, ..Default::default() };
    let _: RevokeEnrollmentTokenResponse =
        app.call("EnrollmentTokenService/RevokeEnrollmentToken", request).await.unwrap();
    refused(&made.text, "ENROLLMENT_TOKEN_REVOKED").await;

    let made = token(&app, "acme", 1).await;
    execute(&app, "update enrollment_tokens set expires_at = now() - interval '1 s' where uses = 0 and revoked_at is null").await;
    refused(&made.text, "ENROLLMENT_TOKEN_EXPIRED").await;

    let made = token(&app, "acme", 1).await;
    let request =
        DeleteFleetRequest { name: "tenants/acme/fleets/tokyo".to_owned(), ..Default::default() };
    let _: DeleteFleetResponse = app.call("FleetService/DeleteFleet", request).await.unwrap();
    refused(&made.text, "ENROLLMENT_TOKEN_UNKNOWN").await;
}

async fn execute(app: &TestApp, sql: &str) {
    crate::test_database::execute(&mut app.database.pool.acquire().await.unwrap(), sql).await;
}

#[tokio::test]
async fn a_fleet_that_is_deleted_while_a_relay_enrolls_gets_none() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let made = token(&app, "acme", 1).await;
    let key = KeyPair::generate().unwrap();
    let mut other = app.database.pool.acquire().await.unwrap();
    crate::test_database::execute(&mut other, "begin; delete from fleets").await;
    let deleting = async {
        until_one_waits(&app).await;
        crate::test_database::execute(&mut other, "commit").await;
    };
    let (enrolled, ()) =
        futures_util::join!(send_enrollment(&app, &made.text, csr(&key, None)), deleting);
    assert_eq!(reason(&enrolled.unwrap_err()), "ENROLLMENT_TOKEN_UNKNOWN");
}

/// Comes back when a transaction waits for another.
async fn until_one_waits(app: &TestApp) {
    let waits = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')::text";
    let mut watcher = app.database.pool.acquire().await.unwrap();
    let waiting = async {
        while crate::test_database::text(&mut watcher, waits).await != "true" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn what_relays_enroll_by_is_taken_away_in_the_order_in_which_they_enroll() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let token = token(&app, "acme", 5).await.enrollment_token.unwrap().name;
    let revoke = RevokeEnrollmentTokenRequest { name: token, ..Default::default() };
    let revoke = app.call("EnrollmentTokenService/RevokeEnrollmentToken", revoke);
    let _: RevokeEnrollmentTokenResponse = as_one_enrolls(&app, revoke).await;

    let rule = EnrollmentRule {
        aws_role_arn: "arn:aws:iam::123456789012:role/ekiden-relay".to_owned(),
        ..Default::default()
    };
    let request = CreateEnrollmentRuleRequest {
        parent: "tenants/acme/fleets/tokyo".to_owned(),
        enrollment_rule_id: "relays".to_owned(),
        enrollment_rule: Some(rule),
        ..Default::default()
    };
    let made: CreateEnrollmentRuleResponse =
        app.call("EnrollmentRuleService/CreateEnrollmentRule", request).await.unwrap();
    let name = made.enrollment_rule.unwrap().name;
    let delete = DeleteEnrollmentRuleRequest { name, ..Default::default() };
    let delete = app.call("EnrollmentRuleService/DeleteEnrollmentRule", delete);
    let _: DeleteEnrollmentRuleResponse = as_one_enrolls(&app, delete).await;

    let fleet = "tenants/acme/fleets/tokyo".to_owned();
    let delete = DeleteFleetRequest { name: fleet, ..Default::default() };
    let delete = app.call("FleetService/DeleteFleet", delete);
    let _: DeleteFleetResponse = as_one_enrolls(&app, delete).await;
}

/// Makes a call while a relay enrolls: one that has its turn in the audit log, and then uses what the call takes away.
async fn as_one_enrolls<R>(app: &TestApp, call: impl Future<Output = Result<R, Status>>) -> R {
    let mut enrolling = app.database.pool.acquire().await.unwrap();
    let turn = "begin; select from audit_heads where tenant_id = 'acme' for update";
    crate::test_database::execute(&mut enrolling, turn).await;
    let enrolls = async {
        until_one_waits(app).await;
        let uses = "update enrollment_tokens set uses = uses + 1; select from fleets for key share;
             select from enrollment_rules for key share; commit";
        crate::test_database::execute(&mut enrolling, uses).await;
    };
    futures_util::join!(call, enrolls).0.unwrap()
}

#[tokio::test]
async fn a_token_of_five_uses_admits_five_of_twenty_that_come_at_once() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let made = token(&app, "acme", 5).await;
    let key = KeyPair::generate().unwrap();
    let all = (0..20).map(|_| send_enrollment(&app, &made.text, csr(&key, None)));
    let answers = futures_util::future::join_all(all).await;
    let (admitted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(admitted.len(), 5);
    assert!(refused.iter().all(|r| reason(r.as_ref().unwrap_err()) == "ENROLLMENT_TOKEN_USED_UP"));
    let name = made.enrollment_token.unwrap().name;
    let got: GetEnrollmentTokenResponse = app
        .call("EnrollmentTokenService/GetEnrollmentToken", GetEnrollmentTokenRequest { name })
        .await
        .unwrap();
    assert_eq!(got.enrollment_token.unwrap().uses, 5);
    let listed: ListAuditEventsResponse = app
        .call(
            "AuditService/ListAuditEvents",
            ListAuditEventsRequest { parent: "tenants/acme".to_owned(), ..Default::default() },
        )
        .await
        .unwrap();
    let enrollments: Vec<_> =
        listed.audit_events.iter().filter(|e| e.method.ends_with("/Enroll")).collect();
    assert_eq!(enrollments.len(), 5);
    assert!(
        enrollments
            .iter()
            .all(|e| e.peer.starts_with("127.0.0.1") && e.actor.contains("/enrollmentTokens/")),
        "{enrollments:?}"
    );
}

#[tokio::test]
async fn a_request_that_is_no_good_names_the_csr_and_spends_no_token() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let made = token(&app, "acme", 1).await;
    let key = KeyPair::generate().unwrap();
    let good = csr(&key, None);
    let mut bad_signature = good.clone();
    *bad_signature.last_mut().unwrap() ^= 1;
    let mut followed = good.clone();
    followed.push(0);
    let other = "spiffe://ekiden.internal/tenants/globex/fleets/tokyo/relays/r-1";
    let own = "spiffe://ekiden.internal/tenants/acme/fleets/tokyo/relays/r-1";
    let mut named = CertificateParams::new(["vendor.test".to_owned()]).unwrap();
    named.distinguished_name = DistinguishedName::new();
    for (bad, what) in [
        (vec![], "nothing"),
        (b"garbage".to_vec(), "garbage"),
        (vec![0x30; 9000], "too long"),
        (bad_signature, "a bad signature"),
        (followed, "something after it"),
        (csr(&KeyPair::generate_for(&PKCS_ED25519).unwrap(), None), "Ed25519"),
        (csr(&key, Some(other)), "another tenant's name"),
        (csr(&key, Some(own)), "a name it cannot know"),
        (named.serialize_request(&key).unwrap().der().to_vec(), "a DNS name"),
    ] {
        let status = send_enrollment(&app, &made.text, bad).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        let details = status.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, "csr", "{what}");
    }
    let answer = send_enrollment(&app, &made.text, good).await.unwrap();
    assert!(answer.relay.starts_with("tenants/acme/fleets/tokyo/relays/"));
}
