//! Where an access key goes.
use http::{HeaderName, header};

use super::shortened;

const MAX_NAME: usize = 128;
const MAX_PREFIX: usize = 256;

/// Headers that gRPC, HTTP or the relay itself writes.
const RESERVED: [HeaderName; 16] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Reads the name of a header that may carry an access key.
pub fn key_header(text: &str) -> Result<HeaderName, String> {
    // Source: Header-Name in https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
    let of_grpc = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
    };
    let good = text.len() <= MAX_NAME && text.bytes().all(of_grpc);
    let header = HeaderName::from_lowercase(text.as_bytes()).ok().filter(|_| good);
    let Some(header) = header else {
        return Err(format!(
            "{:?} is no header's name: 1 to {MAX_NAME} characters a-z, 0-9, -, _ and .",
            shortened(text)
        ));
    };
    if RESERVED.contains(&header) || header.as_str().starts_with("grpc-") {
        return Err(format!(
            "{header} belongs to gRPC, HTTP or the relay; name the vendor's own header"
        ));
    }
    if header.as_str().ends_with("-bin") {
        return Err(format!("{header} is binary to gRPC; a key is text"));
    }
    Ok(header)
}

/// Checks what stands before an access key in its header.
pub fn key_prefix(text: &str) -> Result<(), String> {
    match text.len() <= MAX_PREFIX && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        true => Ok(()),
        false => {
            Err(format!("at most {MAX_PREFIX} printable ASCII characters can stand before a key"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_header_is_the_vendors_own() {
        for good in ["api-key", "authorization", "x-honeycomb-team", "signoz-access-token", "a.b_c"]
        {
            assert!(key_header(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Api-Key",
            "api key",
            "api!key",
            ":authority",
            "content-type",
            "te",
            "grpc-timeout",
            "grpc-x",
            "host",
            "connection",
            "keep-alive",
            "transfer-encoding",
            "key-bin",
            "traceparent",
            "user-agent",
            "ä",
            &"a".repeat(129),
        ] {
            assert!(key_header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_is_text_that_fits_in_a_header() {
        assert!(key_prefix("").is_ok() && key_prefix("Bearer ").is_ok());
        for bad in ["Bearer\r\n", "ä", "\u{7f}", &"x".repeat(257)] {
            assert!(key_prefix(bad).is_err(), "{bad:?}");
        }
    }
}
