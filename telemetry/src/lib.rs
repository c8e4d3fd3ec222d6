//! Logs, traces, metrics export and trace context, the same in every Ekiden process.
//!
//! - [`names`]: the names of fields and attributes.
//! - [`propagation`]: W3C trace context over gRPC metadata and inside messages.
//! - `environment`: reads and checks the environment variables.
//! - `export`: OTLP providers of traces and metrics.
//! - `logs`: lines on stderr, JSON or text.
//! - `start`: puts the parts together and takes them down.

mod environment;
mod export;
mod logs;
pub mod names;
pub mod propagation;
mod start;

pub use environment::Problem;
pub use start::{InitError, Service, Telemetry, init};

/// Gives the meter of a part of the process, e.g. `ekiden.relay`; its instruments are exported when OTLP is on, else free of cost.
#[must_use]
pub fn meter(name: &'static str) -> opentelemetry::metrics::Meter {
    opentelemetry::global::meter(name)
}
