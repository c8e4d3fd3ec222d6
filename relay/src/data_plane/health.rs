//! What is reported of listeners and collectors.

use std::sync::Arc;

use ekiden_proto::health::v1::{CollectorHealth, ListenerHealth};
use tokio::time::Instant;

use super::Shared;
use crate::counters::ListenerCounters;

/// Listeners and collectors at one moment.
#[derive(Clone, Debug)]
pub struct DataPlaneHealth {
    /// One a listener that runs, by name.
    pub listeners: Vec<ListenerHealth>,
    /// One a collector in the settings, by name.
    pub collectors: Vec<CollectorHealth>,
    /// The counters behind `listeners`, for what a health report has no room for; by name.
    pub counters: Vec<(String, Arc<ListenerCounters>)>,
    /// Connections open, of listeners that are gone as well.
    pub connections_open: u64,
    /// OTLP bytes held while collectors have not answered.
    pub in_flight_bytes: u64,
}

impl Shared {
    pub(super) fn health(&self) -> DataPlaneHealth {
        let now = Instant::now();
        let running = self.running.load();
        let mut routes = running.routes.values().collect::<Vec<_>>();
        routes.sort_unstable_by(|one, other| one.settings.name.cmp(&other.settings.name));
        let listeners = routes.iter().map(|route| {
            route.connections.note_workloads(now);
            route.connections.counters().health(&route.settings.name, route.settings.port, now)
        });
        let mut collectors = running.pools.values().map(|pool| pool.health()).collect::<Vec<_>>();
        collectors.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        DataPlaneHealth {
            listeners: listeners.collect(),
            collectors,
            counters: routes
                .iter()
                .map(|route| {
                    (route.settings.name.clone(), Arc::clone(route.connections.counters()))
                })
                .collect(),
            connections_open: self.open.load(std::sync::atomic::Ordering::Relaxed),
            in_flight_bytes: self.in_flight.held(),
        }
    }
}
