//! What the walk knows of OTLP's messages: for each, its fields by number.
//!
//! A test compares every table with the descriptor that ships with the OpenTelemetry crates, so a field that a newer
//! OTLP adds fails the build of whoever updates them, instead of going unchecked.

use super::super::signal::Signal;

/// The highest field number of any message below; greater numbers are unknown fields.
const HIGHEST: usize = 16;

/// One message type: its fields, indexed by field number.
pub(super) struct Message {
    #[cfg(test)]
    pub(super) name: &'static str,
    fields: [Field; HIGHEST + 1],
}

/// One field of a message.
#[derive(Clone, Copy)]
pub(super) struct Field {
    /// As the `.proto` file names it.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// What a field holds, as far as the wire format tells kinds apart.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Not in the schema.
    Unknown,
    /// Any integer, enum or bool that travels as a varint.
    Varint,
    /// Repeated varints, packed or not.
    Varints,
    /// Four bytes.
    Fixed32,
    /// Eight bytes.
    Fixed64,
    /// Repeated eight bytes, packed or not.
    Fixed64s,
    /// UTF-8 text.
    Text,
    /// Repeated UTF-8 text.
    Texts,
    /// Any bytes.
    Bytes,
    /// 16 bytes, or none.
    TraceId,
    /// 8 bytes, or none.
    SpanId,
    /// A message.
    One(&'static Message),
    /// Repeated messages.
    Many(&'static Message),
    /// Repeated messages that count as items: spans, data points, log records.
    Items(&'static Message),
}

impl Kind {
    /// Says whether a path names the field with an index.
    pub(super) fn is_repeated(self) -> bool {
        match self {
            Self::Varints | Self::Fixed64s | Self::Texts | Self::Many(_) | Self::Items(_) => true,
            Self::Unknown
            | Self::Varint
            | Self::Fixed32
            | Self::Fixed64
            | Self::Text
            | Self::Bytes
            | Self::TraceId
            | Self::SpanId
            | Self::One(_) => false,
        }
    }
}

const UNKNOWN: Field = Field { name: "", kind: Kind::Unknown };

impl Message {
    /// Looks a field up by its number.
    #[inline]
    pub(super) fn field(&'static self, number: u32) -> &'static Field {
        static NONE: Field = UNKNOWN;
        self.fields.get(number as usize).unwrap_or(&NONE)
    }
}

/// Lays fields out by number. Evaluated by the compiler, which refuses a number past [`HIGHEST`].
const fn message(name: &'static str, fields: &[(usize, &'static str, Kind)]) -> Message {
    let mut table = [UNKNOWN; HIGHEST + 1];
    let mut next = 0;
    while next < fields.len() {
        let (number, name, kind) = fields[next];
        table[number] = Field { name, kind };
        next += 1;
    }
    #[cfg(not(test))]
    let _ = name;
    Message {
        #[cfg(test)]
        name,
        fields: table,
    }
}

/// Gives the request message of a signal's `Export` method.
pub(super) fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
    }
}

use Kind::{
    Bytes, Fixed32, Fixed64, Fixed64s, Items, Many, One, SpanId, Text, Texts, TraceId, Varint,
    Varints,
};

// Shared by the signals.

static ANY_VALUE: Message = message(
    "opentelemetry.proto.common.v1.AnyValue",
    &[
        (1, "string_value", Text),
        (2, "bool_value", Varint),
        (3, "int_value", Varint),
        (4, "double_value", Fixed64),
        (5, "array_value", One(&ARRAY_VALUE)),
        (6, "kvlist_value", One(&KEY_VALUE_LIST)),
        (7, "bytes_value", Bytes),
        (8, "string_value_strindex", Varint),
    ],
);
static ARRAY_VALUE: Message =
    message("opentelemetry.proto.common.v1.ArrayValue", &[(1, "values", Many(&ANY_VALUE))]);
static KEY_VALUE_LIST: Message =
    message("opentelemetry.proto.common.v1.KeyValueList", &[(1, "values", Many(&KEY_VALUE))]);
static KEY_VALUE: Message = message(
    "opentelemetry.proto.common.v1.KeyValue",
    &[(1, "key", Text), (2, "value", One(&ANY_VALUE)), (3, "key_strindex", Varint)],
);
static SCOPE: Message = message(
    "opentelemetry.proto.common.v1.InstrumentationScope",
    &[
        (1, "name", Text),
        (2, "version", Text),
        (3, "attributes", Many(&KEY_VALUE)),
        (4, "dropped_attributes_count", Varint),
    ],
);
static ENTITY_REF: Message = message(
    "opentelemetry.proto.common.v1.EntityRef",
    &[
        (1, "schema_url", Text),
        (2, "type", Text),
        (3, "id_keys", Texts),
        (4, "description_keys", Texts),
    ],
);
static RESOURCE: Message = message(
    "opentelemetry.proto.resource.v1.Resource",
    &[
        (1, "attributes", Many(&KEY_VALUE)),
        (2, "dropped_attributes_count", Varint),
        (3, "entity_refs", Many(&ENTITY_REF)),
    ],
);

