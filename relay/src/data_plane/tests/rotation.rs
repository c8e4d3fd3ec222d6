//! Two versions of one access key: which of them collectors see, and what is told of their answers.
use std::sync::Arc;

use ekiden_proto::relay::v1::{KeyBundle, KeyMaterial, KeyTrialOutcome as Outcome, KeyUse};

use super::{
    otlp::{KEY, Vendor, export, otlp, workload},
    world::Relay,
};
use crate::collector::{Keys, Trial};

const OLD: (u64, &str) = (1, "old");
const NEW: (u64, &str) = (2, "new");

fn keys(secret_version: u64, versions: &[((u64, &str), KeyUse)]) -> Arc<Keys> {
    let key = |((version, value), used): &((u64, &str), KeyUse)| KeyMaterial {
        access_key: KEY.to_owned(),
        version: *version,
        value: (*value).into(),
        r#use: (*used).into(),
    };
    let keys = versions.iter().map(key).collect();
    Arc::new(Keys::from_bundle(KeyBundle { secret_version, keys, ..KeyBundle::default() }))
}

fn distributing() -> Arc<Keys> {
    keys(2, &[(NEW, KeyUse::Candidate), (OLD, KeyUse::Preferred)])
}

fn preferred() -> Arc<Keys> {
    keys(3, &[(OLD, KeyUse::Fallback), (NEW, KeyUse::Preferred)])
}

fn told(relay: &Relay) -> Option<Trial> {
    let trials = relay.plane.key_trials().borrow().clone();
    assert!(trials.len() <= 1, "{trials:?}");
    trials.into_values().next()
}

fn trial(outcome: Outcome, message: &str) -> Option<Trial> {
    Some(Trial { version: 2, outcome, message: message.to_owned() })
}

#[tokio::test]
async fn a_candidate_is_tried_by_itself_and_never_used_for_telemetry() {
    let (vendor, address) = Vendor::start().await;
    let relay = Relay::running(&[otlp(address)]).await;
    relay.plane.set_keys(distributing());
    let mut workload = workload(&relay).await;
    assert_eq!(export(&mut workload).await, Ok(()));
    assert_eq!(told(&relay), None);
    assert!(relay.plane.try_keys().await);
    assert_eq!(told(&relay), trial(Outcome::Accepted, ""));
    assert_eq!(export(&mut workload).await, Ok(()));
    assert_eq!(vendor.keys(), ["old", "new", "old"]);
}

#[tokio::test]
async fn a_refused_candidate_is_told_of_without_harm_until_it_is_accepted() {
    let (vendor, address) = Vendor::start().await;
    vendor.refuse("new");
    let relay = Relay::running(&[otlp(address)]).await;
    relay.plane.set_keys(distributing());
    assert!(!relay.plane.try_keys().await);
    let said = told(&relay).unwrap();
    assert_eq!(said.outcome, Outcome::Refused);
    assert!(said.message.starts_with("Unauthenticated: no such key"), "{}", said.message);
    assert!(!said.message.ends_with("new"), "it holds the key: {}", said.message);
    let health = relay.plane.health().collectors.remove(0);
    assert_eq!(health.key_refusals, 0, "the key in use was not refused");

    vendor.refuse("");
    assert!(relay.plane.try_keys().await);
    assert_eq!(told(&relay), trial(Outcome::Accepted, ""));
}

#[tokio::test]
async fn a_collector_that_cannot_be_asked_is_told_of_as_that() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = Relay::running(&[otlp(nobody)]).await;
    relay.plane.set_keys(distributing());
    assert!(!relay.plane.try_keys().await);
    assert_eq!(told(&relay).unwrap().outcome, Outcome::Unreachable);
}

#[tokio::test]
async fn where_the_new_version_is_refused_the_same_request_goes_with_the_old_one() {
    let (vendor, address) = Vendor::start().await;
    vendor.refuse("new");
    let relay = Relay::running(&[otlp(address)]).await;
    relay.plane.set_keys(preferred());
    let mut workload = workload(&relay).await;
    assert_eq!(export(&mut workload).await, Ok(()));
    assert_eq!(vendor.keys(), ["new", "old"]);
    assert_eq!(told(&relay).unwrap().outcome, Outcome::Refused);
    assert!(relay.plane.health().collectors[0].reachable);

    assert_eq!(export(&mut workload).await, Ok(()));
    assert_eq!(vendor.keys()[2..], ["old"], "what was refused does not go first again");

    vendor.refuse("");
    assert!(relay.plane.try_keys().await);
    assert_eq!(told(&relay), trial(Outcome::Accepted, ""));
    assert_eq!(export(&mut workload).await, Ok(()));
    assert_eq!(vendor.keys()[3..], ["new", "new"]);
}

#[tokio::test]
async fn a_vendor_that_switches_keys_by_itself_loses_no_export() {
    let (vendor, address) = Vendor::start().await;
    vendor.refuse("new");
    let relay = Relay::running(&[otlp(address)]).await;
    relay.plane.set_keys(preferred());
    let mut workload = workload(&relay).await;
    assert_eq!(export(&mut workload).await, Ok(()));
    vendor.refuse("old");
    assert_eq!(export(&mut workload).await, Ok(()));
    assert_eq!(export(&mut workload).await, Ok(()));
    assert_eq!(vendor.keys(), ["new", "old", "old", "new", "new"]);
}

#[tokio::test]
async fn where_both_versions_are_refused_the_workload_is_told_to_come_back() {
    let (vendor, address) = Vendor::start().await;
    vendor.refuse("same");
    let relay = Relay::running(&[otlp(address)]).await;
    let both = [((1, "same"), KeyUse::Fallback), ((2, "same"), KeyUse::Preferred)];
    relay.plane.set_keys(keys(3, &both));
    let mut workload = workload(&relay).await;
    assert_eq!(export(&mut workload).await, Err(tonic::Code::Unavailable));
    assert_eq!(vendor.keys().len(), 2);
    assert_eq!(relay.plane.health().collectors[0].key_refusals, 1);
}

#[tokio::test]
async fn with_one_version_left_nothing_is_tried_or_told() {
    let (vendor, address) = Vendor::start().await;
    let relay = Relay::running(&[otlp(address)]).await;
    relay.plane.set_keys(preferred());
    assert!(relay.plane.try_keys().await);
    assert!(told(&relay).is_some());
    relay.plane.set_keys(keys(4, &[(NEW, KeyUse::Preferred)]));
    assert_eq!(told(&relay), None);
    assert!(relay.plane.try_keys().await);
    assert_eq!(vendor.keys(), ["new"]);
}
