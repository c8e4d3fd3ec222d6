//! What runs, and what new settings make of it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ekiden_settings::{
    CheckedSettings, Collector, CollectorProtocol, Limits, Listener, Protocol, Violation,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::{
    collector::{CollectorCounters, CollectorPool},
    counters::ListenerCounters,
    listener::connections::Connections,
    otlp::{Exporter, OtlpListener, OtlpSettings},
};

/// Counters of names that no longer run are kept for their return, up to so many.
const KEPT: usize = 256;

/// One revision's listeners and collectors, live.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// By port.
    pub(super) routes: HashMap<u16, Route>,
    /// By collector.
    pub(super) pools: HashMap<String, Arc<CollectorPool>>,
    /// By collector; those that speak OTLP.
    pub(super) exporters: HashMap<String, Arc<Exporter>>,
    pub(super) limits: Limits,
}

/// What becomes of connections to a port.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) settings: Listener,
    pub(super) connections: Arc<Connections>,
    /// Raw connections that came to this port under another listener's name.
    pub(super) inherited: Vec<Arc<Connections>>,
    pub(super) service: Service,
}

#[derive(Clone, Debug)]
pub(super) enum Service {
    Tcp(Arc<CollectorPool>),
    Otlp {
        listener: Arc<OtlpListener>,
        /// Asks its connections to go.
        drain: CancellationToken,
    },
}

/// Counters by name; they outlive changes of settings.
#[derive(Debug, Default)]
pub(super) struct Kept {
    listeners: HashMap<String, Arc<ListenerCounters>>,
    collectors: HashMap<String, Arc<CollectorCounters>>,
}

