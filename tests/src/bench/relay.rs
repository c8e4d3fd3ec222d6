//! A relay under measurement: a real control plane hands a real relay its listeners.
use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use ekiden_proto::{
    admin::v1::{Collector, Fleet},
    settings::v1::{CollectorProtocol, Endpoint, Listener, ListenerProtocol, Tls},
};

use crate::harness::{ControlPlane, Relay, RelayOptions, World};

const LONG: Duration = Duration::from_secs(60);
const FIRST_PORT: u16 = 7000;

/// A relay with one listener for each way it was asked to forward.
pub struct RelayUnderTest {
    relay: Relay,
    listeners: Vec<SocketAddr>,
}

/// One listener to be made.
#[derive(Clone)]
pub struct Way {
    /// What it speaks, on both sides.
    pub protocol: ListenerProtocol,
    /// Where it leads.
    pub to: SocketAddr,
    /// TLS toward there; none: plain.
    pub tls: Option<Tls>,
}

impl RelayUnderTest {
    /// Sets up a tenant `name` with a fleet of these listeners and starts one relay of it.
    ///
    /// # Errors
    /// When a step fails; it says which.
    pub async fn start(
        world: &World,
        control_plane: &ControlPlane,
        name: &str,
        ways: &[Way],
    ) -> Result<Self> {
        let operator = control_plane.operator()?;
        let tenant = operator.create_tenant(name).await.context("making a tenant")?.name;
        let mut listeners = Vec::new();
        for (port, (i, way)) in (FIRST_PORT..).zip(ways.iter().enumerate()) {
            let protocol = match way.protocol {
                ListenerProtocol::Otlp => CollectorProtocol::OtlpGrpc,
                _ => CollectorProtocol::Tcp,
            };
            let endpoint =
                Endpoint { host: way.to.ip().to_string(), port: way.to.port().into(), priority: 0 };
            let collector = Collector {
                protocol: protocol.into(),
                endpoints: vec![endpoint],
                tls: way.tls.clone(),
                ..Collector::default()
            };
            let collector = operator
                .create_collector(&tenant, &format!("c{i}"), collector)
                .await
                .context("making a collector")?;
            listeners.push(Listener {
                name: format!("l{i}"),
                port: port.into(),
                protocol: way.protocol.into(),
                collector: collector.name,
                max_connections: 20_000,
                ..Listener::default()
            });
        }
        let fleet = Fleet { listeners, ..Fleet::default() };
        let fleet =
            operator.create_fleet(&tenant, "bench", fleet).await.context("making a fleet")?.name;
        let token = operator.create_enrollment_token(&fleet, 1).await.context("making a token")?;
        // Worker threads as the peers have, logs as in production.
        let options = RelayOptions::new(name, &token)
            .variable("EKIDEN_LOG", "info")
            .variable("TOKIO_WORKER_THREADS", "2")
            .variable("OTEL_SDK_DISABLED", "true");
        let mut relay = Relay::start(world, &control_plane.relay_port(), options)?;
        let mut accepts = Vec::new();
        for (port, _) in (FIRST_PORT..).zip(ways) {
            relay.listening(port, LONG).await?;
            accepts.push(relay.listener(port));
        }
        Ok(Self { relay, listeners: accepts })
    }

    /// Where it accepts for the way of this index.
    pub fn listener(&self, index: usize) -> Option<SocketAddr> {
        self.listeners.get(index).copied()
    }

    /// Its process id.
    pub fn pid(&mut self) -> Option<u32> {
        self.relay.process().id()
    }
}
