//! What an issuer may publish, and what it must not.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Url;
use serde_json::{Value, json};

use crate::oidc::{
    Expected, Issuer,
    test_issuer::{OTHER_HOST, Published, TestIssuer, ok},
    test_tokens::{Draft, encode, keys},
    verify,
};

/// One hostile or broken issuer.
struct Row {
    name: &'static str,
    publish: fn(&mut Published, &str),
    reason: &'static str,
    /// How many requests it gets: two when its discovery document is good.
    requests: usize,
}

const fn document(
    name: &'static str,
    publish: fn(&mut Published, &str),
    reason: &'static str,
) -> Row {
    Row { name, publish, reason, requests: 1 }
}

const fn set(name: &'static str, publish: fn(&mut Published, &str), reason: &'static str) -> Row {
    Row { name, publish, reason, requests: 2 }
}

fn discovery(published: &mut Published, issuer: &str, jwks_uri: &str) {
    published.discovery = ok(&json!({ "issuer": issuer, "jwks_uri": jwks_uri }));
}

fn one(published: &mut Published, mut key: Value, member: &str, value: Value) {
    key[member] = value;
    published.key_set = ok(&json!({ "keys": [key] }));
}

fn text(text: &str) -> Option<(u16, Vec<u8>)> {
    Some((200, text.as_bytes().to_vec()))
}

/// A key of RSA by the bytes of its modulus.
fn modulus(published: &mut Published, bytes: &[u8]) {
    one(published, keys().rsa_jwk(), "n", json!(encode(bytes)));
}

/// A good point with a byte of x before y.
fn shifted(published: &mut Published) {
    let mut key = keys().es256_jwk();
    let [x, y] =
        ["x", "y"].map(|name| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap());
    key["x"] = json!(encode(&x[..31]));
    let y = [&x[31..], &y].concat();
    one(published, key, "y", json!(encode(y)));
}

fn status(status: u16) -> Option<(u16, Vec<u8>)> {
    Some((status, keys().set().to_string().into_bytes()))
}

const UNREADABLE: &str = "DISCOVERY_UNREADABLE";
const OTHER: &str = "DISCOVERY_OF_OTHER_ISSUER";
const REFUSED: &str = "JWKS_URI_REFUSED";
const EMPTY: &str = "KEY_SET_EMPTY";

