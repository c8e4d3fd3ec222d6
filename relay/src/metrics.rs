//! The relay's figures, told twice: as Prometheus text on request, and over OTLP where export is on.
//!
//! Both read one list, made from the latest health report, so that they never disagree.
//!
//! - [`prometheus`]: as text.
//! - [`otlp`]: as instruments.

pub mod otlp;
pub mod prometheus;

use ekiden_proto::health::v1::{CollectorHealth, HealthReport, ListenerHealth};

use crate::{
    clock::from_timestamp,
    data_plane::DataPlaneHealth,
    health::Health,
    otlp::{RequestCounters, Signal, code_name},
    session::{View, standing::Running},
};

/// Whether a figure only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One figure with all of its values.
#[derive(Debug)]
pub struct Figure {
    /// Name without prefix, e.g. `listener_bytes_received`.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// Unit, part of the name in Prometheus; empty: a number.
    pub unit: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// Its values, each with its labels.
    pub values: Vec<(Labels, f64)>,
}

/// Labels of a value.
pub type Labels = Vec<(&'static str, String)>;

/// All figures, as of now.
pub fn figures(health: &Health) -> Vec<Figure> {
    let mut figures = figures_of(
        &health.report(),
        &health.running(),
        &health.session(),
        health.assessment().borrow().ready,
    );
    figures.extend(figures_beside(&health.data_plane()));
    figures.push(Figure {
        name: "local_http_failed",
        help: "Connections to the local HTTP server that were broken, too slow or no HTTP",
        unit: "",
        kind: Kind::Counter,
        values: vec![(Vec::new(), float(health.local_http_failures()))],
    });
    figures
}

/// What health reports have no room for.
fn figures_beside(data_plane: &DataPlaneHealth) -> [Figure; 5] {
    let pauses = data_plane.counters.iter();
    let pauses = pauses.map(|(listener, counters)| {
        (vec![("listener", listener.clone())], float(counters.accept_pauses()))
    });
    [
        Figure {
            name: "listener_accept_pauses",
            help: "How often accepting paused because no file descriptor or memory was left",
            unit: "",
            kind: Kind::Counter,
            values: pauses.collect(),
        },
        Figure {
            name: "otlp_in_flight",
            help: "OTLP bytes held while collectors have not answered",
            unit: "bytes",
            kind: Kind::Gauge,
            values: vec![(Vec::new(), float(data_plane.in_flight_bytes))],
        },
        Figure {
            name: "otlp_items",
            help: "Spans, data points and log records that collectors accepted, by signal",
            unit: "",
            kind: Kind::Counter,
            values: of_requests(data_plane, |requests| {
                let items = |signal: Signal| ("signal", signal.name(), requests.items(signal));
                Signal::ALL.into_iter().map(items).collect()
            }),
        },
        Figure {
            name: "otlp_accepted",
            help: "Bytes of export requests that collectors accepted, as they travelled",
            unit: "bytes",
            kind: Kind::Counter,
            values: of_requests(data_plane, |requests| vec![("", "", requests.bytes())]),
        },
        Figure {
            name: "otlp_requests_failed",
            help: "Export requests answered with an error, by gRPC code",
            unit: "",
            kind: Kind::Counter,
            values: of_requests(data_plane, |requests| {
                requests
                    .failed_by_code()
                    .map(|(code, count)| ("code", code_name(code), count))
                    .collect()
            }),
        },
    ]
}

/// Values of each listener's export requests, each with one label more where it has a name; none of other listeners.
fn of_requests(
    data_plane: &DataPlaneHealth,
    values: impl Fn(&RequestCounters) -> Vec<(&'static str, &'static str, u64)>,
) -> Vec<(Labels, f64)> {
    let mut all = Vec::new();
    for (listener, counters) in &data_plane.counters {
        let requests = counters.requests();
        if requests.accepted() + requests.failed() == 0 {
            continue;
        }
        for (label, value, count) in values(&requests) {
            let mut labels = vec![("listener", listener.clone())];
            if !label.is_empty() {
                labels.push((label, value.to_owned()));
            }
            all.push((labels, float(count)));
        }
    }
    all
}

fn figures_of(
    report: &HealthReport,
    running: &Running,
    session: &View,
    ready: bool,
) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (name, help, unit, kind, value) in OF_LISTENER {
        let values = report
            .listeners
            .iter()
            .map(|listener| (listener_labels(listener), float(value(listener))))
            .collect();
        figures.push(Figure { name, help, unit, kind, values });
    }
    figures.push(Figure {
        name: "listener_connections_closed",
        help: "Connections that ended, by cause",
        unit: "",
        kind: Kind::Counter,
        values: report.listeners.iter().flat_map(closed).collect(),
    });
    for (name, help, kind, value) in OF_COLLECTOR {
        let values = report
            .collectors
            .iter()
            .map(|collector| (collector_labels(collector), float(value(collector))))
            .collect();
        figures.push(Figure { name, help, unit: "", kind, values });
    }
    let one = |name, help, unit, kind, value| Figure {
        name,
        help,
        unit,
        kind,
        values: vec![(Vec::new(), value)],
    };
    let process = report.process.unwrap_or_default();
    let seconds = |duration: Option<prost_types::Duration>| {
        duration.map_or(0.0, |duration| duration.seconds as f64 + f64::from(duration.nanos) / 1e9)
    };
    figures.extend([
        one("ready", "Whether workloads should be led here", "", Kind::Gauge, truth(ready)),
        one(
            "session_open",
            "Whether a session with the control plane is open",
            "",
            Kind::Gauge,
            truth(session.parameters.is_some()),
        ),
        one(
            "sessions_opened",
            "Sessions opened with the control plane",
            "",
            Kind::Counter,
            float(session.opened),
        ),
        one(
            "sessions_lost",
            "Sessions lost with the control plane",
            "",
            Kind::Counter,
            float(session.lost),
        ),
        one(
            "settings_revision",
            "Revision of the settings that run; 0: none",
            "",
            Kind::Gauge,
            float(running.revision),
        ),
        one(
            "settings_rejected",
            "Attempts to run settings that failed",
            "",
            Kind::Counter,
            float(running.rejected),
        ),
        one(
            "secret_version",
            "Version of the access keys in memory; 0: none",
            "",
            Kind::Gauge,
            float(running.secret_version),
        ),
        one(
            "process_resident_memory",
            "Resident memory of the process",
            "bytes",
            Kind::Gauge,
            float(process.resident_bytes),
        ),
        one(
            "process_open_files",
            "Open file descriptors of the process",
            "",
            Kind::Gauge,
            float(process.open_files),
        ),
        one(
            "process_cpu",
            "CPU time used by the process",
            "seconds",
            Kind::Counter,
            seconds(process.cpu),
        ),
    ]);
    let perhaps = |name, help, unit, value: Option<f64>| Figure {
        name,
        help,
        unit,
        kind: Kind::Gauge,
        values: value.map(|value| (Vec::new(), value)).into_iter().collect(),
    };
    let ends = report.certificate_expires_at.as_ref().and_then(from_timestamp);
    let discovery = report.discovery.as_ref();
    figures.extend([
        perhaps(
            "certificate_expiry_time",
            "When the relay's certificate ends, since 1970",
            "seconds",
            ends.map(|ends| ends.unix_timestamp() as f64),
        ),
        perhaps(
            "registered",
            "Whether service discovery lists this relay",
            "",
            discovery.map(|d| truth(d.registered)),
        ),
        perhaps(
            "in_dns",
            "Whether DNS answers with this relay",
            "",
            discovery.map(|d| truth(d.in_dns)),
        ),
    ]);
    figures.push(Figure {
        name: "condition",
        help: "What is wrong or noteworthy now",
        unit: "",
        kind: Kind::Gauge,
        values: conditions(report),
    });
    figures
}

