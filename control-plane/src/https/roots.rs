//! Whom to believe that a service is who it says.
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

/// The roots of this machine, those of browsers where it has none, and `more`.
pub fn roots(more: &[CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        tracing::debug!(error = %error, "A trusted root of this machine cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots.add_parsable_certificates(more.iter().cloned());
    roots
}
