//! What a token says, held against what its verifier expects.
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{Expected, OidcError, token::text};

/// Longest subject, bytes.
const LONGEST_SUBJECT: usize = 1024;
/// Longest id of a token, bytes.
const LONGEST_ID: usize = 256;

/// What a verified token says.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Whom it is about, 1 to 1,024 bytes; unique only together with its issuer.
    pub sub: String,
    /// Its id, 1 to 256 bytes, where it has one; whoever wants each token once keeps it until `exp` and the leeway.
    pub jti: Option<String>,
    /// When it was issued.
    pub iat: OffsetDateTime,
    /// When it ends.
    pub exp: OffsetDateTime,
    /// Every claim, these too.
    pub payload: Map<String, Value>,
}

impl Claims {
    /// Checks everything but the signature.
    pub(super) fn check(
        payload: Map<String, Value>,
        expected: &Expected<'_>,
    ) -> Result<Self, OidcError> {
        if payload.get("iss").and_then(Value::as_str) != Some(expected.issuer.url()) {
            return Err(OidcError::IssuerUnexpected);
        }
        check_audience(&payload, expected.audience)?;
        let exp = moment(&payload, "exp")?.ok_or(OidcError::ClaimMissing { claim: "exp" })?;
        let iat = moment(&payload, "iat")?.ok_or(OidcError::ClaimMissing { claim: "iat" })?;
        check_times(exp, iat, moment(&payload, "nbf")?, expected)?;
        let sub = short_text(&payload, "sub", LONGEST_SUBJECT, "a text of 1 to 1,024 bytes")?
            .ok_or(OidcError::ClaimMissing { claim: "sub" })?;
        let jti = short_text(&payload, "jti", LONGEST_ID, "a text of 1 to 256 bytes")?;
        if jti.is_none() && expected.needs_jti {
            return Err(OidcError::ClaimMissing { claim: "jti" });
        }
        Ok(Self { sub, jti, iat, exp, payload })
    }
}

/// A token for several is also a token that each of the others can send on to us: only ours alone counts.
fn check_audience(payload: &Map<String, Value>, ours: &str) -> Result<(), OidcError> {
    let audience = match payload.get("aud").ok_or(OidcError::ClaimMissing { claim: "aud" })? {
        Value::Array(list) => match list.as_slice() {
            [one] => one,
            _ => return Err(OidcError::AudienceSeveral),
        },
        one => one,
    };
    if audience.as_str() != Some(ours) {
        return Err(OidcError::AudienceUnexpected);
    }
    Ok(())
}

fn check_times(
    exp: OffsetDateTime,
    iat: OffsetDateTime,
    nbf: Option<OffsetDateTime>,
    expected: &Expected<'_>,
) -> Result<(), OidcError> {
    let (earliest, latest) = (expected.now - expected.leeway, expected.now + expected.leeway);
    if exp <= earliest {
        return Err(OidcError::Expired);
    }
    if iat > latest {
        return Err(OidcError::IssuedAhead);
    }
    if nbf.is_some_and(|nbf| nbf > latest) {
        return Err(OidcError::NotYetValid);
    }
    if exp <= iat {
        return Err(OidcError::ClaimWrong { claim: "exp", wanted: "after its iat" });
    }
    if exp - iat > expected.longest_life {
        return Err(OidcError::LivesTooLong);
    }
    Ok(())
}

/// Reads a whole number of seconds since 1970; fractions and texts are refused though RFC 7519 allows fractions.
fn moment(
    payload: &Map<String, Value>,
    claim: &'static str,
) -> Result<Option<OffsetDateTime>, OidcError> {
    let Some(value) = payload.get(claim) else { return Ok(None) };
    value
        .as_u64()
        .and_then(|seconds| i64::try_from(seconds).ok())
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .map(Some)
        .ok_or(OidcError::ClaimWrong { claim, wanted: "a whole number of seconds since 1970" })
}

fn short_text(
    payload: &Map<String, Value>,
    claim: &'static str,
    longest: usize,
    wanted: &'static str,
) -> Result<Option<String>, OidcError> {
    let Some(value) = payload.get(claim) else { return Ok(None) };
    let text = text(value, longest).ok_or(OidcError::ClaimWrong { claim, wanted })?;
    Ok(Some(text.to_owned()))
}
