//! Reads what a collector's answer says: accepted, or a gRPC status, whatever form it came in.
//!
//! The answer is a stranger's: nothing in it may stop the relay, and the access key, should the collector repeat it,
//! is not passed on.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tonic::Code;

use super::error::Said;

/// gRPC senders may pad or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a collector answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Refused(Said),
}

/// Reads the status from headers or trailers; nothing where they hold none.
pub(super) fn of_headers(headers: &HeaderMap) -> Option<Verdict> {
    let code = Code::from_bytes(headers.get("grpc-status")?.as_bytes());
    if code == Code::Ok {
        return Some(Verdict::Accepted);
    }
    let message = headers
        .get("grpc-message")
        .map(|value| percent_decoded(value.as_bytes()))
        .unwrap_or_default();
    let details = headers
        .get("grpc-status-details-bin")
        .and_then(|value| BASE64.decode(value.as_bytes()).ok())
        .unwrap_or_default();
    Some(Verdict::Refused(Said {
        code,
        message: String::from_utf8_lossy(&message).into_owned(),
        details: Bytes::from(details),
    }))
}

/// Translates an HTTP status that came without a gRPC one, as load balancers answer; nothing for success.
///
/// Source: gRPC's HTTP to gRPC status code mapping.
pub(super) fn of_http(status: StatusCode) -> Option<Said> {
    let code = match status.as_u16() {
        200 => return None,
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let message =
        format!("the collector answered HTTP status {} without a gRPC status", status.as_u16());
    Some(Said { code, message, details: Bytes::new() })
}

/// Replaces every occurrence of a secret by as many asterisks, so that lengths inside an encoded message still hold.
pub(super) fn masked(text: Bytes, secret: &[u8]) -> Bytes {
    if secret.is_empty() || find(&text, secret).is_none() {
        return text;
    }
    let mut masked = Vec::from(text);
    while let Some(at) = find(&masked, secret) {
        masked.iter_mut().skip(at).take(secret.len()).for_each(|byte| *byte = b'*');
        if secret.iter().all(|byte| *byte == b'*') {
            break;
        }
    }
    Bytes::from(masked)
}

impl Said {
    /// Takes a secret out of the message and the details.
    pub(super) fn without(self, secret: &[u8]) -> Self {
        let message = masked(Bytes::from(self.message), secret);
        Self {
            code: self.code,
            message: String::from_utf8_lossy(&message).into_owned(),
            details: masked(self.details, secret),
        }
    }
}

fn find(text: &[u8], secret: &[u8]) -> Option<usize> {
    text.windows(secret.len()).position(|window| window == secret)
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        if escaped.is_some() {
            rest = after.get(2..).unwrap_or_default();
        }
        decoded.push(escaped.unwrap_or(byte));
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_status_is_read_whole() {
        let read = of_headers(&headers(&[
            ("grpc-status", "14"),
            ("grpc-message", "caf%C3%A9 100%"),
            ("grpc-status-details-bin", "AQI"),
        ]));
        let said = Said {
            code: Code::Unavailable,
            message: "café 100%".to_owned(),
            details: Bytes::from_static(&[1, 2]),
        };
        assert_eq!(read, Some(Verdict::Refused(said)));
        assert_eq!(of_headers(&headers(&[("grpc-status", "0")])), Some(Verdict::Accepted));
        assert_eq!(of_headers(&HeaderMap::new()), None);
    }

    #[test]
    fn nonsense_details_are_dropped() {
        let read =
            of_headers(&headers(&[("grpc-status", "99"), ("grpc-status-details-bin", "%%%")]));
        let said = Said { code: Code::Unknown, message: String::new(), details: Bytes::new() };
        assert_eq!(read, Some(Verdict::Refused(said)));
    }

    #[test]
    fn what_load_balancers_say_is_understood() {
        let code =
            |status: u16| of_http(StatusCode::from_u16(status).unwrap()).map(|said| said.code);
        assert_eq!(code(200), None);
        assert_eq!(code(503), Some(Code::Unavailable));
        assert_eq!(code(401), Some(Code::Unauthenticated));
        assert_eq!(code(302), Some(Code::Unknown));
    }

    #[test]
    fn a_repeated_key_is_masked_and_lengths_stay() {
        let said = Said {
            code: Code::Internal,
            message: "key s3cret, yes s3cret".to_owned(),
            details: Bytes::from_static(b"\x06s3cret"),
        };
        let without = said.without(b"s3cret");
        assert_eq!(without.message, "key ******, yes ******");
        assert_eq!(&without.details[..], b"\x06******");
        assert_eq!(masked(Bytes::from_static(b"***"), b"**"), "***");
        assert_eq!(masked(Bytes::from_static(b"ab"), b""), "ab");
    }
}
