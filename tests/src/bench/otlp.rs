//! Load for OTLP relays: trace requests of a given size, and a collector that counts what arrives.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_client::TraceServiceClient,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::measured::cpu_seconds;

/// A collector that counts spans and answers at once.
pub struct Sink {
    /// Where it accepts OTLP/gRPC.
    pub address: SocketAddr,
    received: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Sink {
    /// Starts it on loopback.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub async fn start(tasks: &mut JoinSet<()>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let sink = Self {
            address: listener.local_addr()?,
            received: Arc::default(),
            stop: CancellationToken::new(),
        };
        let service = TraceServiceServer::new(Counting(Arc::clone(&sink.received)))
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
            .max_decoding_message_size(64 << 20);
        let stop = sink.stop.clone();
        tasks.spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming_shutdown(
                    TcpListenerStream::new(listener),
                    stop.cancelled_owned(),
                )
                .await
                .ok();
        });
        Ok(sink)
    }

    /// Spans received so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Counting(Arc<AtomicU64>);

#[tonic::async_trait]
impl TraceService for Counting {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.get_ref().resource_spans.iter().flat_map(|r| &r.scope_spans);
        let spans: usize = scopes.map(|s| s.spans.len()).sum();
        self.0.fetch_add(spans as u64, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Relay's CPU in µs per span that arrived.
    pub cpu_per_span: f64,
    /// Spans the relay handles per second of CPU.
    pub spans_per_cpu_second: f64,
}

/// Sends `requests` requests of `spans` spans each over 4 connections, 16 at once on each, and waits until all have arrived at `sink`.
///
/// # Errors
/// When a request is refused or spans get lost.
pub async fn load(
    pid: u32,
    relay: SocketAddr,
    sink: &Sink,
    requests: usize,
    spans: usize,
) -> Result<Cost> {
    let (cpu, already) = (cpu_seconds(pid)?, sink.received());
    let request = Arc::new(example(spans));
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let channel =
            tonic::transport::Endpoint::from_shared(format!("http://{relay}"))?.connect().await?;
        for _ in 0..16 {
            let mut client = TraceServiceClient::new(channel.clone());
            let request = Arc::clone(&request);
            tasks.spawn(async move {
                for _ in 0..requests / 64 {
                    client.export(Request::new(ExportTraceServiceRequest::clone(&request))).await?;
                }
                anyhow::Ok(())
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let sent = (requests / 64 * 64 * spans) as u64;
    // A relay that acknowledges before delivery may still hold some.
    let deadline = Instant::now() + Duration::from_secs(60);
    while sink.received() - already < sent && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let arrived = sink.received() - already;
    ensure!(arrived >= sent, "{} of {sent} spans got lost", sent - arrived);
    let used = cpu_seconds(pid)? - cpu;
    Ok(Cost {
        cpu_per_span: used * 1e6 / sent as f64,
        spans_per_cpu_second: sent as f64 / used.max(1e-3),
    })
}

/// A request as an instrumented web service makes it: `spans` spans of one resource with 6 attributes each.
fn example(spans: usize) -> ExportTraceServiceRequest {
    let text = |key: &str, value: String| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..Default::default()
    };
    let span = |i: usize| Span {
        trace_id: vec![0x11; 16],
        span_id: (i as u64 + 1).to_be_bytes().to_vec(),
        parent_span_id: vec![0x22; 8],
        name: "GET /orders/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_760_000_000_000_000_000 + i as u64,
        end_time_unix_nano: 1_760_000_000_004_200_000 + i as u64,
        attributes: vec![
            text("http.request.method", "GET".to_owned()),
            text("url.path", format!("/orders/{i}")),
            text("http.response.status_code", "200".to_owned()),
            text("server.address", "orders.internal".to_owned()),
            text("network.protocol.version", "1.1".to_owned()),
            text("user_agent.original", "curl/8.5.0".to_owned()),
        ],
        ..Default::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "orders".to_owned()),
                    text("cloud.region", "ap-northeast-1".to_owned()),
                ],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: (0..spans).map(span).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}
