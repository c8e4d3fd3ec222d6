use std::sync::{Arc, atomic::AtomicI64, atomic::Ordering};

use serde_json::json;

use super::*;
use crate::caller::{Role, RoleRules};
use crate::oidc::{
    test_issuer::{TestIssuer, at},
    test_tokens::{AUDIENCE, Draft, ISSUED},
};

struct Desk {
    issuer: TestIssuer,
    logins: Logins,
    passed: Arc<AtomicI64>,
}

impl Desk {
    async fn open() -> Self {
        let issuer = TestIssuer::start().await;
        let settings = LoginSettings {
            issuer: issuer.issuer.clone(),
            audience: AUDIENCE.to_owned(),
            roles: RoleRules::parse("groups=ops:operator").unwrap(),
            roots: vec![issuer.root.clone()],
        };
        let passed = Arc::new(AtomicI64::new(0));
        let seconds = Arc::clone(&passed);
        let clock = Clock::from_fn(move || at(ISSUED + seconds.load(Ordering::SeqCst)));
        Self { issuer, logins: Logins::new(settings, clock).unwrap(), passed }
    }

    fn draft(&self) -> Draft {
        let mut draft = Draft::good(self.issuer.issuer.url());
        (draft.claims["sub"], draft.claims["groups"]) = (json!("ann"), json!(["ops"]));
        draft.without("jti");
        draft
    }

    async fn refused(&self, bend: impl FnOnce(&mut Draft)) -> Error {
        let mut draft = self.draft();
        bend(&mut draft);
        self.logins.principal(&draft.token()).await.err().unwrap()
    }
}

#[tokio::test]
async fn a_login_is_believed_for_a_minute_but_not_past_its_end() {
    let desk = Desk::open().await;
    let token = desk.draft().token();
    assert!(!desk.logins.knows(&token));
    let principal = desk.logins.principal(&token).await.unwrap();
    assert_eq!((principal.actor.as_str(), principal.role), ("oidc/localhost/ann", Role::Operator));
    assert!(desk.logins.knows(&token));
    let believed = |seconds: i64| desk.logins.recall(&key(&token), at(ISSUED + seconds)).is_some();
    assert!(believed(0) && believed(59) && !believed(60));
    assert!(!believed(-1), "a clock that was set back");

    let mut draft = desk.draft();
    draft.claims["exp"] = json!(ISSUED + 10);
    let token = draft.token();
    desk.logins.principal(&token).await.unwrap();
    let believed = |seconds: i64| desk.logins.recall(&key(&token), at(ISSUED + seconds)).is_some();
    assert!(believed(9) && !believed(10));
    desk.passed.store(70, Ordering::SeqCst);
    let error = desk.logins.principal(&token).await.err().unwrap();
    assert_eq!(error.reason(), "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_login_may_last_a_day_and_no_longer() {
    let desk = Desk::open().await;
    let mut day = desk.draft();
    day.claims["exp"] = json!(ISSUED + 24 * 3600);
    desk.logins.principal(&day.token()).await.unwrap();
    let error = desk.refused(|d| d.claims["exp"] = json!(ISSUED + 24 * 3600 + 1)).await;
    assert_eq!(error.reason(), "TOKEN_LIVES_TOO_LONG");
    assert!(error.to_string().contains("24 hours"), "{error}");
}

#[tokio::test]
async fn a_subject_that_cannot_stand_in_an_audit_event_is_refused() {
    let desk = Desk::open().await;
    let mut longest = desk.draft();
    longest.claims["sub"] = json!("s".repeat(255));
    desk.logins.principal(&longest.token()).await.unwrap();
    for (sub, reason) in [
        (json!("s".repeat(256)), "LOGIN_SUBJECT_REFUSED"),
        (json!("Änne"), "LOGIN_SUBJECT_REFUSED"),
        (json!("ann\u{202e}"), "LOGIN_SUBJECT_REFUSED"),
        (json!("ann\nroot"), "CLAIM_WRONG"),
        (json!(""), "CLAIM_WRONG"),
        (json!(7), "CLAIM_WRONG"),
    ] {
        let error = desk.refused(|d| d.claims["sub"] = sub.clone()).await;
        assert_eq!(error.reason(), reason, "{sub}");
        assert!(matches!(error, Error::Unauthenticated { .. }), "{sub}");
    }
}

#[tokio::test]
async fn trouble_of_the_issuer_is_no_fault_of_the_token() {
    let desk = Desk::open().await;
    desk.issuer.publish(|published| published.key_set = Some((503, Vec::new())));
    let error = desk.refused(|_| {}).await;
    assert!(matches!(error, Error::Unavailable { reason: "ISSUER_STATUS", .. }), "{error:?}");
    let error = desk.refused(|d| d.claims["aud"] = json!("others")).await;
    assert!(matches!(error, Error::Unauthenticated { reason: "AUDIENCE_UNEXPECTED", .. }));
}

#[tokio::test]
async fn refused_logins_are_not_remembered_and_good_ones_not_without_bound() {
    let desk = Desk::open().await;
    let mut draft = desk.draft();
    draft.claims["groups"] = json!([]);
    let error = desk.logins.principal(&draft.token()).await.err().unwrap();
    assert_eq!(error.reason(), "LOGIN_WITHOUT_ROLE");
    assert!(!desk.logins.knows(&draft.token()));

    let remember = |number: usize, seconds: i64| {
        let principal = Principal { actor: String::new(), role: Role::Viewer, tenant: None };
        let since = at(ISSUED + seconds);
        let one = Remembered { principal, since, until: since + BELIEVED_FOR };
        desk.logins.remember(key(&number.to_string()), one);
        desk.logins.remembered.lock().unwrap().len()
    };
    assert!((0..10_000).all(|number| remember(number, 0) <= REMEMBERED), "all of one time");
    assert!((0..10_000).all(|number| remember(number, 90) <= REMEMBERED), "old ones go first");
}

#[test]
fn a_bearer_of_three_parts_is_a_login() {
    assert!(is_login("a.b.c") && is_login(".."));
    for text in ["", "eka_1_2", "a.b", "a.b.c.d"] {
        assert!(!is_login(text), "{text}");
    }
}
