//! Ties a proof of AWS identity to one nonce, one key, one control plane and one tenant.
use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// Says what the parts after it are for, so that no other digest can pass as this one.
const LABEL: &str = "ekiden/sts-challenge/1";

/// Computes what `x-ekiden-challenge` must carry; relay and control plane each do, and only the signature crosses.
///
/// SHA-256 over five parts, in this order, each as its length in bytes (8 bytes, big-endian) and then its bytes:
///
/// 1. the label, the 22 ASCII bytes `ekiden/sts-challenge/1`
/// 2. the nonce, as bytes, as the control plane gave it
/// 3. the DER SubjectPublicKeyInfo of the key in the certificate request, as it stands there
/// 4. the audience, UTF-8, exactly as in `x-ekiden-audience`
/// 5. the tenant's resource name, UTF-8
///
/// The digest is written in the URL-safe alphabet of base64 (RFC 4648, section 5) without padding: 43 characters.
/// With the nonce `nonce-of-one-minute`, a key of the bytes 0 to 90, the audience `https://ekiden.example:8443` and
/// the tenant `tenants/acme` it is `ResgbIXDR1YWcfWTXbSJUixL4L6T5yhYLjxtbCfGNSk`.
pub fn challenge(nonce: &[u8], spki_der: &[u8], audience: &str, tenant: &str) -> String {
    let mut digest = Context::new(&SHA256);
    for part in [LABEL.as_bytes(), nonce, spki_der, audience.as_bytes(), tenant.as_bytes()] {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    BASE64_URL_SAFE_NO_PAD.encode(digest.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_challenge_is_the_one_that_another_program_computed() {
        let key: Vec<u8> = (0..91).collect();
        let nonce = b"nonce-of-one-minute";
        assert_eq!(
            challenge(nonce, &key, "https://ekiden.example:8443", "tenants/acme"),
            "ResgbIXDR1YWcfWTXbSJUixL4L6T5yhYLjxtbCfGNSk"
        );
    }

    proptest! {
        #[test]
        fn parts_that_run_together_alike_give_other_challenges(
            nonce in "[a-c]{0,4}", key in "[a-c]{0,4}", audience in "[a-c]{0,4}", tenant in "[a-c]{0,4}",
            other in ("[a-c]{0,4}", "[a-c]{0,4}", "[a-c]{0,4}", "[a-c]{0,4}"),
        ) {
            let same = other == (nonce.clone(), key.clone(), audience.clone(), tenant.clone());
            let one = challenge(nonce.as_bytes(), key.as_bytes(), &audience, &tenant);
            let two = challenge(other.0.as_bytes(), other.1.as_bytes(), &other.2, &other.3);
            prop_assert_eq!(one.len(), 43);
            prop_assert_eq!(one == two, same);
            if !nonce.is_empty() {
                let (begin, end) = nonce.split_at(nonce.len() - 1);
                let moved = challenge(begin.as_bytes(), format!("{end}{key}").as_bytes(), &audience, &tenant);
                prop_assert_ne!(&one, &moved);
            }
        }
    }
}
