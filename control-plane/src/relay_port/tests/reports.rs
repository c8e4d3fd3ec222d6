//! Health: the last value, the past, and what is not taken.
use ekiden_proto::health::v1::{HealthReport, RelayPhase};

use super::*;

fn report(phase: RelayPhase, seconds: i64) -> HealthReport {
    let observed_at = Some(prost_types::Timestamp { seconds: 1_790_000_000 + seconds, nanos: 0 });
    HealthReport { observed_at, phase: phase.into(), ..Default::default() }
}

async fn past(app: &TestApp, relay: &str) -> Vec<ReceivedHealthReport> {
    let request = ListHealthReportsRequest { parent: relay.to_owned(), ..Default::default() };
    let listed: ListHealthReportsResponse =
        app.call("RelayService/ListHealthReports", request).await.unwrap();
    listed.reports
}

#[tokio::test]
async fn the_last_report_is_shown_and_the_earlier_ones_are_kept() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let stream = relay.joined(&app).await;
    for (i, phase) in
        [RelayPhase::Starting, RelayPhase::Serving, RelayPhase::Draining].into_iter().enumerate()
    {
        stream.say(Up::Health(Box::new(report(phase, i as i64)))).await;
    }
    let seen = until(&app, &relay.name, |r| r.phase() == RelayPhase::Draining).await;
    assert_eq!(seen.health.unwrap(), report(RelayPhase::Draining, 2));
    let kept = past(&app, &relay.name).await;
    let phases: Vec<_> = kept.iter().map(|r| r.report.as_ref().unwrap().phase()).collect();
    assert_eq!(phases, [RelayPhase::Draining, RelayPhase::Serving, RelayPhase::Starting]);
    assert!(kept.iter().all(|r| r.receive_time.is_some()));
}

#[tokio::test]
async fn a_report_of_a_session_that_is_over_changes_nothing() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let stream = relay.joined(&app).await;
    stream.say(Up::Health(Box::new(report(RelayPhase::Serving, 1)))).await;
    until(&app, &relay.name, |r| r.phase() == RelayPhase::Serving).await;
    let fleet = crate::names::FleetName { tenant: "acme".to_owned(), fleet: "tokyo".to_owned() };
    let id = relay.name.rsplit('/').next().unwrap().parse().unwrap();
    let stale = report(RelayPhase::Draining, 2);
    app.app.health.take(&fleet, id, 0, &stale, app.app.clock.now()).unwrap();
    stream.say(Up::Health(Box::new(report(RelayPhase::Serving, 3)))).await;
    let now = |r: &Relay| r.health.as_ref().is_some_and(|h| *h == report(RelayPhase::Serving, 3));
    until(&app, &relay.name, now).await;
    let kept = past(&app, &relay.name).await;
    assert!(kept.iter().all(|r| r.report.as_ref().unwrap().phase() == RelayPhase::Serving));
}

#[tokio::test]
async fn a_report_that_no_sane_relay_sends_ends_the_session_and_is_not_stored() {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let relay = enrolled(&app, "acme").await;
    let mut stream = relay.joined(&app).await;
    stream.say(Up::Health(Box::default())).await;
    let status = loop {
        match stream.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    let details = status.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "health.observed_at");
    assert!(past(&app, &relay.name).await.is_empty());
}
