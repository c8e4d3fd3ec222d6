use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::{ResourceSpans, Span as ExportedSpan},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tower::{Layer as _, ServiceExt as _};
use tracing::{Dispatch, Instrument as _, info_span};

use super::{Service, Telemetry, assemble};
use crate::{environment::Environment, propagation};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn json(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn start(variables: &[(&str, &str)]) -> (Dispatch, Telemetry, Lines) {
    let service = Service {
        name: "ekiden-test",
        version: "1.2.3",
        instance: "instance-1".to_owned(),
        log: "info",
    };
    let lookup =
        |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    let lines = Lines::default();
    let writer = lines.clone();
    let (dispatch, telemetry) =
        assemble(&service, Environment::read(lookup, "info", false).unwrap(), move || {
            writer.clone()
        })
        .unwrap();
    (dispatch, telemetry, lines)
}

#[test]
fn a_json_line_is_flat_and_names_its_trace() {
    let (dispatch, _telemetry, lines) = start(&[]);
    tracing::dispatcher::with_default(&dispatch, || {
        let span = info_span!("outer", tenant.id = "acme", revision = 1);
        propagation::set_parent(&span, PARENT, "");
        let _entered = span.enter();
        tracing::info!(revision = 2, level = "a \"field\"", "Settings \n were applied");
    });
    let [line] = lines.json().try_into().unwrap();
    assert_eq!(line["message"], "Settings \n were applied");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], "ekiden_telemetry::start::tests");
    assert_eq!(line["tenant.id"], "acme");
    assert_eq!(line["revision"], 2);
    assert_eq!(line["field.level"], "a \"field\"");
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
    let timestamp = line["timestamp"].as_str().unwrap();
    assert!(timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T', "{timestamp}");
    assert!(lines.text().starts_with("{\"timestamp\":"));
}

#[test]
fn a_quiet_filter_hides_lines_but_not_the_trace_of_those_it_shows() {
    let (dispatch, _telemetry, lines) = start(&[("EKIDEN_LOG", "warn")]);
    tracing::dispatcher::with_default(&dispatch, || {
        let span = info_span!("outer");
        let _entered = span.enter();
        tracing::info!("hidden");
        tracing::warn!("shown");
    });
    let [line] = lines.json().try_into().unwrap();
    assert_eq!(line["message"], "shown");
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
}

#[test]
fn libraries_never_log_what_is_on_the_wire() {
    let (dispatch, _telemetry, lines) = start(&[("EKIDEN_LOG", "trace")]);
    tracing::dispatcher::with_default(&dispatch, || {
        for _ in 0..2 {
            tracing::debug!(target: "h2::codec", "authorization: Bearer eka_secret");
            tracing::trace!(target: "aws_smithy_runtime", "secret");
            tracing::debug!(target: "ekiden_relay", "own detail");
            tracing::warn!(target: "rustls::conn", "a warning");
        }
    });
    assert!(!lines.text().contains("secret"), "{}", lines.text());
    assert_eq!(lines.json().len(), 4, "{}", lines.text());
}

#[test]
fn text_lines_are_for_people() {
    let (dispatch, _telemetry, lines) = start(&[("EKIDEN_LOG_FORMAT", "text")]);
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info!(tenant.id = "acme", "Settings were applied");
    });
    assert!(lines.text().contains("Settings were applied"), "{}", lines.text());
    assert!(lines.text().contains("tenant.id"), "{}", lines.text());
}

#[test]
fn trace_context_survives_a_way_through_headers() {
    let (dispatch, _telemetry, _lines) = start(&[]);
    tracing::dispatcher::with_default(&dispatch, || {
        let span = info_span!("caller");
        propagation::set_parent(&span, PARENT, "vendor=1");
        // Spans too detailed to be traced do not cut the line.
        let detail = tracing::debug_span!("detail");
        let (headers, trace_id) = span.in_scope(|| {
            detail.in_scope(|| {
                let mut headers = HeaderMap::new();
                propagation::inject(&mut headers);
                (headers, propagation::trace_id())
            })
        });
        assert_eq!(trace_id, TRACE);
        assert_eq!(headers["tracestate"], "vendor=1");
        let context = propagation::extract(&headers);
        let received = context.span().span_context().clone();
        assert!(received.is_remote() && received.is_sampled());
        assert_eq!(received.trace_id().to_string(), TRACE);
        let (traceparent, tracestate) = span.in_scope(propagation::current_traceparent);
        assert_eq!(headers["traceparent"], traceparent);
        assert_eq!(tracestate, "vendor=1");
    });
}

