//! Several processes on one database.
use super::*;

#[tokio::test]
async fn a_change_made_at_one_replica_reaches_relays_of_another() {
    let one = TestApp::start().await;
    let two = one.beside().await;
    customer(&one, "acme").await;
    let relay = enrolled(&one, "acme").await;
    let mut stream = relay.joined(&two).await;
    let first = stream.snapshot().await;
    stream.answer(&first, Some(&first)).await;
    change(&one, "acme", "moved.test").await;
    assert_eq!(stream.snapshot().await.revision, 2);
    let seen = until(&one, &relay.name, |r| r.running_revision == 1).await;
    assert_eq!(seen.state(), RelayState::Connected);
}

#[tokio::test]
async fn a_session_that_moves_to_another_replica_is_ended_where_it_was() {
    let one = TestApp::start().await;
    let two = one.beside().await;
    customer(&one, "acme").await;
    let relay = enrolled(&one, "acme").await;
    let mut old = relay.joined(&one).await;
    let first = old.snapshot().await;
    let mut new = relay.joined(&two).await;
    let snapshot = new.snapshot().await;
    new.answer(&snapshot, Some(&snapshot)).await;
    until(&one, &relay.name, |r| r.running_revision == 1).await;
    // What the old one still says is of an epoch that is over: it changes nothing and ends it.
    old.answer(&first, None).await;
    while let Ok(Some(_)) = old.next().await {}
    let seen = read(&one, &relay.name).await;
    assert_eq!((seen.running_revision, seen.state()), (1, RelayState::Connected));
}

#[tokio::test]
async fn without_notifications_a_change_comes_all_the_same() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let mut stream = relay.joined(&app).await;
    let first = stream.snapshot().await;
    stream.answer(&first, Some(&first)).await;
    for i in 0..3 {
        // Whoever listens is cut off just before the change, so its notification goes nowhere.
        let mut db = app.database.pool.acquire().await.unwrap();
        crate::test_database::execute(
            &mut db,
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'",
        )
        .await;
        drop(db);
        change(&app, "acme", &format!("host-{i}.test")).await;
        let snapshot = stream.snapshot().await;
        assert_eq!(snapshot.revision, 2 + i);
        stream.answer(&snapshot, Some(&snapshot)).await;
    }
}

#[tokio::test]
async fn relays_of_a_replica_whose_lease_is_over_are_shown_as_lost() {
    let one = TestApp::start().await;
    customer(&one, "acme").await;
    let two = one.beside().await;
    let relay = enrolled(&one, "acme").await;
    let _stream = relay.joined(&two).await;
    until(&one, &relay.name, |r| r.state() == RelayState::Connected).await;
    // As after `kill -9`: it renews nothing and writes nothing more.
    let gone = two.app.replica;
    two.stop();
    let mut db = one.database.pool.acquire().await.unwrap();
    let sql = format!(
        "update replicas set lease_until = now() - interval '1 s' where replica_id = '{gone}'"
    );
    crate::test_database::execute(&mut db, &sql).await;
    drop(db);
    until(&one, &relay.name, |r| r.state() == RelayState::Disconnected).await;
}
