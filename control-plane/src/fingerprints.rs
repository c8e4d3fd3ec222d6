//! Fingerprints of access keys: tell two values apart without showing either.
use aws_lc_rs::hmac;

/// Key under which access keys are fingerprinted, so that a fingerprint cannot be tried offline.
#[derive(Clone)]
pub struct FingerprintKey {
    key: hmac::Key,
}

impl FingerprintKey {
    /// Fingerprints under this key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// HMAC-SHA-256 over `message`: tells messages apart that may hold a secret, without letting anyone try secrets offline.
    pub fn digest(&self, message: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.key, message).as_ref());
        digest
    }

    /// First 12 hex digits of HMAC-SHA256 over `secret`.
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        let tag = hmac::sign(&self.key, secret);
        tag.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_stable_and_differs_by_secret_and_by_key() {
        let (a, b) = (FingerprintKey::new(&[1; 32]), FingerprintKey::new(&[2; 32]));
        assert_eq!(a.fingerprint(b"one"), a.fingerprint(b"one"));
        assert_ne!(a.fingerprint(b"one"), a.fingerprint(b"two"));
        assert_ne!(a.fingerprint(b"one"), b.fingerprint(b"one"));
        let text = a.fingerprint(b"one");
        assert!(text.len() == 12 && text.bytes().all(|c| c.is_ascii_hexdigit()), "{text}");
    }
}
