//! What the control plane counts, through OpenTelemetry; free of cost where no export is on.
use std::time::Duration;

use ekiden_proto::relay::v1::ReapOutcome;
use ekiden_telemetry::names;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, UpDownCounter},
};

/// Every instrument of the process; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    call_duration: Histogram<f64>,
    call_errors: Counter<u64>,
    connections: UpDownCounter<i64>,
    handshake_failures: Counter<u64>,
    health_flush_duration: Histogram<f64>,
    health_reports: Counter<u64>,
    reaped: Counter<u64>,
    reaps_asked: Counter<u64>,
    sheds_asked: Counter<u64>,
    sessions: UpDownCounter<i64>,
    session_contests: Counter<u64>,
    session_ends: Counter<u64>,
    waits: Counter<u64>,
}

impl Metrics {
    /// Makes the instruments; after telemetry has started, else they count for nobody.
    pub fn new() -> Self {
        let meter = ekiden_telemetry::meter("ekiden.control_plane");
        let counter = |name: &'static str, unit: &'static str, what: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(what).build()
        };
        let level = |name: &'static str, unit: &'static str, what: &'static str| {
            meter.i64_up_down_counter(name).with_unit(unit).with_description(what).build()
        };
        let seconds = |name: &'static str, what: &'static str, bounds: Vec<f64>| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(what);
            histogram.with_boundaries(bounds).build()
        };
        let bounds = || {
            vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]
        };
        Self {
            // Name and bounds of the semantic conventions for RPC.
            call_duration: seconds(
                "rpc.server.call.duration",
                "Time to an rpc's answer; of a stream, to its start",
                bounds(),
            ),
            call_errors: counter(
                "ekiden.control_plane.call.errors",
                "{call}",
                "Calls answered with an error, by method and reason",
            ),
            connections: level(
                "ekiden.control_plane.connections",
                "{connection}",
                "Open connections, by port",
            ),
            handshake_failures: counter(
                "ekiden.control_plane.handshake.failures",
                "{connection}",
                "Connections that never became usable, by port and cause",
            ),
            health_flush_duration: seconds(
                "ekiden.control_plane.health.flush.duration",
                "Time to write one batch of health reports",
                bounds(),
            ),
            health_reports: counter(
                "ekiden.control_plane.health.reports",
                "{report}",
                "Health reports, by what became of them",
            ),
            reaped: counter(
                "ekiden.control_plane.reaped",
                "{relay}",
                "Relays that were gone and whose records a sibling looked at, by outcome",
            ),
            reaps_asked: counter(
                "ekiden.control_plane.reaps.asked",
                "{relay}",
                "Relays that were gone and whose records a sibling was asked to take out",
            ),
            sheds_asked: counter(
                "ekiden.control_plane.sheds.asked",
                "{connection}",
                "Connections that crowded relays were asked to let go",
            ),
            sessions: level(
                "ekiden.control_plane.sessions",
                "{session}",
                "Open sessions with relays",
            ),
            session_contests: counter(
                "ekiden.control_plane.session.contests",
                "{session}",
                "Sessions opened while others of the same relay kept opening too: one certificate in use twice",
            ),
            session_ends: counter(
                "ekiden.control_plane.session.ends",
                "{session}",
                "Sessions that ended, by cause",
            ),
            waits: counter(
                "ekiden.control_plane.waits",
                "{attempt}",
                "Attempts beside calls that failed and are made again, by what waits and reason",
            ),
        }
    }

    /// One rpc was answered; `method` is one of ours, so that garbage makes no new series.
    pub fn call(&self, method: &str, status: &'static str, took: Duration) {
        let attributes = [
            KeyValue::new(names::RPC_SYSTEM_NAME, "grpc"),
            KeyValue::new(names::RPC_METHOD, method.to_owned()),
            KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, status),
        ];
        self.call_duration.record(took.as_secs_f64(), &attributes);
    }

    /// One rpc was answered with an error.
    pub fn call_error(&self, method: &str, reason: String) {
        let method = KeyValue::new(names::RPC_METHOD, method.to_owned());
        self.call_errors.add(1, &[method, KeyValue::new(names::REASON, reason)]);
    }

    /// A port has one connection more (`1`) or less (`-1`).
    pub fn connections(&self, port: &'static str, change: i64) {
        self.connections.add(change, &[KeyValue::new("port", port)]);
    }

    /// A connection failed before its first call.
    pub fn handshake_failure(&self, port: &'static str, cause: &'static str) {
        let attributes = [KeyValue::new("port", port), KeyValue::new(names::CAUSE, cause)];
        self.handshake_failures.add(1, &attributes);
    }

    /// A batch of health reports was written.
    pub fn health_flushed(&self, reports: u64, took: Duration) {
        self.health_reports.add(reports, &[KeyValue::new("outcome", "written")]);
        self.health_flush_duration.record(took.as_secs_f64(), &[]);
    }

    /// Health reports were given up, e.g. `queue_full`, `stale_epoch`.
    pub fn health_dropped(&self, reports: u64, cause: &'static str) {
        self.health_reports.add(reports, &[KeyValue::new("outcome", cause)]);
    }

    /// A session with a relay opened.
    pub fn session_opened(&self) {
        self.sessions.add(1, &[]);
    }

    /// Siblings were asked about relays that are gone.
    pub fn reaps_asked(&self, relays: u64) {
        self.reaps_asked.add(relays, &[]);
    }

    /// A crowded relay was asked to let connections go.
    pub fn sheds_asked(&self, connections: u32) {
        self.sheds_asked.add(connections.into(), &[]);
    }

    /// A sibling looked at the records of a relay that is gone.
    pub fn reaped(&self, outcome: ReapOutcome) {
        let outcome = outcome.as_str_name().trim_start_matches("REAP_OUTCOME_").to_lowercase();
        self.reaped.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// A session opened while another of the same relay kept opening too.
    pub fn session_contested(&self) {
        self.session_contests.add(1, &[]);
    }

    /// A session with a relay ended.
    pub fn session_ended(&self, cause: &'static str) {
        self.sessions.add(-1, &[]);
        self.session_ends.add(1, &[KeyValue::new(names::CAUSE, cause)]);
    }

    /// What goes on beside calls could not, and is tried again: `keys` for relays, `certificate_authorities`, `master_keys`.
    pub fn waits(&self, what: &'static str, reason: &'static str) {
        self.waits.add(1, &[KeyValue::new("what", what), KeyValue::new(names::REASON, reason)]);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
