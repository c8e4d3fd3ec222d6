//! Signature Version 4 as AWS documents it: what the tests' STS computes over the request that reached it.
use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac::{HMAC_SHA256, Key, sign},
};

use super::stand_in::Received;

/// What a signing key is good for.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) day: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// The canonical request over these headers, or nothing when one of them is missing.
pub(crate) fn canonical(request: &Received, signed_headers: &str) -> Option<String> {
    let mut text = format!("{}\n{}\n{}\n", request.method, request.path, request.query);
    for name in signed_headers.split(';') {
        let values: Vec<String> = request.headers_named(name).map(|value| folded(value)).collect();
        if values.is_empty() {
            return None;
        }
        text.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    Some(format!("{text}\n{signed_headers}\n{}", sha256(request.body.as_bytes())))
}

/// The signature, hex, of a canonical request.
pub(crate) fn signature(secret: &str, scope: Scope<'_>, amz_date: &str, canonical: &str) -> String {
    let Scope { day, region, service } = scope;
    let hash = sha256(canonical.as_bytes());
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{amz_date}\n{day}/{region}/{service}/aws4_request\n{hash}");
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [day, region, service, "aws4_request", &to_sign] {
        key = sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    hex(&key)
}

/// SHA-256, hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn folded(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const DATE: &str = "20150830T123600Z";

    /// "Elements of an AWS API request signature", IAM User Guide: `ListUsers`.
    #[test]
    fn the_example_of_the_iam_user_guide_is_signed_as_there() {
        let request = Received::new(
            "GET",
            "/",
            "Action=ListUsers&Version=2010-05-08",
            &[
                ("host", "iam.amazonaws.com"),
                ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("x-amz-date", DATE),
            ],
            "",
        );
        let canonical = canonical(&request, "content-type;host;x-amz-date").unwrap();
        assert_eq!(
            sha256(canonical.as_bytes()),
            "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
        );
        let scope = Scope { day: "20150830", region: "us-east-1", service: "iam" };
        assert_eq!(
            signature(SECRET, scope, DATE, &canonical),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    /// `post-sts-header-before` of AWS's signing test suite, as in the crate `aws-sigv4` 1.6.4.
    #[test]
    fn a_session_token_is_signed_as_in_the_test_suite_of_aws() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let request = Received::new(
            "POST",
            "/",
            "",
            &[
                ("host", "example.amazonaws.com"),
                ("x-amz-security-token", token),
                ("x-amz-date", DATE),
            ],
            "",
        );
        let canonical = canonical(&request, "host;x-amz-date;x-amz-security-token").unwrap();
        assert_eq!(
            sha256(canonical.as_bytes()),
            "c237e1b440d4c63c32ca95b5b99481081cb7b13c7e40434868e71567c1a882f6"
        );
        let scope = Scope { day: "20150830", region: "us-east-1", service: "service" };
        assert_eq!(
            signature(SECRET, scope, DATE, &canonical),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        );
    }
}
