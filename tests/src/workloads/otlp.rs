//! OTLP workloads: exports with names of their own, so that each can be looked for at the vendor.
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
        metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use tonic::{
    Status,
    codec::CompressionEncoding,
    transport::{Channel, Endpoint},
};

use crate::{harness::wait, vendor_collector::VendorCollector};

static MARKER: AtomicU64 = AtomicU64::new(1);

/// Returns a text that no other export of this process carries.
pub fn marker(prefix: &str) -> String {
    format!("{prefix}-{}", MARKER.fetch_add(1, Ordering::Relaxed))
}

/// A workload's OTLP exporter toward one relay.
#[derive(Clone, Debug)]
pub struct Exporter {
    channel: Channel,
    compression: Option<CompressionEncoding>,
    timeout: Duration,
}

impl Exporter {
    /// Makes an exporter; it connects at the first export.
    pub fn new(relay: SocketAddr) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{relay}"))?
            .connect_timeout(Duration::from_secs(5));
        Ok(Self {
            channel: endpoint.connect_lazy(),
            compression: None,
            timeout: Duration::from_secs(30),
        })
    }

    /// Compresses requests and takes compressed answers.
    pub fn compressed(mut self, encoding: CompressionEncoding) -> Self {
        self.compression = Some(encoding);
        self
    }

    /// Gives up after this long instead of after 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Exports one span a name, all in one request; returns how many of them the vendor says it rejected.
    pub async fn spans(&self, names: &[String]) -> Result<i64, Status> {
        let mut client = TraceServiceClient::new(self.channel.clone());
        if let Some(encoding) = self.compression {
            client = client.send_compressed(encoding).accept_compressed(encoding);
        }
        let answer = client.export(self.request(trace_request(names))).await?.into_inner();
        Ok(answer.partial_success.map_or(0, |partial| partial.rejected_spans))
    }

    /// Exports one gauge a name.
    pub async fn metrics(&self, names: &[String]) -> Result<i64, Status> {
        let mut client = MetricsServiceClient::new(self.channel.clone());
        if let Some(encoding) = self.compression {
            client = client.send_compressed(encoding).accept_compressed(encoding);
        }
        let answer = client.export(self.request(metrics_request(names))).await?.into_inner();
        Ok(answer.partial_success.map_or(0, |partial| partial.rejected_data_points))
    }

    /// Exports one log record a body.
    pub async fn logs(&self, bodies: &[String]) -> Result<i64, Status> {
        let mut client = LogsServiceClient::new(self.channel.clone());
        if let Some(encoding) = self.compression {
            client = client.send_compressed(encoding).accept_compressed(encoding);
        }
        let answer = client.export(self.request(logs_request(bodies))).await?.into_inner();
        Ok(answer.partial_success.map_or(0, |partial| partial.rejected_log_records))
    }

    /// Exports one span after the other until one arrived at `vendor` under `key`; returns how long that took.
    ///
    /// Refusals in between count as answers of settings that are on their way out.
    pub async fn until_arrived(
        &self,
        vendor: &VendorCollector,
        key: &str,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        wait::until("an export arrives as it should from now on", wait::SAFETY, async || {
            let marker = marker("change");
            let answer = self.spans(std::slice::from_ref(&marker)).await;
            let arrived = answer.is_ok() && vendor.records().has(key, &marker);
            Ok(arrived.then(|| began.elapsed()))
        })
        .await
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

fn resource() -> Resource {
    let value = AnyValue { value: Some(Value::StringValue("workload".to_owned())) };
    Resource {
        attributes: vec![KeyValue {
            key: "service.name".to_owned(),
            value: Some(value),
            ..KeyValue::default()
        }],
        ..Resource::default()
    }
}

/// Builds a request with one span a name.
pub fn trace_request(names: &[String]) -> ExportTraceServiceRequest {
    let spans = names.iter().map(|name| Span {
        trace_id: rand::random::<[u8; 16]>().to_vec(),
        span_id: rand::random::<[u8; 8]>().to_vec(),
        name: name.clone(),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_001_000_000,
        ..Span::default()
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn metrics_request(names: &[String]) -> ExportMetricsServiceRequest {
    let point = NumberDataPoint {
        time_unix_nano: 1_700_000_000_000_000_000,
        value: Some(number_data_point::Value::AsInt(1)),
        ..NumberDataPoint::default()
    };
    let metrics = names.iter().map(|name| Metric {
        name: name.clone(),
        data: Some(Data::Gauge(Gauge { data_points: vec![point.clone()] })),
        ..Metric::default()
    });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![ScopeMetrics {
                metrics: metrics.collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn logs_request(bodies: &[String]) -> ExportLogsServiceRequest {
    let log_records = bodies.iter().map(|body| LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000,
        body: Some(AnyValue { value: Some(Value::StringValue(body.clone())) }),
        ..LogRecord::default()
    });
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs {
                log_records: log_records.collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}
