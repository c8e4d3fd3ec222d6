//! Workloads, a relay and collectors on loopback.

mod changing;
mod limits;
mod otlp;
mod passing;
mod rotation;
mod world;
