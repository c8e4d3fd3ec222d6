//! The way to a collector that a relay's own environment names: an HTTP proxy that tunnels.
use secrecy::{ExposeSecret, SecretString};

use crate::{Host, Tls};

/// An HTTP proxy that is asked for a tunnel (CONNECT) to each endpoint of a collector, by the endpoint's own name.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub host: Host,
    pub port: u16,
    /// TLS toward the proxy itself; none: plain.
    pub tls: Option<Tls>,
    /// Value of the header `proxy-authorization`; none: the proxy wants none.
    pub authorization: Option<SecretString>,
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        let shown = |proxy: &Self| {
            proxy.authorization.as_ref().map(|secret| secret.expose_secret().to_owned())
        };
        (&self.host, self.port, &self.tls) == (&other.host, other.port, &other.tls)
            && shown(self) == shown(other)
    }
}
