//! The one way from a token to its claims.
use std::time::Duration;

use time::OffsetDateTime;

use super::{Algorithm, Claims, Issuer, KeySets, OidcError, token::Token};

/// How far an issuer's clock may be from ours.
pub const LEEWAY: Duration = Duration::from_secs(60);

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
