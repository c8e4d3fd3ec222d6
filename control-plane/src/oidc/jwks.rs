//! Key sets (RFC 7517): of what an issuer publishes, the keys that count.
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::{Algorithm, OidcError, token::LONGEST_KID};

/// Most keys of a set.
const MOST: usize = 32;
/// Bits that an RSA modulus may have.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Keys of an issuer.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    kid: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a published set; keys that do not count are skipped, since issuers publish others for other uses.
    pub(super) fn read(document: &[u8]) -> Result<Self, OidcError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document =
            serde_json::from_slice(document).map_err(|_| OidcError::KeySetUnreadable)?;
        let keys: Vec<Key> = document.keys.into_iter().filter_map(Key::read).collect();
        match keys.len() {
            0 => Err(OidcError::KeySetEmpty),
            1..=MOST => Ok(Self(keys)),
            _ => Err(OidcError::KeySetTooLarge),
        }
    }

    /// The key of an id for a way of signing.
    pub(super) fn key(&self, kid: &str, algorithm: Algorithm) -> Result<DecodingKey, OidcError> {
        let mut named = self.0.iter().filter(|key| key.kid == kid).peekable();
        named.peek().ok_or(OidcError::KeyUnknown)?;
        let key = named.find(|key| key.algorithm == algorithm);
        key.map(|key| key.key.clone()).ok_or(OidcError::KeyOfOtherAlgorithm)
    }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let algorithm = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", None) => Algorithm::Rs256,
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("EC", Some("P-384")) => Algorithm::Es384,
            _ => return None,
        };
        let counts = (1..=LONGEST_KID).contains(&jwk.kid.len())
            && jwk.alg.as_deref().is_none_or(|alg| alg == algorithm.name())
            && jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        if !counts {
            return None;
        }
        let key = match algorithm {
            Algorithm::Rs256 => rsa(&jwk.n?, &jwk.e?),
            Algorithm::Es256 => point(&ECDSA_P256_SHA256_FIXED, 32, &jwk.x?, &jwk.y?),
            Algorithm::Es384 => point(&ECDSA_P384_SHA384_FIXED, 48, &jwk.x?, &jwk.y?),
        }?;
        Some(Self { kid: jwk.kid, algorithm, key })
    }
}

fn rsa(modulus: &str, exponent: &str) -> Option<DecodingKey> {
    let (n, e) = (number(modulus)?, number(exponent)?);
    let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
    // With an exponent of 1 anybody can sign; of longer ones than four bytes nobody has need.
    let signs = e.len() <= 4 && e != [1] && e.last()? % 2 == 1;
    if !RSA_BITS.contains(&bits) || !signs {
        return None;
    }
    Some(DecodingKey::from_rsa_raw_components(&n, &e))
}

fn point(
    curve: &'static dyn VerificationAlgorithm,
    length: usize,
    x: &str,
    y: &str,
) -> Option<DecodingKey> {
    let (x, y) = (URL_SAFE_NO_PAD.decode(x).ok()?, URL_SAFE_NO_PAD.decode(y).ok()?);
    if x.len() != length || y.len() != length {
        return None;
    }
    // SEC 1, section 2.3.3: uncompressed.
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(curve, &point).ok()?;
    Some(DecodingKey::from_ec_der(&point))
}

/// Reads a number, most significant byte first; some issuers put a zero before it.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}
