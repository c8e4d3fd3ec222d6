//! Keeps a relay from dialling itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use arc_swap::ArcSwap;

/// Where this relay listens; cheap to share, told by the data plane.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners(Arc<ArcSwap<Vec<SocketAddr>>>);

impl OwnListeners {
    /// Replaces what is known.
    pub fn set(&self, listeners: Vec<SocketAddr>) {
        self.0.store(Arc::new(listeners));
    }

    /// Whether a connection to `address` would arrive at this relay.
    pub(super) fn contains(&self, address: SocketAddr) -> bool {
        self.0.load().iter().any(|own| {
            own.port() == address.port()
                && own.is_ipv4() == address.is_ipv4()
                && (own.ip() == address.ip()
                    || own.ip().is_unspecified() && is_this_machine(address.ip()))
        })
    }
}

/// Whether an address is the machine's own: the kernel would reach it from that very address. Sends nothing.
fn is_this_machine(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, 9))?;
        socket.local_addr()
    };
    ip.is_loopback() || ip.is_unspecified() || source().is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(listeners: &[&str]) -> OwnListeners {
        let own = OwnListeners::default();
        own.set(listeners.iter().map(|address| address.parse().unwrap()).collect());
        own
    }

    fn refuses(own: &OwnListeners, address: &str) -> bool {
        own.contains(address.parse().unwrap())
    }

    #[test]
    fn a_listener_on_one_address_is_its_own_and_its_neighbours_are_not() {
        let own = own(&["127.0.0.7:6443"]);
        assert!(refuses(&own, "127.0.0.7:6443"));
        assert!(!refuses(&own, "127.0.0.7:6444"));
        assert!(!refuses(&own, "127.0.0.8:6443"));
    }

    #[test]
    fn a_listener_on_every_address_is_reached_by_the_machines_own_only() {
        let own = own(&["0.0.0.0:6443"]);
        assert!(refuses(&own, "127.0.0.1:6443"));
        assert!(refuses(&own, "0.0.0.0:6443"));
        assert!(!refuses(&own, "127.0.0.1:443"));
        assert!(!refuses(&own, "192.0.2.1:6443"));
    }
}
