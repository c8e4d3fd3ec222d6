//! Keys that never leave the relay, and requests to certify them.
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use zeroize::Zeroizing;

/// A fresh P-256 key with the request to certify it.
pub struct NewKey {
    pair: KeyPair,
    /// PKCS#10 request, DER. It names no one: whom a certificate names is the control plane's to say.
    pub csr: Vec<u8>,
}

impl NewKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the crypto library cannot.
    pub fn generate() -> Result<Self, rcgen::Error> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&pair)?.der().to_vec();
        Ok(Self { pair, csr })
    }

    /// The public key as an uncompressed point.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key_raw()
    }

    /// The public key as SubjectPublicKeyInfo, DER; the same bytes as in the request.
    pub fn public_key_info(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    pub(super) fn into_pkcs8(self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.pair.serialize_der())
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").finish_non_exhaustive()
    }
}
