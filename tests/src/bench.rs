//! Benchmarks: Ekiden beside its peers, on the same machine in the same run.
//!
//! - [`identity`]: enrollments and renewals.
//! - [`measured`]: a process under measurement: CPU used, memory held.
//! - [`peers`]: HAProxy, nginx, Envoy and rotel as they are installed.
//! - [`otlp`]: load for OTLP relays.
//! - [`relay`]: a relay under measurement.
//! - [`sessions`]: simulated relays against a real control plane.
//! - [`tcp`]: load for TCP proxies: bulk, messages, short connections, idle connections.
//! - [`report`]: medians, ratios, tables.
pub mod identity;
pub mod measured;
pub mod otlp;
pub mod peers;
pub mod relay;
pub mod report;
pub mod sessions;
pub mod tcp;
