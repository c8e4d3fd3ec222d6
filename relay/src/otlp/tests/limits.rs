//! What is too much, too long, or not OTLP.

use prost::Message;
use tonic::{Code, codec::CompressionEncoding};

use super::{
    collector::{Behaviour, Collector},
    relay::{MAX_REQUEST, Relay},
    soon, spawn,
    workload::{self, GRPC, TRACES, details, framed, framed_spans, reason, spans},
};
use crate::otlp::compression::Encoding;

#[tokio::test]
async fn a_request_past_the_limit_is_refused_by_name_and_the_connection_stays() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    let mut client = workload::traces(relay.address).await;
    let mut large = spans(1);
    large.resource_spans[0].schema_url = "x".repeat(MAX_REQUEST);
    let refused = soon(client.export(large)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "REQUEST_TOO_LARGE")
    );
    assert!(refused.message().contains("limits.max_request_bytes"), "{}", refused.message());
    assert!(details(&refused).retry_info().is_none(), "retrying cannot help");
    assert!(collector.seen().is_empty());
    soon(client.export(spans(1))).await.unwrap();
    assert_eq!(relay.in_flight.held(), 0);
}

#[tokio::test]
async fn a_decompression_bomb_is_refused() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    let mut bomb = spans(1);
    bomb.resource_spans[0].schema_url = "x".repeat(16 << 20);
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = workload::traces(relay.address).await.send_compressed(encoding);
        let refused = soon(client.export(bomb.clone())).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::ResourceExhausted, "REQUEST_TOO_LARGE")
        );
    }
    assert!(collector.seen().is_empty());
}

#[tokio::test]
async fn bytes_held_are_bounded_over_all_requests() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Stall);
    let relay = Relay::start(collector.address).await;
    let client = workload::traces(relay.address).await;
    relay.in_flight.set_limit(spans(10).encoded_len() as u64 + 5);
    let mut first = client.clone();
    let first = spawn(async move { first.export(spans(10)).await });
    collector.saw(1).await;
    let refused = soon(client.clone().export(spans(1))).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "RELAY_FULL")
    );
    assert!(details(&refused).retry_info().is_some());
    collector.behave(Behaviour::Accept);
    soon(first).await.unwrap().unwrap();
    soon(client.clone().export(spans(1))).await.unwrap();
    assert_eq!(relay.in_flight.held(), 0);
}

#[tokio::test]
async fn what_is_not_otlp_is_refused_with_the_fields_path() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    let mut wrong = spans(3);
    wrong.resource_spans[0].scope_spans[0].spans[2].trace_id = vec![1; 15];
    let refused = soon(workload::traces(relay.address).await.export(wrong)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "REQUEST_MALFORMED")
    );
    let details = details(&refused);
    let violation = &details.bad_request().unwrap().field_violations[0];
    assert_eq!(violation.field, "resource_spans[0].scope_spans[0].spans[2].trace_id");
    assert_eq!(violation.description, "must be 16 bytes or empty");
    assert!(collector.seen().is_empty());
}

#[tokio::test]
async fn what_is_no_export_is_told_what_it_is() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    let gzip = ("grpc-encoding", "gzip");
    let plain = spans(1).encode_to_vec();
    let cut = &Encoding::Gzip.compress(&plain).unwrap()[..20];
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Vec<u8>, Code, &'a str);
    let cases: [Case<'_>; 10] = [
        (
            "/grpc.health.v1.Health/Check",
            &[GRPC],
            framed(0, b""),
            Code::Unimplemented,
            "METHOD_UNKNOWN",
        ),
        (
            TRACES,
            &[("content-type", "application/json")],
            b"{}".to_vec(),
            Code::InvalidArgument,
            "NOT_GRPC",
        ),
        (TRACES, &[], framed(0, b""), Code::InvalidArgument, "NOT_GRPC"),
        (
            TRACES,
            &[GRPC, ("grpc-encoding", "snappy")],
            framed(1, b"x"),
            Code::Unimplemented,
            "ENCODING_UNKNOWN",
        ),
        (TRACES, &[GRPC], framed(1, b"x"), Code::InvalidArgument, "REQUEST_NOT_ONE_MESSAGE"),
        (TRACES, &[GRPC], framed(7, b"x"), Code::InvalidArgument, "REQUEST_NOT_ONE_MESSAGE"),
        (TRACES, &[GRPC], Vec::new(), Code::InvalidArgument, "REQUEST_NOT_ONE_MESSAGE"),
        (
            TRACES,
            &[GRPC],
            [framed_spans(1), vec![0]].concat(),
            Code::InvalidArgument,
            "REQUEST_NOT_ONE_MESSAGE",
        ),
        (TRACES, &[GRPC, gzip], framed(1, cut), Code::InvalidArgument, "REQUEST_CORRUPT"),
        (TRACES, &[GRPC], framed(0, b"garbage"), Code::InvalidArgument, "REQUEST_MALFORMED"),
    ];
    let failures = cases.len() as u64;
    for (path, headers, body, code, expected) in cases {
        let (head, message, status) = workload::send(relay.address, path, headers, body).await;
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
        assert!(message.is_empty());
        assert_eq!(head.status().as_u16(), if expected == "NOT_GRPC" { 415 } else { 200 });
        assert_eq!(head.headers()["grpc-accept-encoding"], "identity,gzip,zstd");
    }
    assert_eq!(relay.requests().failed(), failures);
    assert!(collector.seen().is_empty());
}
