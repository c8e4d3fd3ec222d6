use proptest::prelude::*;
use time::OffsetDateTime;

use super::{
    signing::{AUDIENCE, DATE, Sent, Signing, expected},
    stand_in::{CHINA, Ca, Credential, GOOD, GOV, OTHER, REGIONS, Reply, StandIn},
    *,
};

const EVIL: &str = "evil.example";

/// A control plane's view of STS, and every host that it can reach.
pub(super) struct World {
    pub(super) sts: Sts,
    pub(super) stand_in: StandIn,
    /// Where no request may ever arrive.
    pub(super) evil: StandIn,
    https: Https,
}

impl World {
    pub(super) async fn start() -> Self {
        let ca = Ca::new();
        let hosts = REGIONS.map(|(_, host, _)| host);
        let stand_in = StandIn::start(&ca, &hosts).await;
        let evil = StandIn::start(&ca, &[EVIL]).await;
        let mut instead = hosts.map(|host| (host.to_owned(), stand_in.address)).to_vec();
        instead.push((EVIL.to_owned(), evil.address));
        let https = Https::new(ca.roots(), &instead).unwrap();
        let sts = Sts::new(https.clone(), now(0), &[Partition::Aws]);
        Self { sts, stand_in, evil, https }
    }

    /// Reads and checks what a relay sent.
    pub(super) async fn caller(&self, sent: &Sent) -> Result<CallerIdentity, StsError> {
        self.sts.caller(&Proof::read(sent.fields())?, &expected(), AUDIENCE).await
    }
}

/// Seconds after the date that relays sign.
fn now(seconds: i64) -> Clock {
    let now = OffsetDateTime::from_unix_timestamp(1_795_435_200 + seconds).unwrap();
    Clock::from_fn(move || now)
}

#[tokio::test]
async fn a_good_proof_names_the_role_and_exactly_what_was_signed_goes_out() {
    let world = World::start().await;
    let caller = world.caller(&Signing::default().sent()).await.unwrap();
    let role = CallerIdentity {
        partition: Partition::Aws,
        account: GOOD.account.to_owned(),
        role_name: "ekiden-relay".to_owned(),
        session_name: "0f3c1b5e".to_owned(),
        unique_id: "AROAEKIDENRELAYROLE01".to_owned(),
    };
    assert_eq!(caller, role);
    assert!(caller.matches_role("arn:aws:iam::123456789012:role/ekiden-relay"));

    let [request] = &world.stand_in.received()[..] else { panic!("not one request") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
    assert_eq!((request.query.as_str(), request.body.as_str()), ("", request::BODY));
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        headers,
        [
            ("accept", "application/json"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=ASIAEKIDENGOODRELAY1/20261123/ap-northeast-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-ekiden-audience;x-ekiden-challenge, Signature=75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f4"
            ),
            ("content-length", "43"),
            ("content-type", request::CONTENT_TYPE),
            ("host", "sts.ap-northeast-1.amazonaws.com"),
            ("x-amz-date", DATE),
            ("x-amz-security-token", GOOD.token),
            ("x-ekiden-audience", AUDIENCE),
            ("x-ekiden-challenge", "ResgbIXDR1YWcfWTXbSJUixL4L6T5yhYLjxtbCfGNSk"),
        ]
    );
}

#[tokio::test]
async fn relays_of_every_partition_are_known_where_the_settings_allow_it() {
    let world = World::start().await;
    let all = [Partition::Aws, Partition::AwsCn, Partition::AwsUsGov];
    let sts = Sts::new(world.https.clone(), now(0), &all);
    let ask = async |by: Credential, (region, host, _): (&'static str, &str, &str)| {
        let sent = Signing::good(by, region, host).sent();
        sts.caller(&Proof::read(sent.fields()).unwrap(), &expected(), AUDIENCE).await
    };
    let [tokyo, virginia, beijing, gov] = REGIONS;
    for (by, region, partition) in [
        (GOOD, tokyo, Partition::Aws),
        (OTHER, virginia, Partition::Aws),
        (CHINA, beijing, Partition::AwsCn),
        (GOV, gov, Partition::AwsUsGov),
    ] {
        let caller = ask(by, region).await.unwrap();
        assert_eq!((caller.partition, caller.account.as_str()), (partition, by.account));
    }
    for (by, region) in [(GOOD, beijing), (CHINA, tokyo), (GOV, virginia), (CHINA, gov)] {
        assert_eq!(ask(by, region).await.unwrap_err().reason(), "SIGNATURE_REFUSED");
    }
}

#[tokio::test]
async fn a_date_is_taken_up_to_its_bounds_and_past_them_the_skew_is_told() {
    let world = World::start().await;
    let sent = Signing::default().sent();
    let proof = Proof::read(sent.fields()).unwrap();
    for (seconds, refused) in [
        (900, None),
        (-60, None),
        (901, Some(("DATE_TOO_OLD", "the relay's clock is about 901 s behind"))),
        (-61, Some(("DATE_AHEAD", "the relay's clock is about 61 s ahead"))),
    ] {
        let sts = Sts::new(world.https.clone(), now(seconds), &[Partition::Aws]);
        let answer = sts.caller(&proof, &expected(), AUDIENCE).await;
        match refused {
            None => assert!(answer.is_ok(), "{seconds}: {answer:?}"),
            Some((reason, hint)) => {
                let error = answer.unwrap_err();
                assert_eq!(error.reason(), reason);
                assert!(error.to_string().contains(hint), "{error}");
            }
        }
    }
    assert_eq!(world.stand_in.received().len(), 2);
}

