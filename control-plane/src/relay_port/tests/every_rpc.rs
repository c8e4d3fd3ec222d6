//! Every rpc of the relay port, and which certificates open it. A new one fails here until it is listed.
use std::collections::BTreeSet;

use ekiden_proto::relay::v1::{CreateChallengeRequest, CreateChallengeResponse};
use prost::Message;
use prost_types::FileDescriptorSet;

use super::{certificates::issued_ago, *};

/// Who may call an rpc.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Whoever reaches the port: a proof comes in the request.
    Anyone,
    /// Relays whose certificate counts or has ended lately.
    EvenEnded,
    /// Relays whose certificate counts.
    Certified,
}

const RPCS: [(&str, For); 5] = [
    ("EnrollmentService/CreateChallenge", For::Anyone),
    ("EnrollmentService/Enroll", For::Anyone),
    ("EnrollmentService/Renew", For::EvenEnded),
    ("SessionService/GetSettings", For::Certified),
    ("SessionService/Session", For::Certified),
];

#[test]
fn every_rpc_of_the_relays_contract_is_listed_here() {
    let contract = FileDescriptorSet::decode(ekiden_proto::DESCRIPTOR).unwrap();
    let relay = contract.file.iter().filter(|file| file.package() == "ekiden.relay.v1");
    let methods: BTreeSet<String> = relay
        .flat_map(|file| &file.service)
        .flat_map(|s| s.method.iter().map(|m| format!("{}/{}", s.name(), m.name())))
        .collect();
    assert_eq!(methods, RPCS.iter().map(|(path, _)| (*path).to_owned()).collect());
}

/// Calls an rpc as well as it can be called; gives the reason where it is refused.
async fn call(channel: &Channel, rpc: &str) -> Option<String> {
    let path = format!("/ekiden.relay.v1.{rpc}");
    let key = KeyPair::generate().unwrap();
    let refused = match rpc {
        "EnrollmentService/CreateChallenge" => {
            let request = CreateChallengeRequest {
                fleet: "tenants/acme/fleets/tokyo".to_owned(),
                public_key: vec![1],
            };
            test_app::call::<_, CreateChallengeResponse>(channel, None, &path, request).await.err()
        }
        "EnrollmentService/Enroll" => {
            let request = EnrollRequest { csr: csr(&key, None), ..EnrollRequest::default() };
            test_app::call::<_, EnrollResponse>(channel, None, &path, request).await.err()
        }
        "EnrollmentService/Renew" => {
            let request = RenewRequest { csr: csr(&key, None) };
            test_app::call::<_, RenewResponse>(channel, None, &path, request).await.err()
        }
        "SessionService/GetSettings" => {
            let request = GetSettingsRequest {};
            test_app::call::<_, GetSettingsResponse>(channel, None, &path, request).await.err()
        }
        _ => {
            let hello = SessionRequest { message: Some(Up::Hello(Hello::default())) };
            let stream = tokio_stream::once(hello);
            match SessionServiceClient::new(channel.clone()).session(stream).await {
                Ok(answers) => answers.into_inner().message().await.err(),
                Err(status) => Some(status),
            }
        }
    };
    refused.map(|status| reason(&status))
}

/// Calls every rpc; those for which it is `refused` must say so, all others must not.
async fn open_but(channel: &Channel, refused: &str, to: impl Fn(For) -> bool) {
    for (rpc, open_to) in RPCS {
        let said = call(channel, rpc).await;
        match to(open_to) {
            true => assert_eq!(said.as_deref(), Some(refused), "{rpc}"),
            false => assert_ne!(said.as_deref(), Some(refused), "{rpc}"),
        }
    }
}

#[tokio::test]
async fn without_a_certificate_only_enrollment_answers() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let anyone = test_app::client(&app.app.authorities.trust_roots(), None);
    let channel = test_app::channel(app.relays, anyone);
    open_but(&channel, "RELAY_CERTIFICATE_MISSING", |to| to != For::Anyone).await;
}

#[tokio::test]
async fn with_a_certificate_that_has_ended_only_renewal_answers() {
    let (app, relay) = issued_ago(Duration::from_secs(2 * 3600)).await;
    let channel = relay.channel(&app, app.relays);
    open_but(&channel, "RELAY_CERTIFICATE_EXPIRED", |to| to == For::Certified).await;
}

#[tokio::test]
async fn nothing_answers_to_a_relay_that_was_revoked() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let request = RevokeRelayRequest { name: relay.name.clone(), ..Default::default() };
    let _: RevokeRelayResponse = app.call("RelayService/RevokeRelay", request).await.unwrap();
    let channel = relay.channel(&app, app.relays);
    open_but(&channel, "RELAY_REVOKED", |to| to != For::Anyone).await;
}

#[tokio::test]
async fn nothing_answers_to_a_relay_whose_fleet_is_gone() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let request =
        DeleteFleetRequest { name: "tenants/acme/fleets/tokyo".to_owned(), ..Default::default() };
    let _: DeleteFleetResponse = app.call("FleetService/DeleteFleet", request).await.unwrap();
    let channel = relay.channel(&app, app.relays);
    open_but(&channel, "RELAY_UNKNOWN", |to| to != For::Anyone).await;
}

#[tokio::test]
async fn each_rpc_answers_to_a_relay_that_counts() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let channel = relay.channel(&app, app.relays);
    for (rpc, open_to) in RPCS {
        if open_to != For::Anyone {
            assert_eq!(call(&channel, rpc).await, None, "{rpc}");
        }
    }
}
