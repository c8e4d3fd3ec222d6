//! Ekiden's relay: a small process beside the workloads that configures itself and forwards their telemetry.
//!
//! Control flows one way: `session` brings settings and keys, the crate `ekiden-settings` checks them, `data_plane` swaps
//! them in one step. What happened flows back as health reports.
//!
//! - [`apply`]: carries out what is wanted: check, swap, remember, report.
//! - [`aws_error`]: what AWS said, in one line.
//! - [`channel`]: connections to the control plane.
//! - [`clock`]: the only place that reads the time.
//! - [`collector`]: reaches collectors: addresses, failover, TLS, keys.
//! - [`counters`]: counts what passes.
//! - [`data_plane`]: the listeners and collectors that run; changes them in one step.
//! - [`dns_check`]: whether DNS answers with this relay.
//! - [`drain`]: how much time each phase of leaving has.
//! - [`ecs_metadata`]: what ECS says of the task.
//! - [`environment`]: the only place that reads arguments and environment variables.
//! - [`error_chain`]: an error with its causes, in one line.
//! - [`health`]: what the relay says of itself.
//! - [`healthcheck`]: asks a running relay whether it lives.
//! - [`http_get`]: one small GET.
//! - [`identity`]: who this relay is: key, certificate, enrollment, renewal.
//! - [`last_good`]: the last settings that ran, on disk.
//! - [`lifecycle`]: a relay from start to exit.
//! - [`listener`]: what happens to workloads' connections.
//! - [`local_http`]: /livez, /readyz and /metrics.
//! - [`metrics`]: the relay's figures, as Prometheus text and over OTLP.
//! - [`otlp`]: takes OTLP over gRPC and passes it on as bytes.
//! - [`probe`]: asks collectors whether they can be reached.
//! - [`registry`]: where workloads find this relay.
//! - [`resolver`]: DNS by hickory, with what hickory lacks.
//! - [`session`]: the protocol with the control plane.
//! - [`state_dir`]: the relay's folder on disk.

pub mod apply;
pub mod aws_error;
pub mod channel;
pub mod clock;
pub mod collector;
pub mod counters;
pub mod data_plane;
pub mod dns_check;
pub mod drain;
pub mod ecs_metadata;
pub mod environment;
pub mod error_chain;
pub mod health;
pub mod healthcheck;
pub mod http_get;
pub mod identity;
pub mod last_good;
pub mod lifecycle;
pub mod listener;
pub mod local_http;
pub mod metrics;
pub mod otlp;
pub mod probe;
pub mod registry;
pub mod resolver;
pub mod session;
pub mod state_dir;

#[cfg(test)]
#[path = "tests/fake_control_plane.rs"]
mod fake_control_plane;
#[cfg(test)]
#[path = "tests/settings.rs"]
mod test_settings;
