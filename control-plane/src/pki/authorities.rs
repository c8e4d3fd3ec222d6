//! The CAs of a database as this process works with them, read again each second: one issues, each but the retired is trusted.
use std::{sync::Arc, time::Duration};

use anyhow::Context;
use arc_swap::ArcSwap;
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Authority, CertificateRequest, IssuedCertificate, NewAuthority, ROOT_LIFE};
use crate::{
    clock::Clock,
    names::RelayName,
    store::{
        certificate_authorities::{self, CertificateAuthorityRow},
        databases,
        scope::{Scope, ScopedPool},
        server_secrets,
    },
    vault::{Sealed, Vault},
};

/// Under this name one process at a time changes CAs.
pub(super) const LOCK: &str = "certificate authority";
/// CAs of the past that the ports still show a way from, newest first.
const PAST: usize = 8;

/// Roots to trust; the one of the CA that issues comes first.
pub type Roots = Arc<Vec<CertificateDer<'static>>>;

/// The CAs.
pub struct Authorities {
    current: ArcSwap<Current>,
    roots: watch::Sender<Roots>,
    trust_domain: String,
}

struct Current {
    issuing: Authority,
    /// [`describe`] of what the database said.
    described: String,
}

impl Authorities {
    /// Opens the CAs of this database, or makes the first; of several processes that start at once, one does.
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
        if certificate_authorities::all(&mut *pool.begin(&provider).await?).await?.is_empty() {
            let made = Made::new(vault, None, clock.now()).await?;
            let mut db = pool.begin(&provider).await?;
            databases::one_at_a_time(&mut db, LOCK).await?;
            if certificate_authorities::all(&mut db).await?.is_empty() {
                made.insert(&mut db, "issuing").await?;
                db.commit().await?;
            }
        }
        let (current, roots) = read(pool, vault).await?;
        let (current, roots) = (ArcSwap::from_pointee(current), watch::Sender::new(roots));
        Ok(Self { current, roots, trust_domain: trust_domain.to_owned() })
    }

    /// Reads the CAs again and works with them from now on. Gives what they are, as [`describe`] does.
    ///
    /// # Errors
    /// What the database or the vault says; what was known goes on to be used.
    pub(super) async fn read_again(
        &self,
        pool: &ScopedPool,
        vault: &Vault,
    ) -> anyhow::Result<String> {
        let rows = certificate_authorities::all(&mut *pool.begin(&Scope::Provider).await?).await?;
        let described = describe(&rows);
        if self.current.load().described != described {
            let (current, roots) = read(pool, vault).await?;
            let described = current.described.clone();
            // Before the roots: who waits for those issues from this.
            self.current.store(Arc::new(current));
            self.roots.send_replace(roots);
            tracing::info!(authorities = described, "The certificate authorities have changed");
            return Ok(described);
        }
        Ok(described)
    }

    /// Roots to trust, of relays and of the two ports, and each later set of them.
    pub fn roots(&self) -> watch::Receiver<Roots> {
        self.roots.subscribe()
    }

    /// Roots to trust now.
    pub fn trust_roots(&self) -> Roots {
        Arc::clone(&self.roots.borrow())
    }

    /// Trust domain of the SPIFFE ids of relays.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The relay's SPIFFE id: `spiffe://<trust-domain>/<resource name>`.
    pub fn spiffe_id(&self, relay: &RelayName) -> String {
        format!("spiffe://{}/{relay}", self.trust_domain)
    }

    /// As [`Authority::issue_server`], from the CA that issues now.
    ///
    /// # Errors
    /// A name that no certificate can hold.
    pub fn issue_server(
        &self,
        names: &[String],
        now: OffsetDateTime,
    ) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        self.current.load().issuing.issue_server(names, now)
    }

    /// As [`Authority::issue_relay`], from the CA that issues now.
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
        let spiffe_id = self.spiffe_id(relay);
        self.current.load().issuing.issue_relay(request, relay, spiffe_id, lifetime, now)
    }

    /// Makes a CA that the one which issues now certifies; gives the latter's id as well.
    pub(super) async fn successor(
        &self,
        vault: &Vault,
        now: OffsetDateTime,
    ) -> anyhow::Result<(Made, Uuid)> {
        let current = self.current.load_full();
        Ok((Made::new(vault, Some(&current.issuing), now).await?, current.issuing.id))
    }
}

