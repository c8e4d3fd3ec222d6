//! Name → addresses → TCP → TLS, each with its own time limit and its own word when it fails.
use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use ekiden_settings::Host;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower_service::Service;

use super::alert::{Alert, Noting};
use crate::{
    environment::ControlPlane,
    resolver::{ResolveError, Resolver, shuffle},
};

/// A vanished Fargate address swallows packets: the next one is tried after this.
const TCP_CONNECT: Duration = Duration::from_secs(2);
const TLS_HANDSHAKE: Duration = Duration::from_secs(5);
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

type Stream = TokioIo<Noting<TlsStream<TcpStream>>>;
type Connecting = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The name has no address that could be had.
    #[error("its name cannot be resolved")]
    Resolve(#[from] ResolveError),
    /// The name resolves to nothing.
    #[error("its name has no address")]
    NoAddress,
    /// The last address tried did not accept.
    #[error("{address} does not accept connections")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// TLS failed with the last address tried.
    #[error("TLS with {address} failed")]
    Tls {
        /// The address.
        address: SocketAddr,
        /// What TLS said.
        source: io::Error,
    },
}

/// A connector for tonic; the URI it is called with does not matter.
pub(super) fn connector(
    target: Arc<ControlPlane>,
    server_name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    resolver: Resolver,
    alert: Alert,
) -> impl Service<Uri, Response = Stream, Error = ConnectError, Future = Connecting> + Send + 'static
{
    tower::service_fn(move |_: Uri| {
        let (target, server_name) = (Arc::clone(&target), server_name.clone());
        let (tls, resolver, alert) =
            (TlsConnector::from(Arc::clone(&tls)), resolver.clone(), alert.clone());
        Box::pin(async move {
            let stream = connect(&target, server_name, tls, &resolver).await?;
            Ok(TokioIo::new(Noting::new(stream, alert)))
        }) as Connecting
    })
}

async fn connect(
    target: &ControlPlane,
    server_name: ServerName<'static>,
    tls: TlsConnector,
    resolver: &Resolver,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let mut failure = ConnectError::NoAddress;
    for address in addresses(target, resolver).await? {
        match connect_to(address, server_name.clone(), &tls).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                tracing::debug!(server.address = %address, error = %error, "An address of the control plane did not answer");
                failure = error;
            }
        }
    }
    Err(failure)
}

/// Addresses in the order to try: an SRV record's targets by priority, each host's addresses in random order.
async fn addresses(
    target: &ControlPlane,
    resolver: &Resolver,
) -> Result<Vec<SocketAddr>, ConnectError> {
    match target {
        ControlPlane::Host { host, port } => Ok(host_addresses(host, *port, resolver).await?),
        ControlPlane::Srv { name } => {
            let mut services = resolver.services(name).await?;
            shuffle(&mut services, &mut rand::rng());
            services.sort_by_key(|service| service.priority);
            let mut all = Vec::new();
            let mut failure = None;
            for service in services {
                match host_addresses(&service.host, service.port, resolver).await {
                    Ok(addresses) => all.extend(addresses),
                    Err(error) => failure = Some(error),
                }
            }
            match failure {
                Some(failure) if all.is_empty() => Err(failure.into()),
                _ => Ok(all),
            }
        }
    }
}

async fn host_addresses(
    host: &Host,
    port: u16,
    resolver: &Resolver,
) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut addresses = resolver.addresses(host).await?;
    shuffle(&mut addresses, &mut rand::rng());
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

async fn connect_to(
    address: SocketAddr,
    server_name: ServerName<'static>,
    tls: &TlsConnector,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let tcp = within(TCP_CONNECT, TcpStream::connect(address))
        .await
        .and_then(|stream| {
            stream.set_nodelay(true)?;
            let keepalive =
                TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            Ok(stream)
        })
        .map_err(|source| ConnectError::Tcp { address, source })?;
    within(TLS_HANDSHAKE, tls.connect(server_name, tcp))
        .await
        .map_err(|source| ConnectError::Tls { address, source })
}

async fn within<T>(limit: Duration, attempt: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
