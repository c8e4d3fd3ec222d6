//! Real signatures of other things, and parts that do not belong together: STS refuses what the control plane rebuilds.
use crate::sts::{
    challenge,
    signing::{AUDIENCE, NONCE, Sent, Signing, TENANT, spki},
    stand_in::{EXPIRED, GOOD, OTHER},
};

/// Name, what the attacker signs, what the attacker then changes of the proof, STS's code.
type Row = (&'static str, fn(&mut Signing), fn(&mut Sent), &'static str);

const MISMATCH: &str = "SignatureDoesNotMatch";
const UNKNOWN: &str = "InvalidClientTokenId";

fn as_signed(_: &mut Sent) {}
fn as_asked(_: &mut Signing) {}

fn challenged(signing: &mut Signing, challenge: String) {
    signing.set("x-ekiden-challenge", challenge);
}

pub(super) const SIGNATURES: &[Row] = &[
    (
        "the challenge of another nonce",
        |s| challenged(s, challenge(b"nonce-of-last-minute", &spki(), AUDIENCE, TENANT)),
        as_signed,
        MISMATCH,
    ),
    (
        "the challenge of another key",
        |s| challenged(s, challenge(NONCE, &[7; 91], AUDIENCE, TENANT)),
        as_signed,
        MISMATCH,
    ),
    (
        "the challenge of another audience",
        |s| challenged(s, challenge(NONCE, &spki(), "https://other.example", TENANT)),
        as_signed,
        MISMATCH,
    ),
    (
        "the challenge of another tenant",
        |s| challenged(s, challenge(NONCE, &spki(), AUDIENCE, "tenants/other")),
        as_signed,
        MISMATCH,
    ),
    ("the nonce alone", |s| challenged(s, "nonce-of-one-minute".into()), as_signed, MISMATCH),
    ("an empty challenge", |s| challenged(s, String::new()), as_signed, MISMATCH),
    ("no challenge", |s| s.unset("x-ekiden-challenge"), as_signed, MISMATCH),
    ("no audience", |s| s.unset("x-ekiden-audience"), as_signed, MISMATCH),
    (
        "neither challenge nor audience",
        |s| s.headers.retain(|(name, _)| !name.starts_with("x-ekiden-")),
        as_signed,
        MISMATCH,
    ),
    (
        "the audience of another",
        |s| s.set("x-ekiden-audience", "https://other.example"),
        as_signed,
        MISMATCH,
    ),
    (
        "the audience without its port",
        |s| s.set("x-ekiden-audience", "https://ekiden.example"),
        as_signed,
        MISMATCH,
    ),
    ("no session token", |s| s.unset("x-amz-security-token"), as_signed, MISMATCH),
    ("no date", |s| s.unset("x-amz-date"), as_signed, MISMATCH),
    ("no host", |s| s.unset("host"), as_signed, MISMATCH),
    ("no content type", |s| s.unset("content-type"), as_signed, MISMATCH),
    (
        "another content type",
        |s| s.set("content-type", "application/x-www-form-urlencoded"),
        as_signed,
        MISMATCH,
    ),
    ("one header more", |s| s.set("x-amz-target", "AWSSecurityTokenService"), as_signed, MISMATCH),
    ("the length as well", |s| s.set("content-length", "43"), as_signed, MISMATCH),
    ("what may be answered as well", |s| s.set("accept", "text/xml"), as_signed, MISMATCH),
    (
        "GetSessionToken",
        |s| s.body = "Action=GetSessionToken&Version=2011-06-15",
        as_signed,
        MISMATCH,
    ),
    (
        "AssumeRole",
        |s| s.body = "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/Admin&RoleSessionName=me&Version=2011-06-15",
        as_signed,
        MISMATCH,
    ),
    (
        "GetAccessKeyInfo of a key of another account",
        |s| s.body = "Action=GetAccessKeyInfo&AccessKeyId=ASIAEKIDENOTHERRELAY&Version=2011-06-15",
        as_signed,
        MISMATCH,
    ),
    (
        "an action twice",
        |s| s.body = "Action=GetCallerIdentity&Action=AssumeRole&Version=2011-06-15",
        as_signed,
        MISMATCH,
    ),
    (
        "an action in lower case",
        |s| s.body = "action=GetCallerIdentity&Version=2011-06-15",
        as_signed,
        MISMATCH,
    ),
    (
        "a body in another order",
        |s| s.body = "Version=2011-06-15&Action=GetCallerIdentity",
        as_signed,
        MISMATCH,
    ),
    (
        "a body with something after it",
        |s| s.body = "Action=GetCallerIdentity&Version=2011-06-15&x=y",
        as_signed,
        MISMATCH,
    ),
    (
        "a body with a newline after it",
        |s| s.body = "Action=GetCallerIdentity&Version=2011-06-15\n",
        as_signed,
        MISMATCH,
    ),
    (
        "another version",
        |s| s.body = "Action=GetCallerIdentity&Version=2010-05-08",
        as_signed,
        MISMATCH,
    ),
    ("an empty body", |s| s.body = "", as_signed, MISMATCH),
    (
        "a GET",
        |s| {
            s.method = "GET";
            s.query = "Action=GetCallerIdentity&Version=2011-06-15";
            s.body = "";
        },
        as_signed,
        MISMATCH,
    ),
    ("a PUT", |s| s.method = "PUT", as_signed, MISMATCH),
    ("a method in lower case", |s| s.method = "post", as_signed, MISMATCH),
    ("a query beside the body", |s| s.query = "Action=AssumeRole", as_signed, MISMATCH),
    ("another path", |s| s.path = "/evil", as_signed, MISMATCH),
    ("two slashes", |s| s.path = "//", as_signed, MISMATCH),
    ("a host of the attacker's", |s| s.set("host", "evil.example"), as_signed, MISMATCH),
    ("the global host", |s| s.set("host", "sts.amazonaws.com"), as_signed, MISMATCH),
    (
        "the host of another region",
        |s| s.set("host", "sts.us-east-1.amazonaws.com"),
        as_signed,
        MISMATCH,
    ),
    (
        "the host with a port",
        |s| s.set("host", "sts.ap-northeast-1.amazonaws.com:443"),
        as_signed,
        MISMATCH,
    ),
    (
        "the host in upper case",
        |s| s.set("host", "STS.ap-northeast-1.amazonaws.com"),
        as_signed,
        MISMATCH,
    ),
    ("for IAM", |s| s.service = "iam", as_signed, MISMATCH),
    ("for S3", |s| s.service = "s3", as_signed, MISMATCH),
    ("for another region", |s| s.region = "us-east-1", as_signed, MISMATCH),
    ("for yesterday's scope", |s| s.day = "20261122", as_signed, MISMATCH),
    (
        "for this region, sent for another",
        as_asked,
        |sent| sent.region = "us-east-1".into(),
        MISMATCH,
    ),
    (
        "with another date than was signed",
        as_asked,
        |sent| sent.amz_date = "20261123T120001Z".into(),
        MISMATCH,
    ),
    ("with the secret of another", |s| s.by.secret = OTHER.secret, as_signed, MISMATCH),
    ("with a guessed secret", |s| s.by.secret = "", as_signed, MISMATCH),
    (
        "by another, sent with this relay's key id and token",
        |s| {
            s.by = OTHER;
            s.set("x-amz-security-token", OTHER.token);
        },
        |sent| {
            sent.access_key_id = GOOD.access_key_id.into();
            sent.session_token = GOOD.token.into();
        },
        MISMATCH,
    ),
    (
        "with the token of another",
        |s| s.set("x-amz-security-token", OTHER.token),
        |sent| sent.session_token = OTHER.token.into(),
        UNKNOWN,
    ),
    (
        "with the key id of another",
        as_asked,
        |sent| sent.access_key_id = OTHER.access_key_id.into(),
        UNKNOWN,
    ),
    (
        "with a key id that nobody has",
        as_asked,
        |sent| sent.access_key_id = "ASIAEKIDENNOBODY0001".into(),
        UNKNOWN,
    ),
    ("with a token cut short", as_asked, |sent| sent.session_token.truncate(20), UNKNOWN),
    (
        "with a token that has expired",
        |s| {
            s.by = EXPIRED;
            s.set("x-amz-security-token", EXPIRED.token);
        },
        as_signed,
        "ExpiredToken",
    ),
    ("with one digit changed", as_asked, |sent| sent.signature.replace_range(..1, "0"), MISMATCH),
    ("of zeros", as_asked, |sent| sent.signature = "0".repeat(64), MISMATCH),
];
