//! Certificates: of relays, and of the two ports. P-256 throughout; roots for ten years, their keys sealed like any secret.
//!
//! - [`Authority`]: one CA that issues.
//! - [`authorities`]: the CAs of a database, of which one issues and each but the retired is trusted.
//! - [`rotation`]: how one follows another.
//! - [`csr`] and [`identity`]: what relays ask with, and who they are by what they show.
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::names::RelayName;

pub mod authorities;
mod csr;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
pub mod rotation;

pub use authorities::{Authorities, Roots};
pub use csr::CertificateRequest;
pub use identity::RelayIdentity;

const ROOT_LIFE: time::Duration = time::Duration::days(3650);
const SERVER_LIFE: time::Duration = time::Duration::hours(24);
/// Certificates count from a minute ago: clocks differ.
const BACKDATED: time::Duration = time::Duration::minutes(1);

/// A CA that issues certificates.
pub struct Authority {
    id: Uuid,
    issuer: Issuer<'static, KeyPair>,
    /// Shown behind the certificates of the ports: its own certificate by the CA before it, that one's by the one before, and
    /// so on, so that who trusts an older root alone trusts this one.
    below_older_roots: Vec<CertificateDer<'static>>,
}

/// A CA just made.
struct NewAuthority {
    /// Its certificate by itself, DER.
    root: Vec<u8>,
    /// Its certificate by the CA before it, DER.
    by_older: Option<Vec<u8>>,
    /// Its private key, PKCS#8.
    key: Zeroizing<Vec<u8>>,
}

/// A relay's certificate.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// CA that issued it.
    pub authority: Uuid,
    /// DER.
    pub certificate: CertificateDer<'static>,
    /// Serial number, big endian.
    pub serial: Vec<u8>,
    /// When it begins to count.
    pub not_before: OffsetDateTime,
    /// When it ends.
    pub not_after: OffsetDateTime,
    /// When to renew it: after half of its life.
    pub renew_at: OffsetDateTime,
}

impl Authority {
    /// A certificate for the two ports, good for a day, and its key.
    ///
    /// # Errors
    /// A name that no certificate can hold.
    pub fn issue_server(
        &self,
        names: &[String],
        now: OffsetDateTime,
    ) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Ekiden control plane");
        params.not_before = now - BACKDATED;
        params.not_after = now + SERVER_LIFE;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = std::iter::once(certificate).chain(self.below_older_roots.iter().cloned());
        Ok((chain.collect(), key))
    }

    /// A certificate for the relay's name `relay`, with its SPIFFE id, and the public key of `request`.
    ///
    /// # Errors
    /// A fault of the crypto library.
    pub fn issue_relay(
        &self,
        request: &CertificateRequest,
        relay: &RelayName,
        spiffe_id: String,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> anyhow::Result<IssuedCertificate> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, relay.relay.as_str());
        params.subject_alt_names = vec![SanType::URI(spiffe_id.try_into()?)];
        // 128 random bits, the first cleared: a serial number is positive.
        let mut serial = Uuid::new_v4().into_bytes().to_vec();
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        params.serial_number = Some(SerialNumber::from(serial.clone()));
        params.not_before = now - BACKDATED;
        params.not_after = now + lifetime;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let (not_before, not_after) = (params.not_before, params.not_after);
        let certificate = params.signed_by(request.public_key(), &self.issuer)?.der().clone();
        let (authority, renew_at) = (self.id, now + lifetime / 2);
        Ok(IssuedCertificate { authority, certificate, serial, not_before, not_after, renew_at })
    }
}

/// Makes a CA; `older` certifies it, too.
fn new_authority(older: Option<&Authority>, now: OffsetDateTime) -> anyhow::Result<NewAuthority> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    // Names differ, so that a chain can be read by its names.
    let suffix = Uuid::new_v4().simple().to_string();
    let name = format!("Ekiden CA {} {}", now.date(), suffix.get(..8).unwrap_or_default());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - BACKDATED;
    params.not_after = now + ROOT_LIFE;
    let root = params.self_signed(&key)?.der().to_vec();
    params.use_authority_key_identifier_extension = true;
    let by_older = older.map(|older| params.signed_by(&key, &older.issuer)).transpose()?;
    let by_older = by_older.map(|certificate| certificate.der().to_vec());
    Ok(NewAuthority { root, by_older, key: Zeroizing::new(key.serialize_der()) })
}
