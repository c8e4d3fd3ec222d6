//! W3C trace context, between processes over gRPC metadata and through time inside messages.
//!
//! - [`client_layer`]: puts the current span into outgoing requests.
//! - [`server_layer`]: opens a span per incoming rpc under the caller's.
//! - [`current_traceparent`], [`set_parent`]: carry a span's context in a message or a row.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, dispatcher};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Registry, registry::LookupSpan};

pub mod client;
pub mod server;

pub use client::client_layer;
pub use server::server_layer;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Reads the trace context that a caller sent; without a valid one, the empty context.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

/// Writes the current span's trace context for the other side; without a span, writes nothing.
pub fn inject(headers: &mut HeaderMap) {
    let context = current_context();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut HeadersMut(headers));
    }
}

/// Gives the current span's `traceparent` and `tracestate`, to be kept in a message or a row; both empty without a span.
#[must_use]
pub fn current_traceparent() -> (String, String) {
    let mut headers = HeaderMap::new();
    inject(&mut headers);
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    (text(TRACEPARENT), text(TRACESTATE))
}

/// Makes `span` a child of the span that `traceparent` names. Call it right after making the span, before anything logs in
/// it. An empty or malformed `traceparent` changes nothing.
pub fn set_parent(span: &Span, traceparent: &str, tracestate: &str) {
    let mut headers = HeaderMap::new();
    for (name, value) in [(TRACEPARENT, traceparent), (TRACESTATE, tracestate)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    set_parent_context(span, extract(&headers));
}

/// Gives the trace id of the current span, 32 hex digits; empty without a span.
#[must_use]
pub fn trace_id() -> String {
    let context = current_context();
    let span = context.span();
    let span = span.span_context();
    if span.is_valid() { span.trace_id().to_string() } else { String::new() }
}

fn set_parent_context(span: &Span, parent: Context) {
    if !parent.span().span_context().is_valid() {
        return;
    }
    if let Err(error) = span.set_parent(parent) {
        tracing::trace!(error = %error, "A span kept its local parent");
    }
}

/// The context of the innermost current span that is traced; spans too detailed to be traced are passed over.
fn current_context() -> Context {
    dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let current = dispatch.current_span();
        let span = registry.span(current.id()?)?;
        span.scope()
            .filter_map(|span| tracing_opentelemetry::get_otel_context(&span.id(), dispatch))
            .find(|context| context.span().span_context().is_valid())
    })
    .unwrap_or_default()
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty tracestate would be a header without content.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(key.as_bytes()), HeaderValue::from_str(&value))
        {
            self.0.insert(name, value);
        }
    }
}
