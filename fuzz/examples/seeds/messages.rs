//! Protobuf messages, and a page token.
use ekiden_control_plane::page::{PageScope, PageTokens};
use ekiden_proto::{admin::v1 as admin, settings::v1::*};
use opentelemetry_proto::tonic::{
    collector::{logs, metrics, trace},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1 as log,
    metrics::v1 as metric,
    resource::v1::Resource,
    trace::v1 as span,
};
use prost::Message;
use prost_types::{Duration, FieldMask};
use zeroize::Zeroizing;

use crate::seed;

pub fn write() {
    let whole = settings();
    let bare = Settings { fleet: whole.fleet.clone(), ..Settings::default() };
    let one = Settings {
        listeners: whole.listeners[..1].to_vec(),
        collectors: whole.collectors[..1].to_vec(),
        ..bare.clone()
    };
    let trust = Settings { collectors: vec![trusting(&whole.collectors[0])], ..bare.clone() };
    for (name, settings) in
        [("bare", bare), ("one", one), ("trust", trust), ("whole", whole.clone())]
    {
        seed("settings", name, settings.encode_to_vec());
    }
    masks(&whole);
    otlp();
}

/// The one page token that the key of the fuzz target ever gave out.
pub fn page() -> String {
    let tokens = PageTokens::new(Zeroizing::new([7; 32]));
    let scope = PageScope { method: "/List", request: b"", tenant: Some("acme") };
    tokens.issue(&scope, b"cursor").unwrap()
}

fn settings() -> Settings {
    let seconds = |seconds| Some(Duration { seconds, nanos: 0 });
    let endpoint = |host: &str, priority| Endpoint { host: host.to_owned(), port: 6443, priority };
    let collector = |name: &str, protocol: CollectorProtocol| Collector {
        name: format!("tenants/acme/collectors/{name}"),
        protocol: protocol.into(),
        endpoints: vec![
            endpoint("a.example", 0),
            endpoint("192.0.2.7", 1),
            endpoint("2001:db8::1", 1),
        ],
        connect_timeout: seconds(3),
        ..Collector::default()
    };
    let listener = |name: &str, port, protocol: ListenerProtocol| Listener {
        name: name.to_owned(),
        port,
        protocol: protocol.into(),
        collector: format!("tenants/acme/collectors/{name}"),
        max_connections: 100,
        idle_timeout: seconds(60),
        max_connection_age: None,
    };
    Settings {
        fleet: "tenants/acme/fleets/tokyo".to_owned(),
        listeners: vec![
            listener("raw", 6443, ListenerProtocol::Tcp),
            listener("otlp", 4317, ListenerProtocol::Otlp),
        ],
        collectors: vec![
            Collector {
                tls: Some(Tls { server_name: "a.example".to_owned(), ..Tls::default() }),
                ..collector("raw", CollectorProtocol::Tcp)
            },
            Collector {
                tls: Some(Tls { insecure_skip_verify: true, ..Tls::default() }),
                key_placement: Some(KeyPlacement {
                    access_key: "tenants/acme/accessKeys/vendor".to_owned(),
                    header: "authorization".to_owned(),
                    prefix: "Bearer ".to_owned(),
                }),
                ..collector("otlp", CollectorProtocol::OtlpGrpc)
            },
        ],
        discovery: Some(Discovery {
            cloud_map: Some(CloudMap {
                service_id: "srv-e4anhexample0004".to_owned(),
                dns_name: "relay.telemetry.internal.".to_owned(),
                ttl: seconds(10),
            }),
        }),
        limits: Some(Limits {
            max_connections: 100,
            max_request_bytes: 1 << 20,
            max_in_flight_bytes: 1 << 22,
        }),
    }
}

fn trusting(collector: &Collector) -> Collector {
    let root = rcgen::generate_simple_self_signed(vec!["root.example".to_owned()]).unwrap();
    let tls = Tls { ca_certificates_pem: root.cert.pem(), ..Tls::default() };
    Collector { tls: Some(tls), ..collector.clone() }
}

