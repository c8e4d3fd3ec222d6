//! What workloads are told, and when.

use futures_util::FutureExt;
use http::HeaderName;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
};
use tonic::{Code, Request, Status, codec::CompressionEncoding};
use tonic_types::{ErrorDetails, StatusExt};

use super::{
    collector::{Behaviour, Collector},
    relay::Relay,
    soon, spawn,
    workload::{self, details, reason, spans},
};
use crate::otlp::Signal;

#[tokio::test]
async fn every_signal_reaches_the_collector_with_the_key() {
    let collector = Collector::start().await;
    collector.demand("api-key", "Key s3cret");
    let relay = Relay::start(collector.address).await;
    let mut traces = workload::traces(relay.address).await;
    soon(traces.export(spans(3))).await.unwrap();
    let channel =
        tonic::transport::Endpoint::from_shared(format!("http://{}", relay.address)).unwrap();
    let channel = soon(channel.connect()).await.unwrap();
    let metrics = ExportMetricsServiceRequest { resource_metrics: vec![Default::default(); 2] };
    soon(MetricsServiceClient::new(channel.clone()).export(metrics)).await.unwrap();
    let logs = ExportLogsServiceRequest { resource_logs: vec![Default::default()] };
    soon(LogsServiceClient::new(channel).export(logs)).await.unwrap();

    let seen = collector.seen();
    assert_eq!(seen.iter().map(|seen| seen.items).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(
        seen[0].metadata.get("user-agent").unwrap(),
        concat!("ekiden-relay/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(relay.requests().accepted(), 3);
    assert_eq!(relay.requests().items(Signal::Traces), 3);
    assert_eq!(relay.requests().items(Signal::Metrics), 0);
    assert_eq!(relay.in_flight.held(), 0);
}

#[tokio::test]
async fn a_collector_behind_tls_is_reached_over_http2() {
    let (collector, roots) = Collector::start_tls().await;
    collector.demand("api-key", "Key s3cret");
    let relay = Relay::start_trusting(collector.address, roots).await;
    soon(workload::traces(relay.address).await.export(spans(3))).await.unwrap();
    assert_eq!(collector.seen()[0].items, 3);
    assert!(relay.collector_health().last_connect.unwrap().tls.is_some());
}

#[tokio::test]
async fn nothing_of_the_workloads_headers_goes_on_but_its_trace_context() {
    let collector = Collector::start().await;
    collector.demand("api-key", "Key s3cret");
    let relay = Relay::start(collector.address).await;
    let mut request = Request::new(spans(1));
    for (name, value) in [
        ("api-key", "Key forged"),
        ("authorization", "Bearer forged"),
        ("x-tenant", "other"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "vendor=1"),
    ] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    soon(workload::traces(relay.address).await.export(request)).await.unwrap();
    let seen = collector.seen().remove(0).metadata.into_headers();
    let keys: Vec<_> = seen.get_all("api-key").iter().collect();
    assert_eq!(keys, ["Key s3cret"]);
    let mut names: Vec<&str> = seen.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "api-key",
            "content-type",
            "grpc-accept-encoding",
            "grpc-timeout",
            "te",
            "traceparent",
            "tracestate",
            "user-agent"
        ]
    );
}

#[tokio::test]
async fn compressed_requests_go_on_as_they_came() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    for (encoding, name) in
        [(CompressionEncoding::Gzip, "gzip"), (CompressionEncoding::Zstd, "zstd")]
    {
        let mut client = workload::traces(relay.address)
            .await
            .send_compressed(encoding)
            .accept_compressed(encoding);
        collector.behave(Behaviour::Partially("a long story, ".repeat(500)));
        let answer = soon(client.export(spans(20))).await.unwrap();
        assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), name);
        assert_eq!(answer.into_inner().partial_success.unwrap().error_message.len(), 14 * 500);
        collector.behave(Behaviour::Accept);
        let answer = soon(client.export(spans(21))).await.unwrap();
        assert!(answer.metadata().get("grpc-encoding").is_none());
        let seen = collector.seen();
        assert_eq!(seen.last().unwrap().items, 21);
        assert_eq!(seen.last().unwrap().metadata.get("grpc-encoding").unwrap(), name);
    }
}

#[tokio::test]
async fn a_collector_without_zstd_gets_gzip() {
    let collector = Collector::start_without_zstd().await;
    let relay = Relay::start(collector.address).await;
    let mut client =
        workload::traces(relay.address).await.send_compressed(CompressionEncoding::Zstd);
    for count in [5, 6] {
        soon(client.export(spans(count))).await.unwrap();
        let seen = collector.seen().pop().unwrap();
        assert_eq!(seen.items, count);
        assert_eq!(seen.metadata.get("grpc-encoding").unwrap(), "gzip");
    }
}

