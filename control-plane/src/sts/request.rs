//! The request that a relay signed, composed anew: the relay's parts fill values, and nothing else of it is the relay's.
use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Method, Request, Url};

use super::{error::StsError, proof::Proof};

/// The whole body.
pub(super) const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
/// Content type of the body, as signed.
pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// What the signature covers beside method, path, query and body; a signature over fewer headers is another signature.
pub(super) const SIGNED_HEADERS: &str =
    "content-type;host;x-amz-date;x-amz-security-token;x-ekiden-audience;x-ekiden-challenge";

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const EKIDEN_AUDIENCE: HeaderName = HeaderName::from_static("x-ekiden-audience");
const EKIDEN_CHALLENGE: HeaderName = HeaderName::from_static("x-ekiden-challenge");

/// Composes `POST https://sts.<region>.<domain>/` with this challenge and audience, under the relay's signature.
pub(super) fn rebuild(proof: &Proof, challenge: &str, audience: &str) -> Result<Request, StsError> {
    let region = proof.region();
    let host = region.sts_host();
    let url = Url::parse(&format!("https://{host}/"))
        .map_err(|_| StsError::Unsendable { part: "STS's address" })?;
    let day = proof.amz_date().split('T').next().unwrap_or_default();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{day}/{}/sts/aws4_request, SignedHeaders={SIGNED_HEADERS}, Signature={}",
        proof.access_key_id(),
        region.name(),
        proof.signature()
    );
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(header::HOST, value("host", &host)?);
    headers.insert(AMZ_DATE, value("date", proof.amz_date())?);
    headers.insert(AMZ_SECURITY_TOKEN, secret("session token", proof.session_token())?);
    headers.insert(EKIDEN_AUDIENCE, value("audience", audience)?);
    headers.insert(EKIDEN_CHALLENGE, value("challenge", challenge)?);
    headers.insert(header::AUTHORIZATION, secret("authorization", &authorization)?);
    let mut request = Request::new(Method::POST, url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(BODY.into());
    Ok(request)
}

/// Signatures trim and fold spaces, so a value with one would be signed as another.
fn value(part: &'static str, text: &str) -> Result<HeaderValue, StsError> {
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_graphic()) {
        return Err(StsError::Unsendable { part });
    }
    HeaderValue::from_str(text).map_err(|_| StsError::Unsendable { part })
}

/// A value that no debug text shows.
fn secret(part: &'static str, text: &str) -> Result<HeaderValue, StsError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| StsError::Unsendable { part })?;
    value.set_sensitive(true);
    Ok(value)
}
