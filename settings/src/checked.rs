//! Settings past the check: every value is usable as it is.
use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use http::HeaderName;
use rustls::RootCertStore;
use rustls_pki_types::ServerName;

use crate::Proxy;

/// Everything a relay needs to serve, except keys.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedSettings {
    /// `tenants/{tenant}/fleets/{fleet}`.
    pub fleet: String,
    /// Unique by name and by port.
    pub listeners: Vec<Listener>,
    /// Unique by name; those that no listener names as well.
    pub collectors: Vec<Arc<Collector>>,
    /// Where the relay registers; none: nowhere.
    pub discovery: Option<CloudMap>,
    pub limits: Limits,
}

/// What a listener's workloads speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Raw bytes.
    Tcp,
    /// OTLP over gRPC.
    Otlp,
}

/// One port.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub name: String,
    pub port: u16,
    pub protocol: Protocol,
    /// Gets what arrives; speaks what the listener's protocol needs.
    pub collector: Arc<Collector>,
    /// Open at once.
    pub max_connections: u64,
    pub idle_timeout: Duration,
    /// None: connections may grow old.
    pub max_connection_age: Option<Duration>,
}

/// What a collector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorProtocol {
    /// Raw bytes.
    Tcp,
    /// OTLP over gRPC.
    OtlpGrpc,
}

/// A vendor's endpoints and how to reach them.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    /// `tenants/{tenant}/collectors/{collector}`.
    pub name: String,
    pub protocol: CollectorProtocol,
    /// At least one; by priority, the first to try first.
    pub endpoints: Vec<Endpoint>,
    /// None: plain.
    pub tls: Option<Tls>,
    /// None: the collector takes no key from the relay.
    pub key_placement: Option<KeyPlacement>,
    /// None: it is dialled itself. No snapshot names one.
    pub proxy: Option<Proxy>,
    /// For one attempt at one address, TLS included.
    pub connect_timeout: Duration,
}

/// One place where a collector listens; written as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub host: Host,
    pub port: u16,
    /// Lower is tried first.
    pub priority: u32,
}

/// A machine by name or by address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name, lower case, without the dot at its end.
    Name(String),
    Address(IpAddr),
}

/// TLS toward a collector.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Asked for and checked; none: the endpoint's host.
    pub server_name: Option<ServerName<'static>>,
    /// None: the public roots.
    pub roots: Option<Arc<RootCertStore>>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
}

/// Where the access key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlacement {
    /// `tenants/{tenant}/accessKeys/{access_key}`.
    pub access_key: String,
    pub header: HeaderName,
    /// Put before the key; printable ASCII.
    pub prefix: String,
}

/// Where relays register in AWS Cloud Map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudMap {
    /// The fleet's own.
    pub service: Service,
    pub ttl: Duration,
    pub mode: RegistrationMode,
    /// None: the task's own.
    pub role: Option<AssumedRole>,
    /// Unique by service and by name, the fleet's own included.
    pub cells: Vec<Service>,
}

/// An AWS Cloud Map service with A records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// `srv-…`.
    pub id: String,
    /// What workloads resolve; absolute, with the dot at its end.
    pub dns_name: String,
}

/// Who registers relays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationMode {
    /// They do.
    #[default]
    Relay,
    /// ECS does.
    Ecs,
}

/// A role in another account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssumedRole {
    /// `arn:aws:iam::123456789012:role/…`.
    pub arn: String,
    pub external_id: Option<String>,
}

/// Bounds of the whole relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open at once over all listeners.
    pub max_connections: u64,
    /// Largest OTLP request.
    pub max_request_bytes: usize,
    /// OTLP bytes held at once over all listeners.
    pub max_in_flight_bytes: u64,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        let roots = |tls: &Self| tls.roots.as_ref().map(|roots| roots.roots.clone());
        self.server_name == other.server_name
            && self.insecure_skip_verify == other.insecure_skip_verify
            && roots(self) == roots(other)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_connections: 50_000, max_request_bytes: 4 << 20, max_in_flight_bytes: 64 << 20 }
    }
}
