//! Who may leave DNS: for good, and for as long as it cannot deliver.
use ekiden_proto::{
    health::v1::{DiscoveryHealth, HealthReport, ServiceRecord},
    relay::v1::{LeaveRequest, LeaveVerdict},
};

use super::*;

const SERVICE: &str = "srv-abcdefghijklmnop";

/// Says that the relay is in DNS, and whether it delivers.
async fn report(stream: &Stream, undelivered: bool) {
    let service_id = SERVICE.to_owned();
    let services =
        vec![ServiceRecord { service_id, listed: true, in_dns: true, ..Default::default() }];
    let discovery = Some(DiscoveryHealth { services, ..Default::default() });
    let observed_at = Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 });
    let report = HealthReport { observed_at, discovery, undelivered, ..Default::default() };
    stream.say(Up::Health(Box::new(report))).await;
}

async fn ask(stream: &mut Stream, undelivered: bool) -> LeaveVerdict {
    let service_ids = vec![SERVICE.to_owned()];
    stream.say(Up::LeaveRequest(LeaveRequest { service_ids, undelivered })).await;
    loop {
        match stream.next().await.unwrap().unwrap() {
            Down::LeaveAnswer(answer) => return answer.verdict(),
            _ => continue,
        }
    }
}

/// Asks until the answer is this one: reports are written a little after they arrive.
async fn ask_until(stream: &mut Stream, undelivered: bool, wanted: LeaveVerdict) {
    let asking = async {
        while ask(stream, undelivered).await != wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap();
}

#[tokio::test]
async fn a_relay_that_cannot_deliver_may_leave_where_another_can_and_nobody_leaves_on_its_strength()
{
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    let (one, other) = (enrolled(&app, "acme").await, enrolled(&app, "acme").await);
    let (mut cut_off, mut sibling) = (one.joined(&app).await, other.joined(&app).await);

    // A vendor that is down for all.
    report(&cut_off, true).await;
    report(&sibling, true).await;
    until(&app, &other.name, |relay| {
        relay.health.as_ref().is_some_and(|health| health.undelivered)
    })
    .await;
    assert_eq!(ask(&mut cut_off, true).await, LeaveVerdict::Wait);
    assert_eq!(ask(&mut sibling, true).await, LeaveVerdict::Wait);

    report(&sibling, false).await;
    ask_until(&mut cut_off, true, LeaveVerdict::Granted).await;
    assert_eq!(ask(&mut sibling, false).await, LeaveVerdict::Wait, "it would be the last");

    // It came back.
    report(&cut_off, false).await;
    ask_until(&mut sibling, false, LeaveVerdict::Granted).await;
}
