use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use aws_sdk_servicediscovery::config::{Config, Credentials};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::post,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::*;

const RECORD: &str = "0a1b";

/// A Cloud Map that answers from a script, and remembers what it was asked.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    answers: VecDeque<(u16, Value)>,
    asked: Vec<(String, Value)>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            answers: answers.into_iter().collect(),
            asked: Vec::new(),
        })))
    }

    fn asked(&self) -> Vec<String> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.asked.iter().map(|(operation, _)| operation.clone()).collect()
    }

    async fn serve(&self) -> (CloudMap, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(answer)).with_state(self.clone());
        let serving = async move { axum::serve(listener, router).await.unwrap() };
        let serving = AbortOnDropHandle::new(tokio::runtime::Handle::current().spawn(serving));
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("ap-northeast-1"))
            .endpoint_url(format!("http://{address}"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .build();
        let aws = Aws::with_client(Client::from_conf(config));
        (CloudMap::new(aws, "srv-one".to_owned()), serving)
    }
}

async fn answer(
    State(script): State<Script>,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    let target = headers.get("x-amz-target").unwrap().to_str().unwrap().to_owned();
    let operation = target.rsplit('.').next().unwrap().to_owned();
    let mut inner = script.0.lock().unwrap();
    inner.asked.push((operation, serde_json::from_str(&body).unwrap()));
    let (status, answer) =
        inner.answers.pop_front().unwrap_or((500, json!({ "__type": "ScriptEnded" })));
    (StatusCode::from_u16(status).unwrap(), axum::Json(answer))
}

fn record() -> Record {
    Record {
        instance: RECORD.to_owned(),
        address: "10.0.1.17".parse().unwrap(),
        port: 6667,
        zone: Some("ap-northeast-1a".to_owned()),
        relay: "relay-1".to_owned(),
        epoch: 2,
        revision: 3,
    }
}

fn started(id: &str) -> (u16, Value) {
    (200, json!({ "OperationId": id }))
}

fn operation(id: &str, kind: &str, status: &str) -> (u16, Value) {
    (
        200,
        json!({ "Operation": { "Id": id, "Type": kind, "Status": status, "ErrorMessage": "no such zone" } }),
    )
}

fn error(kind: &str) -> (u16, Value) {
    (
        400,
        json!({ "__type": kind, "Message": "as scripted", "DuplicateOperationId": "op-of-before" }),
    )
}

#[tokio::test]
async fn a_registration_is_done_when_its_operation_has_succeeded() {
    let script = Script::of([
        started("op-1"),
        operation("op-1", "REGISTER_INSTANCE", "PENDING"),
        operation("op-1", "REGISTER_INSTANCE", "SUCCESS"),
    ]);
    let (cloud_map, _serving) = script.serve().await;
    cloud_map.register(&record()).await.unwrap();
    assert_eq!(script.asked(), ["RegisterInstance", "GetOperation", "GetOperation"]);
    let inner = script.0.lock().unwrap();
    let (_, request) = inner.asked.first().unwrap();
    assert_eq!(
        (&request["ServiceId"], &request["InstanceId"]),
        (&json!("srv-one"), &json!(RECORD))
    );
    assert_eq!(
        request["Attributes"],
        json!({
            "AWS_INSTANCE_IPV4": "10.0.1.17",
            "AWS_INSTANCE_PORT": "6667",
            "AVAILABILITY_ZONE": "ap-northeast-1a",
            "EKIDEN_RELAY": "relay-1",
            "EKIDEN_EPOCH": "2",
            "EKIDEN_REVISION": "3",
        })
    );
}

#[tokio::test]
async fn a_registration_whose_operation_fails_says_why() {
    let script = Script::of([started("op-1"), operation("op-1", "REGISTER_INSTANCE", "FAIL")]);
    let (cloud_map, _serving) = script.serve().await;
    let failed = cloud_map.register(&record()).await.unwrap_err();
    assert_eq!(failed.to_string(), "the registry failed at it: no such zone");
}

#[tokio::test]
async fn an_operation_under_way_is_followed_and_the_opposite_one_waited_for() {
    let script = Script::of([
        error("DuplicateRequest"),
        operation("op-of-before", "DEREGISTER_INSTANCE", "SUCCESS"),
        error("DuplicateRequest"),
        operation("op-of-before", "REGISTER_INSTANCE", "SUCCESS"),
    ]);
    let (cloud_map, _serving) = script.serve().await;
    cloud_map.register(&record()).await.unwrap();
    assert_eq!(
        script.asked(),
        ["RegisterInstance", "GetOperation", "RegisterInstance", "GetOperation"]
    );
}

#[tokio::test]
async fn a_busy_service_is_asked_again() {
    let script = Script::of([
        error("ResourceInUse"),
        started("op-1"),
        operation("op-1", "REGISTER_INSTANCE", "SUCCESS"),
    ]);
    let (cloud_map, _serving) = script.serve().await;
    cloud_map.register(&record()).await.unwrap();
    assert_eq!(script.asked(), ["RegisterInstance", "RegisterInstance", "GetOperation"]);
}

#[tokio::test]
async fn throttling_is_bridged_within_bounds() {
    let throttled =
        || (400, json!({ "__type": "ThrottlingException", "Message": "Rate exceeded" }));
    let script = Script::of([
        throttled(),
        started("op-1"),
        operation("op-1", "REGISTER_INSTANCE", "SUCCESS"),
    ]);
    let (cloud_map, _serving) = script.serve().await;
    cloud_map.register(&record()).await.unwrap();

    let script = Script::of([throttled(), throttled(), throttled()]);
    let (cloud_map, _serving) = script.serve().await;
    let failed = cloud_map.register(&record()).await.unwrap_err();
    assert!(
        matches!(&failed, RegistryError::Unavailable(why) if why.contains("ThrottlingException")),
        "{failed}"
    );
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test]
async fn an_instance_that_ecs_took_off_already_is_gone_all_the_same() {
    for gone in ["InstanceNotFound", "ServiceNotFound"] {
        let script = Script::of([error(gone)]);
        let (cloud_map, _serving) = script.serve().await;
        cloud_map.deregister(RECORD).await.unwrap();
    }
}

#[tokio::test]
async fn what_only_a_person_can_cure_is_told_as_such() {
    for kind in
        ["ServiceNotFound", "InvalidInput", "ResourceLimitExceeded", "AccessDeniedException"]
    {
        let script = Script::of([error(kind)]);
        let (cloud_map, _serving) = script.serve().await;
        let refused = cloud_map.register(&record()).await.unwrap_err();
        assert!(
            matches!(&refused, RegistryError::Refused(why) if why.contains(kind)),
            "{kind}: {refused}"
        );
    }
}
