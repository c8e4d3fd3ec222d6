//! Tokens in their compact form (RFC 7515, section 7.1), read and not yet believed.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    Algorithm, OidcError,
    object::{self, NotAnObject},
};

/// Longest token, bytes.
const LONGEST: usize = 16 << 10;
/// Longest key id, bytes.
pub(super) const LONGEST_KID: usize = 256;

/// A token whose form is right.
pub(super) struct Token<'a> {
    /// What the signature is of.
    pub(super) signed: &'a str,
    /// The signature, base64url.
    pub(super) signature: &'a str,
    /// How it says it is signed.
    pub(super) algorithm: Algorithm,
    /// The key that it says it is signed with.
    pub(super) kid: String,
    /// What it says.
    pub(super) claims: Map<String, Value>,
}

impl<'a> Token<'a> {
    /// Reads a token; its claims are those of anybody until the signature is verified.
    pub(super) fn read(token: &'a str) -> Result<Self, OidcError> {
        if token.len() > LONGEST {
            return Err(OidcError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(OidcError::NotThreeParts)?;
        let (header, payload) = signed.split_once('.').ok_or(OidcError::NotThreeParts)?;
        if payload.contains('.') {
            return Err(OidcError::NotThreeParts);
        }
        let (header, payload) = (decode(header)?, decode(payload)?);
        decode(signature)?;
        let header = object::read(&header).map_err(|error| match error {
            NotAnObject::Unreadable => OidcError::HeaderNotJson,
            NotAnObject::Twice => OidcError::HeaderMemberTwice,
        })?;
        let (algorithm, kid) = read_header(&header)?;
        let claims = object::read(&payload).map_err(|error| match error {
            NotAnObject::Unreadable => OidcError::ClaimsNotJson,
            NotAnObject::Twice => OidcError::ClaimTwice,
        })?;
        Ok(Self { signed, signature, algorithm, kid, claims })
    }
}

/// Reads a text of 1 to `longest` bytes that can be stored and logged.
pub(super) fn text(value: &Value, longest: usize) -> Option<&str> {
    value
        .as_str()
        .filter(|text| (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control))
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, String), OidcError> {
    if header.get("typ").is_some_and(|typ| !matches!(typ.as_str(), Some("JWT" | "at+jwt"))) {
        return Err(OidcError::TypeRefused);
    }
    let algorithm = header
        .get("alg")
        .and_then(Value::as_str)
        .and_then(Algorithm::named)
        .ok_or(OidcError::AlgorithmRefused)?;
    if header.contains_key("crit") {
        return Err(OidcError::CriticalRefused);
    }
    // Ignoring them would do; but who sends them tries something, or relies on what does not count here.
    if ["jku", "jwk", "x5u", "x5c"].iter().any(|name| header.contains_key(*name)) {
        return Err(OidcError::KeyInHeader);
    }
    let kid = header.get("kid").ok_or(OidcError::KeyIdMissing)?;
    let kid = text(kid, LONGEST_KID).ok_or(OidcError::KeyIdWrong)?;
    Ok((algorithm, kid.to_owned()))
}

fn decode(part: &str) -> Result<Vec<u8>, OidcError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| OidcError::NotBase64)
}
