//! Why a collector could not be reached.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use crate::resolver::ResolveError;

/// Why there is no connection to a collector.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    #[error(transparent)]
    Dns(#[from] ResolveError),
    #[error("{address} did not answer within {} ms", after.as_millis())]
    Timeout { address: SocketAddr, after: Duration },
    #[error("{address} refused the connection")]
    Refused { address: SocketAddr },
    #[error("{address} cannot be reached: {source}")]
    Unreachable { address: SocketAddr, source: Arc<io::Error> },
    #[error("the proxy {address} opens no tunnel: {source}")]
    Proxy { address: SocketAddr, source: Arc<io::Error> },
    #[error("TLS with {address} failed: {source}")]
    Tls { address: SocketAddr, source: Arc<io::Error> },
    #[error("{address} is a listener of this relay: the collector's name leads back here")]
    Loop { address: SocketAddr },
    #[error("this relay has no socket left to dial {address}: {source}")]
    Exhausted { address: SocketAddr, source: Arc<io::Error> },
    #[error("all addresses together took longer than {} s", after.as_secs())]
    GaveUp { after: Duration },
}

impl DialError {
    /// Stable name, the cause of a connection that ended with it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Timeout { .. } | Self::GaveUp { .. } => "dial_timeout",
            Self::Refused { .. } => "dial_refused",
            Self::Unreachable { .. } => "dial_unreachable",
            Self::Proxy { .. } => "proxy_refused",
            Self::Tls { .. } => "tls",
            Self::Loop { .. } => "loop_detected",
            Self::Exhausted { .. } => "dial_exhausted",
        }
    }

    /// Stable name of the phase that failed, for health: `dns`, `dial` or `tls`.
    pub fn failure(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Timeout { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::Proxy { .. }
            | Self::Loop { .. }
            | Self::Exhausted { .. }
            | Self::GaveUp { .. } => "dial",
            Self::Tls { .. } => "tls",
        }
    }

    /// Names what the kernel said of a TCP handshake.
    pub(super) fn from_connect(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { address },
            io::ErrorKind::AddrNotAvailable => Self::Exhausted { address, source: Arc::new(error) },
            _ => Self::Unreachable { address, source: Arc::new(error) },
        }
    }
}
