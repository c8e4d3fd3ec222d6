//! Who this relay is to the control plane: its name, its key and its certificate.
//!
//! - [`key`]: makes keys and the requests to certify them.
//! - [`enrollment`]: the calls that bring a certificate. [`aws_role`]: the proof that needs no secret in the task definition.
//! - [`store`]: keeps the identity on disk.
//! - [`keeper`]: keeps the identity valid for as long as the process runs.

pub mod aws_role;
pub mod enrollment;
pub mod keeper;
mod key;
mod refusals;
mod store;

use std::{fmt, sync::Arc, time::Duration};

use ekiden_proto::relay::v1::CertificateBundle;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

pub use key::NewKey;
pub use store::{Store, StoreError};

use crate::clock::from_timestamp;

/// A relay's resource name, taken apart: `tenants/{tenant}/fleets/{fleet}/relays/{relay}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayName {
    /// Id of the tenant.
    pub tenant: String,
    /// Id of the fleet within its tenant.
    pub fleet: String,
    /// Id of the relay.
    pub relay: String,
}

impl RelayName {
    /// Reads a resource name; none for anything else.
    pub fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            ["tenants", tenant, "fleets", fleet, "relays", relay]
                if ![tenant, fleet, relay].iter().any(|part| part.is_empty()) =>
            {
                Some(Self {
                    tenant: (*tenant).to_owned(),
                    fleet: (*fleet).to_owned(),
                    relay: (*relay).to_owned(),
                })
            }
            _ => None,
        }
    }

    /// Resource name of the fleet: `tenants/{tenant}/fleets/{fleet}`.
    pub fn fleet_name(&self) -> String {
        format!("tenants/{}/fleets/{}", self.tenant, self.fleet)
    }
}

impl fmt::Display for RelayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenants/{}/fleets/{}/relays/{}", self.tenant, self.fleet, self.relay)
    }
}

/// A relay's certificate with its key.
pub struct Identity {
    /// Whom it names.
    pub relay: RelayName,
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Roots that the control plane asks to be trusted by.
    pub roots: Vec<CertificateDer<'static>>,
    /// When it ends.
    pub not_after: OffsetDateTime,
    /// When to ask for the next one.
    pub renew_at: OffsetDateTime,
    /// PKCS#8.
    key: Zeroizing<Vec<u8>>,
}

/// Why an answer of the control plane is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A field is missing or makes no sense.
    #[error("the control plane's answer has no usable {0}")]
    Unusable(&'static str),
    /// The certificate is for another key.
    #[error("the control plane certified another key than this relay's")]
    OtherKey,
}

/// An identity that ends sooner is not worth a connection.
const LEAST_LIFE: Duration = Duration::from_secs(30);

impl Identity {
    /// Puts the control plane's answer and the key it certifies together.
    ///
    /// # Errors
    /// [`IdentityError`] when the parts do not fit.
    pub fn new(
        relay: &str,
        bundle: CertificateBundle,
        key: NewKey,
    ) -> Result<Arc<Self>, IdentityError> {
        let relay = RelayName::parse(relay).ok_or(IdentityError::Unusable("relay name"))?;
        let chain: Vec<_> = bundle.chain.into_iter().map(CertificateDer::from).collect();
        let leaf = chain.first().ok_or(IdentityError::Unusable("certificate"))?;
        let (_, leaf) =
            X509Certificate::from_der(leaf).map_err(|_| IdentityError::Unusable("certificate"))?;
        if leaf.public_key().subject_public_key.data.as_ref() != key.public_key() {
            return Err(IdentityError::OtherKey);
        }
        let roots = bundle.trust_roots.into_iter().map(CertificateDer::from).collect();
        let not_after = OffsetDateTime::from_unix_timestamp(leaf.validity().not_after.timestamp())
            .map_err(|_| IdentityError::Unusable("end of the certificate"))?;
        let renew_at = bundle
            .renew_at
            .as_ref()
            .and_then(from_timestamp)
            .filter(|renew_at| *renew_at < not_after)
            .ok_or(IdentityError::Unusable("time to renew"))?;
        Ok(Arc::new(Self { relay, chain, roots, not_after, renew_at, key: key.into_pkcs8() }))
    }

    /// Whether it lasts long enough to be shown: for [`LEAST_LIFE`], or a part of a life that is shorter than most.
    pub fn is_worth_a_connection(&self, now: OffsetDateTime) -> bool {
        let second_half = Duration::try_from(self.not_after - self.renew_at).unwrap_or_default();
        now + LEAST_LIFE.min(second_half / 4) < self.not_after
    }

    /// The key as TLS wants it.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec()).into()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("relay", &self.relay.to_string())
            .field("not_after", &self.not_after)
            .field("renew_at", &self.renew_at)
            .finish_non_exhaustive()
    }
}
