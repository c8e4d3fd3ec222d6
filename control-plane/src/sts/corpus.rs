//! Hostile proofs: each bends one thing of the good proof, or of STS's answer to it, and is refused for its own reason.
use std::{collections::HashSet, error::Error};

use super::{
    StsError,
    signing::{DATE, Sent, Signing},
    sigv4::{canonical, signature},
    stand_in::{GOOD, OTHER, Reply},
    tests::World,
};

mod answers;
mod fields;
mod roles;
mod signatures;

/// How many there are; a row that is lost is missed here.
const ROWS: usize = 284;

#[test]
fn the_corpus_holds_as_many_rows_as_it_should_and_no_name_twice() {
    let mut names = HashSet::new();
    for (field, _, rows) in fields::FIELDS {
        names.extend(rows.iter().map(|(name, ..)| format!("{field} {name}")));
    }
    names.extend(signatures::SIGNATURES.iter().map(|(name, ..)| (*name).to_owned()));
    names.extend(answers::ANSWERS.iter().map(|(name, ..)| (*name).to_owned()));
    let rows = fields::FIELDS.iter().map(|(.., rows)| rows.len()).sum::<usize>();
    assert_eq!(rows + signatures::SIGNATURES.len() + answers::ANSWERS.len(), ROWS);
    assert_eq!(names.len(), ROWS);
}

#[tokio::test]
async fn a_part_that_is_bent_is_refused_before_sts_is_asked() {
    let world = World::start().await;
    let good = Signing::default().sent();
    world.caller(&good).await.unwrap();
    world.stand_in.received();
    for (field, put, rows) in fields::FIELDS {
        for (name, value, reason) in *rows {
            let mut sent = good.clone();
            put(&mut sent, (*value).to_owned());
            let error = world.caller(&sent).await.expect_err(name);
            assert_eq!(error.reason(), *reason, "{field} {name}");
            assert!(!error.retry(), "{field} {name}");
            hides(&error, &sent);
        }
    }
    assert!(world.stand_in.received().is_empty());
    world.caller(&good).await.unwrap();
}

#[tokio::test]
async fn a_signature_of_anything_else_is_refused_by_sts_itself() {
    let world = World::start().await;
    let good = Signing::default().sent();
    for (name, sign, bend, expected) in signatures::SIGNATURES {
        world.caller(&good).await.unwrap();
        world.stand_in.received();
        let mut signing = Signing::default();
        sign(&mut signing);
        // The attacker's signature is good for the attacker's request: only the rebuilding stands against it.
        let canonical = canonical(&signing.request(), &signing.signed_headers()).unwrap();
        let good_for = signature(signing.by.secret, signing.scope(), DATE, &canonical);
        assert_eq!(good_for, signing.sign(), "{name}");
        let mut sent = signing.sent();
        sent.region = good.region.clone();
        bend(&mut sent);
        let error = world.caller(&sent).await.expect_err(name);
        let StsError::SignatureRefused { code: Some(code) } = &error else {
            panic!("{name}: {error:?}")
        };
        assert_eq!((error.reason(), error.retry()), ("SIGNATURE_REFUSED", false), "{name}");
        assert_eq!(code, expected, "{name}");
        hides(&error, &sent);
        assert_eq!(world.stand_in.received().len(), 1, "{name}");
    }
    world.caller(&good).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_bent_names_nobody() {
    let world = World::start().await;
    let good = Signing::default().sent();
    for (name, answer, reason) in answers::ANSWERS {
        world.stand_in.reply(Reply::Checked);
        world.caller(&good).await.expect(name);
        world.stand_in.received();
        world.stand_in.reply(answer());
        let error = world.caller(&good).await.expect_err(name);
        assert_eq!(error.reason(), *reason, "{name}: {error:?}");
        let later = ["STS_UNREACHABLE", "STS_THROTTLED"].contains(reason);
        assert_eq!(error.retry(), later, "{name}");
        hides(&error, &good);
        assert_eq!(world.stand_in.received().len(), 1, "{name}");
    }
    assert!(world.evil.received().is_empty());
}

#[tokio::test]
async fn a_session_matches_its_own_role_and_no_other_however_alike() {
    let caller = World::start().await.caller(&Signing::default().sent()).await.unwrap();
    for (name, role_arn, matches) in roles::ROLES {
        assert_eq!(caller.matches_role(role_arn), *matches, "{name}: {role_arn:?}");
    }
}

/// No text of an error may hold what lets another sign in as the relay.
fn hides(error: &StsError, sent: &Sent) {
    let mut shown = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(source) = cause {
        shown.push_str(&format!("{source} {source:?}"));
        cause = source.source();
    }
    let signature = Signing::default().sign();
    for secret in
        [&sent.session_token, &sent.signature, &signature, GOOD.token, GOOD.secret, OTHER.token]
    {
        assert!(secret.len() < 8 || !shown.contains(secret), "{shown}");
    }
}
