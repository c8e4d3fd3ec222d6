//! Workloads, a relay and collectors on loopback.

mod aging;
mod changing;
mod limits;
mod otlp;
mod passing;
mod proxy;
mod rotation;
mod world;
