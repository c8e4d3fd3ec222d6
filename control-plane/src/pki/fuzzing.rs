//! An authority without a database, for fuzz targets.
use anyhow::Result;
use rcgen::{Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Authority, new_authority};

/// A new authority.
///
/// # Errors
/// A fault of the crypto library.
pub fn authority(now: OffsetDateTime) -> Result<Authority> {
    let made = new_authority(None, now)?;
    let root = CertificateDer::from(made.root);
    let issuer = Issuer::from_ca_cert_der(&root, KeyPair::try_from(made.key.as_slice())?)?;
    Ok(Authority { id: Uuid::nil(), issuer, below_older_roots: Vec::new() })
}
