//! Who is at the other end of a connection; both are in every request's extensions, on either port.
use std::net::SocketAddr;

use rustls_pki_types::CertificateDer;

/// Address that a connection came from.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

/// Certificate that the peer proved to hold, chained to one of our roots; none where it showed none.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub Option<CertificateDer<'static>>);