// Traces.

static TRACES: Message = message(
    "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
    &[(1, "resource_spans", Many(&RESOURCE_SPANS))],
);
static RESOURCE_SPANS: Message = message(
    "opentelemetry.proto.trace.v1.ResourceSpans",
    &[
        (1, "resource", One(&RESOURCE)),
        (2, "scope_spans", Many(&SCOPE_SPANS)),
        (3, "schema_url", Text),
    ],
);
static SCOPE_SPANS: Message = message(
    "opentelemetry.proto.trace.v1.ScopeSpans",
    &[(1, "scope", One(&SCOPE)), (2, "spans", Items(&SPAN)), (3, "schema_url", Text)],
);
static SPAN: Message = message(
    "opentelemetry.proto.trace.v1.Span",
    &[
        (1, "trace_id", TraceId),
        (2, "span_id", SpanId),
        (3, "trace_state", Text),
        (4, "parent_span_id", SpanId),
        (5, "name", Text),
        (6, "kind", Varint),
        (7, "start_time_unix_nano", Fixed64),
        (8, "end_time_unix_nano", Fixed64),
        (9, "attributes", Many(&KEY_VALUE)),
        (10, "dropped_attributes_count", Varint),
        (11, "events", Many(&SPAN_EVENT)),
        (12, "dropped_events_count", Varint),
        (13, "links", Many(&SPAN_LINK)),
        (14, "dropped_links_count", Varint),
        (15, "status", One(&SPAN_STATUS)),
        (16, "flags", Fixed32),
    ],
);
static SPAN_EVENT: Message = message(
    "opentelemetry.proto.trace.v1.Span.Event",
    &[
        (1, "time_unix_nano", Fixed64),
        (2, "name", Text),
        (3, "attributes", Many(&KEY_VALUE)),
        (4, "dropped_attributes_count", Varint),
    ],
);
static SPAN_LINK: Message = message(
    "opentelemetry.proto.trace.v1.Span.Link",
    &[
        (1, "trace_id", TraceId),
        (2, "span_id", SpanId),
        (3, "trace_state", Text),
        (4, "attributes", Many(&KEY_VALUE)),
        (5, "dropped_attributes_count", Varint),
        (6, "flags", Fixed32),
    ],
);
static SPAN_STATUS: Message =
    message("opentelemetry.proto.trace.v1.Status", &[(2, "message", Text), (3, "code", Varint)]);

// Metrics.

static METRICS: Message = message(
    "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest",
    &[(1, "resource_metrics", Many(&RESOURCE_METRICS))],
);
static RESOURCE_METRICS: Message = message(
    "opentelemetry.proto.metrics.v1.ResourceMetrics",
    &[
        (1, "resource", One(&RESOURCE)),
        (2, "scope_metrics", Many(&SCOPE_METRICS)),
        (3, "schema_url", Text),
    ],
);
static SCOPE_METRICS: Message = message(
    "opentelemetry.proto.metrics.v1.ScopeMetrics",
    &[(1, "scope", One(&SCOPE)), (2, "metrics", Many(&METRIC)), (3, "schema_url", Text)],
);
static METRIC: Message = message(
    "opentelemetry.proto.metrics.v1.Metric",
    &[
        (1, "name", Text),
        (2, "description", Text),
        (3, "unit", Text),
        (5, "gauge", One(&GAUGE)),
        (7, "sum", One(&SUM)),
        (9, "histogram", One(&HISTOGRAM)),
        (10, "exponential_histogram", One(&EXPONENTIAL_HISTOGRAM)),
        (11, "summary", One(&SUMMARY)),
        (12, "metadata", Many(&KEY_VALUE)),
    ],
);
static GAUGE: Message =
    message("opentelemetry.proto.metrics.v1.Gauge", &[(1, "data_points", Items(&NUMBER_POINT))]);
static SUM: Message = message(
    "opentelemetry.proto.metrics.v1.Sum",
    &[
        (1, "data_points", Items(&NUMBER_POINT)),
        (2, "aggregation_temporality", Varint),
        (3, "is_monotonic", Varint),
    ],
);
static HISTOGRAM: Message = message(
    "opentelemetry.proto.metrics.v1.Histogram",
    &[(1, "data_points", Items(&HISTOGRAM_POINT)), (2, "aggregation_temporality", Varint)],
);
static EXPONENTIAL_HISTOGRAM: Message = message(
    "opentelemetry.proto.metrics.v1.ExponentialHistogram",
    &[(1, "data_points", Items(&EXPONENTIAL_POINT)), (2, "aggregation_temporality", Varint)],
);
static SUMMARY: Message =
    message("opentelemetry.proto.metrics.v1.Summary", &[(1, "data_points", Items(&SUMMARY_POINT))]);
