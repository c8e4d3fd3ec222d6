//! Envelope encryption: a fresh data key for each value, wrapped by a master key, bound to the place where the value lives.
//!
//! - [`LocalFile`] and [`Kms`]: master keys. [`MasterKeySource`]: which one an operator means.
//! - [`rewrapping`]: moves values from one master key to another.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

use crate::error::Error;

mod cipher;
mod kms;
mod local_file;
pub mod rewrapping;
mod source;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use cipher::{decrypt, encrypt};
pub use kms::{Kms, KmsError};
pub use local_file::{LocalFile, LocalFileError};
pub use source::{MasterKeySource, MasterKeySources};

/// Length of a data key and of the local master key, bytes.
const KEY_LEN: usize = 32;

/// Holds the key that wraps data keys: a local file, or a KMS.
pub trait MasterKey: Send + Sync {
    /// Tells this key from another; kept beside each sealed value, never secret.
    fn id(&self) -> &str;

    /// Seals a data key for `place`.
    fn wrap<'a>(
        &'a self,
        place: &'a str,
        data_key: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, VaultError>>;

    /// Opens what [`MasterKey::wrap`] made for the same `place`.
    fn unwrap<'a>(
        &'a self,
        place: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, VaultError>>;
}

/// Seals and opens secrets; cheap to clone.
#[derive(Clone)]
pub struct Vault {
    /// The one to seal with first, then others that open what was sealed before.
    masters: Arc<[Arc<dyn MasterKey>]>,
    /// Which one seals.
    sealing: Arc<AtomicUsize>,
}

/// A secret as it may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// nonce (12 bytes) || ciphertext || tag (16 bytes) under the data key.
    pub sealed: Vec<u8>,
    /// The data key, likewise under the master key.
    pub wrapped_data_key: Vec<u8>,
    /// [`MasterKey::id`] of the key that wrapped it.
    pub master_key_id: String,
}

/// Why a value could not be sealed or opened; says nothing of the value.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Another master key sealed it.
    #[error(
        "sealed under master key {sealed_under}, but this process holds {held}: give it that key with --master-key-also"
    )]
    OtherMasterKey {
        /// Id beside the value.
        sealed_under: String,
        /// Ids of the keys at hand.
        held: String,
    },
    /// The bytes are not what was sealed for this place.
    #[error("the sealed bytes do not belong to {place}, or were changed")]
    Altered {
        /// Where they were found.
        place: String,
    },
    /// The operating system gave no randomness, or the cipher refused.
    #[error("the cipher failed")]
    Cipher,
    /// The service that holds the master key gives no answer, or refuses.
    #[error(transparent)]
    Kms(#[from] KmsError),
}

impl Vault {
    /// A vault under this master key.
    pub fn new(master: Arc<dyn MasterKey>) -> Self {
        Self::with_others(master, Vec::new())
    }

    /// A vault that is to seal under `master`, and opens what `others` sealed as well.
    pub fn with_others(master: Arc<dyn MasterKey>, others: Vec<Arc<dyn MasterKey>>) -> Self {
        let masters = std::iter::once(master).chain(others).collect();
        Self { masters, sealing: Arc::default() }
    }

    /// Ids of the master keys at hand, the one to seal with first.
    pub fn key_ids(&self) -> Vec<String> {
        self.masters.iter().map(|master| master.id().to_owned()).collect()
    }

    /// Id of the key that seals.
    pub fn sealing_key_id(&self) -> &str {
        self.sealing_key().id()
    }

    /// Seals with the key of this number in [`Vault::key_ids`] from now on.
    pub(crate) fn seal_with(&self, number: usize) {
        self.sealing.store(number.min(self.masters.len() - 1), Ordering::Relaxed);
    }

    /// Seals `plaintext` for `place`, e.g. `access_key_versions/acme/datadog/3`; it opens nowhere else.
    ///
    /// # Errors
    /// [`VaultError::Cipher`], or what the master key says.
    pub async fn seal(&self, place: &str, plaintext: &[u8]) -> Result<Sealed, VaultError> {
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        SystemRandom::new().fill(data_key.as_mut_slice()).map_err(|_| VaultError::Cipher)?;
        let sealed = encrypt(data_key.as_slice(), place, plaintext)?;
        let master = self.sealing_key();
        let wrapped_data_key = master.wrap(place, data_key.as_slice()).await?;
        Ok(Sealed { sealed, wrapped_data_key, master_key_id: master.id().to_owned() })
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// [`VaultError`]: another master key, another place, or altered bytes.
    pub async fn open(
        &self,
        place: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let master = self.master_of(&sealed.master_key_id)?;
        let data_key = master.unwrap(place, &sealed.wrapped_data_key).await?;
        decrypt(&data_key, place, &sealed.sealed)
    }

    /// Wraps the data key of a value under the key that seals now; the value itself stays as it is.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub(crate) async fn rewrap(
        &self,
        place: &str,
        wrapped_data_key: &[u8],
        master_key_id: &str,
    ) -> Result<(Vec<u8>, String), VaultError> {
        let data_key = self.master_of(master_key_id)?.unwrap(place, wrapped_data_key).await?;
        let master = self.sealing_key();
        Ok((master.wrap(place, &data_key).await?, master.id().to_owned()))
    }

    fn sealing_key(&self) -> &Arc<dyn MasterKey> {
        &self.masters[self.sealing.load(Ordering::Relaxed)]
    }

    fn master_of(&self, id: &str) -> Result<&Arc<dyn MasterKey>, VaultError> {
        self.masters.iter().find(|master| master.id() == id).ok_or_else(|| {
            VaultError::OtherMasterKey {
                sealed_under: id.to_owned(),
                held: self.key_ids().join(", "),
            }
        })
    }
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Kms(KmsError::Away { .. }) => Self::Unavailable {
                reason: "MASTER_KEY_UNAVAILABLE",
                description: "the service that holds the master key does not answer just now; nothing was changed",
                retry_after: std::time::Duration::from_secs(2),
                source: Some(error.into()),
            },
            // Somebody took a permission away or disabled the key, and can give it back: sessions outlast that.
            VaultError::Kms(_) => Self::Unavailable {
                reason: "MASTER_KEY_REFUSED",
                description: "AWS KMS refuses the master key; nothing was changed. The control plane's log says which action: look at the key's state and policy",
                retry_after: std::time::Duration::from_secs(30),
                source: Some(error.into()),
            },
            error => Self::Internal(error.into()),
        }
    }
}
