//! The one way from a token to its claims.
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;

use super::{Algorithm, Claims, Issuer, KeySets, OidcError, token::Token};

/// How far an issuer's clock may be from ours.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// Where AWS runs the issuers of accounts (IAM User Guide, "Outbound identity federation").
const AWS_ISSUERS: &str = ".tokens.sts.global.api.aws";

/// What a token must be to count.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who must have issued it.
    pub issuer: &'a Issuer,
    /// Whom alone it must be meant for.
    pub audience: &'a str,
    /// How it may be signed.
    pub algorithms: &'a [Algorithm],
    /// The time now.
    pub now: OffsetDateTime,
    /// How far clocks may differ, usually [`LEEWAY`].
    pub leeway: Duration,
    /// How long it may live from `iat` to `exp`.
    pub longest_life: Duration,
    /// It must have an id.
    pub needs_jti: bool,
}

/// What a token says that nobody has vouched for: only to decide whether its issuer is worth asking.
///
/// # Errors
/// [`OidcError`], as [`verify`] but for the signature.
pub fn unproven(token: &str, expected: &Expected<'_>) -> Result<Claims, OidcError> {
    let token = Token::read(token)?;
    if !expected.algorithms.contains(&token.algorithm) {
        return Err(OidcError::AlgorithmRefused);
    }
    Claims::check(token.claims, expected)
}

/// The issuer that a token names, where it has the form of those that AWS runs for accounts:
/// `https://<id>.tokens.sts.global.api.aws`.
///
/// # Errors
/// [`OidcError::IssuerUnexpected`] for any other.
pub fn aws_issuer(token: &str) -> Result<String, OidcError> {
    let token = Token::read(token)?;
    let issuer = token.claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    let id = issuer.strip_prefix("https://").and_then(|host| host.strip_suffix(AWS_ISSUERS));
    let is_label = |id: &str| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (8..=63).contains(&id.len()) && id.bytes().all(allowed) && !id.starts_with('-')
    };
    id.filter(|id| is_label(id)).map(|_| issuer.to_owned()).ok_or(OidcError::IssuerUnexpected)
}

/// Verifies a token.
///
/// The signature comes last: who sends what would be refused anyway makes nobody fetch keys. Whether the token came
/// before is for the caller to know, by [`Claims::jti`].
///
/// # Errors
/// [`OidcError`], by the first cause that is found.
pub async fn verify(
    sets: &KeySets,
    token: &str,
    expected: &Expected<'_>,
) -> Result<Claims, OidcError> {
    let token = Token::read(token)?;
    if !expected.algorithms.contains(&token.algorithm) {
        return Err(OidcError::AlgorithmRefused);
    }
    let claims = Claims::check(token.claims, expected)?;
    let key = sets.key(expected.issuer, &token.kid, token.algorithm).await?;
    let algorithm = token.algorithm.into();
    jsonwebtoken::crypto::verify(token.signature, token.signed.as_bytes(), &key, algorithm)
        .is_ok_and(|right| right)
        .then_some(claims)
        .ok_or(OidcError::SignatureWrong)
}