impl Running {
    /// Makes what will run; whatever is equal is taken over as it is. Changes nothing that runs.
    pub(super) fn next(
        before: &Self,
        settings: &Arc<CheckedSettings>,
        shared: &Arc<Shared>,
    ) -> Result<Arc<Self>, Vec<Violation>> {
        shared.kept().forget_others(settings);
        let mut next = Self { limits: settings.limits, ..Self::default() };
        let mut violations = Vec::new();
        for (at, collector) in settings.collectors.iter().enumerate() {
            let pool = before.pool(collector, shared);
            match pool {
                Ok(pool) => next.take_in(pool, before, shared),
                Err(error) => {
                    let description = format!("TLS toward it cannot be set up: {error}");
                    violations.push(Violation::new(format!("collectors[{at}].tls"), description));
                }
            }
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        for (at, listener) in settings.listeners.iter().enumerate() {
            match next.route(listener, before, &settings.listeners, shared) {
                Some(route) => drop(next.routes.insert(listener.port, route)),
                None => violations.push(Violation::new(
                    format!("listeners[{at}].collector"),
                    "is not in the settings",
                )),
            }
        }
        if violations.is_empty() { Ok(Arc::new(next)) } else { Err(violations) }
    }

    /// Lets OTLP listeners that ran before send where the settings now say.
    pub(super) fn retarget(&self, settings: &CheckedSettings) {
        for route in self.routes.values() {
            if let Service::Otlp { listener, .. } = &route.service
                && let Some(exporter) = self.exporters.get(&route.settings.collector.name)
            {
                listener.retarget(
                    Arc::clone(exporter),
                    otlp_settings(&route.settings, &settings.limits),
                );
            }
        }
    }

    /// Ends silent connections, asks old ones to go; gives when there will be more to do, none: not for a known time.
    pub(super) fn tend(&self, now: Instant) -> Option<Instant> {
        let routes = self.routes.values();
        let due = routes.flat_map(|Route { settings, connections, inherited, .. }| {
            let all = std::iter::once(connections).chain(inherited);
            all.filter_map(|it| it.tend(settings.idle_timeout, settings.max_connection_age, now))
        });
        due.min()
    }

    /// The connections of listeners that let connections go, with the time that each was opened, and its id.
    pub(super) fn settled(&self) -> Vec<(Instant, u64, Arc<Connections>)> {
        let settled = self.letting_go().flat_map(|connections| {
            let named = |(opened, id)| (opened, id, Arc::clone(connections));
            connections.settled().into_iter().map(named)
        });
        settled.collect()
    }

    /// How many connections of those listeners are on their way out.
    pub(super) fn count_leaving(&self) -> usize {
        self.letting_go().map(|connections| connections.count_leaving()).sum()
    }

    fn letting_go(&self) -> impl Iterator<Item = &Arc<Connections>> {
        let routes = self.routes.values();
        routes
            .filter(|route| route.settings.max_connection_age.is_some())
            .flat_map(Route::all_connections)
    }

    /// How often to look at connections: often enough that a timeout is a twentieth too long at most.
    pub(super) fn look_every(&self) -> Duration {
        let timeouts = self.routes.values().flat_map(|route| {
            [Some(route.settings.idle_timeout), route.settings.max_connection_age]
        });
        let shortest = timeouts.flatten().min();
        (shortest.unwrap_or(Duration::MAX) / 20)
            .clamp(Duration::from_millis(100), Duration::from_secs(10))
    }

    fn pool(
        &self,
        collector: &Arc<Collector>,
        shared: &Arc<Shared>,
    ) -> Result<Arc<CollectorPool>, rustls::Error> {
        if let Some(pool) =
            self.pools.get(&collector.name).filter(|pool| pool.settings() == collector)
        {
            return Ok(Arc::clone(pool));
        }
        let counters =
            Arc::clone(shared.kept().collectors.entry(collector.name.clone()).or_default());
        let own_listeners = shared.own_listeners.clone();
        let pool = CollectorPool::new(
            Arc::clone(collector),
            shared.resolver.clone(),
            own_listeners,
            counters,
        )?;
        Ok(Arc::new(pool))
    }

    fn take_in(&mut self, pool: Arc<CollectorPool>, before: &Self, shared: &Arc<Shared>) {
        let name = &pool.settings().name;
        if pool.settings().protocol == CollectorProtocol::OtlpGrpc {
            let same = before.pools.get(name).is_some_and(|before| Arc::ptr_eq(before, &pool));
            let exporter = match before.exporters.get(name).filter(|_| same) {
                Some(exporter) => Arc::clone(exporter),
                None => Exporter::new(
                    Arc::clone(&pool),
                    shared.keys.subscribe(),
                    Arc::clone(&shared.trials),
                    shared.tracker.clone(),
                ),
            };
            self.exporters.insert(name.clone(), exporter);
        }
        self.pools.insert(name.clone(), pool);
    }

    /// Raw connections that stay with a listener, though it did not accept them under its name: its port's, where the
    /// listener that had it is gone.
    fn left_at(
        &self,
        listener: &Listener,
        all: &[Listener],
        same_name: Option<&Route>,
    ) -> Vec<Arc<Connections>> {
        let stays = |name: &str| all.iter().any(|listener| listener.name == name);
        let at_port = self.routes.get(&listener.port).filter(|route| {
            !stays(&route.settings.name)
                && (route.settings.protocol, listener.protocol) == (Protocol::Tcp, Protocol::Tcp)
        });
        let own = same_name.into_iter().flat_map(|route| &route.inherited);
        let left = at_port.into_iter().flat_map(Route::all_connections);
        own.chain(left).filter(|connections| !connections.is_empty()).cloned().collect()
    }

    fn route(
        &self,
        listener: &Listener,
        before: &Self,
        all: &[Listener],
        shared: &Arc<Shared>,
    ) -> Option<Route> {
        let same_name = before.routes.values().find(|route| route.settings.name == listener.name);
        let connections = match same_name {
            Some(route) => Arc::clone(&route.connections),
            None => {
                let counters =
                    Arc::clone(shared.kept().listeners.entry(listener.name.clone()).or_default());
                let connections = Connections::new(&listener.name, counters);
                shared.everyone().push(Arc::downgrade(&connections));
                connections
            }
        };
        let service = match listener.protocol {
            Protocol::Tcp => Service::Tcp(Arc::clone(self.pools.get(&listener.collector.name)?)),
            Protocol::Otlp => match same_name.map(|route| &route.service) {
                Some(service @ Service::Otlp { .. }) => service.clone(),
                _ => Service::Otlp {
                    listener: Arc::new(OtlpListener::new(
                        &listener.name,
                        Arc::clone(self.exporters.get(&listener.collector.name)?),
                        Arc::clone(&shared.in_flight),
                        otlp_settings(listener, &self.limits),
                        Arc::clone(connections.counters()),
                        shared.tracker.clone(),
                    )),
                    drain: CancellationToken::new(),
                },
            },
        };
        let inherited = before.left_at(listener, all, same_name);
        Some(Route { settings: listener.clone(), connections, inherited, service })
    }
}

impl Route {
    /// All that the listener answers for.
    pub(super) fn all_connections(&self) -> impl Iterator<Item = &Arc<Connections>> {
        std::iter::once(&self.connections).chain(&self.inherited)
    }
}

impl Kept {
    /// Makes room when names come and go: what is neither in the settings nor in use is forgotten.
    fn forget_others(&mut self, settings: &CheckedSettings) {
        if self.listeners.len() > KEPT {
            self.listeners.retain(|name, counters| {
                Arc::strong_count(counters) > 1
                    || settings.listeners.iter().any(|listener| listener.name == *name)
            });
        }
        if self.collectors.len() > KEPT {
            self.collectors.retain(|name, counters| {
                Arc::strong_count(counters) > 1
                    || settings.collectors.iter().any(|collector| collector.name == *name)
            });
        }
    }
}

fn otlp_settings(listener: &Listener, limits: &Limits) -> OtlpSettings {
    OtlpSettings {
        max_request_bytes: limits.max_request_bytes,
        idle_timeout: listener.idle_timeout,
    }
}
