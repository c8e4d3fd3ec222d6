//! The identity on disk: one file, so that a key and its certificate are never of two different times.
use std::{io, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::{Zeroize, Zeroizing};

use super::{Identity, RelayName};
use crate::state_dir::StateDir;

const FILE: &str = "identity.json";

/// Keeps the identity in the relay's folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: StateDir,
}

/// Why there is no identity to be had from disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or written.
    #[error("the relay's identity cannot be kept in its state folder")]
    Io(#[from] io::Error),
    /// The file holds something else.
    #[error("identity.json is damaged: {0}")]
    Damaged(String),
}

/// DER in base64.
#[derive(Serialize, Deserialize)]
struct Saved {
    relay: String,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    renew_at: OffsetDateTime,
    chain: Vec<String>,
    roots: Vec<String>,
    key: String,
}

impl Drop for Saved {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Store {
    /// A store in `folder`.
    pub fn new(folder: StateDir) -> Self {
        Self { folder }
    }

    /// Reads what was saved; none if nothing was.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read or is damaged.
    pub fn load(&self) -> Result<Option<Arc<Identity>>, StoreError> {
        let Some(content) = self.folder.read(FILE)?.map(Zeroizing::new) else { return Ok(None) };
        let damaged = |what: String| StoreError::Damaged(what);
        let saved: Saved =
            serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
        let relay = RelayName::parse(&saved.relay).ok_or_else(|| damaged("relay".to_owned()))?;
        let chain = certificates(&saved.chain)?;
        let key = BASE64.decode(&saved.key).map_err(|_| damaged("key".to_owned()))?;
        Ok(Some(Arc::new(Identity {
            relay,
            chain,
            roots: certificates(&saved.roots)?,
            not_after: saved.not_after,
            renew_at: saved.renew_at,
            key: Zeroizing::new(key),
        })))
    }

    /// Saves it for the next start.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be written.
    pub fn save(&self, identity: &Identity) -> Result<(), StoreError> {
        let encode = |certificates: &[CertificateDer<'static>]| {
            certificates.iter().map(|certificate| BASE64.encode(certificate)).collect()
        };
        let saved = Saved {
            relay: identity.relay.to_string(),
            not_after: identity.not_after,
            renew_at: identity.renew_at,
            chain: encode(&identity.chain),
            roots: encode(&identity.roots),
            key: BASE64.encode(identity.key.as_slice()),
        };
        let content = serde_json::to_vec_pretty(&saved).map_err(io::Error::from)?;
        Ok(self.folder.replace(FILE, &Zeroizing::new(content))?)
    }

    /// Forgets what was saved.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be removed.
    pub fn forget(&self) -> Result<(), StoreError> {
        Ok(self.folder.remove(FILE)?)
    }
}

fn certificates(encoded: &[String]) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    encoded
        .iter()
        .map(|certificate| BASE64.decode(certificate).map(CertificateDer::from))
        .collect::<Result<_, _>>()
        .map_err(|error| StoreError::Damaged(error.to_string()))
}
