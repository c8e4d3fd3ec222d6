//! Who a relay is, by the certificate that it proved to hold.
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use tonic::Request;
use uuid::Uuid;
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
};

use crate::{
    error::Error,
    names::{FleetName, RelayName},
    serve::PeerCertificate,
    store::scope::Scope,
};

/// A relay's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayIdentity {
    /// Its resource name.
    pub name: RelayName,
    /// Its id.
    pub id: Uuid,
    /// Serial number of the certificate it showed.
    pub serial: Vec<u8>,
    /// When that certificate ends.
    pub ends_at: OffsetDateTime,
}

impl RelayIdentity {
    /// The identity of a call's sender, whose certificate lasts; TLS has checked its chain.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] without a certificate, with one that has ended, or with one that names no relay of this
    /// trust domain.
    pub fn of<T>(
        request: &Request<T>,
        trust_domain: &str,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let identity = Self::even_ended(request, trust_domain)?;
        if identity.ends_at < now {
            return Err(Error::Unauthenticated {
                reason: "RELAY_CERTIFICATE_EXPIRED",
                description: "the client certificate has ended: Renew gives another for it",
            });
        }
        Ok(identity)
    }

    /// The same for a certificate that may have ended, no longer ago than TLS lets in.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] without a certificate, or with one that names no relay of this trust domain.
    pub fn even_ended<T>(request: &Request<T>, trust_domain: &str) -> Result<Self, Error> {
        let certificate =
            request.extensions().get::<PeerCertificate>().and_then(|peer| peer.0.as_ref());
        let Some(certificate) = certificate else {
            return Err(Error::Unauthenticated {
                reason: "RELAY_CERTIFICATE_MISSING",
                description: "this call takes a relay's client certificate; Enroll gives one for an enrollment token",
            });
        };
        Self::read(certificate, trust_domain).ok_or(Error::Unauthenticated {
            reason: "RELAY_CERTIFICATE_NAMES_NO_RELAY",
            description: "the client certificate names no relay of this control plane: enroll anew",
        })
    }

    fn read(certificate: &CertificateDer<'_>, trust_domain: &str) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut uris = Vec::new();
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() {
                uris.extend(san.general_names.iter());
            }
        }
        // Exactly one name, and that a SPIFFE id: anything else is not ours.
        let [GeneralName::URI(uri)] = uris.as_slice() else { return None };
        let name = uri.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?.strip_prefix('/')?;
        let name = RelayName::parse("certificate", name).ok()?;
        let id = Uuid::try_parse(&name.relay).ok()?;
        let ends_at = certificate.validity().not_after.to_datetime();
        Some(Self { name, id, serial: certificate.raw_serial().to_vec(), ends_at })
    }

    /// What its transactions see.
    pub fn scope(&self) -> Scope {
        Scope::Tenant(self.name.tenant.clone())
    }

    /// Its fleet.
    pub fn fleet(&self) -> FleetName {
        self.name.fleet()
    }
}
