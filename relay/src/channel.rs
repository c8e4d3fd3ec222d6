//! Connections to the control plane: names by hickory, TCP with a time limit an address, TLS by rustls, HTTP/2 by tonic.
//!
//! Every call of [`Dialer::connect`] makes one new connection: when to try again is the caller's to decide.
mod alert;
mod connector;
mod trust;

use std::{sync::Arc, time::Duration};

use ekiden_telemetry::propagation::client::InjectContext;
use http::Uri;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tonic::transport::Endpoint;
use tower::Layer;

use crate::{environment::ControlPlane, identity::Identity, resolver::Resolver};

use alert::Alert;
pub use trust::Trust;

/// An HTTP/2 connection to the control plane that sends trace context along.
pub type Channel = InjectContext<tonic::transport::Channel>;

/// A connection, and what became of it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// For gRPC clients.
    pub channel: Channel,
    alert: Alert,
}

impl Connection {
    /// Whether it ended because the control plane does not accept this relay's certificate.
    pub fn refuses_certificate(&self) -> bool {
        self.alert.refuses_certificate()
    }
}

/// Time for name, TCP, TLS and HTTP/2 together, over all addresses.
const CONNECT: Duration = Duration::from_secs(20);
/// HTTP/2 pings go out this often, also while idle, and an unanswered one ends the connection after [`PING_TIMEOUT`].
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes in flight toward the relay. A snapshot of 1 MiB takes a few round trips more than with a larger window;
/// thousands of relays in one benchmark process fit in memory.
const WINDOW: u32 = 64 * 1024;
/// Requests that may wait for the connection: a session, and an enrollment or renewal beside it.
const QUEUE: usize = 4;

/// Makes connections to the control plane.
#[derive(Clone, Debug)]
pub struct Dialer {
    target: Arc<ControlPlane>,
    server_name: ServerName<'static>,
    origin: Uri,
    trust: Trust,
    resolver: Resolver,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// TLS cannot be set up with the roots or the certificate at hand.
    #[error("TLS to the control plane cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The control plane's address makes no URI or server name.
    #[error("`{0}` is no name that a certificate could carry")]
    Name(String),
    /// No address answered in time, or none as it should.
    #[error("the control plane cannot be reached")]
    Connect(#[from] tonic::transport::Error),
}

impl Dialer {
    /// A dialer for `target`, whose certificate must carry `server_name`, or else the target's own name. An SRV record's
    /// own domain counts as that name: what the record answers is not authenticated.
    ///
    /// # Errors
    /// [`ChannelError::Name`].
    pub fn new(
        target: ControlPlane,
        server_name: Option<ServerName<'static>>,
        trust: Trust,
        resolver: Resolver,
    ) -> Result<Self, ChannelError> {
        let (name, port) = match &target {
            ControlPlane::Host { host, port } => (host.to_string(), Some(*port)),
            ControlPlane::Srv { name } => {
                (name.splitn(3, '.').nth(2).unwrap_or(name).to_owned(), None)
            }
        };
        let server_name = match server_name {
            Some(server_name) => server_name,
            None => {
                ServerName::try_from(name.clone()).map_err(|_| ChannelError::Name(name.clone()))?
            }
        };
        let host = if name.contains(':') { format!("[{name}]") } else { name.clone() };
        let authority = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let origin = Uri::builder()
            .scheme("https")
            .authority(authority)
            .path_and_query("/")
            .build()
            .map_err(|_| ChannelError::Name(name.clone()))?;
        Ok(Self { target: Arc::new(target), server_name, origin, trust, resolver })
    }

    /// Connects; shows `identity` where there is one.
    ///
    /// # Errors
    /// [`ChannelError`]: nothing is tried again here.
    pub async fn connect(&self, identity: Option<&Identity>) -> Result<Connection, ChannelError> {
        let tls = Arc::new(self.tls(identity)?);
        let alert = Alert::default();
        let connector = connector::connector(
            Arc::clone(&self.target),
            self.server_name.clone(),
            tls,
            self.resolver.clone(),
            alert.clone(),
        );
        // The scheme tells tonic to leave TLS to the connector.
        let channel = Endpoint::from(Uri::from_static("http://control-plane"))
            .origin(self.origin.clone())
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .buffer_size(QUEUE)
            .connect_with_connector(connector)
            .await?;
        Ok(Connection {
            channel: ekiden_telemetry::propagation::client_layer().layer(channel),
            alert,
        })
    }

    fn tls(&self, identity: Option<&Identity>) -> Result<ClientConfig, rustls::Error> {
        let roots = self.trust.with(identity.map_or(&[], |identity| identity.roots.as_slice()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => {
                builder.with_client_auth_cert(identity.chain.clone(), identity.private_key())?
            }
            None => builder.with_no_client_auth(),
        };
        // One connection a config: nothing could be resumed.
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
