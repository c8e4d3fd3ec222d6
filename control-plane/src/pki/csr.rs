//! Requests for certificates: only their public key counts, and a name in one is refused rather than ignored.
use rcgen::{CertificateSigningRequestParams, PKCS_ECDSA_P256_SHA256, PublicKey};
use rustls_pki_types::CertificateSigningRequestDer;
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

use crate::error::Error;

/// Longest request, bytes.
const LONGEST: usize = 8192;

/// A request whose signature proves that its sender holds the key.
pub struct CertificateRequest {
    public_key: PublicKey,
    public_key_info: Vec<u8>,
    names: Vec<String>,
}

impl CertificateRequest {
    /// Reads a PKCS#10 request, DER.
    ///
    /// # Errors
    /// [`Error::invalid`] naming `csr`: too long, no request, a bad signature, or no P-256 key.
    pub fn read(der: &[u8]) -> Result<Self, Error> {
        if der.is_empty() || der.len() > LONGEST {
            return Err(Error::invalid(
                "csr",
                "it must be a PKCS#10 request in DER of at most 8 KiB",
            ));
        }
        let wrong =
            |why: &str| Error::invalid("csr", format!("it is no good PKCS#10 request: {why}"));
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| wrong("it cannot be parsed"))?;
        if !rest.is_empty() {
            return Err(wrong("something follows it"));
        }
        let mut names: Vec<String> = Vec::new();
        if request.certification_request_info.subject.iter().next().is_some() {
            names.push(request.certification_request_info.subject.to_string());
        }
        for extension in request.requested_extensions().into_iter().flatten() {
            if let x509_parser::extensions::ParsedExtension::SubjectAlternativeName(san) = extension
            {
                names.extend(san.general_names.iter().map(|name| match name {
                    x509_parser::extensions::GeneralName::URI(uri) => (*uri).to_owned(),
                    other => other.to_string(),
                }));
            }
        }
        let params = CertificateSigningRequestParams::from_der(
            &CertificateSigningRequestDer::from(der),
        )
        .map_err(|_| {
            wrong("its signature does not match its key, or it asks for what relays do not get")
        })?;
        if params.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(Error::invalid("csr", "its key is not P-256"));
        }
        let public_key_info = request.certification_request_info.subject_pki.raw.to_vec();
        Ok(Self { public_key: params.public_key, public_key_info, names })
    }

    /// Refuses a request that names anyone but `spiffe_id`.
    ///
    /// # Errors
    /// [`Error::invalid`] naming `csr` and the name that was asked for.
    pub fn names_only(&self, spiffe_id: Option<&str>) -> Result<(), Error> {
        match self.names.iter().find(|name| Some(name.as_str()) != spiffe_id) {
            None => Ok(()),
            Some(name) => Err(Error::invalid(
                "csr",
                format!(
                    "it asks for the name {:?}: leave names out, the control plane gives the relay's own",
                    name.chars().take(200).collect::<String>()
                ),
            )),
        }
    }

    /// The key's SubjectPublicKeyInfo as it stands in the request, DER.
    pub fn public_key_info(&self) -> &[u8] {
        &self.public_key_info
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}