#[tokio::test]
async fn partial_success_comes_through() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    collector.behave(Behaviour::Partially("one span was too old, said s3cret".to_owned()));
    let answer =
        soon(workload::traces(relay.address).await.export(spans(2))).await.unwrap().into_inner();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert_eq!(partial.error_message, "one span was too old, said ******");
}

#[tokio::test]
async fn the_collectors_errors_come_through_with_their_details() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    let mut client = workload::traces(relay.address).await;
    let codes = [
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
    ];
    for code in codes {
        let mut told = ErrorDetails::with_retry_info(Some(std::time::Duration::from_millis(1234)));
        told.set_error_info("QUOTA", "vendor.example", [("limit".to_owned(), "10".to_owned())]);
        let status = Status::with_error_details(code, "no: naïve 100%", told.clone());
        let bytes = status.details().to_vec();
        collector.behave(Behaviour::Refuse(status));
        let refused = soon(client.export(spans(1))).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (code, "no: naïve 100%"));
        assert_eq!(refused.details(), bytes);
    }
    assert_eq!(relay.requests().failed(), codes.len() as u64);
    assert!(relay.requests().failed_by_code().any(|count| count == (Code::DataLoss, 1)));
    assert_eq!(relay.in_flight.held(), 0);
}

#[tokio::test]
async fn a_refused_key_is_the_relays_trouble_and_the_workload_keeps_its_data() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    let mut client = workload::traces(relay.address).await;
    for refusal in [
        Status::unauthenticated("key s3cret is wrong"),
        Status::permission_denied("key s3cret is wrong"),
    ] {
        collector.behave(Behaviour::Refuse(refusal));
        let refused = soon(client.export(spans(1))).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(reason(&refused), "COLLECTOR_REFUSED_KEY");
        assert!(details(&refused).retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
        assert!(!refused.message().contains("s3cret"));
    }
    assert_eq!(relay.collector_health().key_refusals, 2);
    assert_eq!(relay.collector_health().failure, "auth");
    collector.behave(Behaviour::Accept);
    soon(client.export(spans(1))).await.unwrap();
    assert_eq!(relay.collector_health().failure, "");
}

#[tokio::test]
async fn without_the_key_requests_are_refused_until_it_comes() {
    let collector = Collector::start().await;
    collector.demand("api-key", "Key s3cret");
    let relay = Relay::start(collector.address).await;
    relay.set_key(None);
    let mut client = workload::traces(relay.address).await;
    let refused = soon(client.export(spans(1))).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "ACCESS_KEY_NOT_HERE")
    );
    assert!(details(&refused).retry_info().is_some());
    assert!(collector.seen().is_empty());
    relay.set_key(Some("s3cret"));
    soon(client.export(spans(1))).await.unwrap();
    relay.set_key(Some("line\nbreak"));
    let refused = soon(client.export(spans(1))).await.unwrap_err();
    assert_eq!(reason(&refused), "ACCESS_KEY_UNUSABLE");
}

#[tokio::test]
async fn a_new_key_is_used_from_the_next_request_on() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Stall);
    let relay = Relay::start(collector.address).await;
    let client = workload::traces(relay.address).await;
    let request = |count| {
        let mut client = client.clone();
        spawn(async move { client.export(spans(count)).await })
    };
    let with_old = request(1);
    collector.saw(1).await;
    relay.set_key(Some("second"));
    let with_new = request(2);
    collector.saw(2).await;
    collector.behave(Behaviour::Accept);
    soon(with_old).await.unwrap().unwrap();
    soon(with_new).await.unwrap().unwrap();
    let keys: Vec<_> =
        collector.seen().iter().map(|seen| seen.metadata.get("api-key").unwrap().clone()).collect();
    assert_eq!(keys, ["Key s3cret", "Key second"]);
}

#[tokio::test]
async fn a_workload_is_answered_only_after_the_collector_answered() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Stall);
    let relay = Relay::start(collector.address).await;
    let mut client = workload::traces(relay.address).await;
    let mut export = spawn(async move { client.export(spans(1)).await });
    collector.saw(1).await;
    assert!((&mut export).now_or_never().is_none());
    assert_eq!(relay.requests().accepted(), 0);
    assert!(relay.in_flight.held() > 0);
    collector.behave(Behaviour::Accept);
    soon(export).await.unwrap().unwrap();
    assert_eq!(relay.requests().accepted(), 1);
}