#[tokio::test]
async fn past_256_calls_at_once_a_proof_is_told_to_come_back() {
    let world = World::start().await;
    let sent = Signing::default().sent();
    let others = world.sts.calls.acquire_many(256).await.unwrap();
    let error = world.caller(&sent).await.unwrap_err();
    assert_eq!((error.reason(), error.retry()), ("STS_TOO_MANY_CALLS", true));
    assert!(world.stand_in.received().is_empty());
    drop(others);
    world.caller(&sent).await.unwrap();
    assert_eq!(world.sts.calls.available_permits(), 256);
}

#[tokio::test]
async fn a_host_with_the_certificate_of_another_gets_no_request() {
    let (ca, strangers) = (Ca::new(), Ca::new());
    let host = "sts.ap-northeast-1.amazonaws.com";
    let sent = Signing::default().sent();
    let proof = Proof::read(sent.fields()).unwrap();
    for (issuer, name) in [(&ca, "sts.us-east-1.amazonaws.com"), (&ca, EVIL), (&strangers, host)] {
        let stand_in = StandIn::start(issuer, &[name]).await;
        let https = Https::new(ca.roots(), &[(host.to_owned(), stand_in.address)]).unwrap();
        let sts = Sts::new(https, now(0), &[Partition::Aws]);
        let error = sts.caller(&proof, &expected(), AUDIENCE).await.unwrap_err();
        assert_eq!((error.reason(), error.retry()), ("STS_UNREACHABLE", true));
        assert!(stand_in.received().is_empty());
    }
}

#[tokio::test]
async fn an_sts_that_nobody_serves_is_worth_another_try() {
    let world = World::start().await;
    let sent = Signing::default().sent();
    let World { sts, stand_in, .. } = world;
    drop(stand_in);
    let proof = Proof::read(sent.fields()).unwrap();
    let error = sts.caller(&proof, &expected(), AUDIENCE).await.unwrap_err();
    assert_eq!((error.reason(), error.retry()), ("STS_UNREACHABLE", true));
}

#[tokio::test]
async fn an_audience_or_challenge_that_a_signature_would_bend_is_never_sent() {
    let world = World::start().await;
    let sent = Signing::default().sent();
    let proof = Proof::read(sent.fields()).unwrap();
    for bad in ["", " ", "two words", "a\r\nx-amz-target: b", "a\0", "é", "a\t"] {
        for (challenge, audience) in [(bad, AUDIENCE), (&expected(), bad)] {
            let error = world.sts.caller(&proof, challenge, audience).await.unwrap_err();
            assert_eq!((error.reason(), error.retry()), ("STS_REQUEST_UNSENDABLE", false));
        }
    }
    assert!(world.stand_in.received().is_empty());
}

#[tokio::test]
async fn a_proof_that_was_good_once_is_not_good_for_the_next_challenge() {
    let world = World::start().await;
    let sent = Signing::default().sent();
    world.caller(&sent).await.unwrap();
    let proof = Proof::read(sent.fields()).unwrap();
    let next = challenge(b"the next nonce", &signing::spki(), AUDIENCE, signing::TENANT);
    for (challenge, audience) in [(&next, AUDIENCE), (&expected(), "https://other.example")] {
        let error = world.sts.caller(&proof, challenge, audience).await.unwrap_err();
        assert_eq!(error.reason(), "SIGNATURE_REFUSED");
    }
    world.stand_in.reply(Reply::Checked);
    world.caller(&sent).await.unwrap();
}

#[test]
fn neither_a_proof_nor_its_request_shows_token_or_signature() {
    let sent = Signing::default().sent();
    let proof = Proof::read(sent.fields()).unwrap();
    let request = request::rebuild(&proof, &expected(), AUDIENCE).unwrap();
    let shown = format!("{proof:?} {request:?}");
    assert!(shown.contains(GOOD.access_key_id) && shown.contains("x-amz-security-token"));
    assert!(!shown.contains(GOOD.token) && !shown.contains(&sent.signature), "{shown}");
}

proptest! {
    #[test]
    fn whatever_a_relay_sends_only_values_of_the_request_change(
        field in 0_usize..5,
        at in any::<prop::sample::Index>(),
        put in prop_oneof!["[ -~]{0,3}", "\\PC{0,2}", "[\r\n\t\0,;=/@:?#%]{1,3}"],
        cut in 0_usize..3,
    ) {
        let mut sent = Signing::default().sent();
        let text = match field {
            0 => &mut sent.region,
            1 => &mut sent.amz_date,
            2 => &mut sent.access_key_id,
            3 => &mut sent.session_token,
            _ => &mut sent.signature,
        };
        let at = at.index(text.len());
        text.replace_range(at..(at + cut).min(text.len()), &put);
        if let Ok(proof) = Proof::read(sent.fields()) {
            let request = request::rebuild(&proof, &expected(), AUDIENCE).unwrap();
            let host = format!("sts.{}.amazonaws.com", proof.region().name());
            prop_assert_eq!(request.url().as_str(), format!("https://{host}/"));
            prop_assert_eq!(request.method().as_str(), "POST");
            prop_assert_eq!(request.body().unwrap().as_bytes(), Some(request::BODY.as_bytes()));
            prop_assert_eq!(request.headers().len(), 8);
            prop_assert_eq!(request.headers()["host"].as_bytes(), host.as_bytes());
            let authorization = request.headers()["authorization"].to_str().unwrap();
            prop_assert_eq!(authorization.matches([' ', ',']).count(), 5);
            prop_assert_eq!(authorization.matches('/').count(), 4);
            prop_assert_eq!(authorization.matches('=').count(), 3);
        }
    }
}