#[test]
fn without_a_span_or_with_garbage_there_is_no_context() {
    let (dispatch, _telemetry, _lines) = start(&[]);
    tracing::dispatcher::with_default(&dispatch, || {
        assert_eq!(propagation::current_traceparent(), (String::new(), String::new()));
        assert_eq!(propagation::trace_id(), "");
        let span = info_span!("own");
        propagation::set_parent(&span, "garbage\u{1f600}", "");
        propagation::set_parent(&span, "", "");
        let trace = span.in_scope(propagation::trace_id);
        assert_eq!(trace.len(), 32);
        assert_ne!(trace, TRACE);
    });
}

/// An OTLP receiver that hands on what it gets.
struct Receiver(mpsc::Sender<ResourceSpans>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        for spans in request.into_inner().resource_spans {
            self.0.send(spans).await.map_err(|_| tonic::Status::unavailable("gone"))?;
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_rpcs_span_reaches_an_otlp_receiver_under_its_remote_parent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut received) = mpsc::channel(16);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Receiver(sender)))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );

    let (dispatch, telemetry, _lines) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let guard = tracing::dispatcher::set_default(&dispatch);
    let inner = tower::service_fn(|_: http::Request<()>| {
        async {
            tracing::info!("inside");
            Ok::<_, std::convert::Infallible>(
                http::Response::builder()
                    .header("grpc-status", "14")
                    .body(http_body_util::Empty::<&[u8]>::new())
                    .unwrap(),
            )
        }
        .instrument(info_span!("child"))
    });
    let request = http::Request::builder()
        .uri("/ekiden.admin.v1.TenantService/GetTenant")
        .header("traceparent", PARENT)
        .extension(std::net::SocketAddr::from(([192, 0, 2, 1], 4242)))
        .body(())
        .unwrap();
    drop(propagation::server_layer().layer(inner).oneshot(request).await.unwrap());
    drop(guard);
    tokio::time::timeout(Duration::from_secs(30), telemetry.shutdown()).await.unwrap();

    let batch =
        tokio::time::timeout(Duration::from_secs(30), received.recv()).await.unwrap().unwrap();
    let attribute = |name: &str| {
        let resource = batch.resource.as_ref().unwrap();
        resource.attributes.iter().find(|a| a.key == name).map(|a| format!("{:?}", a.value))
    };
    assert!(attribute("service.name").unwrap().contains("ekiden-test"));
    assert!(attribute("service.instance.id").unwrap().contains("instance-1"));
    let spans: Vec<&ExportedSpan> = batch.scope_spans.iter().flat_map(|s| &s.spans).collect();
    let rpc = spans.iter().find(|s| s.name == "ekiden.admin.v1.TenantService/GetTenant").unwrap();
    let child = spans.iter().find(|s| s.name == "child").unwrap();
    assert_eq!(hex(&rpc.trace_id), TRACE);
    assert_eq!(hex(&rpc.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(child.parent_span_id, rpc.span_id);
    let text = format!("{:?}", rpc.attributes);
    for part in ["rpc.system.name", "grpc", "rpc.method", "UNAVAILABLE", "192.0.2.1"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(rpc.status.as_ref().unwrap().code, 2);
}

#[tokio::test]
async fn shutdown_gives_up_on_a_receiver_that_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (dispatch, telemetry, _lines) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    tracing::dispatcher::with_default(&dispatch, || drop(info_span!("lost").entered()));
    tokio::time::timeout(Duration::from_secs(30), telemetry.shutdown()).await.unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
