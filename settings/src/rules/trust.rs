//! Certificates to trust.
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};

const MAX_PEM: usize = 64 << 10;

/// Reads a bundle of PEM certificates: at least one, at most 64 KiB, each one that rustls can trust.
pub fn roots(pem: &str) -> Result<RootCertStore, String> {
    if pem.len() > MAX_PEM {
        return Err(format!("{} bytes are too many; at most {MAX_PEM}", pem.len()));
    }
    let mut roots = RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let number = at + 1;
        let certificate =
            certificate.map_err(|error| format!("certificate {number} is no PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("certificate {number} cannot be trusted: {error}"))?;
    }
    match roots.is_empty() {
        true => Err("holds no certificate; PEM from -----BEGIN CERTIFICATE----- on".to_owned()),
        false => Ok(roots),
    }
}
