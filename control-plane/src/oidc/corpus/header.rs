//! Hostile headers: how a token is signed, with which key, and what else it demands.
use aws_lc_rs::signature::{RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256};
use serde_json::json;

use super::{
    super::test_tokens::{Draft, Keys, keys},
    Row, row,
};

const ALGORITHM: &str = "ALGORITHM_REFUSED";

fn alg(draft: &mut Draft, name: &str) {
    draft.header["alg"] = json!(name);
}

fn kid(draft: &mut Draft, kid: &str) {
    draft.header["kid"] = json!(kid);
}

fn raw(draft: &mut Draft, header: impl AsRef<[u8]>) {
    draft.header_bytes = Some(header.as_ref().to_vec());
}

fn signed(draft: &mut Draft, alg: &str, sign: fn(&Keys, &[u8]) -> Vec<u8>) {
    draft.header["alg"] = json!(alg);
    draft.sign = sign;
}

pub(super) const ROWS: &[Row] = &[
    row("alg none without signature", |d| signed(d, "none", |_, _| Vec::new()), ALGORITHM),
    row("alg none with a signature", |d| alg(d, "none"), ALGORITHM),
    row("alg None", |d| signed(d, "None", |_, _| Vec::new()), ALGORITHM),
    row("alg nOnE", |d| signed(d, "nOnE", |_, _| Vec::new()), ALGORITHM),
    row("alg NONE", |d| signed(d, "NONE", |_, _| Vec::new()), ALGORITHM),
    row("HS256 by the public key", |d| signed(d, "HS256", Keys::hs256_with_public_key), ALGORITHM),
    row("HS256 by nothing", |d| signed(d, "HS256", |_, _| vec![0; 32]), ALGORITHM),
    row("HS384", |d| alg(d, "HS384"), ALGORITHM),
    row("HS512", |d| alg(d, "HS512"), ALGORITHM),
    row("PS256", |d| signed(d, "PS256", |k, m| k.rsa_by(&RSA_PSS_SHA256, m)), ALGORITHM),
    row("RS384", |d| signed(d, "RS384", |k, m| k.rsa_by(&RSA_PKCS1_SHA384, m)), ALGORITHM),
    row("RS512", |d| signed(d, "RS512", |k, m| k.rsa_by(&RSA_PKCS1_SHA512, m)), ALGORITHM),
    row("ES512", |d| alg(d, "ES512"), ALGORITHM),
    row("ES256K", |d| alg(d, "ES256K"), ALGORITHM),
    row("EdDSA", |d| alg(d, "EdDSA"), ALGORITHM),
    row("RSA-OAEP", |d| alg(d, "RSA-OAEP"), ALGORITHM),
    row("alg in lower case", |d| alg(d, "rs256"), ALGORITHM),
    row("alg after a space", |d| alg(d, " RS256"), ALGORITHM),
    row("alg before NUL", |d| alg(d, "RS256\0"), ALGORITHM),
    row("alg empty", |d| alg(d, ""), ALGORITHM),
    row("alg null", |d| d.header["alg"] = json!(null), ALGORITHM),
    row("alg a list", |d| d.header["alg"] = json!(["RS256"]), ALGORITHM),
    row("alg a number", |d| d.header["alg"] = json!(256), ALGORITHM),
    row("alg missing", |d| d.header = json!({ "typ": "JWT", "kid": "rsa" }), ALGORITHM),
    row("alg in another case of its name", |d| d.header = json!({ "Alg": "RS256" }), ALGORITHM),
    // Other keys.
    row(
        "ES256 under the P-384 key",
        |d| *d = other(d, "ES256", Keys::es384, "es384"),
        "KEY_OF_OTHER_ALGORITHM",
    ),
    row(
        "ES384 under the P-256 key",
        |d| *d = other(d, "ES384", Keys::es256, "es256"),
        "KEY_OF_OTHER_ALGORITHM",
    ),
    row("RS256 under a curve's key", |d| kid(d, "es256"), "KEY_OF_OTHER_ALGORITHM"),
    row(
        "ES256 under the RSA key",
        |d| *d = other(d, "ES256", Keys::es256, "rsa"),
        "KEY_OF_OTHER_ALGORITHM",
    ),
    row(
        "ES256 by the P-384 key",
        |d| *d = other(d, "ES256", Keys::es384, "es256"),
        "SIGNATURE_WRONG",
    ),
    row(
        "ES384 by the P-256 key",
        |d| *d = other(d, "ES384", Keys::es256, "es384"),
        "SIGNATURE_WRONG",
    ),
    row("RS256 by PS256", |d| d.sign = |k, m| k.rsa_by(&RSA_PSS_SHA256, m), "SIGNATURE_WRONG"),
    row("RS256 by RS384", |d| d.sign = |k, m| k.rsa_by(&RSA_PKCS1_SHA384, m), "SIGNATURE_WRONG"),
    row(
        "RS256 by HS256 of the public key",
        |d| d.sign = Keys::hs256_with_public_key,
        "SIGNATURE_WRONG",
    ),
    // Key ids.
    row("kid missing", |d| d.header = json!({ "alg": "RS256" }), "KEY_ID_MISSING"),
    row("kid null", |d| d.header["kid"] = json!(null), "KEY_ID_WRONG"),
    row("kid a number", |d| d.header["kid"] = json!(0), "KEY_ID_WRONG"),
    row("kid a list", |d| d.header["kid"] = json!(["rsa"]), "KEY_ID_WRONG"),
    row("kid an object", |d| d.header["kid"] = json!({ "kid": "rsa" }), "KEY_ID_WRONG"),
    row("kid empty", |d| kid(d, ""), "KEY_ID_WRONG"),
    row("kid huge", |d| kid(d, &"k".repeat(257)), "KEY_ID_WRONG"),
    row("kid with NUL", |d| kid(d, "rsa\0"), "KEY_ID_WRONG"),
    row("kid with a new line", |d| kid(d, "rsa\nevil"), "KEY_ID_WRONG"),
    row("kid unknown", |d| kid(d, "evil"), "KEY_UNKNOWN"),
    row("kid as long as allowed", |d| kid(d, &"k".repeat(256)), "KEY_UNKNOWN"),
    row("kid like a path", |d| kid(d, "../../../../dev/null"), "KEY_UNKNOWN"),
    row("kid like an address", |d| kid(d, "https://evil.example/keys"), "KEY_UNKNOWN"),
    row("kid like SQL", |d| kid(d, "rsa' UNION SELECT 'evil"), "KEY_UNKNOWN"),
    row("kid like a command", |d| kid(d, "rsa|evil"), "KEY_UNKNOWN"),
    row("kid in another case", |d| kid(d, "RSA"), "KEY_UNKNOWN"),
    row("kid before a space", |d| kid(d, "rsa "), "KEY_UNKNOWN"),
    row("kid in letters that look alike", |d| kid(d, "r\u{455}a"), "KEY_UNKNOWN"),
    // Demands and keys of its own.
    row("crit", |d| d.header["crit"] = json!(["exp"]), "CRITICAL_REFUSED"),
    row("crit empty", |d| d.header["crit"] = json!([]), "CRITICAL_REFUSED"),
    row("crit null", |d| d.header["crit"] = json!(null), "CRITICAL_REFUSED"),
    row(
        "crit with b64",
        |d| (d.header["crit"], d.header["b64"]) = (json!(["b64"]), json!(false)),
        "CRITICAL_REFUSED",
    ),
    row("jwk", |d| d.header["jwk"] = keys().rsa_jwk(), "KEY_IN_HEADER"),
    row("jwk null", |d| d.header["jwk"] = json!(null), "KEY_IN_HEADER"),
    row("jku", |d| d.header["jku"] = json!("https://evil.example/jwks.json"), "KEY_IN_HEADER"),
    row("x5u", |d| d.header["x5u"] = json!("https://evil.example/chain.pem"), "KEY_IN_HEADER"),
    row("x5c", |d| d.header["x5c"] = json!(["MIIB"]), "KEY_IN_HEADER"),
    // Types.
    row("typ JWE", |d| d.header["typ"] = json!("JWE"), "TYPE_REFUSED"),
    row("typ of a logout token", |d| d.header["typ"] = json!("logout+jwt"), "TYPE_REFUSED"),
    row("typ of a proof of possession", |d| d.header["typ"] = json!("dpop+jwt"), "TYPE_REFUSED"),
    row("typ in lower case", |d| d.header["typ"] = json!("jwt"), "TYPE_REFUSED"),
    row("typ null", |d| d.header["typ"] = json!(null), "TYPE_REFUSED"),
    row("typ a list", |d| d.header["typ"] = json!(["JWT"]), "TYPE_REFUSED"),
    // Not one header.
    row(
        "alg twice",
        |d| raw(d, r#"{"alg":"RS256","kid":"rsa","alg":"none"}"#),
        "HEADER_MEMBER_TWICE",
    ),
    row(
        "alg twice, the second escaped",
        |d| raw(d, r#"{"alg":"none","kid":"rsa","\u0061lg":"RS256"}"#),
        "HEADER_MEMBER_TWICE",
    ),
    row(
        "kid twice, the same",
        |d| raw(d, r#"{"alg":"RS256","kid":"rsa","kid":"rsa"}"#),
        "HEADER_MEMBER_TWICE",
    ),
    row("header empty", |d| raw(d, ""), "HEADER_NOT_JSON"),
    row("header a list", |d| raw(d, r#"[{"alg":"RS256","kid":"rsa"}]"#), "HEADER_NOT_JSON"),
    row("header null", |d| raw(d, "null"), "HEADER_NOT_JSON"),
    row("header a text", |d| raw(d, r#""{\"alg\":\"RS256\"}""#), "HEADER_NOT_JSON"),
    row("header cut short", |d| raw(d, r#"{"alg":"RS256","kid":"rsa""#), "HEADER_NOT_JSON"),
    row("header and more", |d| raw(d, r#"{"alg":"RS256","kid":"rsa"}{}"#), "HEADER_NOT_JSON"),
    row(
        "header before NUL",
        |d| raw(d, "{\"alg\":\"RS256\",\"kid\":\"rsa\"}\0"),
        "HEADER_NOT_JSON",
    ),
    row("header in UTF-16", |d| raw(d, b"{\0\"\0a\0l\0g\0\"\0"), "HEADER_NOT_JSON"),
    row("header not UTF-8", |d| raw(d, b"{\"alg\":\"RS256\",\"kid\":\"\xff\"}"), "HEADER_NOT_JSON"),
    row(
        "header after a byte order mark",
        |d| raw(d, "\u{feff}{\"alg\":\"RS256\"}"),
        "HEADER_NOT_JSON",
    ),
];

fn other(draft: &Draft, alg: &str, sign: fn(&Keys, &[u8]) -> Vec<u8>, kid: &str) -> Draft {
    let issuer = draft.claims["iss"].as_str().unwrap();
    let mut other = Draft::good(issuer).signed_by(alg, sign);
    other.header["kid"] = json!(kid);
    other
}
