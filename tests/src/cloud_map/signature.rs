//! Checks AWS Signature Version 4 on a request, as the service would (but for the age of its date).
use aws_lc_rs::{
    constant_time, digest,
    hmac::{HMAC_SHA256, Key, sign},
};
use axum::http::HeaderMap;

use super::{ACCESS_KEY_ID, ApiError, REGION, SECRET_ACCESS_KEY};

const SERVICE: &str = "servicediscovery";

/// Refuses a request that is not signed by the world's credentials.
pub(super) fn check(headers: &HeaderMap, body: &[u8]) -> Result<(), ApiError> {
    let Some(authorization) = text(headers, "authorization") else {
        return Err(ApiError::new("MissingAuthenticationToken", "the request is not signed"));
    };
    let incomplete =
        || ApiError::new("IncompleteSignature", "the Authorization header is not a SigV4 one");
    let parts = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(incomplete)?;
    let part = |name: &str| {
        parts
            .split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            .ok_or_else(incomplete)
    };
    let (credential, signed, signature) =
        (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let date = text(headers, "x-amz-date").ok_or_else(incomplete)?;
    let day = date.get(..8).ok_or_else(incomplete)?;
    let scope = format!("{day}/{REGION}/{SERVICE}/aws4_request");
    if credential != format!("{ACCESS_KEY_ID}/{scope}") {
        let message = format!("the credential should be scoped to {scope}");
        return Err(ApiError::new("UnrecognizedClientException", message));
    }

    let mut canonical = String::from("POST\n/\n\n");
    for name in signed.split(';') {
        let value = text(headers, name).ok_or_else(incomplete)?;
        canonical.push_str(&format!("{name}:{}\n", value.trim()));
    }
    canonical
        .push_str(&format!("\n{signed}\n{}", hex(digest::digest(&digest::SHA256, body).as_ref())));
    let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");

    let secret = format!("AWS4{SECRET_ACCESS_KEY}").into_bytes();
    let key =
        [day, REGION, SERVICE, "aws4_request"].iter().fold(secret, |key, part| mac(&key, part));
    let expected = hex(&mac(&key, &to_sign));
    constant_time::verify_slices_are_equal(expected.as_bytes(), signature.as_bytes())
        .map_err(|_| ApiError::new("SignatureDoesNotMatch", "the signature is not the request's"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn mac(key: &[u8], data: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), data.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
