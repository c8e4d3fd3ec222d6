//! Enrollment by AWS identity: an STS and an issuer of web identity tokens of the tests' own, over real TLS.
use ekiden_proto::relay::v1::{
    AwsCallerIdentity, AwsWebIdentity, CreateChallengeRequest, CreateChallengeResponse,
};
use rcgen::PublicKeyData;
use serde_json::json;
use time::OffsetDateTime;

use super::*;
use crate::{
    clock::Clock,
    https::Https,
    oidc::{test_issuer::TestIssuer, test_tokens::Draft},
    sts::{
        challenge,
        sigv4::{Scope, sha256, signature},
        stand_in::{Ca, Credential, GOOD, OTHER, Reply, StandIn},
    },
};

const FLEET: &str = "tenants/acme/fleets/tokyo";
const REGION: &str = "ap-northeast-1";
const HOST: &str = "sts.ap-northeast-1.amazonaws.com";
const ROLE: &str = "arn:aws:iam::123456789012:role/ekiden-relay";
const AUDIENCE: &str = "spiffe://ekiden.internal";
const STRANGER: &str = "0198c5d2-1111-7000-8000-000000000001.tokens.sts.global.api.aws";

mod organizations;

struct Aws {
    app: TestApp,
    sts: StandIn,
    issuer: TestIssuer,
    /// AWS's issuer of an account that nobody registered.
    stranger: TestIssuer,
}

/// A relay's key with a challenge for it.
struct Joining {
    key: KeyPair,
    fleet: &'static str,
    challenge: CreateChallengeResponse,
}

impl Aws {
    /// A tenant whose fleet admits the good credential's role.
    async fn start() -> Self {
        let ca = Ca::new();
        let (sts, issuer) = (StandIn::start(&ca, &[HOST]).await, TestIssuer::start().await);
        let stranger = TestIssuer::start_at(STRANGER).await;
        let mut roots = ca.roots();
        roots.add(issuer.root.clone()).unwrap();
        roots.add(stranger.root.clone()).unwrap();
        let instead = [(HOST.to_owned(), sts.address), (STRANGER.to_owned(), stranger.address)];
        let https = Https::new(roots, &instead).unwrap();
        let app = TestApp::start_beside(Clock::system(), https).await;
        for tenant in ["acme", "globex"] {
            customer(&app, tenant).await;
        }
        let world = Self { app, sts, issuer, stranger };
        world.rule("acme", "relays", ROLE, false).await.unwrap();
        world
    }

    async fn rule(&self, tenant: &str, id: &str, role: &str, shared: bool) -> Result<(), Status> {
        let rule = EnrollmentRule {
            aws_role_arn: role.to_owned(),
            aws_token_issuer: self.issuer.issuer.url().to_owned(),
            shared_account: shared,
            ..Default::default()
        };
        self.new_rule(tenant, id, rule).await
    }

    async fn new_rule(&self, tenant: &str, id: &str, rule: EnrollmentRule) -> Result<(), Status> {
        let request = CreateEnrollmentRuleRequest {
            parent: format!("tenants/{tenant}/fleets/tokyo"),
            enrollment_rule_id: id.to_owned(),
            enrollment_rule: Some(rule),
            ..Default::default()
        };
        let path = "EnrollmentRuleService/CreateEnrollmentRule";
        self.app.call::<_, CreateEnrollmentRuleResponse>(path, request).await.map(drop)
    }

    async fn anyone<M: prost::Message + 'static, R: prost::Message + Default + 'static>(
        &self,
        method: &str,
        request: M,
    ) -> Result<R, Status> {
        let client = test_app::client(&self.app.app.authorities.trust_roots(), None);
        let path = format!("/ekiden.relay.v1.EnrollmentService/{method}");
        test_app::call(&test_app::channel(self.app.relays, client), None, &path, request).await
    }

    async fn joining(&self, fleet: &'static str) -> Joining {
        let key = KeyPair::generate().unwrap();
        let request = CreateChallengeRequest {
            fleet: fleet.to_owned(),
            public_key: key.subject_public_key_info(),
        };
        Joining { key, fleet, challenge: self.anyone("CreateChallenge", request).await.unwrap() }
    }