const ROWS: &[Row] = &[
    document("hangs up", |p, _| p.discovery = None, "ISSUER_UNREACHABLE"),
    document("500", |p, _| p.discovery = status(500), "ISSUER_STATUS"),
    document("404", |p, _| p.discovery = status(404), "ISSUER_STATUS"),
    document("204", |p, _| p.discovery = status(204), "ISSUER_STATUS"),
    document("302 to itself", |p, _| p.discovery = status(302), "ISSUER_STATUS"),
    document("308 to itself", |p, _| p.discovery = status(308), "ISSUER_STATUS"),
    document(
        "a huge document",
        |p, _| p.discovery = text(&" ".repeat(65_537)),
        "ISSUER_ANSWER_TOO_LONG",
    ),
    document("an empty document", |p, _| p.discovery = text(""), UNREADABLE),
    document(
        "HTML",
        |p, _| p.discovery = text("<!doctype html><title>Sign in</title>"),
        UNREADABLE,
    ),
    document("JSON cut short", |p, _| p.discovery = text(r#"{"issuer":"https://"#), UNREADABLE),
    document("a list", |p, _| p.discovery = text("[]"), UNREADABLE),
    document("no issuer", |p, _| p.discovery = text(r#"{"jwks_uri":"https://x"}"#), UNREADABLE),
    document("no jwks_uri", |p, u| p.discovery = ok(&json!({ "issuer": u })), UNREADABLE),
    document(
        "issuer null",
        |p, _| p.discovery = text(r#"{"issuer":null,"jwks_uri":""}"#),
        UNREADABLE,
    ),
    document(
        "issuer twice",
        |p, u| {
            p.discovery = text(&format!(r#"{{"issuer":"{u}","issuer":"{u}","jwks_uri":"{u}"}}"#))
        },
        UNREADABLE,
    ),
    document("another issuer", |p, u| discovery(p, "https://evil.example", u), OTHER),
    document("issuer with a slash", |p, u| discovery(p, &format!("{u}/"), u), OTHER),
    document("issuer in upper case", |p, u| discovery(p, &u.to_uppercase(), u), OTHER),
    document("keys of http", |p, u| discovery(p, u, &u.replace("https", "http")), REFUSED),
    document(
        "keys elsewhere",
        |p, u| discovery(p, u, &u.replace("localhost", OTHER_HOST)),
        REFUSED,
    ),
    document("keys of a user", |p, u| discovery(p, u, &u.replace("//", "//evil@")), REFUSED),
    document(
        "keys of its host as a user",
        |p, u| discovery(p, u, &format!("{u}@{OTHER_HOST}/")),
        REFUSED,
    ),
    document(
        "keys on a host alike",
        |p, u| discovery(p, u, &u.replace("localhost", "localhost.")),
        REFUSED,
    ),
    document("keys in the answer", |p, u| discovery(p, u, "data:application/json,{}"), REFUSED),
    document("keys in a file", |p, u| discovery(p, u, "file:///keys.json"), REFUSED),
    document("keys nowhere", |p, u| discovery(p, u, "/keys"), REFUSED),
    set("keys hang up", |p, _| p.key_set = None, "ISSUER_UNREACHABLE"),
    set("keys 500", |p, _| p.key_set = status(500), "ISSUER_STATUS"),
    set("keys 302", |p, _| p.key_set = status(302), "ISSUER_STATUS"),
    set("huge keys", |p, _| p.key_set = text(&" ".repeat(65_537)), "ISSUER_ANSWER_TOO_LONG"),
    set("keys HTML", |p, _| p.key_set = text("<html></html>"), "KEY_SET_UNREADABLE"),
    set("keys cut short", |p, _| p.key_set = text(r#"{"keys":[{"kty""#), "KEY_SET_UNREADABLE"),
    set("keys an object", |p, _| p.key_set = text(r#"{"keys":{}}"#), "KEY_SET_UNREADABLE"),
    set("keys missing", |p, _| p.key_set = text("{}"), "KEY_SET_UNREADABLE"),
    set("no keys", |p, _| p.key_set = text(r#"{"keys":[]}"#), EMPTY),
    set("keys null", |p, _| p.key_set = text(r#"{"keys":[null,1,"rsa",[]]}"#), EMPTY),
    set("RSA of 1,024 bits", |p, _| modulus(p, &[0xd5; 128]), EMPTY),
    set("RSA of 2,047 bits", |p, _| modulus(p, &[0x55; 256]), EMPTY),
    set(
        "RSA of 1,024 bits behind zeros",
        |p, _| modulus(p, &[[0; 128], [0xd5; 128]].concat()),
        EMPTY,
    ),
    set("RSA of 16,384 bits", |p, _| modulus(p, &[0xd5; 2048]), EMPTY),
    set("RSA of nothing", |p, _| modulus(p, &[]), EMPTY),
    set("RSA of zero", |p, _| modulus(p, &[0; 256]), EMPTY),
    set("RSA without exponent", |p, _| one(p, keys().rsa_jwk(), "e", json!(null)), EMPTY),
    set("RSA with the exponent 1", |p, _| one(p, keys().rsa_jwk(), "e", json!("AQ")), EMPTY),
    set("RSA with a long exponent", |p, _| one(p, keys().rsa_jwk(), "e", json!("AQAAAAE")), EMPTY),
    set("RSA with an even exponent", |p, _| one(p, keys().rsa_jwk(), "e", json!("AQAA")), EMPTY),
    set("a key to encrypt", |p, _| one(p, keys().rsa_jwk(), "use", json!("enc")), EMPTY),
    set("a key of unknown use", |p, _| one(p, keys().rsa_jwk(), "use", json!(["sig"])), EMPTY),
    set("a key to sign only", |p, _| one(p, keys().rsa_jwk(), "key_ops", json!(["sign"])), EMPTY),
    set("a key for PS256", |p, _| one(p, keys().rsa_jwk(), "alg", json!("PS256")), EMPTY),
    set("a key for RS384", |p, _| one(p, keys().rsa_jwk(), "alg", json!("RS384")), EMPTY),
    set("a key for HS256", |p, _| one(p, keys().rsa_jwk(), "alg", json!("HS256")), EMPTY),
    set(
        "a secret",
        |p, _| one(p, json!({ "kid": "rsa", "k": "c2VjcmV0" }), "kty", json!("oct")),
        EMPTY,
    ),
    set("a key without kid", |p, _| one(p, keys().rsa_jwk(), "kid", json!(null)), EMPTY),
    set("a key with an empty kid", |p, _| one(p, keys().rsa_jwk(), "kid", json!("")), EMPTY),
    set("a P-256 key as P-384", |p, _| one(p, keys().es256_jwk(), "crv", json!("P-384")), EMPTY),
    set("a P-256 key for ES384", |p, _| one(p, keys().es256_jwk(), "alg", json!("ES384")), EMPTY),
    set("a key on P-521", |p, _| one(p, keys().es384_jwk(), "crv", json!("P-521")), EMPTY),
    set(
        "a point off the curve",
        |p, _| one(p, keys().es256_jwk(), "y", json!(encode([7; 32]))),
        EMPTY,
    ),
    set("a point at zero", |p, _| one(p, keys().es256_jwk(), "x", json!(encode([0; 31]))), EMPTY),
    set("a point cut elsewhere", |p, _| shifted(p), EMPTY),
    set(
        "33 keys",
        |p, _| p.key_set = ok(&json!({ "keys": vec![keys().es256_jwk(); 33] })),
        "KEY_SET_TOO_LARGE",
    ),
];

#[tokio::test]
async fn every_hostile_issuer_is_refused_for_its_own_reason() {
    let there = TestIssuer::start().await;
    let token = Draft::good(there.issuer.url()).token();
    let mut wrong = Vec::new();
    for row in ROWS {
        there.publish(|published| {
            *published = Published::good(there.issuer.url());
            (row.publish)(published, there.issuer.url());
        });
        let before = there.requests();
        let answer = there.verify(&there.sets(), &token).await;
        let requests = there.requests() - before;
        let Err(error) = answer else {
            wrong.push(format!("{}: its token counts", row.name));
            continue;
        };
        let right = error.is_temporary() && !error.to_string().contains("evil");
        if !right || (error.reason(), requests) != (row.reason, row.requests) {
            wrong.push(format!("{}: {} after {requests} requests", row.name, error.reason()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{} hostile issuers", ROWS.len());
}

#[tokio::test]
async fn keys_of_other_uses_are_skipped_beside_those_that_count() {
    let there = TestIssuer::start().await;
    there.publish(|published| {
        let mut bare = keys().rsa_jwk();
        for optional in ["alg", "use"] {
            bare.as_object_mut().unwrap().remove(optional);
        }
        let mut encrypting = keys().es256_jwk();
        (encrypting["kid"], encrypting["use"]) = (json!("rsa"), json!("enc"));
        let mut many = vec![json!({ "kty": "oct", "kid": "rsa", "k": "c2VjcmV0" }); 40];
        many.extend([json!({ "kty": "OKP", "kid": "rsa", "crv": "Ed25519" }), encrypting, bare]);
        published.key_set = ok(&json!({ "keys": many }));
    });
    there.verify(&there.sets(), &Draft::good(there.issuer.url()).token()).await.unwrap();
}

#[tokio::test]
async fn keys_on_another_host_count_where_the_registration_says_so() {
    let there = TestIssuer::start().await;
    let url = there.issuer.url();
    let keys_there = format!("https://{OTHER_HOST}:{}/keys", there.port());
    there.publish(|published| discovery(published, url, &keys_there));
    let sets = there.sets();
    let token = Draft::good(url).token();
    let registered =
        |jwks_uri: &str| Issuer::new(url, Some(Url::parse(jwks_uri).unwrap())).unwrap();
    let (right, other) = (registered(&keys_there), registered(&format!("{keys_there}/other")));
    let with = |issuer| Expected { issuer, ..there.expected() };
    let error = verify(&sets, &token, &with(&other)).await.unwrap_err();
    assert_eq!(error.reason(), "JWKS_URI_REFUSED");
    verify(&sets, &token, &with(&right)).await.unwrap();
    let error = there.verify(&sets, &token).await.unwrap_err();
    assert_eq!(error.reason(), "JWKS_URI_REFUSED", "a registration counts for itself only");
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_makes_an_issuer_unreachable() {
    let (there, other) = (TestIssuer::start().await, TestIssuer::start().await);
    let token = Draft::good(there.issuer.url()).token();
    let error = there.verify(&other.sets(), &token).await.unwrap_err();
    assert_eq!(error.reason(), "ISSUER_UNREACHABLE");
    assert_eq!(there.requests(), 0);
}
