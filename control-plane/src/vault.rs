//! Envelope encryption: a fresh data key for each value, wrapped by the master key, bound to the place where the value lives.
use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

use crate::error::Error;

mod local_file;

pub use local_file::{LocalFile, LocalFileError};

/// Length of a data key and of the local master key, bytes.
const KEY_LEN: usize = 32;

/// Holds the key that wraps data keys: a local file now, a KMS behind the same seam.
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
    master: Arc<dyn MasterKey>,
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
    #[error("sealed under master key {sealed_under}, but this process holds {held}")]
    OtherMasterKey {
        /// Id beside the value.
        sealed_under: String,
        /// Id of the key at hand.
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
}

impl Vault {
    /// A vault under this master key.
    pub fn new(master: Arc<dyn MasterKey>) -> Self {
        Self { master }
    }

    /// Seals `plaintext` for `place`, e.g. `access_key_versions/acme/datadog/3`; it opens nowhere else.
    ///
    /// # Errors
    /// [`VaultError::Cipher`], or what the master key says.
    pub async fn seal(&self, place: &str, plaintext: &[u8]) -> Result<Sealed, VaultError> {
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        SystemRandom::new().fill(data_key.as_mut_slice()).map_err(|_| VaultError::Cipher)?;
        let sealed = encrypt(data_key.as_slice(), place, plaintext)?;
        let wrapped_data_key = self.master.wrap(place, data_key.as_slice()).await?;
        Ok(Sealed { sealed, wrapped_data_key, master_key_id: self.master.id().to_owned() })
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
        if sealed.master_key_id != self.master.id() {
            return Err(VaultError::OtherMasterKey {
                sealed_under: sealed.master_key_id.clone(),
                held: self.master.id().to_owned(),
            });
        }
        let data_key = self.master.unwrap(place, &sealed.wrapped_data_key).await?;
        decrypt(&data_key, place, &sealed.sealed)
    }
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        Self::Internal(error.into())
    }
}

/// AES-256-GCM under `key` with `place` as associated data; gives nonce || ciphertext || tag.
///
/// A random nonce is safe here: a data key seals once, and a master key far fewer than 2^32 times (NIST SP 800-38D, 8.3).
pub(crate) fn encrypt(key: &[u8], place: &str, plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| VaultError::Cipher)?;
    // Reserved in full, so that growing leaves no copy of the plaintext behind.
    let mut out =
        Zeroizing::new(Vec::with_capacity(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len()));
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plaintext);
    let (_, in_out) = out.split_at_mut(NONCE_LEN);
    let tag = cipher(key)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place.as_bytes()),
            in_out,
        )
        .map_err(|_| VaultError::Cipher)?;
    out.extend_from_slice(tag.as_ref());
    Ok(std::mem::take(&mut *out))
}

/// Opens what [`encrypt`] made.
pub(crate) fn decrypt(
    key: &[u8],
    place: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let altered = || VaultError::Altered { place: place.to_owned() };
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN).ok_or_else(altered)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| altered())?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length = cipher(key)?
        .open_in_place(nonce, Aad::from(place.as_bytes()), &mut buffer)
        .map_err(|_| altered())?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, VaultError> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| VaultError::Cipher)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vault() -> (tempfile::TempDir, Vault) {
        let folder = tempfile::tempdir().unwrap();
        let key = LocalFile::load_or_create(&folder.path().join("master.key")).unwrap();
        (folder, Vault::new(Arc::new(key)))
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn what_is_sealed_opens_in_its_place_only(
            plaintext in proptest::collection::vec(any::<u8>(), 0..600),
            place in "[a-z/0-9]{1,40}",
            other in "[a-z/0-9]{1,40}",
        ) {
            let (_folder, vault) = vault();
            let sealed = block(vault.seal(&place, &plaintext)).unwrap();
            prop_assert_eq!(&**block(vault.open(&place, &sealed)).unwrap(), &plaintext[..]);
            if place != other {
                let refused = matches!(block(vault.open(&other, &sealed)), Err(VaultError::Altered { .. }));
                prop_assert!(refused);
            }
        }

        #[test]
        fn any_changed_byte_is_noticed(
            plaintext in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<proptest::sample::Index>(),
            flip in 1..=255_u8,
            in_key in any::<bool>(),
        ) {
            let (_folder, vault) = vault();
            let mut sealed = block(vault.seal("here", &plaintext)).unwrap();
            let bytes = if in_key { &mut sealed.wrapped_data_key } else { &mut sealed.sealed };
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(block(vault.open("here", &sealed)).is_err());
        }

        #[test]
        fn a_value_cut_short_is_refused_without_panic(keep in 0..28_usize) {
            let (_folder, vault) = vault();
            let mut sealed = block(vault.seal("here", b"secret")).unwrap();
            sealed.sealed.truncate(keep);
            prop_assert!(block(vault.open("here", &sealed)).is_err());
        }
    }

    #[test]
    fn the_same_value_never_seals_to_the_same_bytes() {
        let (_folder, vault) = vault();
        let (a, b) =
            (block(vault.seal("here", b"x")).unwrap(), block(vault.seal("here", b"x")).unwrap());
        assert_ne!(a.sealed, b.sealed);
        assert_ne!(a.wrapped_data_key, b.wrapped_data_key);
    }

    #[test]
    fn another_master_key_is_named_in_the_error() {
        let ((_f1, one), (_f2, two)) = (vault(), vault());
        let sealed = block(one.seal("here", b"x")).unwrap();
        let error = block(two.open("here", &sealed)).unwrap_err();
        assert!(error.to_string().contains(&sealed.master_key_id), "{error}");
    }
}
