//! Checks AWS Signature Version 4 on a request, as AWS's services would (but for the age of its date).
use aws_lc_rs::{
    constant_time, digest,
    hmac::{HMAC_SHA256, Key, sign},
};
use axum::http::{HeaderMap, request::Parts};

/// A role's temporary credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Id of the access key, `ASIA…`.
    pub access_key_id: &'static str,
    /// The key.
    pub secret: &'static str,
    /// What says that the two are a session's.
    pub session_token: &'static str,
}

/// Whom a signature is for.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// As in the credential's scope, e.g. `sts`.
    pub name: &'static str,
    /// As in the credential's scope.
    pub region: &'static str,
}

/// Why a request is not taken; each is an error of AWS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not signed.
    Missing,
    /// The `Authorization` header is no signature, or a header that it covers or must cover is not what it should be.
    Incomplete,
    /// It is signed for another service, region or day.
    OtherScope,
    /// Key or session token is not the one that AWS gave out.
    UnknownKey,
    /// The signature is of another request, or by another key.
    Mismatch,
}

/// Refuses a request that is not signed for this service by these credentials.
pub fn check(
    head: &Parts,
    body: &[u8],
    service: Service,
    credentials: &Credentials,
) -> Result<(), Refusal> {
    let headers = &head.headers;
    let Some(authorization) = only(headers, "authorization") else { return Err(Refusal::Missing) };
    let parts = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or(Refusal::Incomplete)?;
    let part = |name: &str| {
        parts
            .split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            .ok_or(Refusal::Incomplete)
    };
    let (credential, signed, signature) =
        (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let date = only(headers, "x-amz-date").ok_or(Refusal::Incomplete)?;
    let day = date.get(..8).ok_or(Refusal::Incomplete)?;
    let scope = format!("{day}/{}/{}/aws4_request", service.region, service.name);
    let (key_id, their_scope) = credential.split_once('/').ok_or(Refusal::Incomplete)?;
    if their_scope != scope {
        return Err(Refusal::OtherScope);
    }
    if key_id != credentials.access_key_id
        || only(headers, "x-amz-security-token") != Some(credentials.session_token)
    {
        return Err(Refusal::UnknownKey);
    }
    let canonical = canonical(head, body, signed).ok_or(Refusal::Incomplete)?;
    let hashed = sha256(canonical.as_bytes());
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
    let secret = format!("AWS4{}", credentials.secret).into_bytes();
    let parts = [day, service.region, service.name, "aws4_request", &to_sign];
    let expected = parts.iter().fold(secret, |key, part| mac(&key, part));
    constant_time::verify_slices_are_equal(hex(&expected).as_bytes(), signature.as_bytes())
        .map_err(|_| Refusal::Mismatch)
}

/// The canonical request; nothing where a header is left out that must be signed.
fn canonical(head: &Parts, body: &[u8], signed: &str) -> Option<String> {
    let names: Vec<&str> = signed.split(';').collect();
    let must = head.headers.keys().map(|name| name.as_str());
    let mut must = must.filter(|name| *name == "host" || name.starts_with("x-amz-"));
    if !names.is_sorted() || !names.contains(&"host") || !must.all(|name| names.contains(&name)) {
        return None;
    }
    let query = head.uri.query().unwrap_or_default();
    let mut canonical = format!("{}\n{}\n{query}\n", head.method, head.uri.path());
    for name in names {
        let value = only(&head.headers, name)?;
        let folded: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
        canonical.push_str(&format!("{name}:{}\n", folded.join(" ")));
    }
    Some(format!("{canonical}\n{signed}\n{}", sha256(body)))
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], data: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), data.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
