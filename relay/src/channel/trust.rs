//! Which roots may vouch for the control plane.
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

/// Roots to trust for the control plane before it has named its own.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
}

impl Trust {
    /// Trusts `roots`, or the machine's where there are none.
    pub fn new(roots: &[CertificateDer<'static>]) -> Self {
        let mut store = RootCertStore::empty();
        if roots.is_empty() {
            let native = rustls_native_certs::load_native_certs();
            for error in native.errors {
                tracing::debug!(error = %error, "A trusted root of this machine cannot be read");
            }
            store.add_parsable_certificates(native.certs);
        } else {
            store.add_parsable_certificates(roots.iter().cloned());
        }
        if store.is_empty() {
            tracing::warn!(
                "No root is trusted yet, so the control plane cannot be: set EKIDEN_CONTROL_PLANE_CA, or install ca-certificates"
            );
        }
        Self { roots: Arc::new(store) }
    }

    /// These roots, and those that the control plane named.
    pub(super) fn with(&self, named: &[CertificateDer<'static>]) -> Arc<RootCertStore> {
        if named.is_empty() {
            return Arc::clone(&self.roots);
        }
        let mut store = RootCertStore::clone(&self.roots);
        store.add_parsable_certificates(named.iter().cloned());
        Arc::new(store)
    }
}
