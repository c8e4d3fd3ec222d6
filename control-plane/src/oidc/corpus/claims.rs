//! Hostile claims: of whom, for whom, when; all rightly signed, as a careless issuer would.
use serde_json::{Value, json};

use super::{
    super::test_tokens::{AUDIENCE, Draft, ISSUED},
    Row, row,
};

const ISSUER: &str = "ISSUER_UNEXPECTED";
const AUD: &str = "AUDIENCE_UNEXPECTED";
const SEVERAL: &str = "AUDIENCE_SEVERAL";
const WRONG: &str = "CLAIM_WRONG";
const MISSING: &str = "CLAIM_MISSING";

/// The claims as text, with something in it replaced.
fn text(draft: &mut Draft, from: &str, to: &str) {
    let claims = draft.claims.to_string();
    assert!(claims.contains(from), "{claims}");
    draft.claims_bytes = Some(claims.replacen(from, to, 1).into_bytes());
}

/// The claims as text, with its end replaced.
fn end(draft: &mut Draft, end: &str) {
    let claims = draft.claims.to_string();
    draft.claims_bytes = Some((claims[..claims.len() - 1].to_owned() + end).into_bytes());
}

fn raw(draft: &mut Draft, claims: &str) {
    draft.claims_bytes = Some(claims.as_bytes().to_vec());
}

fn times(draft: &mut Draft, iat: i64, exp: i64) {
    (draft.claims["iat"], draft.claims["exp"]) = (json!(iat), json!(exp));
}

fn push(draft: &mut Draft, claim: &str, more: &str) {
    let text = draft.claims[claim].as_str().unwrap().to_owned() + more;
    draft.claims[claim] = json!(text);
}

fn set(draft: &mut Draft, claim: &str, value: Value) {
    draft.claims[claim] = value;
}

