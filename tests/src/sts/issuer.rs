//! The issuer of an account's web identity tokens: signs with ES384, publishes its key.
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use axum::http::StatusCode;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{Answer, ISSUER};
use crate::task_role::{ACCOUNT, ROLE_ARN};

/// Id of the one key.
const KID: &str = "EC384_0";
/// Bytes of a coordinate.
const COORDINATE: usize = 48;

#[derive(Debug)]
pub(super) struct Issuer {
    key: EcdsaKeyPair,
}

impl Issuer {
    /// Makes one with a fresh key.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { key: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)? })
    }

    /// What is published under a path.
    pub(super) fn document(&self, path: &str) -> Answer {
        match path {
            "/.well-known/openid-configuration" => Ok(json!({
                "issuer": ISSUER,
                "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
                "id_token_signing_alg_values_supported": ["RS256", "ES384"],
            })),
            "/.well-known/jwks.json" => {
                // SEC 1, section 2.3.3: 4, then the coordinates.
                let point = self.key.public_key().as_ref();
                let coordinates = point.get(1..).unwrap_or_default().chunks(COORDINATE);
                let mut coordinates = coordinates.map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
                let (x, y) = (coordinates.next(), coordinates.next());
                Ok(json!({ "keys": [
                    { "kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": KID, "x": x, "y": y },
                ] }))
            }
            _ => Err((StatusCode::NOT_FOUND, "NotFound")),
        }
    }

    /// A token about the tasks' role, with the claims of IAM User Guide, "Understanding token claims".
    pub(super) fn token(
        &self,
        audience: &str,
        tags: Map<String, Value>,
        now: i64,
        seconds: i64,
    ) -> anyhow::Result<String> {
        let header = json!({ "alg": "ES384", "kid": KID, "typ": "JWT" });
        let claims = json!({
            "iss": ISSUER,
            "aud": audience,
            "sub": ROLE_ARN,
            "iat": now,
            "exp": now + seconds,
            "jti": format!("{:032x}", rand::random::<u128>()),
            "https://sts.amazonaws.com/": { "aws_account": ACCOUNT, "request_tags": tags },
        });
        let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
        let (header, claims) = (header.to_string(), claims.to_string());
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", encode(signature.as_ref())))
    }
}
