//! Keys of a test's issuer, and tokens that can be bent before they are signed.
use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
        ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair,
        RSA_PKCS1_SHA256, RsaEncoding,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// When good tokens are issued, seconds since 1970; the time now, too.
pub(crate) const ISSUED: i64 = 1_800_000_000;
/// Whom good tokens are for.
pub(crate) const AUDIENCE: &str = "https://ekiden.example.com/tenants/acme";

/// Keys of the issuer, and of somebody else.
pub(crate) struct Keys {
    rsa: RsaKeyPair,
    other_rsa: RsaKeyPair,
    p256: Vec<u8>,
    other_p256: Vec<u8>,
    p384: Vec<u8>,
}

/// Makes keys once a process: RSA takes its time.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let pkcs8 = |algorithm| {
        EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap().as_ref().to_vec()
    };
    KEYS.get_or_init(|| Keys {
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        other_rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        p256: pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING),
        other_p256: pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING),
        p384: pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING),
    })
}

impl Keys {
    /// The published key set.
    pub(crate) fn set(&self) -> Value {
        json!({ "keys": [self.rsa_jwk(), self.es256_jwk(), self.es384_jwk()] })
    }

    pub(crate) fn rsa_jwk(&self) -> Value {
        let key = self.rsa.public_key();
        let (n, e) = (key.modulus(), key.exponent());
        json!({
            "kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig",
            "n": encode(n.big_endian_without_leading_zero()),
            "e": encode(e.big_endian_without_leading_zero()),
        })
    }

    pub(crate) fn es256_jwk(&self) -> Value {
        let (x, y) = point(&self.p256, &ECDSA_P256_SHA256_FIXED_SIGNING);
        json!({ "kty": "EC", "kid": "es256", "alg": "ES256", "use": "sig", "crv": "P-256", "x": x, "y": y })
    }

    pub(crate) fn es384_jwk(&self) -> Value {
        let (x, y) = point(&self.p384, &ECDSA_P384_SHA384_FIXED_SIGNING);
        json!({ "kty": "EC", "kid": "es384", "alg": "ES384", "use": "sig", "crv": "P-384", "x": x, "y": y })
    }

    pub(crate) fn rs256(&self, message: &[u8]) -> Vec<u8> {
        rsa(&self.rsa, &RSA_PKCS1_SHA256, message)
    }

    /// Signs with the right RSA key in another way.
    pub(crate) fn rsa_by(&self, way: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        rsa(&self.rsa, way, message)
    }

    pub(crate) fn other_rs256(&self, message: &[u8]) -> Vec<u8> {
        rsa(&self.other_rsa, &RSA_PKCS1_SHA256, message)
    }

    pub(crate) fn es256(&self, message: &[u8]) -> Vec<u8> {
        ecdsa(&self.p256, &ECDSA_P256_SHA256_FIXED_SIGNING, message)
    }

    pub(crate) fn other_es256(&self, message: &[u8]) -> Vec<u8> {
        ecdsa(&self.other_p256, &ECDSA_P256_SHA256_FIXED_SIGNING, message)
    }

    pub(crate) fn es256_der(&self, message: &[u8]) -> Vec<u8> {
        ecdsa(&self.p256, &ECDSA_P256_SHA256_ASN1_SIGNING, message)
    }

    pub(crate) fn es384(&self, message: &[u8]) -> Vec<u8> {
        ecdsa(&self.p384, &ECDSA_P384_SHA384_FIXED_SIGNING, message)
    }

    /// Signs with what everybody knows of the RSA key as the secret.
    pub(crate) fn hs256_with_public_key(&self, message: &[u8]) -> Vec<u8> {
        let public: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().unwrap();
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public.as_ref()), message).as_ref().to_vec()
    }
}

fn rsa(key: &RsaKeyPair, way: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(way, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

fn ecdsa(pkcs8: &[u8], way: &'static EcdsaSigningAlgorithm, message: &[u8]) -> Vec<u8> {
    let key = EcdsaKeyPair::from_pkcs8(way, pkcs8).unwrap();
    key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
}

fn point(pkcs8: &[u8], curve: &'static EcdsaSigningAlgorithm) -> (String, String) {
    let key = EcdsaKeyPair::from_pkcs8(curve, pkcs8).unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
    (encode(x), encode(y))
}

/// Base64url without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A good token before it is signed, to be bent.
pub(crate) struct Draft {
    /// The header's members.
    pub(crate) header: Value,
    /// The claims.
    pub(crate) claims: Value,
    /// The header's bytes instead of its members.
    pub(crate) header_bytes: Option<Vec<u8>>,
    /// The payload's bytes instead of the claims.
    pub(crate) claims_bytes: Option<Vec<u8>>,
    /// Signs header and payload.
    pub(crate) sign: fn(&Keys, &[u8]) -> Vec<u8>,
    /// Bends what is to be sent.
    pub(crate) send: fn(String) -> String,
}

impl Draft {
    /// A good token of an issuer.
    pub(crate) fn good(issuer: &str) -> Self {
        Self {
            header: json!({ "alg": "RS256", "typ": "JWT", "kid": "rsa" }),
            claims: json!({
                "iss": issuer,
                "aud": AUDIENCE,
                "sub": "arn:aws:iam::123456789012:role/relays/edge",
                "iat": ISSUED,
                "nbf": ISSUED,
                "exp": ISSUED + 300,
                "jti": "0b6bd2a0-6d7b-4b5e-8a53-0f4c2f0a7c11",
                "https://sts.amazonaws.com/": { "aws_account": "123456789012" },
            }),
            header_bytes: None,
            claims_bytes: None,
            sign: Keys::rs256,
            send: |token| token,
        }
    }

    /// The same for another algorithm, under the key of its name.
    pub(crate) fn signed_by(mut self, alg: &str, sign: fn(&Keys, &[u8]) -> Vec<u8>) -> Self {
        (self.header["alg"], self.header["kid"]) = (json!(alg), json!(alg.to_lowercase()));
        self.sign = sign;
        self
    }

    /// Says `iss` as the issuer with something replaced.
    pub(crate) fn reissue(&mut self, from: &str, to: &str) {
        let issuer = self.claims["iss"].as_str().unwrap().replacen(from, to, 1);
        self.claims["iss"] = json!(issuer);
    }

    /// Leaves a claim out.
    pub(crate) fn without(&mut self, claim: &str) {
        self.claims.as_object_mut().unwrap().remove(claim).unwrap();
    }

    /// The token as it is sent.
    pub(crate) fn token(&self) -> String {
        let bytes = |instead: &Option<Vec<u8>>, value: &Value| {
            encode(instead.clone().unwrap_or_else(|| value.to_string().into_bytes()))
        };
        let signed = format!(
            "{}.{}",
            bytes(&self.header_bytes, &self.header),
            bytes(&self.claims_bytes, &self.claims)
        );
        let signature = encode((self.sign)(keys(), signed.as_bytes()));
        (self.send)(format!("{signed}.{signature}"))
    }
}
