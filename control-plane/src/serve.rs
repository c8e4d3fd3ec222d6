//! The two ports: TLS, limits, health, reflection, and the way both stop.
//!
//! Requests carry, in their extensions, a [`PeerAddress`] (also as a plain `SocketAddr`) and a [`PeerCertificate`].
use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use prost::Message;
use prost_types::FileDescriptorSet;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tower::Layer;

use self::{
    calls::CallLimits,
    port::{Port, PortLimits},
    tls::{RelayTls, ServerCertificate, Tls},
};
use crate::{metrics::Metrics, pki::Roots};

mod calls;
mod handshake;
mod health;
mod late;
mod peer;
mod port;
#[cfg(test)]
mod tests;
mod tls;

pub use peer::{PeerAddress, PeerCertificate};
pub use tls::{Issue, ServerIdentity};

/// Connections that the kernel holds until they are accepted; a storm of relays that come back needs many.
const BACKLOG: i32 = 4096;
/// File descriptors kept for the database, files and operators.
const RESERVED_DESCRIPTORS: u64 = 512;
/// How long a call's answer, or a stream's beginning, may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Streams of relays, which live for days: their span would be exported only at their end.
const SESSIONS: &[&str] = &["ekiden.relay.v1.SessionService/Session"];

/// Both ports, bound but not yet serving.
pub struct Ports {
    relays: TcpListener,
    operators: TcpListener,
}

/// What both ports serve and how.
pub struct Serving {
    /// Services for relays.
    pub relays: Routes,
    /// Services for operators; health and reflection are added.
    pub operators: Routes,
    /// Issues the certificate that both show.
    pub issue: Issue,
    /// Roots of the relays' certificates; the ports' own is issued again when they change.
    pub relay_roots: watch::Receiver<Roots>,
    /// How long after its end a relay's certificate still opens a connection, to be renewed.
    pub relay_renewal_grace: Duration,
    /// Operators connect without TLS.
    pub operator_plaintext: bool,
    /// Health follows it.
    pub database: PgConnectOptions,
    /// Counts calls and connections.
    pub metrics: Metrics,
    /// Every task of the process.
    pub tracker: TaskTracker,
}

/// Both ports, serving.
pub struct Server {
    health: HealthReporter,
    services: Vec<String>,
    drain: CancellationToken,
    abort: CancellationToken,
    connections: TaskTracker,
    tasks: Vec<JoinHandle<()>>,
}

impl Ports {
    /// Binds both; says which one cannot be had.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn bind(relays: SocketAddr, operators: SocketAddr) -> anyhow::Result<Self> {
        let relays =
            listen(relays).with_context(|| format!("the relay port {relays} cannot be had"))?;
        let operators = listen(operators)
            .with_context(|| format!("the operator port {operators} cannot be had"))?;
        Ok(Self { relays, operators })
    }

    /// Addresses of the relay and the operator port, with the ports that were chosen for 0.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn addresses(&self) -> anyhow::Result<(SocketAddr, SocketAddr)> {
        Ok((self.relays.local_addr()?, self.operators.local_addr()?))
    }
}

