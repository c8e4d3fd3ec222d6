//! What counts, and what an issuer may do; the corpus has what does not count.
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Algorithm, Expected, Issuer, OidcError,
    test_issuer::{TestIssuer, at},
    test_tokens::{AUDIENCE, Draft, ISSUED, Keys},
    verify,
};

mod caching;
mod publishing;

#[tokio::test]
async fn good_tokens_count_however_their_issuer_may_write_them() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    let bends: &[fn(&mut Draft)] = &[
        |_| {},
        |d| *d = Draft::good(d.claims["iss"].as_str().unwrap()).signed_by("ES256", Keys::es256),
        |d| *d = Draft::good(d.claims["iss"].as_str().unwrap()).signed_by("ES384", Keys::es384),
        |d| d.header = json!({ "alg": "RS256", "kid": "rsa" }),
        |d| d.header["typ"] = json!("at+jwt"),
        |d| d.header["x5t"] = json!("a thumbprint tells nothing that counts"),
        |d| d.claims["aud"] = json!([AUDIENCE]),
        |d| d.without("nbf"),
        |d| d.claims["nbf"] = json!(ISSUED + 60),
        |d| (d.claims["iat"], d.claims["exp"]) = (json!(ISSUED + 60), json!(ISSUED + 61)),
        |d| (d.claims["iat"], d.claims["exp"]) = (json!(ISSUED - 3659), json!(ISSUED - 59)),
        |d| d.claims["sub"] = json!("s".repeat(1024)),
        |d| d.claims["jti"] = json!("j".repeat(256)),
        |d| d.claims_bytes = Some(format!(" {:#}\r\n", d.claims).into_bytes()),
    ];
    for (index, bend) in bends.iter().enumerate() {
        let mut draft = Draft::good(there.issuer.url());
        bend(&mut draft);
        let claims = there.verify(&sets, &draft.token()).await;
        let claims = claims.unwrap_or_else(|error| panic!("{index}: {}", error.reason()));
        assert_eq!(Value::Object(claims.payload), draft.claims, "{index}");
        assert_eq!(claims.sub, draft.claims["sub"], "{index}");
        assert_eq!(claims.jti.as_deref(), draft.claims["jti"].as_str(), "{index}");
        assert_eq!(claims.iat.unix_timestamp(), draft.claims["iat"], "{index}");
        assert_eq!(claims.exp.unix_timestamp(), draft.claims["exp"], "{index}");
    }
    assert_eq!(there.requests(), 2);
}

#[tokio::test]
async fn a_token_without_id_counts_where_none_is_needed() {
    let there = TestIssuer::start().await;
    let mut draft = Draft::good(there.issuer.url());
    draft.without("jti");
    let expected = Expected { needs_jti: false, ..there.expected() };
    let claims = verify(&there.sets(), &draft.token(), &expected).await.unwrap();
    assert_eq!(claims.jti, None);
}

#[tokio::test]
async fn what_an_issuer_is_not_registered_for_does_not_count() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    let token = Draft::good(there.issuer.url()).token();
    let elsewhere = Issuer::new("https://evil.example", None).unwrap();
    let good = there.expected();
    for (expected, reason) in [
        (Expected { algorithms: &[], ..good }, "ALGORITHM_REFUSED"),
        (Expected { algorithms: &[Algorithm::Es384], ..good }, "ALGORITHM_REFUSED"),
        (Expected { issuer: &elsewhere, ..good }, "ISSUER_UNEXPECTED"),
        (Expected { audience: "", ..good }, "AUDIENCE_UNEXPECTED"),
        (Expected { now: at(ISSUED - 61), ..good }, "TOKEN_ISSUED_AHEAD"),
        (Expected { now: at(ISSUED + 360), ..good }, "TOKEN_EXPIRED"),
        (Expected { now: at(ISSUED + 300), leeway: Duration::ZERO, ..good }, "TOKEN_EXPIRED"),
        (Expected { longest_life: Duration::from_secs(299), ..good }, "TOKEN_LIVES_TOO_LONG"),
    ] {
        let error = verify(&sets, &token, &expected).await.unwrap_err();
        assert_eq!(error.reason(), reason);
    }
    assert_eq!(there.requests(), 0, "refused before anybody is asked");
    verify(&sets, &token, &Expected { algorithms: &[Algorithm::Rs256], ..good }).await.unwrap();
}

#[test]
fn reasons_are_screaming_and_messages_say_what_to_do() {
    let errors = [
        OidcError::ClaimMissing { claim: "exp" },
        OidcError::ClaimWrong { claim: "exp", wanted: "a number" },
        OidcError::IssuerStatus { status: 500 },
        OidcError::KeyUnknown,
    ];
    for error in errors {
        assert!(error.reason().bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        assert!(error.to_string().contains(": "), "{error}");
    }
}
