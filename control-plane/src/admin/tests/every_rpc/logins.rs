//! The same for who logs in.
use serde_json::json;

use super::{super::logins::Office, *};
use crate::oidc::test_tokens::{Draft, Keys};

/// Makes a good login a bad one.
type Bend = fn(&mut Draft);

#[tokio::test]
async fn no_rpc_answers_to_a_login_that_does_not_count() {
    let office = Office::open().await;
    customer(&office.world, "acme").await;
    let bends: &[(Bend, Code, &str)] = &[
        (
            |d| {
                let now = d.claims["iat"].as_i64().unwrap();
                (d.claims["iat"], d.claims["nbf"]) = (json!(now - 7200), json!(now - 7200));
                d.claims["exp"] = json!(now - 61);
            },
            Code::Unauthenticated,
            "TOKEN_EXPIRED",
        ),
        (
            |d| d.claims["iss"] = json!("https://login.evil.example"),
            Code::Unauthenticated,
            "ISSUER_UNEXPECTED",
        ),
        (|d| d.sign = Keys::other_rs256, Code::Unauthenticated, "SIGNATURE_WRONG"),
        (
            |d| {
                d.header["alg"] = json!("none");
                d.sign = |_, _| Vec::new();
            },
            Code::Unauthenticated,
            "ALGORITHM_REFUSED",
        ),
        (|d| d.claims["aud"] = json!("others"), Code::Unauthenticated, "AUDIENCE_UNEXPECTED"),
        (
            |d| d.claims["exp"] = json!(d.claims["iat"].as_i64().unwrap() + 30 * 24 * 3600),
            Code::Unauthenticated,
            "TOKEN_LIVES_TOO_LONG",
        ),
        (|d| d.claims["groups"] = json!(["staff"]), Code::PermissionDenied, "LOGIN_WITHOUT_ROLE"),
        (
            |d| d.claims["groups"] = json!(["acme-admins", "globex-viewers"]),
            Code::PermissionDenied,
            "LOGIN_AMBIGUOUS",
        ),
    ];
    for (bend, code, why) in bends {
        let mut draft = office.draft(&["operators"]);
        bend(&mut draft);
        let token = draft.token();
        for rpc in rpcs() {
            let status = refused(&office.world, Some(&token), &rpc)
                .await
                .unwrap_or_else(|| panic!("{} for {why}", rpc.path));
            assert_eq!(status.code(), *code, "{} {why}: {status:?}", rpc.path);
            assert_eq!(reason(&status), *why, "{}", rpc.path);
        }
    }
}

#[tokio::test]
async fn a_login_reaches_what_its_role_may_and_nothing_else() {
    let office = Office::open().await;
    customer(&office.world, "acme").await;
    for (group, may) in [("acme-viewers", OF_VIEWERS), ("acme-admins", OF_TENANT_ADMINS)] {
        reaches_only(&office.world, &office.login(&[group]), may).await;
    }
    let operator = office.login(&["operators"]);
    for rpc in rpcs().iter().filter(|rpc| !rpc.path.contains("Delete")) {
        let Some(status) = refused(&office.world, Some(&operator), rpc).await else { continue };
        let purges = reason(&status) == "TENANT_NOT_DELETED";
        let fits = purges || matches!(status.code(), Code::NotFound | Code::AlreadyExists);
        assert!(fits, "{}: {status:?}", rpc.path);
    }
}