    async fn enroll(&self, key: &KeyPair, proof: Proof) -> Result<EnrollResponse, Status> {
        let request = EnrollRequest { proof: Some(proof), csr: csr(key, None), description: None };
        self.anyone("Enroll", request).await
    }

    /// Reason of the refusal of a proof.
    async fn refusal(&self, key: &KeyPair, proof: Proof) -> String {
        reason(&self.enroll(key, proof).await.unwrap_err())
    }

    /// A web identity token as STS would give it for this challenge.
    fn token(&self, challenge: &str) -> Draft {
        let mut draft = Draft::good(self.issuer.issuer.url());
        let now = OffsetDateTime::now_utc().unix_timestamp();
        draft.claims["aud"] = json!(AUDIENCE);
        draft.claims["sub"] = json!(ROLE);
        draft.claims["jti"] = json!(uuid::Uuid::new_v4().to_string());
        for (claim, at) in [("iat", now), ("nbf", now), ("exp", now + 300)] {
            draft.claims[claim] = json!(at);
        }
        draft.claims["https://sts.amazonaws.com/"]["request_tags"] =
            json!({ "ekiden-challenge": challenge });
        draft
    }
}

impl Joining {
    fn challenge(&self, tenant: &str) -> String {
        let (nonce, key) = (&self.challenge.nonce, self.key.subject_public_key_info());
        challenge(nonce, &key, &self.challenge.audience, tenant)
    }

    fn signed(&self, by: Credential, challenge: &str) -> Proof {
        let now = OffsetDateTime::now_utc();
        let (year, month, day) = now.to_calendar_date();
        let (hour, minute, second) = now.to_hms();
        let date =
            format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z", u8::from(month));
        let body = sha256("Action=GetCallerIdentity&Version=2011-06-15".as_bytes());
        let canonical = format!(
            "POST\n/\n\ncontent-type:application/x-www-form-urlencoded; charset=utf-8\nhost:{HOST}\nx-amz-date:{date}\n\
             x-amz-security-token:{}\nx-ekiden-audience:{AUDIENCE}\nx-ekiden-challenge:{challenge}\n\n\
             content-type;host;x-amz-date;x-amz-security-token;x-ekiden-audience;x-ekiden-challenge\n{body}",
            by.token
        );
        let scope = Scope { day: &date[..8], region: REGION, service: "sts" };
        Proof::AwsCallerIdentity(AwsCallerIdentity {
            fleet: self.fleet.to_owned(),
            nonce: self.challenge.nonce.clone(),
            region: REGION.to_owned(),
            signature: signature(by.secret, scope, &date, &canonical),
            amz_date: date,
            access_key_id: by.access_key_id.to_owned(),
            session_token: by.token.to_owned(),
        })
    }

    fn by_token(&self, token: &Draft) -> Proof {
        Proof::AwsWebIdentity(AwsWebIdentity {
            fleet: self.fleet.to_owned(),
            nonce: self.challenge.nonce.clone(),
            token: token.token(),
        })
    }
}

/// A relay as its enrollment was answered.
fn device(key: KeyPair, answer: EnrollResponse) -> Device {
    let chain = answer.certificate.unwrap().chain.into_iter().map(CertificateDer::from).collect();
    Device { name: answer.relay, key, chain }
}

#[tokio::test]
async fn a_task_of_an_admitted_role_enrolls_by_a_signed_caller_identity() {
    let aws = Aws::start().await;
    let joining = aws.joining(FLEET).await;
    assert_eq!(joining.challenge.audience, AUDIENCE);
    let proof = joining.signed(GOOD, &joining.challenge("tenants/acme"));
    let answer = aws.enroll(&joining.key, proof).await.unwrap();
    let relay = device(joining.key, answer);
    relay.joined(&aws.app).await;
    let event = aws.app.audit("acme").await.into_iter().find(|e| e.method.ends_with("/Enroll"));
    let event = event.unwrap();
    assert_eq!((event.actor.as_str(), &event.resource), (ROLE, &relay.name));
}

