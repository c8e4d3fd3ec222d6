//! Tokens that must not count: each is the good one, bent in one way, beside the reason that it must be refused with.
use super::{
    test_issuer::TestIssuer,
    test_tokens::{Draft, encode},
};

mod claims;
mod form;
mod header;

/// One hostile token.
struct Row {
    name: &'static str,
    bend: fn(&mut Draft),
    reason: &'static str,
}

const fn row(name: &'static str, bend: fn(&mut Draft), reason: &'static str) -> Row {
    Row { name, bend, reason }
}

#[tokio::test]
async fn every_hostile_token_is_refused_for_its_own_reason_and_the_good_one_counts() {
    let there = TestIssuer::start().await;
    let sets = there.sets();
    let good = Draft::good(there.issuer.url()).token();
    there.verify(&sets, &good).await.unwrap();
    let rows: Vec<&Row> = [header::ROWS, form::ROWS, claims::ROWS].into_iter().flatten().collect();
    let mut names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name is there twice");
    let mut wrong = Vec::new();
    for row in &rows {
        let mut draft = Draft::good(there.issuer.url());
        (row.bend)(&mut draft);
        let token = draft.token();
        match there.verify(&sets, &token).await {
            Ok(_) => wrong.push(format!("{}: it counts", row.name)),
            Err(error) if error.reason() != row.reason => {
                wrong.push(format!("{}: {} instead of {}", row.name, error.reason(), row.reason));
            }
            Err(error) => {
                let told = format!("{error} {error:?}");
                let leaks = token.split('.').any(|part| part.len() > 8 && told.contains(part));
                assert!(!leaks && !told.contains("evil"), "{}: {told}", row.name);
                assert!(!error.is_temporary(), "{}", row.name);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    there.verify(&sets, &good).await.unwrap();
    assert_eq!(there.requests(), 2, "no hostile token makes anybody fetch");
    println!("{} hostile tokens", rows.len());
    assert!(rows.len() >= 80, "{}", rows.len());
}