pub(super) const ROWS: &[Row] = &[
    row("iss unknown", |d| set(d, "iss", json!("https://evil.example")), ISSUER),
    row("iss with a slash", |d| push(d, "iss", "/"), ISSUER),
    row("iss in another case", |d| d.reissue("localhost", "Localhost"), ISSUER),
    row("iss of http", |d| d.reissue("https:", "http:"), ISSUER),
    row("iss in upper case scheme", |d| d.reissue("https:", "HTTPS:"), ISSUER),
    row("iss with a user", |d| d.reissue("localhost", "evil@localhost"), ISSUER),
    row("iss as a user", |d| push(d, "iss", "@evil.example"), ISSUER),
    row("iss with a suffix", |d| push(d, "iss", ".evil.example"), ISSUER),
    row("iss with a path", |d| push(d, "iss", "/realms/evil"), ISSUER),
    row("iss with a query", |d| push(d, "iss", "?"), ISSUER),
    row("iss with a fragment", |d| push(d, "iss", "#"), ISSUER),
    row("iss before NUL", |d| push(d, "iss", "\0"), ISSUER),
    row("iss after a space", |d| d.reissue("https:", " https:"), ISSUER),
    row("iss by its address", |d| d.reissue("localhost", "127.0.0.1"), ISSUER),
    row("iss with a dot after the host", |d| d.reissue("localhost", "localhost."), ISSUER),
    row("iss empty", |d| set(d, "iss", json!("")), ISSUER),
    row("iss missing", |d| d.without("iss"), ISSUER),
    row("iss null", |d| set(d, "iss", json!(null)), ISSUER),
    row("iss a list", |d| d.claims["iss"] = json!([d.claims["iss"]]), ISSUER),
    row("iss an object", |d| d.claims["iss"] = json!({ "iss": d.claims["iss"] }), ISSUER),
    // Audiences.
    row("aud of another", |d| set(d, "aud", json!("https://evil.example")), AUD),
    row("aud of another tenant", |d| set(d, "aud", json!(AUDIENCE.replace("acme", "evil"))), AUD),
    row("aud with a slash", |d| push(d, "aud", "/"), AUD),
    row("aud in another case", |d| set(d, "aud", json!(AUDIENCE.to_uppercase())), AUD),
    row("aud that begins like ours", |d| push(d, "aud", "-evil"), AUD),
    row("aud empty", |d| set(d, "aud", json!("")), AUD),
    row("aud null", |d| set(d, "aud", json!(null)), AUD),
    row("aud a number", |d| set(d, "aud", json!(1)), AUD),
    row("aud an object", |d| set(d, "aud", json!({ AUDIENCE: true })), AUD),
    row("aud a list of another", |d| set(d, "aud", json!(["https://evil.example"])), AUD),
    row("aud a list in a list", |d| set(d, "aud", json!([[AUDIENCE]])), AUD),
    row("aud a list of null", |d| set(d, "aud", json!([null])), AUD),
    row("aud missing", |d| d.without("aud"), MISSING),
    row("aud no one", |d| set(d, "aud", json!([])), SEVERAL),
    row(
        "aud ours and another",
        |d| set(d, "aud", json!([AUDIENCE, "https://evil.example"])),
        SEVERAL,
    ),
    row(
        "aud another and ours",
        |d| set(d, "aud", json!(["https://evil.example", AUDIENCE])),
        SEVERAL,
    ),
    row("aud ours twice", |d| set(d, "aud", json!([AUDIENCE, AUDIENCE])), SEVERAL),
    // Times.
    row("expired", |d| times(d, ISSUED - 600, ISSUED - 300), "TOKEN_EXPIRED"),
    row("expired by the leeway", |d| times(d, ISSUED - 600, ISSUED - 60), "TOKEN_EXPIRED"),
    row("expired in 1970", |d| times(d, 0, 0), "TOKEN_EXPIRED"),
    row("issued ahead", |d| times(d, ISSUED + 61, ISSUED + 300), "TOKEN_ISSUED_AHEAD"),
    row("issued in ten minutes", |d| times(d, ISSUED + 600, ISSUED + 900), "TOKEN_ISSUED_AHEAD"),
    row("issued in 9999", |d| times(d, LAST, LAST), "TOKEN_ISSUED_AHEAD"),
    row("nbf ahead", |d| set(d, "nbf", json!(ISSUED + 61)), "TOKEN_NOT_YET_VALID"),
    row("nbf in 9999", |d| set(d, "nbf", json!(LAST)), "TOKEN_NOT_YET_VALID"),
    row("a life too long by a second", |d| times(d, ISSUED, ISSUED + 3601), "TOKEN_LIVES_TOO_LONG"),
    row("a life until 9999", |d| times(d, ISSUED, LAST), "TOKEN_LIVES_TOO_LONG"),
    row("a long life from 1970", |d| times(d, 0, ISSUED + 300), "TOKEN_LIVES_TOO_LONG"),
    row("no life", |d| times(d, ISSUED, ISSUED), WRONG),
    row("a life backwards", |d| times(d, ISSUED + 10, ISSUED), WRONG),
    row("exp missing", |d| d.without("exp"), MISSING),
    row("exp null", |d| set(d, "exp", json!(null)), WRONG),
    row("exp a text", |d| set(d, "exp", json!("1800000300")), WRONG),
    row("exp a list", |d| set(d, "exp", json!([ISSUED + 300])), WRONG),
    row("exp true", |d| set(d, "exp", json!(true)), WRONG),
    row("exp a fraction", |d| set(d, "exp", json!(1_800_000_300.5)), WRONG),
    row("exp a fraction of nothing", |d| text(d, "1800000300", "1800000300.0"), WRONG),
    row("exp with an exponent", |d| text(d, "1800000300", "18000003e2"), WRONG),
    row("exp minus nothing", |d| text(d, "1800000300", "-0"), WRONG),
    row("exp negative", |d| set(d, "exp", json!(-1)), WRONG),
    row("exp in the year 10000", |d| set(d, "exp", json!(LAST + 1)), WRONG),
    row("exp of 63 bits", |d| set(d, "exp", json!(i64::MAX)), WRONG),
    row("exp of 64 bits", |d| set(d, "exp", json!(u64::MAX)), WRONG),
    row("exp of 70 bits", |d| text(d, "1800000300", "999999999999999999999"), WRONG),
    row("exp in milliseconds", |d| text(d, "1800000300", "1800000300000"), WRONG),
    row("exp of 400 digits", |d| text(d, "1800000300", &"9".repeat(400)), "CLAIMS_NOT_JSON"),
    row("exp with a zero before", |d| text(d, "1800000300", "01800000300"), "CLAIMS_NOT_JSON"),
    row("exp in hexadecimal", |d| text(d, "1800000300", "0x6B49D32C"), "CLAIMS_NOT_JSON"),
    row("exp not a number", |d| text(d, "1800000300", "NaN"), "CLAIMS_NOT_JSON"),
    row("exp infinite", |d| text(d, "1800000300", "Infinity"), "CLAIMS_NOT_JSON"),
    row("iat missing", |d| d.without("iat"), MISSING),
    row("iat null", |d| set(d, "iat", json!(null)), WRONG),
    row("iat a text", |d| set(d, "iat", json!("1800000000")), WRONG),
    row("iat a fraction", |d| set(d, "iat", json!(1_800_000_000.5)), WRONG),
    row("iat negative", |d| set(d, "iat", json!(-1)), WRONG),
    row("iat huge", |d| set(d, "iat", json!(u64::MAX)), WRONG),
    row("nbf null", |d| set(d, "nbf", json!(null)), WRONG),
    row("nbf a text", |d| set(d, "nbf", json!("0")), WRONG),
    row("nbf a fraction", |d| set(d, "nbf", json!(0.5)), WRONG),
    row("nbf negative", |d| set(d, "nbf", json!(-1)), WRONG),
    // Whom it is about, and its id.
    row("sub missing", |d| d.without("sub"), MISSING),
    row("sub null", |d| set(d, "sub", json!(null)), WRONG),
    row("sub empty", |d| set(d, "sub", json!("")), WRONG),
    row("sub too long", |d| set(d, "sub", json!("s".repeat(1025))), WRONG),
    row("sub a number", |d| set(d, "sub", json!(0)), WRONG),
    row("sub a list", |d| set(d, "sub", json!(["evil"])), WRONG),
    row("sub with NUL", |d| push(d, "sub", "\0evil"), WRONG),
    row("sub with a new line", |d| push(d, "sub", "\nevil"), WRONG),
    row("jti missing", |d| d.without("jti"), MISSING),
    row("jti null", |d| set(d, "jti", json!(null)), WRONG),
    row("jti empty", |d| set(d, "jti", json!("")), WRONG),
    row("jti too long", |d| set(d, "jti", json!("j".repeat(257))), WRONG),
    row("jti a number", |d| set(d, "jti", json!(1)), WRONG),
    row("jti with NUL", |d| push(d, "jti", "\0"), WRONG),
    // Not one set of claims.
    row("iss twice", |d| text(d, "{", r#"{"iss":"https://evil.example","#), "CLAIM_TWICE"),
    row("aud twice, one escaped", |d| text(d, "{", r#"{"\u0061ud":"evil","#), "CLAIM_TWICE"),
    row("exp twice", |d| text(d, "{", r#"{"exp":1900000000,"#), "CLAIM_TWICE"),
    row("sub twice, the same", |d| text(d, "{", r#"{"sub":"","sub":"","#), "CLAIM_TWICE"),
    row("AWS twice", |d| text(d, "{", r#"{"https://sts.amazonaws.com/":{},"#), "CLAIM_TWICE"),
    row("a claim of nobody twice", |d| text(d, "{", r#"{"x":1,"x":2,"#), "CLAIM_TWICE"),
    row("claims empty", |d| raw(d, ""), "CLAIMS_NOT_JSON"),
    row("claims a list", |d| raw(d, "[]"), "CLAIMS_NOT_JSON"),
    row("claims null", |d| raw(d, "null"), "CLAIMS_NOT_JSON"),
    row("claims a text", |d| raw(d, r#""evil""#), "CLAIMS_NOT_JSON"),
    row("claims a number", |d| raw(d, "1"), "CLAIMS_NOT_JSON"),
    row("claims cut short", |d| end(d, ""), "CLAIMS_NOT_JSON"),
    row("claims and more", |d| end(d, "}}"), "CLAIMS_NOT_JSON"),
    row("claims with a comment", |d| text(d, "{", "{/**/"), "CLAIMS_NOT_JSON"),
    row("claims before NUL", |d| end(d, "}\0"), "CLAIMS_NOT_JSON"),
    row("claims with a bare NUL", |d| text(d, "relays", "relays\0"), "CLAIMS_NOT_JSON"),
    row("claims a thousand deep", |d| text(d, "{", &deep()), "CLAIMS_NOT_JSON"),
    row("claims empty of all", |d| raw(d, "{}"), ISSUER),
];

/// The last second that can be told, in the year 9999.
const LAST: i64 = 253_402_300_799;

fn deep() -> String {
    format!(r#"{{"deep":{}{},"#, "[".repeat(1000), "]".repeat(1000))
}
