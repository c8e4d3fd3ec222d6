//! The built-in CA and the identities it issues: P-256 throughout, the root for ten years, sealed like any secret.
use std::time::Duration;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    names::RelayName,
    store::{
        certificate_authorities, databases,
        scope::{Scope, ScopedPool},
        server_secrets,
    },
    vault::Vault,
};

mod csr;
mod identity;

pub use csr::CertificateRequest;
pub use identity::RelayIdentity;

const ROOT_LIFE: time::Duration = time::Duration::days(3650);
const SERVER_LIFE: time::Duration = time::Duration::hours(24);
/// Certificates count from a minute ago: clocks differ.
const BACKDATED: time::Duration = time::Duration::minutes(1);

/// Issues certificates.
pub struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    trust_domain: String,
}

/// A relay's certificate.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// DER.
    pub certificate: CertificateDer<'static>,
    /// Serial number, big endian.
    pub serial: Vec<u8>,
    /// When it begins to count.
    pub not_before: OffsetDateTime,
    /// When it ends.
    pub not_after: OffsetDateTime,
}

impl Authority {
    /// Opens the CA of this database, or makes it; of several processes that start at once, one does.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn load_or_create(
        pool: &ScopedPool,
        vault: &Vault,
        clock: &Clock,
        trust_domain: &str,
    ) -> anyhow::Result<Self> {
        let provider = Scope::Provider;
        let mut found = certificate_authorities::newest(&mut *pool.begin(&provider).await?).await?;
        if found.is_none() {
            let (root, key) = new_root(clock.now())?;
            let secret = format!("ca_key/{}", Uuid::now_v7());
            let sealed = vault.seal(&place(&secret), &key).await?;
            let mut db = pool.begin(&provider).await?;
            databases::one_at_a_time(&mut db, "certificate authority").await?;
            if certificate_authorities::newest(&mut db).await?.is_none() {
                let now = clock.now();
                server_secrets::insert(&mut db, &secret, &sealed, now).await?;
                certificate_authorities::insert(&mut db, &root, &secret, now + ROOT_LIFE, now)
                    .await?;
            }
            found = certificate_authorities::newest(&mut db).await?;
            db.commit().await?;
        }
        let found = found.context("a certificate authority that was just made is not there")?;
        let mut db = pool.begin(&provider).await?;
        let sealed = server_secrets::find(&mut db, &found.secret_name)
            .await?
            .context("the private key of the certificate authority is gone")?;
        drop(db);
        let key = vault.open(&place(&found.secret_name), &sealed).await.context(
            "the CA's key cannot be opened: is the master key file the one that this database was begun with?",
        )?;
        let key = KeyPair::try_from(key.as_slice()).context("the CA's key is damaged")?;
        let root = CertificateDer::from(found.certificate);
        let issuer =
            Issuer::from_ca_cert_der(&root, key).context("the CA's certificate is damaged")?;
        Ok(Self { root, issuer, trust_domain: trust_domain.to_owned() })
    }

    /// The root, PEM.
    pub fn root_pem(&self) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let text = STANDARD.encode(&self.root);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// Roots to trust, of relays and of the two ports.
    pub fn trust_roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.root.clone()]
    }

    /// Trust domain of the SPIFFE ids it issues.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

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
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![certificate], key))
    }

    /// A certificate for `relay` and the public key of `request`.
    ///
    /// # Errors
    /// A fault of the crypto library.
    pub fn issue_relay(
        &self,
        request: &CertificateRequest,
        relay: &RelayName,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> anyhow::Result<IssuedCertificate> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, relay.relay.as_str());
        params.subject_alt_names = vec![SanType::URI(self.spiffe_id(relay).try_into()?)];
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
        let (not_before, not_after) = (params.not_before, params.not_after);
        let certificate = params.signed_by(request.public_key(), &self.issuer)?.der().clone();
        Ok(IssuedCertificate { certificate, serial, not_before, not_after })
    }

    /// The relay's SPIFFE id: `spiffe://<trust-domain>/<resource name>`.
    pub fn spiffe_id(&self, relay: &RelayName) -> String {
        format!("spiffe://{}/{relay}", self.trust_domain)
    }
}

fn place(secret_name: &str) -> String {
    format!("server_secrets/{secret_name}")
}

fn new_root(now: OffsetDateTime) -> anyhow::Result<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Ekiden CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - BACKDATED;
    params.not_after = now + ROOT_LIFE;
    let root = params.self_signed(&key)?;
    Ok((root.der().to_vec(), Zeroizing::new(key.serialize_der())))
}
