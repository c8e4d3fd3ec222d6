//! Workloads: clients that behave as real ones do, and keep count of what happened to them.
//!
//! - [`resolver`]: finds relays by DNS and honours TTLs, no more and no less.
//! - [`load`]: keeps sending and keeps count, while things break around it.
//! - [`otlp`]: exports traces, metrics and logs.
//! - [`tcp`]: sends and receives hashed random bytes.
pub mod load;
pub mod otlp;
pub mod resolver;
pub mod tcp;
