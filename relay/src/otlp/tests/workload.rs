//! Workloads: OpenTelemetry's generated clients, and a bare HTTP/2 client for what those would not send.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use tokio::net::TcpStream;
use tonic::{Status, transport::Channel};
use tonic_types::{ErrorDetails, StatusExt};

pub(super) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Connects a client for traces.
pub(super) async fn traces(relay: SocketAddr) -> TraceServiceClient<Channel> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{relay}")).unwrap();
    TraceServiceClient::new(super::soon(endpoint.connect()).await.unwrap())
        .max_decoding_message_size(32 << 20)
}

/// A request of that many spans.
pub(super) fn spans(count: usize) -> ExportTraceServiceRequest {
    let span = |n: usize| Span {
        trace_id: vec![7; 16],
        span_id: (n as u64 + 1).to_be_bytes().to_vec(),
        name: format!("GET /things/{n}"),
        ..Span::default()
    };
    let scope = ScopeSpans { spans: (0..count).map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

/// What a refusal says in its `google.rpc` details.
pub(super) fn details(status: &Status) -> ErrorDetails {
    status.check_error_details().unwrap()
}

/// The stable reason of a refusal.
pub(super) fn reason(status: &Status) -> String {
    details(status).error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// A gRPC message with its prefix.
pub(super) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// A framed request of that many spans.
pub(super) fn framed_spans(count: usize) -> Vec<u8> {
    framed(0, &spans(count).encode_to_vec())
}

/// Sends a request as it is and gives the response's head, message and status.
pub(super) async fn send(
    relay: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> (Response<()>, Bytes, Status) {
    let stream = TcpStream::connect(relay).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    super::spawn(connection);
    let mut request = Request::post(format!("http://{relay}{path}")).header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let (head, body) = super::soon(sender.send_request(request)).await.unwrap().into_parts();
    let body = super::soon(body.collect()).await.unwrap();
    let trailers: HeaderMap = body.trailers().cloned().unwrap_or_else(|| head.headers.clone());
    let status = Status::from_header_map(&trailers).unwrap();
    (Response::from_parts(head, ()), body.to_bytes(), status)
}

/// The header every gRPC request has.
pub(super) const GRPC: (&str, &str) = ("content-type", "application/grpc");