fn masks(settings: &Settings) {
    let collector = admin::Collector {
        name: "tenants/acme/collectors/us4".to_owned(),
        display_name: "US4".to_owned(),
        endpoints: settings.collectors[0].endpoints.clone(),
        tls: Some(Tls { server_name: "b.example".to_owned(), ..Tls::default() }),
        ..admin::Collector::default()
    };
    for (name, paths) in [
        ("all", vec![]),
        ("outer", vec!["display_name", "endpoints", "tls"]),
        ("inner", vec!["tls.server_name", "tls.ca_certificates_pem"]),
    ] {
        let paths = paths.into_iter().map(str::to_owned).collect();
        let request = admin::UpdateCollectorRequest {
            collector: Some(collector.clone()),
            update_mask: Some(FieldMask { paths }),
            ..admin::UpdateCollectorRequest::default()
        };
        seed("masks", name, request.encode_to_vec());
    }
}

fn otlp() {
    let text = |text: &str| Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
    let attributes = vec![KeyValue {
        key: "service.name".to_owned(),
        value: text("shop"),
        ..KeyValue::default()
    }];
    let resource = Some(Resource { attributes: attributes.clone(), ..Resource::default() });
    let (trace_id, span_id) = (vec![1; 16], vec![2; 8]);

    let one = span::Span {
        trace_id: trace_id.clone(),
        span_id: span_id.clone(),
        name: "GET /".to_owned(),
        start_time_unix_nano: 1,
        attributes: attributes.clone(),
        events: vec![span::span::Event::default()],
        links: vec![span::span::Link {
            trace_id: trace_id.clone(),
            span_id: span_id.clone(),
            ..Default::default()
        }],
        status: Some(span::Status::default()),
        ..Default::default()
    };
    let spans = vec![span::ScopeSpans { spans: vec![one.clone(), one], ..Default::default() }];
    let spans = vec![span::ResourceSpans {
        resource: resource.clone(),
        scope_spans: spans,
        ..Default::default()
    }];
    seed(
        "otlp",
        "traces",
        trace::v1::ExportTraceServiceRequest { resource_spans: spans }.encode_to_vec(),
    );

    let many = span::ScopeSpans { spans: vec![span::Span::default(); 9], ..Default::default() };
    let many = span::ResourceSpans { scope_spans: vec![many; 2], ..Default::default() };
    let many = trace::v1::ExportTraceServiceRequest { resource_spans: vec![many] };
    seed("otlp", "spans", many.encode_to_vec());

    let record = log::LogRecord {
        trace_id,
        span_id,
        body: text("sold out"),
        attributes: attributes.clone(),
        flags: 1,
        ..Default::default()
    };
    let records = vec![log::ScopeLogs { log_records: vec![record], ..Default::default() }];
    let records = vec![log::ResourceLogs {
        resource: resource.clone(),
        scope_logs: records,
        ..Default::default()
    }];
    seed(
        "otlp",
        "logs",
        logs::v1::ExportLogsServiceRequest { resource_logs: records }.encode_to_vec(),
    );

    let number = metric::NumberDataPoint { attributes, time_unix_nano: 1, ..Default::default() };
    let histogram = metric::HistogramDataPoint {
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        exemplars: vec![metric::Exemplar::default()],
        ..Default::default()
    };
    let exponential = metric::ExponentialHistogramDataPoint {
        positive: Some(metric::exponential_histogram_data_point::Buckets {
            offset: 1,
            bucket_counts: vec![1, 300],
        }),
        ..Default::default()
    };
    use metric::metric::Data;
    let all = [
        Data::Gauge(metric::Gauge { data_points: vec![number.clone()] }),
        Data::Sum(metric::Sum {
            data_points: vec![number],
            is_monotonic: true,
            ..Default::default()
        }),
        Data::Histogram(metric::Histogram { data_points: vec![histogram], ..Default::default() }),
        Data::ExponentialHistogram(metric::ExponentialHistogram {
            data_points: vec![exponential],
            ..Default::default()
        }),
        Data::Summary(metric::Summary { data_points: vec![metric::SummaryDataPoint::default()] }),
    ];
    let all = all.map(|data| metric::Metric {
        name: "sales".to_owned(),
        data: Some(data),
        ..Default::default()
    });
    let all = vec![metric::ScopeMetrics { metrics: all.to_vec(), ..Default::default() }];
    let all = vec![metric::ResourceMetrics { resource, scope_metrics: all, ..Default::default() }];
    seed(
        "otlp",
        "metrics",
        metrics::v1::ExportMetricsServiceRequest { resource_metrics: all }.encode_to_vec(),
    );
}