/// A CA just made, its key sealed.
pub(super) struct Made {
    row: CertificateAuthorityRow,
    secret_name: String,
    sealed: Sealed,
}

impl Made {
    async fn new(
        vault: &Vault,
        older: Option<&Authority>,
        now: OffsetDateTime,
    ) -> anyhow::Result<Self> {
        let NewAuthority { root, by_older, key } = super::new_authority(older, now)?;
        let id = Uuid::now_v7();
        let secret_name = format!("ca_key/{id}");
        let sealed = vault.seal(&place(&secret_name), &key).await?;
        let row = CertificateAuthorityRow {
            certificate_authority_id: id,
            certificate: root,
            cross_certificate: by_older,
            secret_name: Some(secret_name.clone()),
            state: String::new(),
            state_at: now,
            not_after: now + ROOT_LIFE,
            created_at: now,
        };
        Ok(Self { row, secret_name, sealed })
    }

    /// Keeps it in this state.
    pub(super) async fn insert(
        &self,
        db: &mut PgConnection,
        state: &str,
    ) -> Result<CertificateAuthorityRow, sqlx::Error> {
        let row = CertificateAuthorityRow { state: state.to_owned(), ..self.row.clone() };
        server_secrets::insert(db, &self.secret_name, &self.sealed, row.created_at).await?;
        certificate_authorities::insert(db, &row).await?;
        Ok(row)
    }
}

/// The CAs with their states, retired ones left out: equal for processes that work with the same.
pub(super) fn describe(rows: &[CertificateAuthorityRow]) -> String {
    let trusted = rows.iter().filter(|row| row.state != "retired");
    let one = |row: &CertificateAuthorityRow| {
        format!("{}={}", row.certificate_authority_id.simple(), row.state)
    };
    trusted.map(one).collect::<Vec<_>>().join(" ")
}

/// Certificates as a PEM file.
pub fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let pems: Vec<_> = certificates.iter().map(|c| Pem::new("CERTIFICATE", c.as_ref())).collect();
    pem::encode_many_config(&pems, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

async fn read(pool: &ScopedPool, vault: &Vault) -> anyhow::Result<(Current, Roots)> {
    let mut db = pool.begin(&Scope::Provider).await?;
    let rows = certificate_authorities::all(&mut db).await?;
    let described = describe(&rows);
    let issuing = rows.iter().find(|row| row.state == "issuing");
    let issuing = issuing.context("there is no certificate authority that issues")?;
    let secret = issuing.secret_name.as_deref().context("the CA that issues has no key")?;
    let sealed = server_secrets::find(&mut db, secret)
        .await?
        .context("the private key of the certificate authority is gone")?;
    drop(db);
    let key = vault.open(&place(secret), &sealed).await.context("the CA's key cannot be opened")?;
    let key = KeyPair::try_from(key.as_slice()).context("the CA's key is damaged")?;
    let root = CertificateDer::from(issuing.certificate.clone());
    let issuer = Issuer::from_ca_cert_der(&root, key).context("the CA's certificate is damaged")?;
    let others = rows.iter().rev().filter(|row| row.state == "staged" || row.state == "retiring");
    let others = others.map(|row| CertificateDer::from(row.certificate.clone()));
    let roots = std::iter::once(root).chain(others).collect();
    let id = issuing.certificate_authority_id;
    // Each is certified by the one made before it.
    let past = rows.iter().rev().filter(|row| row.certificate_authority_id <= id);
    let below_older_roots = past
        .map_while(|row| row.cross_certificate.clone())
        .take(PAST)
        .map(CertificateDer::from)
        .collect();
    let issuing = Authority { id, issuer, below_older_roots };
    Ok((Current { issuing, described }, Arc::new(roots)))
}

fn place(secret_name: &str) -> String {
    format!("server_secrets/{secret_name}")
}