#[tokio::test]
async fn a_task_of_an_admitted_role_enrolls_by_a_web_identity_token_without_sts() {
    let aws = Aws::start().await;
    let joining = aws.joining(FLEET).await;
    let proof = joining.by_token(&aws.token(&joining.challenge("tenants/acme")));
    let answer = aws.enroll(&joining.key, proof).await.unwrap();
    device(joining.key, answer).joined(&aws.app).await;
    assert!(aws.sts.received().is_empty());
}

#[tokio::test]
async fn a_proof_serves_once_and_for_its_own_key_fleet_and_tenant_alone() {
    let aws = Aws::start().await;
    let joining = aws.joining(FLEET).await;
    let good = joining.challenge("tenants/acme");
    let proof = joining.signed(GOOD, &good);
    let other = KeyPair::generate().unwrap();
    assert_eq!(aws.refusal(&other, proof.clone()).await, "CHALLENGE_UNKNOWN");
    let Proof::AwsCallerIdentity(mut moved) = proof.clone() else { panic!() };
    moved.fleet = "tenants/globex/fleets/tokyo".to_owned();
    let moved = Proof::AwsCallerIdentity(moved);
    assert_eq!(aws.refusal(&joining.key, moved).await, "CHALLENGE_UNKNOWN");
    let elsewhere = joining.signed(GOOD, &joining.challenge("tenants/globex"));
    assert_eq!(aws.refusal(&joining.key, elsewhere).await, "SIGNATURE_REFUSED");

    aws.enroll(&joining.key, proof.clone()).await.unwrap();
    assert_eq!(aws.refusal(&joining.key, proof).await, "PROOF_USED");
    let token = joining.by_token(&aws.token(&good));
    assert_eq!(aws.refusal(&joining.key, token).await, "PROOF_USED");
}

#[tokio::test]
async fn a_web_identity_token_counts_once_and_for_its_own_challenge() {
    let aws = Aws::start().await;
    let joining = aws.joining(FLEET).await;
    let again = aws.joining(FLEET).await;
    let token = aws.token(&joining.challenge("tenants/acme"));
    assert_eq!(aws.refusal(&again.key, again.by_token(&token)).await, "PROOF_OF_ANOTHER_CHALLENGE");
    aws.enroll(&joining.key, joining.by_token(&token)).await.unwrap();
    // The same id in a token for another challenge: an issuer that gives an id twice is none to believe.
    let mut twin = aws.token(&again.challenge("tenants/acme"));
    twin.claims["jti"] = token.claims["jti"].clone();
    assert_eq!(aws.refusal(&again.key, again.by_token(&twin)).await, "PROOF_USED");
    let mut untagged = aws.token("");
    untagged.claims["https://sts.amazonaws.com/"] = json!({ "aws_account": "123456789012" });
    assert_eq!(
        aws.refusal(&again.key, again.by_token(&untagged)).await,
        "PROOF_OF_ANOTHER_CHALLENGE"
    );
    let mut elsewhere = aws.token(&again.challenge("tenants/acme"));
    elsewhere.claims["aud"] = json!("spiffe://another.internal");
    assert_eq!(aws.refusal(&again.key, again.by_token(&elsewhere)).await, "AUDIENCE_UNEXPECTED");
}

#[tokio::test]
async fn a_role_without_a_rule_or_a_fleet_without_rules_admits_nobody() {
    let aws = Aws::start().await;
    let joining = aws.joining(FLEET).await;
    let challenge = joining.challenge("tenants/acme");
    let proof = joining.signed(OTHER, &challenge);
    assert_eq!(aws.refusal(&joining.key, proof).await, "AWS_ROLE_NOT_ADMITTED");
    let mut another = aws.token(&challenge);
    another.claims["sub"] = json!("arn:aws:iam::123456789012:role/another");
    let proof = joining.by_token(&another);
    assert_eq!(aws.refusal(&joining.key, proof).await, "AWS_ROLE_NOT_ADMITTED");
    for fleet in ["tenants/globex/fleets/tokyo", "tenants/nobody/fleets/tokyo"] {
        let joining = aws.joining(fleet).await;
        let proof = joining.signed(GOOD, &joining.challenge(&fleet[..fleet.len() - 13]));
        assert_eq!(aws.refusal(&joining.key, proof).await, "AWS_ROLE_NOT_ADMITTED", "{fleet}");
    }
}

