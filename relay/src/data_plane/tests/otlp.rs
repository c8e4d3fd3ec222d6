use std::{net::SocketAddr, sync::Arc, time::Duration};

use ekiden_proto::relay::v1::{KeyBundle, KeyMaterial};
use ekiden_settings::{Collector, CollectorProtocol, KeyPlacement, Limits, Listener, Protocol};
use http::HeaderName;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_client::TraceServiceClient,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::{net::TcpListener, sync::watch, time::Instant};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint, Server},
};

use super::world::{Relay, collector, listener, soon, spawn, until};
use crate::{
    collector::{Keys, ProbeOutcome},
    listener::CloseCause,
};

pub(super) const KEY: &str = "tenants/acme/accessKeys/vendor";

/// An OTLP collector that knows which key each request came with, and refuses one: `revoked` at first.
#[derive(Clone)]
pub(super) struct Vendor {
    keys: watch::Sender<Vec<String>>,
    refused: watch::Sender<String>,
}

#[tonic::async_trait]
impl TraceService for Vendor {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let key = request
            .metadata()
            .get("api-key")
            .map(|key| key.to_str().unwrap().to_owned())
            .unwrap_or_default();
        self.keys.send_modify(|keys| keys.push(key.clone()));
        if *self.refused.borrow() == key {
            return Err(Status::unauthenticated(format!("no such key: {key}")));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Vendor {
    pub(super) async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let vendor =
            Self { keys: watch::Sender::default(), refused: watch::Sender::new("revoked".into()) };
        let server = Server::builder().add_service(TraceServiceServer::new(vendor.clone()));
        spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (vendor, address)
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.borrow().clone()
    }

    pub(super) fn refuse(&self, key: &str) {
        self.refused.send_replace(key.to_owned());
    }
}

pub(super) fn otlp(address: SocketAddr) -> Listener {
    let placement = KeyPlacement {
        access_key: KEY.to_owned(),
        header: HeaderName::from_static("api-key"),
        prefix: String::new(),
    };
    let collector = Collector {
        protocol: CollectorProtocol::OtlpGrpc,
        key_placement: Some(placement),
        ..collector("vendor", address)
    };
    Listener { protocol: Protocol::Otlp, ..listener("otlp", 4317, &Arc::new(collector)) }
}

pub(super) fn key(secret_version: u64, value: &str) -> Arc<Keys> {
    let key = KeyMaterial {
        access_key: KEY.to_owned(),
        version: secret_version,
        value: value.into(),
        ..KeyMaterial::default()
    };
    Arc::new(Keys::from_bundle(KeyBundle {
        secret_version,
        keys: vec![key],
        ..KeyBundle::default()
    }))
}

pub(super) async fn workload(relay: &Relay) -> TraceServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}:4317", relay.ip)).unwrap();
    TraceServiceClient::new(soon(endpoint.connect()).await.unwrap())
}

pub(super) async fn export(workload: &mut TraceServiceClient<Channel>) -> Result<(), Code> {
    let answer = soon(workload.export(ExportTraceServiceRequest::default())).await;
    answer.map(drop).map_err(|status| status.code())
}

#[tokio::test]
async fn another_key_is_in_the_next_request_of_an_open_connection() {
    let (vendor, address) = Vendor::start().await;
    let relay = Relay::running(&[otlp(address)]).await;
    let mut workload = workload(&relay).await;
    assert_eq!(export(&mut workload).await, Err(Code::Unavailable), "no key is here yet");
    relay.plane.set_keys(key(1, "old"));
    assert_eq!(export(&mut workload).await, Ok(()));
    relay.plane.set_keys(key(2, "new"));
    assert_eq!(export(&mut workload).await, Ok(()));
    assert_eq!(vendor.keys(), ["old", "new"]);
    let health = relay.plane.health();
    let otlp = &health.listeners[0];
    assert_eq!(
        (otlp.connections_accepted, otlp.requests_accepted, otlp.requests_failed),
        (1, 2, 1)
    );
    assert!(otlp.bytes_received > 0 && otlp.bytes_sent > 0);
    assert_eq!(health.collectors[0].dials, 1);
}

#[tokio::test]
async fn another_collector_gets_the_next_request_of_an_open_connection() {
    let ((old, old_address), (new, new_address)) = (Vendor::start().await, Vendor::start().await);
    let relay = Relay::running(&[otlp(old_address)]).await;
    relay.plane.set_keys(key(1, "key"));
    let mut workload = workload(&relay).await;
    assert_eq!(export(&mut workload).await, Ok(()));
    relay.apply(&[otlp(new_address)]).await.unwrap();
    assert_eq!(export(&mut workload).await, Ok(()));
    assert_eq!((old.keys().len(), new.keys().len()), (1, 1));
    assert_eq!(
        relay.plane.health().listeners[0].connections_accepted,
        1,
        "the workload's connection stayed"
    );
}

#[tokio::test]
async fn a_probe_asks_the_collector_what_it_thinks_of_the_key() {
    let (_vendor, address) = Vendor::start().await;
    let relay = Relay::running(&[otlp(address)]).await;
    let probe = async || relay.plane.probe().await.remove(0).1;
    relay.plane.set_keys(key(1, "revoked"));
    assert!(matches!(probe().await, ProbeOutcome::Failed { failure: "auth", .. }));
    let health = relay.plane.health();
    assert_eq!(
        (health.collectors[0].failure.as_str(), health.collectors[0].key_refusals),
        ("auth", 1)
    );
    relay.plane.set_keys(key(2, "good"));
    assert_eq!(probe().await, ProbeOutcome::Reachable);
    assert!(relay.plane.health().collectors[0].reachable);
}

#[tokio::test]
async fn workloads_of_an_otlp_listener_that_is_gone_are_asked_to_go() {
    let (_vendor, address) = Vendor::start().await;
    let relay = Relay::running(&[otlp(address)]).await;
    relay.plane.set_keys(key(1, "key"));
    let counters = relay.counters("otlp");
    let mut workload = workload(&relay).await;
    assert_eq!(export(&mut workload).await, Ok(()));
    relay.apply(&[]).await.unwrap();
    until(|| counters.open() == 0).await;
    assert_eq!(counters.count_of(CloseCause::SettingsRemoved), 1);
    assert_eq!(export(&mut workload).await, Err(Code::Unavailable), "and find no port any more");
}

#[tokio::test]
async fn leaving_asks_otlp_workloads_to_go() {
    let (_vendor, address) = Vendor::start().await;
    let relay = Relay::start();
    relay.apply_with(&[otlp(address)], Limits::default()).await.unwrap();
    relay.plane.set_keys(key(1, "key"));
    let mut workload = workload(&relay).await;
    assert_eq!(export(&mut workload).await, Ok(()));
    let counters = relay.counters("otlp");
    let began = Instant::now();
    soon(relay.plane.finish(began + Duration::from_secs(600), || 0.5)).await;
    assert_eq!(counters.count_of(CloseCause::Drained), 1);
}