type OfListener = (&'static str, &'static str, &'static str, Kind, fn(&ListenerHealth) -> u64);

const OF_LISTENER: [OfListener; 8] = [
    ("listener_connections_open", "Connections open now", "", Kind::Gauge, |l| l.connections_open),
    ("listener_connections_accepted", "Connections accepted", "", Kind::Counter, |l| {
        l.connections_accepted
    }),
    (
        "listener_connections_refused",
        "Connections refused because of a limit",
        "",
        Kind::Counter,
        |l| l.connections_refused,
    ),
    ("listener_received", "Bytes from workloads", "bytes", Kind::Counter, |l| l.bytes_received),
    ("listener_sent", "Bytes to workloads", "bytes", Kind::Counter, |l| l.bytes_sent),
    (
        "listener_requests_accepted",
        "Export requests answered with success",
        "",
        Kind::Counter,
        |l| l.requests_accepted,
    ),
    (
        "listener_requests_failed",
        "Export requests answered with an error",
        "",
        Kind::Counter,
        |l| l.requests_failed,
    ),
    (
        "listener_workloads_seen",
        "Workload addresses seen in the last 10 minutes",
        "",
        Kind::Gauge,
        |l| l.workloads_seen,
    ),
];

type OfCollector = (&'static str, &'static str, Kind, fn(&CollectorHealth) -> u64);

const OF_COLLECTOR: [OfCollector; 4] = [
    ("collector_reachable", "Whether the last probe or use succeeded", Kind::Gauge, |c| {
        u64::from(c.reachable)
    }),
    ("collector_dials", "Connections to the collector opened", Kind::Counter, |c| c.dials),
    (
        "collector_dials_failed",
        "Attempts to connect to the collector that failed",
        Kind::Counter,
        |c| c.dials_failed,
    ),
    (
        "collector_key_refusals",
        "How often the collector refused the access key",
        Kind::Counter,
        |c| c.key_refusals,
    ),
];

fn listener_labels(listener: &ListenerHealth) -> Labels {
    vec![("listener", listener.name.clone())]
}

fn collector_labels(collector: &CollectorHealth) -> Labels {
    vec![("collector", collector.name.clone())]
}

fn closed(listener: &ListenerHealth) -> impl Iterator<Item = (Labels, f64)> {
    listener.closed.iter().map(|closed| {
        (
            vec![("listener", listener.name.clone()), ("cause", closed.cause.clone())],
            float(closed.count),
        )
    })
}

/// Several conditions of one reason are one value: their number.
fn conditions(report: &HealthReport) -> Vec<(Labels, f64)> {
    let mut counts = std::collections::BTreeMap::<&str, u32>::new();
    for condition in &report.conditions {
        *counts.entry(condition.reason.as_str()).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(reason, count)| (vec![("reason", reason.to_owned())], f64::from(count)))
        .collect()
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// Exact to 2⁵³; figures beyond that keep their order of magnitude.
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
