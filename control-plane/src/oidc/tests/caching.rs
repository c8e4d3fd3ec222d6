//! How often issuers are asked, and for how long their keys count.
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use crate::oidc::{
    Algorithm, Issuer, OidcError,
    test_issuer::{Published, TestIssuer, ok},
    test_tokens::{Draft, Keys, keys},
};

const HOUR: i64 = 3600;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_unknown_keys_asks_the_issuer_once_a_minute() {
    let there = TestIssuer::start().await;
    let sets = Arc::new(there.sets());
    for (minute, requests) in [(0, 2), (1, 4), (2, 6)] {
        let mut calls = JoinSet::new();
        for flood in 0..1000 {
            let (sets, issuer) = (Arc::clone(&sets), there.issuer.clone());
            calls.spawn(async move {
                let kid = format!("{minute}-{flood}");
                sets.key(&issuer, &kid, Algorithm::Rs256).await.unwrap_err()
            });
        }
        let errors = calls.join_all().await;
        assert!(errors.iter().all(|error| *error == OidcError::KeyUnknown));
        assert_eq!(there.requests(), requests, "a document each, in minute {minute}");
        there.pass(60);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_at_once_share_one_fetch() {
    let there = TestIssuer::start().await;
    let sets = Arc::new(there.sets());
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let (sets, issuer) = (Arc::clone(&sets), there.issuer.clone());
        calls.spawn(async move { sets.key(&issuer, "rsa", Algorithm::Rs256).await.is_ok() });
    }
    assert!(calls.join_all().await.into_iter().all(|found| found));
    assert_eq!(there.requests(), 2);
}

#[tokio::test]
async fn keys_count_for_an_hour_without_asking_again() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    let token = Draft::good(there.issuer.url()).token();
    for (seconds, requests) in [(0, 2), (HOUR - 1, 2), (1, 4), (HOUR - 1, 4)] {
        there.pass(seconds);
        there.verify(&sets, &token).await.unwrap();
        assert_eq!(there.requests(), requests);
    }
}

#[tokio::test]
async fn a_new_key_counts_a_minute_after_the_last_fetch_and_an_old_one_no_more() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    there.publish(|published| published.key_set = ok(&json!({ "keys": [keys().rsa_jwk()] })));
    let old = Draft::good(there.issuer.url()).token();
    let new = Draft::good(there.issuer.url()).signed_by("ES384", Keys::es384).token();
    there.verify(&sets, &old).await.unwrap();
    there.publish(|published| published.key_set = ok(&json!({ "keys": [keys().es384_jwk()] })));
    there.pass(59);
    assert_eq!(there.verify(&sets, &new).await.unwrap_err(), OidcError::KeyUnknown);
    there.pass(1);
    there.verify(&sets, &new).await.unwrap();
    assert_eq!(there.verify(&sets, &old).await.unwrap_err(), OidcError::KeyUnknown);
    assert_eq!(there.requests(), 4);
}

#[tokio::test]
async fn known_keys_count_for_a_day_while_the_issuer_is_down() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    let token = Draft::good(there.issuer.url()).token();
    there.verify(&sets, &token).await.unwrap();
    there.publish(|published| published.discovery = None);
    there.pass(HOUR);
    there.verify(&sets, &token).await.unwrap();
    let asked = there.requests();
    assert!(asked > 2, "it was asked");
    there.verify(&sets, &token).await.unwrap();
    assert_eq!(there.requests(), asked, "and is left alone for a minute");
    let mut unknown = Draft::good(there.issuer.url());
    unknown.header["kid"] = json!("new");
    let error = there.verify(&sets, &unknown.token()).await.unwrap_err();
    assert_eq!(error, OidcError::IssuerUnreachable, "a new key may be there for all that is known");
    there.pass(23 * HOUR - 1);
    there.verify(&sets, &token).await.unwrap();
    there.pass(60);
    assert_eq!(there.verify(&sets, &token).await.unwrap_err(), OidcError::IssuerUnreachable);
    there.publish(|published| {
        *published = Published::good(there.issuer.url());
    });
    there.pass(60);
    there.verify(&sets, &token).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_asked_once_a_minute() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    there.publish(|published| published.discovery = Some((503, Vec::new())));
    let token = Draft::good(there.issuer.url()).token();
    for minute in 1..=3 {
        for _ in 0..10 {
            let error = there.verify(&sets, &token).await.unwrap_err();
            assert_eq!(error, OidcError::IssuerStatus { status: 503 });
        }
        assert_eq!(there.requests(), minute);
        there.pass(60);
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_the_fetch_to_the_next() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    let token = Draft::good(there.issuer.url()).token();
    there.open.send(false).unwrap();
    let mut asked = there.asked.clone();
    tokio::select! {
        _ = there.verify(&sets, &token) => panic!("the issuer has not answered"),
        asked = asked.wait_for(|asked| !asked.is_empty()) => drop(asked.unwrap()),
    }
    there.open.send(true).unwrap();
    there.verify(&sets, &token).await.unwrap();
    assert_eq!(there.requests(), 2);
}

#[tokio::test]
async fn whose_key_is_known_does_not_wait_for_a_slow_issuer() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    let token = Draft::good(there.issuer.url()).token();
    there.verify(&sets, &token).await.unwrap();
    there.pass(2 * HOUR);
    there.open.send(false).unwrap();
    let mut asked = there.asked.clone();
    let first = there.verify(&sets, &token);
    let others = async {
        drop(asked.wait_for(|asked| asked.len() == 3).await.unwrap());
        for _ in 0..10 {
            there.verify(&sets, &token).await.unwrap();
        }
        there.open.send(true).unwrap();
    };
    let (first, ()) = tokio::join!(first, others);
    first.unwrap();
    assert_eq!(there.requests(), 4);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_keep_keys_for_ever() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    let token = Draft::good(there.issuer.url()).token();
    there.verify(&sets, &token).await.unwrap();
    there.pass(-1);
    there.verify(&sets, &token).await.unwrap();
    assert_eq!(there.requests(), 2);
    there.pass(-HOUR);
    there.verify(&sets, &token).await.unwrap();
    assert_eq!(there.requests(), 4);
}

#[tokio::test]
async fn the_4097th_issuer_waits_until_another_is_out_of_use() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    // Nothing listens there, so that each is asked in no time.
    let absent = async |number: usize| {
        let issuer = Issuer::new(&format!("https://localhost:1/{number}"), None).unwrap();
        sets.key(&issuer, "rsa", Algorithm::Rs256).await.unwrap_err()
    };
    let one_more = async || sets.key(&there.issuer, "rsa", Algorithm::Rs256).await.map(drop);
    for number in 0..4096 {
        assert_eq!(absent(number).await, OidcError::IssuerUnreachable);
    }
    assert_eq!(one_more().await, Err(OidcError::IssuersTooMany));
    there.pass(119);
    let in_use = || (0..4096).filter(|number| *number != 7);
    for number in in_use() {
        assert_eq!(absent(number).await, OidcError::IssuerUnreachable);
    }
    assert_eq!(one_more().await, Err(OidcError::IssuersTooMany));
    assert_eq!(there.requests(), 0, "who finds no place asks nobody");
    there.pass(1);
    assert_eq!(one_more().await, Ok(()), "it takes the seventh's place");
    for number in in_use() {
        assert_eq!(absent(number).await, OidcError::IssuerUnreachable, "all others are kept");
    }
    assert_eq!(absent(7).await, OidcError::IssuersTooMany);
}