impl Server {
    /// Starts serving; health says SERVING as soon as the database answers.
    ///
    /// # Errors
    /// No certificate could be issued, or the descriptors for reflection are damaged.
    pub fn start(ports: Ports, serving: Serving) -> anyhow::Result<Self> {
        let certificate = ServerCertificate::new(serving.issue)?;
        let mut roots = serving.relay_roots;
        let for_relays = RelayTls::new(&certificate, roots.clone(), serving.relay_renewal_grace)?;
        let for_operators = match serving.operator_plaintext {
            true => None,
            false => Some(Tls::Fixed(certificate.for_operators()?)),
        };
        let (services, methods) = contract()?;
        let health = HealthReporter::new();
        let health_service = tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(health.clone()),
        );
        let operators = serving
            .operators
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);

        let limits = |at_once| CallLimits {
            at_once: Arc::new(Semaphore::new(at_once)),
            within: ANSWER_WITHIN,
            methods: Arc::clone(&methods),
            metrics: serving.metrics.clone(),
        };
        let traced = ekiden_telemetry::propagation::server_layer().except(SESSIONS);
        // Sessions are one or two streams a connection that carry little; operators are few and may send much.
        let relay_limits = PortLimits {
            connections: connections_allowed(),
            handshakes: 512,
            streams: 16,
            windows: (64 << 10, 256 << 10),
            send_buffer: 16 << 10,
            headers: 16 << 10,
        };
        let operator_limits = PortLimits {
            connections: 2048,
            handshakes: 64,
            streams: 100,
            windows: (1 << 20, 2 << 20),
            send_buffer: 256 << 10,
            // A login of somebody in many groups has up to 16 KiB.
            headers: 32 << 10,
        };
        let (drain, abort) = (CancellationToken::new(), CancellationToken::new());
        let connections = TaskTracker::new();
        let relays = Port {
            name: "relays",
            tls: Some(Tls::Relays(for_relays)),
            service: traced.layer(limits(4096).layer(serving.relays.prepare())),
            limits: relay_limits,
            metrics: serving.metrics.clone(),
            drain: drain.clone(),
            abort: abort.clone(),
            tracker: connections.clone(),
        };
        let operators = Port {
            name: "operators",
            tls: for_operators,
            service: traced.layer(limits(256).layer(operators.prepare())),
            limits: operator_limits,
            metrics: serving.metrics.clone(),
            drain: drain.clone(),
            abort: abort.clone(),
            tracker: connections.clone(),
        };
        let renew = {
            let drain = drain.clone();
            async move { certificate.renew(&mut roots, &drain).await }
        };
        let watch =
            health::follow(health.clone(), services.clone(), serving.database, drain.clone());
        let tasks = vec![
            serving.tracker.spawn(relays.accept(ports.relays)),
            serving.tracker.spawn(operators.accept(ports.operators)),
            serving.tracker.spawn(renew),
            serving.tracker.spawn(watch),
        ];
        Ok(Self { health, services, drain, abort, connections, tasks })
    }

    /// Ends when a part of serving ends that must not, which only a bug brings about.
    pub async fn broken(&mut self) {
        let ended = futures_util::future::select_all(&mut self.tasks).await;
        if let (Err(error), ..) = ended {
            tracing::error!(error = %error, "A part of serving died");
        }
    }

    /// Tells health checks and load balancers that no one new should come.
    pub async fn announce_stop(&self) {
        health::set(&self.health, &self.services, false).await;
    }

    /// Accepts no more, lets calls finish for at most `patience`, then closes what is left.
    pub async fn stop(self, patience: Duration) {
        self.drain.cancel();
        self.connections.close();
        if timeout(patience, self.connections.wait()).await.is_err() {
            tracing::info!(
                tasks = self.connections.len(),
                "Closing connections that did not finish in time"
            );
            self.abort.cancel();
            // Calls in flight end with their connection; a call that holds on is left to the end of the process.
            if timeout(Duration::from_secs(1), self.connections.wait()).await.is_err() {
                tracing::debug!(tasks = self.connections.len(), "Some calls were left");
            }
        }
    }
}

/// Every service and method of ours and of health and reflection, by name.
fn contract() -> anyhow::Result<(Vec<String>, Arc<[String]>)> {
    let mut services = Vec::new();
    let mut methods = Vec::new();
    let sets = [
        ekiden_proto::DESCRIPTOR,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    for set in sets {
        for file in FileDescriptorSet::decode(set)?.file {
            for service in &file.service {
                let name = format!("{}.{}", file.package(), service.name());
                methods.extend(service.method.iter().map(|m| format!("/{name}/{}", m.name())));
                services.push(name);
            }
        }
    }
    Ok((services, methods.into()))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(ekiden_proto::DESCRIPTOR)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Raises the limit of file descriptors as far as it goes; gives how many connections of relays fit below it.
fn connections_allowed() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let highest = limit.maximum;
        let raised = rustix::process::Rlimit { current: highest, maximum: highest };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => {
                tracing::info!(error = %error, "The limit of file descriptors stays as it is")
            }
        }
    }
    let descriptors = limit.current.unwrap_or(1 << 20).saturating_sub(RESERVED_DESCRIPTORS);
    let allowed = usize::try_from(descriptors / 10 * 9).unwrap_or(usize::MAX);
    allowed.clamp(64, 1 << 20)
}