#[tokio::test]
async fn with_sts_away_a_relay_is_told_to_come_back_and_a_token_still_counts() {
    let aws = Aws::start().await;
    let joining = aws.joining(FLEET).await;
    let good = joining.challenge("tenants/acme");
    aws.sts.reply(Reply::Closed);
    let status = aws.enroll(&joining.key, joining.signed(GOOD, &good)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STS_UNREACHABLE"));
    aws.enroll(&joining.key, joining.by_token(&aws.token(&good))).await.unwrap();
}

#[tokio::test]
async fn while_sts_is_silent_relays_renew_and_enroll_by_other_proofs() {
    const WAITING: usize = 80;
    let aws = Aws::start().await;
    let relay = enrolled(&aws.app, "acme").await;
    aws.sts.reply(Reply::Silence);
    let waiting = futures_util::future::join_all((0..WAITING).map(async |_| {
        let joining = aws.joining(FLEET).await;
        let proof = joining.signed(GOOD, &joining.challenge("tenants/acme"));
        aws.refusal(&joining.key, proof).await
    }));
    let others = async {
        let mut asked = 0;
        while asked < WAITING {
            tokio::time::sleep(Duration::from_millis(10)).await;
            asked += aws.sts.received().len();
        }
        relay.renew(&aws.app).await.unwrap();
        enrolled(&aws.app, "acme").await;
        let joining = aws.joining(FLEET).await;
        let proof = joining.by_token(&aws.token(&joining.challenge("tenants/acme")));
        aws.enroll(&joining.key, proof).await.unwrap();
    };
    tokio::select! {
        refused = waiting => panic!("{refused:?}"),
        () = others => {}
    }
}

#[tokio::test]
async fn an_account_belongs_to_one_tenant_unless_all_share_it() {
    let aws = Aws::start().await;
    let another = "arn:aws:iam::123456789012:role/another";
    for shared in [false, true] {
        let refused = aws.rule("globex", "theirs", another, shared).await.unwrap_err();
        assert_eq!(reason(&refused), "AWS_ACCOUNT_OF_ANOTHER_TENANT");
    }
    aws.rule("acme", "second", another, false).await.unwrap();
    let own = "arn:aws:iam::999999999999:role/relays";
    aws.rule("acme", "shared", own, true).await.unwrap();
    aws.rule("globex", "shared", own, true).await.unwrap();
    for bad in ["", "arn:aws:iam::123456789012:role/*", "arn:aws:iam::123456789012:user/ann"] {
        let refused = aws.rule("acme", "bad", bad, false).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad}");
    }
}

#[tokio::test]
async fn deleting_a_rule_with_its_relays_ends_them() {
    let aws = Aws::start().await;
    let joining = aws.joining(FLEET).await;
    let proof = joining.signed(GOOD, &joining.challenge("tenants/acme"));
    let answer = aws.enroll(&joining.key, proof).await.unwrap();
    let relay = device(joining.key, answer);
    let bystander = enrolled(&aws.app, "acme").await;
    let request = DeleteEnrollmentRuleRequest {
        name: format!("{FLEET}/enrollmentRules/relays"),
        revoke_relays: true,
        ..Default::default()
    };
    let path = "EnrollmentRuleService/DeleteEnrollmentRule";
    let answer: DeleteEnrollmentRuleResponse = aws.app.call(path, request).await.unwrap();
    assert_eq!(answer.revoked_relays, 1);
    assert_eq!(reason(&relay.renew(&aws.app).await.err().unwrap()), "RELAY_REVOKED");
    bystander.joined(&aws.app).await;
}