static NUMBER_POINT: Message = message(
    "opentelemetry.proto.metrics.v1.NumberDataPoint",
    &[
        (2, "start_time_unix_nano", Fixed64),
        (3, "time_unix_nano", Fixed64),
        (4, "as_double", Fixed64),
        (5, "exemplars", Many(&EXEMPLAR)),
        (6, "as_int", Fixed64),
        (7, "attributes", Many(&KEY_VALUE)),
        (8, "flags", Varint),
    ],
);
static HISTOGRAM_POINT: Message = message(
    "opentelemetry.proto.metrics.v1.HistogramDataPoint",
    &[
        (2, "start_time_unix_nano", Fixed64),
        (3, "time_unix_nano", Fixed64),
        (4, "count", Fixed64),
        (5, "sum", Fixed64),
        (6, "bucket_counts", Fixed64s),
        (7, "explicit_bounds", Fixed64s),
        (8, "exemplars", Many(&EXEMPLAR)),
        (9, "attributes", Many(&KEY_VALUE)),
        (10, "flags", Varint),
        (11, "min", Fixed64),
        (12, "max", Fixed64),
    ],
);
static EXPONENTIAL_POINT: Message = message(
    "opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint",
    &[
        (1, "attributes", Many(&KEY_VALUE)),
        (2, "start_time_unix_nano", Fixed64),
        (3, "time_unix_nano", Fixed64),
        (4, "count", Fixed64),
        (5, "sum", Fixed64),
        (6, "scale", Varint),
        (7, "zero_count", Fixed64),
        (8, "positive", One(&BUCKETS)),
        (9, "negative", One(&BUCKETS)),
        (10, "flags", Varint),
        (11, "exemplars", Many(&EXEMPLAR)),
        (12, "min", Fixed64),
        (13, "max", Fixed64),
        (14, "zero_threshold", Fixed64),
    ],
);
static BUCKETS: Message = message(
    "opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint.Buckets",
    &[(1, "offset", Varint), (2, "bucket_counts", Varints)],
);
static SUMMARY_POINT: Message = message(
    "opentelemetry.proto.metrics.v1.SummaryDataPoint",
    &[
        (2, "start_time_unix_nano", Fixed64),
        (3, "time_unix_nano", Fixed64),
        (4, "count", Fixed64),
        (5, "sum", Fixed64),
        (6, "quantile_values", Many(&QUANTILE)),
        (7, "attributes", Many(&KEY_VALUE)),
        (8, "flags", Varint),
    ],
);
static QUANTILE: Message = message(
    "opentelemetry.proto.metrics.v1.SummaryDataPoint.ValueAtQuantile",
    &[(1, "quantile", Fixed64), (2, "value", Fixed64)],
);
static EXEMPLAR: Message = message(
    "opentelemetry.proto.metrics.v1.Exemplar",
    &[
        (2, "time_unix_nano", Fixed64),
        (3, "as_double", Fixed64),
        (4, "span_id", SpanId),
        (5, "trace_id", TraceId),
        (6, "as_int", Fixed64),
        (7, "filtered_attributes", Many(&KEY_VALUE)),
    ],
);

// Logs.

static LOGS: Message = message(
    "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest",
    &[(1, "resource_logs", Many(&RESOURCE_LOGS))],
);
static RESOURCE_LOGS: Message = message(
    "opentelemetry.proto.logs.v1.ResourceLogs",
    &[
        (1, "resource", One(&RESOURCE)),
        (2, "scope_logs", Many(&SCOPE_LOGS)),
        (3, "schema_url", Text),
    ],
);
static SCOPE_LOGS: Message = message(
    "opentelemetry.proto.logs.v1.ScopeLogs",
    &[(1, "scope", One(&SCOPE)), (2, "log_records", Items(&LOG_RECORD)), (3, "schema_url", Text)],
);
static LOG_RECORD: Message = message(
    "opentelemetry.proto.logs.v1.LogRecord",
    &[
        (1, "time_unix_nano", Fixed64),
        (2, "severity_number", Varint),
        (3, "severity_text", Text),
        (5, "body", One(&ANY_VALUE)),
        (6, "attributes", Many(&KEY_VALUE)),
        (7, "dropped_attributes_count", Varint),
        (8, "flags", Fixed32),
        (9, "trace_id", TraceId),
        (10, "span_id", SpanId),
        (11, "observed_time_unix_nano", Fixed64),
        (12, "event_name", Text),
    ],
);
