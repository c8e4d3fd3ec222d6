//! One JSON object a line: `timestamp`, `level`, `target`, `message`, `trace_id`, `span_id`, then the fields of the
//! event and of the spans around it, side by side; the inner one wins.
use std::{
    fmt::{self, Write as _},
    io::Write as _,
    sync::{Arc, OnceLock},
};

use opentelemetry::trace::{SpanContext, TraceContextExt};
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    dispatcher::WeakDispatch,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};

/// Writes to `writer`, one call a line. `dispatch` is the subscriber that this layer is part of, set once it exists.
pub(crate) fn layer<W>(writer: W, dispatch: Arc<OnceLock<WeakDispatch>>) -> Json<W> {
    Json { writer, dispatch }
}

pub(crate) struct Json<W> {
    writer: W,
    dispatch: Arc<OnceLock<WeakDispatch>>,
}

impl<S, W> Layer<S> for Json<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.take("message");
        let mut trace = None;
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_outer(outer);
            }
            if trace.is_none() {
                trace = self.span_context(&span.id());
            }
        }

        let mut line = Line::new();
        let mut timestamp = String::new();
        if SystemTime.format_time(&mut Writer::new(&mut timestamp)).is_ok() {
            line.text("timestamp", &timestamp);
        }
        line.text("level", event.metadata().level().as_str());
        line.text("target", event.metadata().target());
        if let Some(message) = message {
            line.value("message", &message);
        }
        if let Some(trace) = trace {
            line.text("trace_id", &trace.trace_id().to_string());
            line.text("span_id", &trace.span_id().to_string());
        }
        for (name, value) in &fields.0 {
            // A field must not pass for one of the line's own.
            match *name {
                "timestamp" | "level" | "target" | "trace_id" | "span_id" => {
                    line.value(&format!("field.{name}"), value);
                }
                name => line.value(name, value),
            }
        }
        // Nobody is left to tell when stderr is gone.
        self.writer.make_writer_for(event.metadata()).write_all(line.end().as_bytes()).ok();
    }
}

impl<W> Json<W> {
    fn span_context(&self, id: &Id) -> Option<SpanContext> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        let context = tracing_opentelemetry::get_otel_context(id, &dispatch)?;
        Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
    }
}

/// Fields in the order they came, unique by name.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        // Directives for the OpenTelemetry layer, not content.
        if field.name().starts_with("otel.") {
            return;
        }
        match self.0.iter_mut().find(|(name, _)| *name == field.name()) {
            Some((_, old)) => *old = value,
            None => self.0.push((field.name(), value)),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(n, _)| *n == name)?;
        Some(self.0.remove(index).1)
    }

    fn add_outer(&mut self, outer: &Self) {
        for (name, value) in &outer.0 {
            if !self.0.iter().any(|(n, _)| n == name) {
                self.0.push((name, value.clone()));
            }
        }
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            // Writing to a String does not fail.
            write!(text, ": {error}").ok();
            source = error.source();
        }
        self.set(field, text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}

struct Line(String);

impl Line {
    fn new() -> Self {
        let mut text = String::with_capacity(384);
        text.push('{');
        Self(text)
    }

    fn text(&mut self, name: &str, value: &str) {
        self.value(name, &Value::from(value));
    }

    fn value(&mut self, name: &str, value: &Value) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // Writing to a String does not fail.
        write!(self.0, "{}:{value}", Value::from(name)).ok();
    }

    fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}
