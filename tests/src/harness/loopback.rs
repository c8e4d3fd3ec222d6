//! Addresses of one world: a /24 of 127.0.0.0/8 that no other world uses at the time, or one of a network that was made for it.
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU8, Ordering},
};

use anyhow::Context as _;

/// Port on which a world's claim of its /24 listens.
const CLAIM: u16 = 47_321;

/// A /24 and the addresses given out of it.
#[derive(Debug)]
pub struct Loopback {
    network: [u8; 3],
    next: AtomicU8,
    /// Held as long as the /24 is: a second world's claim fails.
    _claim: TcpListener,
}

impl Loopback {
    /// Claims a /24 drawn at random.
    pub fn claim() -> anyhow::Result<Self> {
        let mut tries = 0;
        loop {
            let network = [127, rand::random_range(1..=254), rand::random_range(1..=254)];
            match Self::claim_of(network) {
                Ok(claimed) => return Ok(claimed),
                Err(_) if tries < 50 => tries += 1,
                Err(error) => return Err(error).context("claiming a loopback network"),
            }
        }
    }

    /// Claims this /24, whose first three addresses this machine must have.
    pub fn claim_of(network: [u8; 3]) -> std::io::Result<Self> {
        let [a, b, c] = network;
        let claim = TcpListener::bind((Ipv4Addr::new(a, b, c, 1), CLAIM))?;
        Ok(Self { network, next: AtomicU8::new(2), _claim: claim })
    }

    /// Returns the address that the world's own servers share.
    pub fn host(&self) -> IpAddr {
        IpAddr::V4(self.at(1))
    }

    /// Returns [`Self::host`] with port 0.
    pub fn any_port(&self) -> SocketAddr {
        SocketAddr::new(self.host(), 0)
    }

    /// Returns an address not given out before; after 252 of them it begins again.
    pub fn next(&self) -> Ipv4Addr {
        let last = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            Some(if last >= 253 { 2 } else { last + 1 })
        });
        self.at(last.unwrap_or_else(|last| last))
    }

    fn at(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, last)
    }
}
