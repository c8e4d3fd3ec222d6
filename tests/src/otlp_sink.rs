//! Receives Ekiden's own traces and metrics, to show the way of a change from the admin call to each relay, and that what
//! goes wrong is counted.
//!
//! - `counters`: reads sums out of metrics.
mod counters;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};

use crate::{
    harness::wait::{SAFETY, TimedOut},
    vendor_collector::{KeyCheck, Records, VendorCollector},
};

/// A running sink.
#[derive(Debug)]
pub struct OtlpSink {
    collector: VendorCollector,
}

/// One span as Ekiden reported it.
#[derive(Clone, Debug)]
pub struct ReportedSpan {
    /// `service.name` of the process.
    pub service: String,
    /// `service.instance.id` of the process; empty: none.
    pub instance: String,
    /// The span's name.
    pub name: String,
    /// Trace id, 32 hex digits.
    pub trace_id: String,
    /// Span id, 16 hex digits.
    pub span_id: String,
    /// Span id of the parent; empty: none.
    pub parent: String,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// How long it took.
    pub took: Duration,
    /// Attributes as text.
    pub attributes: BTreeMap<String, String>,
}

impl OtlpSink {
    /// Starts it on `bind`.
    pub async fn start(bind: SocketAddr) -> anyhow::Result<Self> {
        let collector = VendorCollector::otlp(bind, None, KeyCheck::none()).await?;
        collector.records().keep_requests();
        Ok(Self { collector })
    }

    /// Returns its endpoint, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.collector.address())
    }

    /// Returns the spans of one trace (32 hex digits), by start.
    pub fn trace(&self, trace_id: &str) -> Vec<ReportedSpan> {
        let mut spans: Vec<ReportedSpan> =
            self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect();
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// Waits until one trace's spans fulfil `condition`.
    pub async fn wait_for_trace(
        &self,
        trace_id: &str,
        what: &str,
        within: Duration,
        condition: impl Fn(&[ReportedSpan]) -> bool,
    ) -> Result<Vec<ReportedSpan>, TimedOut> {
        let found =
            self.collector.records().wait(what, within, |_| condition(&self.trace(trace_id))).await;
        let spans = self.trace(trace_id);
        found
            .map(|()| spans.clone())
            .map_err(|error| error.with_detail(format!("the trace so far:\n{}", tree(&spans))))
    }

    /// Returns what the processes together have counted under `name` with these attributes, as far as they exported it.
    pub fn counted(&self, name: &str, attributes: &[(&str, &str)]) -> f64 {
        counters::sum(&self.collector.records().metrics(), name, attributes)
    }

    /// Waits until a counter is `goal` or more.
    pub async fn counter_reaches(
        &self,
        name: &str,
        attributes: &[(&str, &str)],
        goal: f64,
    ) -> Result<(), TimedOut> {
        let what = format!("{name} {attributes:?} reaches {goal}");
        let reached = |_: &Records| self.counted(name, attributes) >= goal;
        self.collector.records().wait(&what, SAFETY, reached).await.map_err(|error| {
            let seen = counters::all(&self.collector.records().metrics(), name);
            error.with_detail(format!("counted: {seen:#?}"))
        })
    }

    /// Returns everything received, as text, to be searched for what should not be there.
    pub fn everything(&self) -> String {
        format!("{:?}\n{:?}", self.collector.records().traces(), self.collector.records().metrics())
    }

    fn spans(&self) -> Vec<ReportedSpan> {
        let mut spans = Vec::new();
        for request in self.collector.records().traces() {
            for resource in &request.resource_spans {
                let of_resource = resource
                    .resource
                    .as_ref()
                    .map(|one| texts(&one.attributes))
                    .unwrap_or_default();
                let service = of_resource.get("service.name").cloned().unwrap_or_default();
                let instance = of_resource.get("service.instance.id").cloned().unwrap_or_default();
                let all = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
                spans.extend(all.map(|span| reported(span, &service, &instance)));
            }
        }
        spans
    }
}

/// Writes a trace's spans as an indented tree, one line a span.
pub fn tree(spans: &[ReportedSpan]) -> String {
    let mut text = String::new();
    let start = spans.iter().map(|span| span.start).min().unwrap_or(0);
    let known = |id: &str| spans.iter().any(|span| span.span_id == id);
    for root in spans.iter().filter(|span| !known(&span.parent)) {
        branch(spans, root, start, 0, &mut text);
    }
    text
}

fn branch(
    spans: &[ReportedSpan],
    span: &ReportedSpan,
    start: u64,
    depth: usize,
    text: &mut String,
) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let after = milliseconds(Duration::from_nanos(span.start.saturating_sub(start)));
    let took = milliseconds(span.took);
    // The end of an id tells processes apart; its beginning is only the time.
    let process: String =
        span.instance.chars().skip(span.instance.chars().count().saturating_sub(6)).collect();
    let label = format!("{}{}", "  ".repeat(depth), span.name);
    let service = &span.service;
    text.push_str(&format!(
        "{label:<52} +{after:>6.1} ms, took {took:>6.1} ms  {service} …{process}\n"
    ));
    // A span that names itself as its parent would loop for ever.
    for child in
        spans.iter().filter(|child| child.parent == span.span_id && child.span_id != span.span_id)
    {
        if depth < 32 {
            branch(spans, child, start, depth + 1, text);
        }
    }
}

fn reported(span: &Span, service: &str, instance: &str) -> ReportedSpan {
    ReportedSpan {
        service: service.to_owned(),
        instance: instance.to_owned(),
        name: span.name.clone(),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        start: span.start_time_unix_nano,
        took: Duration::from_nanos(
            span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
        ),
        attributes: texts(&span.attributes),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &AnyValue| match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs =
        attributes.iter().filter_map(|one| Some((one.key.clone(), text(one.value.as_ref()?))));
    pairs.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
