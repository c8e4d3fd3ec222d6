//! Why a connection never became usable, told at a bounded rate.
use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustls::{AlertDescription, CertificateError, Error};
use tokio::time::Instant;

use crate::metrics::Metrics;

/// Lines a second and port; the rest is counted and told with the next line.
const LINES_PER_SECOND: u32 = 5;

/// Counts and tells the failures of one port.
pub(super) struct Failures {
    port: &'static str,
    metrics: Metrics,
    told: Mutex<Told>,
}

struct Told {
    since: Instant,
    lines: u32,
    untold: u64,
}

impl Failures {
    pub(super) fn new(port: &'static str, metrics: Metrics) -> Self {
        let told = Mutex::new(Told { since: Instant::now(), lines: 0, untold: 0 });
        Self { port, metrics, told }
    }

    /// Counts one; tells it unless too many were told within this second.
    pub(super) fn count(
        &self,
        peer: SocketAddr,
        cause: &'static str,
        error: &dyn std::fmt::Display,
    ) {
        self.metrics.handshake_failure(self.port, cause);
        // Load balancers' checks connect and leave; that is no news.
        if cause == "closed" {
            tracing::debug!(port = self.port, peer = %peer, cause, error = %error, "A connection was closed before it was usable");
            return;
        }
        let Some(untold) = self.may_tell() else { return };
        tracing::info!(port = self.port, peer = %peer, cause, error = %error, untold, "A connection was refused");
    }

    /// How many went untold before this one; none when this one has to go untold too.
    fn may_tell(&self) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.since.elapsed() >= Duration::from_secs(1) {
            (told.since, told.lines) = (Instant::now(), 0);
        }
        if told.lines >= LINES_PER_SECOND {
            told.untold += 1;
            return None;
        }
        told.lines += 1;
        Some(std::mem::take(&mut told.untold))
    }
}

/// Stable name of what went wrong in a TLS handshake.
pub(super) fn cause(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => tls_cause(error),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => "closed",
            _ => "io",
        },
    }
}

fn tls_cause(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => "unknown_ca",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "certificate_expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "certificate_not_yet_valid"
            }
            CertificateError::Revoked => "certificate_revoked",
            _ => "bad_certificate",
        },
        // The first bytes were no TLS record: another protocol, or noise.
        Error::InvalidMessage(_) => "no_tls",
        Error::NoApplicationProtocol => "no_http2",
        Error::PeerIncompatible(_) => "incompatible",
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            // A root of the same name with another key: the signature does not match.
            | AlertDescription::DecryptError,
        ) => "peer_distrusts_us",
        Error::AlertReceived(_) => "peer_alert",
        _ => "tls",
    }
}
