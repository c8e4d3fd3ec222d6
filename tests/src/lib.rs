//! The world around Ekiden, real protocols on loopback, for the end-to-end tests, the demo and the benchmarks.
//!
//! - [`bench`]: Ekiden beside its peers.
//! - [`certificates`]: an authority for the world's servers.
//! - [`vendor_collector`]: a vendor that takes TCP and OTLP, checks keys and misbehaves on demand.
//! - [`cloud_map`]: AWS Cloud Map's API and state.
//! - [`dns`]: the VPC's resolver, answering from that state as Route 53 does.
//! - [`dns_proof`]: whether DNS tells the truth while relays come, go and die.
//! - [`ecs_metadata`]: the ECS task metadata endpoint.
//! - [`task_credentials`]: the ECS task credentials endpoint.
//! - [`task_role`]: the role that the world's tasks run under.
//! - [`sts`]: AWS STS and the account's issuer of web identity tokens.
//! - [`sigv4`]: the signatures that all of AWS checks.
//! - [`egress_proxy`]: the way out for a control plane that has no other.
//! - [`hostile_control_plane`]: says to relays what the real one never would.
//! - [`namespaces`]: a network of namespaces, one for each relay.
//! - [`otlp_sink`]: receives Ekiden's own traces and metrics.
//! - [`workloads`]: clients that find relays by DNS and send through them.
//! - [`harness`]: starts the real binaries among all this and ends them whatever happens.
pub mod bench;
pub mod certificates;
pub mod cloud_map;
pub mod dns;
pub mod dns_proof;
pub mod ecs_metadata;
pub mod egress_proxy;
pub mod harness;
pub mod hostile_control_plane;
pub mod namespaces;
pub mod otlp_sink;
pub mod sigv4;
pub mod sts;
pub mod task_credentials;
pub mod task_role;
pub mod vendor_collector;
pub mod workloads;
