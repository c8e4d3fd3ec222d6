//! AES-256-GCM, bound to a place.
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use super::VaultError;

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
