//! What a session is sent, and who holds one.
use ekiden_proto::relay::v1::{Goodbye, Heartbeat};

use super::*;

#[tokio::test]
async fn a_relay_that_runs_nothing_is_sent_parameters_keys_and_settings() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let mut stream = relay.session(&app, Hello::default()).await.unwrap();
    let Some(Down::Parameters(parameters)) = stream.next().await.unwrap() else { panic!() };
    assert!(!parameters.session.is_empty() && parameters.server_time.is_some());
    let (mut keys, mut settings) = (None, None);
    while keys.is_none() || settings.is_none() {
        match stream.next().await.unwrap().unwrap() {
            Down::KeyBundle(bundle) => keys = Some(bundle),
            Down::Snapshot(snapshot) => settings = Some(snapshot),
            other => panic!("{other:?}"),
        }
    }
    let (keys, snapshot) = (keys.unwrap(), settings.unwrap());
    assert_eq!(keys.keys[0].access_key, "tenants/acme/accessKeys/main");
    assert_eq!(keys.keys[0].value, b"the-secret");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &snapshot.settings);
    assert_eq!(hash.as_ref(), &snapshot.hash[..]);
    assert!(ekiden_settings::check(&snapshot.settings).is_ok());

    stream.answer(&snapshot, Some(&snapshot)).await;
    stream
        .say(Up::KeyStatus(KeyStatus {
            secret_version: keys.secret_version,
            ..KeyStatus::default()
        }))
        .await;
    let seen = until(&app, &relay.name, |r| r.running_revision == 1 && r.secret_version > 0).await;
    assert_eq!(seen.state(), RelayState::Connected);
    assert_eq!(seen.settings_phase(), SettingsPhase::Applied);
    assert_eq!(seen.secret_version, keys.secret_version);
}

#[tokio::test]
async fn what_a_relay_runs_already_is_not_sent_again() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let mut stream = relay.joined(&app).await;
    let snapshot = stream.snapshot().await;
    drop(stream);
    let fleet: GetFleetResponse = app
        .call(
            "FleetService/GetFleet",
            GetFleetRequest { name: "tenants/acme/fleets/tokyo".to_owned() },
        )
        .await
        .unwrap();
    let hello = Hello {
        running_revision: snapshot.revision,
        running_hash: snapshot.hash.to_vec(),
        secret_version: fleet.fleet.unwrap().secret_version,
        ..Default::default()
    };
    let mut stream = relay.session(&app, hello.clone()).await.unwrap();
    assert!(matches!(stream.next().await.unwrap(), Some(Down::Parameters(_))));
    let Some(Down::UpToDate(told)) = stream.next().await.unwrap() else { panic!("it was sent") };
    assert_eq!(told.revision, snapshot.revision);

    // The right number with another content is not what should run.
    let hello = Hello { running_hash: vec![7; 32], ..hello };
    let mut stream = relay.session(&app, hello).await.unwrap();
    assert_eq!(stream.snapshot().await, snapshot);
}

#[tokio::test]
async fn a_refused_revision_is_never_offered_again_and_the_next_one_is() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let mut stream = relay.joined(&app).await;
    let first = stream.snapshot().await;
    stream.answer(&first, Some(&first)).await;
    change(&app, "acme", "second.test").await;
    let second = stream.snapshot().await;
    assert_eq!(second.revision, 2);
    stream.answer(&second, Some(&first)).await;
    let seen = until(&app, &relay.name, |r| r.settings_phase() == SettingsPhase::Failed).await;
    assert_eq!((seen.attempted_revision, seen.running_revision, seen.desired_revision), (2, 1, 2));
    assert_eq!(seen.violations[0].field, "listeners[0].port");

    // Neither now, nor in a session to come.
    let hello =
        Hello { running_revision: 1, running_hash: first.hash.to_vec(), ..Default::default() };
    let mut again = relay.session(&app, hello).await.unwrap();
    change(&app, "acme", "third.test").await;
    let third = again.snapshot().await;
    assert_eq!(third.revision, 3, "revision 2 was refused");
}

#[tokio::test]
async fn one_snapshot_waits_for_its_answer_and_the_newest_follows() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let mut stream = relay.joined(&app).await;
    let first = stream.snapshot().await;
    for i in 0..5 {
        change(&app, "acme", &format!("host-{i}.test")).await;
    }
    // A message after the changes shows that they were passed over, not that they are late.
    app.access_key("acme", "other", "another").await;
    stream.say(Up::Heartbeat(Heartbeat { sequence: 1 })).await;
    stream.answer(&first, Some(&first)).await;
    assert_eq!(stream.snapshot().await.revision, 6);
}

#[tokio::test]
async fn the_newest_session_of_a_relay_wins() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let mut old = relay.joined(&app).await;
    old.snapshot().await;
    let mut new = relay.joined(&app).await;
    let snapshot = new.snapshot().await;
    while let Ok(Some(_)) = old.next().await {}
    new.answer(&snapshot, Some(&snapshot)).await;
    let seen = until(&app, &relay.name, |r| r.running_revision == 1).await;
    assert_eq!(seen.state(), RelayState::Connected);
}

#[tokio::test]
async fn a_goodbye_is_told_from_a_lost_connection() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let leaver = enrolled(&app, "acme").await;
    let stream = leaver.joined(&app).await;
    stream.say(Up::Goodbye(Goodbye { reason: "terminated".to_owned() })).await;
    until(&app, &leaver.name, |r| r.state() == RelayState::Left).await;
    let lost = enrolled(&app, "acme").await;
    let stream = lost.joined(&app).await;
    until(&app, &lost.name, |r| r.state() == RelayState::Connected).await;
    drop(stream);
    until(&app, &lost.name, |r| r.state() == RelayState::Disconnected).await;
}

#[tokio::test]
async fn messages_out_of_order_or_out_of_bounds_end_the_session_with_the_field() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let mut bystander = enrolled(&app, "acme").await.joined(&app).await;
    let large = Goodbye { reason: "x".repeat(10 << 20) };
    for (message, what) in [
        (Up::Hello(Hello::default()), "a second Hello"),
        (Up::Goodbye(large), "a message of 10 MiB"),
    ] {
        let mut stream = enrolled(&app, "acme").await.joined(&app).await;
        stream.say(message).await;
        let status = loop {
            match stream.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{what}: it ended well"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        let details = status.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, "message", "{what}");
    }
    change(&app, "acme", "moved.test").await;
    assert!(bystander.snapshot().await.revision >= 1);
}

#[tokio::test]
async fn a_deleted_fleets_relay_is_told_that_it_is_not_known() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let stream = relay.joined(&app).await;
    stream.say(Up::Goodbye(Goodbye { reason: "terminated".to_owned() })).await;
    until(&app, &relay.name, |r| r.state() == RelayState::Left).await;
    let request =
        DeleteFleetRequest { name: "tenants/acme/fleets/tokyo".to_owned(), ..Default::default() };
    let _: DeleteFleetResponse = app.call("FleetService/DeleteFleet", request).await.unwrap();
    let status = match relay.session(&app, Hello::default()).await {
        Err(status) => status,
        Ok(mut stream) => stream.next().await.unwrap_err(),
    };
    assert_eq!(reason(&status), "RELAY_UNKNOWN");
}
