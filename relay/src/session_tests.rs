use ekiden_proto::relay::v1::{
    Heartbeat, KeyBundle, KeyMaterial, Reconnect, SettingsPhase, SettingsSnapshot, SettingsStatus,
    session_request::Message as Said, session_response::Message as Say,
};
use tokio::{task::JoinSet, time::timeout};

use super::*;
use crate::{
    fake_control_plane::{Authority, FLEET, FakeControlPlane, Opened, SAFETY},
    session::standing::Desired,
};

/// A relay without a process around it: the session, and whatever the test does with its standing.
struct SimulatedRelay {
    standing: Arc<Standing>,
    view: watch::Receiver<View>,
    identity: watch::Sender<Option<Arc<Identity>>>,
    goodbye: watch::Sender<Option<&'static str>>,
    urgent: watch::Sender<u64>,
    session: JoinSet<()>,
}

impl SimulatedRelay {
    fn start(dialer: Dialer, identity: Option<Arc<Identity>>) -> Self {
        let standing = Arc::new(Standing::new(Clock::system()));
        let (view, identity) = (watch::Sender::new(View::default()), watch::Sender::new(identity));
        let (goodbye, urgent) = (watch::Sender::new(None), watch::Sender::new(0));
        let subject = Subject {
            description: RelayDescription {
                hostname: "simulated".to_owned(),
                ..RelayDescription::default()
            },
            standing: Arc::clone(&standing),
            report: Arc::new(HealthReport::default),
            urgent: urgent.subscribe(),
            view: view.clone(),
            orders: Orders::default(),
            clock: Clock::system(),
        };
        let mut session = JoinSet::new();
        // A small number keeps the delays short; that they are spread is the backoff's test.
        session.spawn(keep(dialer, identity.subscribe(), subject, goodbye.subscribe(), || 0.01));
        Self { standing, view: view.subscribe(), identity, goodbye, urgent, session }
    }

    async fn desired(&self, revision: u64) -> Arc<Desired> {
        let mut desired = self.standing.desired();
        let found = desired.wait_for(|desired| {
            desired.as_ref().is_some_and(|desired| desired.revision == revision)
        });
        timeout(SAFETY, found).await.unwrap().unwrap().clone().unwrap()
    }

    async fn until(&mut self, condition: impl FnMut(&View) -> bool) -> View {
        timeout(SAFETY, self.view.wait_for(condition)).await.unwrap().unwrap().clone()
    }
}

fn snapshot(revision: u64) -> SettingsSnapshot {
    let settings = bytes::Bytes::from(format!("settings of revision {revision}"));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &settings);
    SettingsSnapshot {
        revision,
        hash: bytes::Bytes::copy_from_slice(hash.as_ref()),
        settings,
        ..SettingsSnapshot::default()
    }
}

async fn next_status(opened: &mut Opened) -> SettingsStatus {
    let status = |said| match said {
        Said::SettingsStatus(status) => Some(status),
        _ => None,
    };
    opened.hear(status).await.unwrap()
}

async fn joined() -> (FakeControlPlane, SimulatedRelay, Opened) {
    let mut control_plane = FakeControlPlane::start().await;
    let identity = control_plane.enroll().await;
    let mut relay = SimulatedRelay::start(control_plane.dialer(), Some(identity));
    let opened = control_plane.next_session().await;
    relay.until(|view| view.opened == 1).await;
    (control_plane, relay, opened)
}

#[tokio::test]
async fn settings_arrive_and_their_fate_is_told() {
    let (_control_plane, relay, mut opened) = joined().await;
    assert_eq!(opened.hello.running_revision, 0);
    assert_eq!(opened.hello.description.as_ref().unwrap().hostname, "simulated");

    opened.say(Say::Snapshot(snapshot(3))).await;
    let desired = relay.desired(3).await;
    relay.standing.applying(&desired);
    let status = next_status(&mut opened).await;
    assert_eq!(
        (status.phase(), status.attempted_revision, status.running_revision),
        (SettingsPhase::Applying, 3, 0)
    );

    relay.standing.applied(&desired);
    let status = next_status(&mut opened).await;
    assert_eq!(
        (status.phase(), status.attempted_revision, status.running_revision),
        (SettingsPhase::Applied, 3, 3)
    );
    assert_eq!(status.running_hash, snapshot(3).hash);
}

#[tokio::test]
async fn settings_that_are_not_what_they_say_are_refused_by_field() {
    let (_control_plane, relay, mut opened) = joined().await;
    let damaged =
        SettingsSnapshot { settings: bytes::Bytes::from_static(b"something else"), ..snapshot(4) };
    opened.say(Say::Snapshot(damaged)).await;
    let status = next_status(&mut opened).await;
    assert_eq!((status.phase(), status.attempted_revision), (SettingsPhase::Failed, 4));
    assert_eq!(status.violations.first().unwrap().field, "hash");
    assert!(relay.standing.desired().borrow().is_none());
}

#[tokio::test]
async fn a_revision_never_goes_back() {
    let (_control_plane, relay, mut opened) = joined().await;
    opened.say(Say::Snapshot(snapshot(5))).await;
    relay.standing.applied(&*relay.desired(5).await);
    assert_eq!(next_status(&mut opened).await.running_revision, 5);

    opened.say(Say::Snapshot(snapshot(4))).await;
    let status = next_status(&mut opened).await;
    assert_eq!(
        (status.phase(), status.attempted_revision, status.running_revision),
        (SettingsPhase::Failed, 4, 5)
    );
    assert_eq!(status.violations.first().unwrap().field, "revision");
    assert_eq!(relay.standing.desired().borrow().as_ref().unwrap().revision, 5);
}

#[tokio::test]
async fn the_running_revision_sent_again_is_acknowledged_again() {
    let (_control_plane, relay, mut opened) = joined().await;
    opened.say(Say::Snapshot(snapshot(5))).await;
    relay.standing.applied(&*relay.desired(5).await);
    assert_eq!(next_status(&mut opened).await.phase(), SettingsPhase::Applied);
    opened.say(Say::Snapshot(snapshot(5))).await;
    assert_eq!(next_status(&mut opened).await.phase(), SettingsPhase::Applied);
}

#[tokio::test]
async fn newer_keys_replace_older_ones_and_are_acknowledged() {
    let (_control_plane, relay, mut opened) = joined().await;
    let bundle = |secret_version| KeyBundle {
        secret_version,
        keys: vec![KeyMaterial {
            access_key: "tenants/acme/accessKeys/datadog".to_owned(),
            version: secret_version,
            value: b"not in any log".to_vec(),
            ..KeyMaterial::default()
        }],
        traceparent: String::new(),
    };
    opened.say(Say::KeyBundle(bundle(2))).await;
    opened.say(Say::KeyBundle(bundle(1))).await;
    opened.say(Say::Snapshot(snapshot(1))).await;
    relay.desired(1).await;
    let held = relay.standing.keys().borrow().clone().unwrap();
    assert_eq!(held.keys.secret_version(), 2);
    relay.standing.keys_taken(&held);
    let status = opened
        .hear(|said| if let Said::KeyStatus(status) = said { Some(status) } else { None })
        .await;
    assert_eq!(status.unwrap().secret_version, 2);
}

#[tokio::test]
async fn a_new_session_is_open_before_the_old_one_closes() {
    let (mut control_plane, mut relay, mut old) = joined().await;
    old.say(Say::Snapshot(snapshot(8))).await;
    relay.standing.applied(&*relay.desired(8).await);
    old.say(Say::Reconnect(Reconnect {
        within: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
    }))
    .await;
    let new = control_plane.next_session().await;
    assert_eq!(new.hello.running_revision, 8);
    old.until_over().await;

    new.say(Say::Snapshot(snapshot(9))).await;
    relay.desired(9).await;
    let view = relay.until(|view| view.opened == 2).await;
    assert_eq!(view.lost, 0);
}

#[tokio::test]
async fn a_lost_session_is_opened_again_and_tells_what_failed() {
    let (mut control_plane, relay, opened) = joined().await;
    opened.say(Say::Snapshot(snapshot(2))).await;
    let why = ekiden_proto::relay::v1::Violation {
        field: "listeners[0].port".to_owned(),
        description: String::new(),
    };
    relay.standing.failed(&*relay.desired(2).await, vec![why]);
    drop(opened);
    let mut again = control_plane.next_session().await;
    assert_eq!(again.hello.running_revision, 0);
    let status = next_status(&mut again).await;
    assert_eq!((status.phase(), status.attempted_revision), (SettingsPhase::Failed, 2));
    assert_eq!(status.violations.first().unwrap().field, "listeners[0].port");
}

#[tokio::test]
async fn a_control_plane_that_falls_silent_is_left() {
    let mut control_plane = FakeControlPlane::start().await;
    let short = prost_types::Duration { seconds: 0, nanos: 30_000_000 };
    control_plane.change(|behaviour| behaviour.parameters.heartbeat_interval = Some(short));
    let identity = control_plane.enroll().await;
    let mut relay = SimulatedRelay::start(control_plane.dialer(), Some(identity));
    let mut silent = control_plane.next_session().await;
    let heartbeat = |said| {
        if let Said::Heartbeat(Heartbeat { sequence }) = said { Some(sequence) } else { None }
    };
    assert_eq!(silent.hear(heartbeat).await, Some(1));
    let _again = control_plane.next_session().await;
    let view = relay.until(|view| view.lost > 0).await;
    assert!(
        view.message.is_empty() || view.message.contains("nothing was heard"),
        "{}",
        view.message
    );
}

#[tokio::test]
async fn a_change_of_state_is_reported_before_its_time() {
    let (_control_plane, relay, mut opened) = joined().await;
    let health = |said| if let Said::Health(report) = said { Some(report) } else { None };
    assert!(opened.hear(health).await.is_some());
    relay.urgent.send_modify(|count| *count += 1);
    assert!(opened.hear(health).await.is_some());
}

#[tokio::test]
async fn the_last_words_are_a_report_and_goodbye() {
    let (_control_plane, mut relay, mut opened) = joined().await;
    relay.goodbye.send_replace(Some("drained"));
    let goodbye = opened
        .hear(|said| if let Said::Goodbye(goodbye) = said { Some(goodbye.reason) } else { None })
        .await;
    assert_eq!(goodbye.as_deref(), Some("drained"));
    drop(opened);
    timeout(SAFETY, relay.session.join_next()).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_known_to_be_refused() {
    let mut control_plane = FakeControlPlane::start().await;
    let other = FakeControlPlane::start_with(Arc::new(Authority::new())).await;
    let stranger = other.enroll().await;
    let mut relay = SimulatedRelay::start(control_plane.dialer(), Some(Arc::clone(&stranger)));
    let view = relay.until(|view| view.refused.is_some() || view.failures > 3).await;
    assert!(view.refused.is_some(), "{}", view.message);
    assert!(Arc::ptr_eq(view.refused.as_ref().unwrap(), &stranger));

    relay.identity.send_replace(Some(control_plane.enroll().await));
    control_plane.next_session().await;
    assert!(relay.until(|view| view.opened > 0).await.refused.is_none());
}

#[tokio::test]
async fn what_the_control_plane_asks_for_is_waited_for() {
    let mut details = tonic_types::ErrorDetails::new();
    details.set_retry_info(Some(Duration::from_secs(7)));
    let busy = OpenError::Refused(Box::new(Status::with_error_details(
        Code::Unavailable,
        "too many",
        details,
    )));
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
    assert!(!busy.refuses_identity());
    assert!(
        OpenError::Refused(Box::new(Status::unauthenticated("the relay was removed")))
            .refuses_identity()
    );
}

#[tokio::test]
async fn settings_of_another_fleet_count_for_nothing() {
    let mut control_plane = FakeControlPlane::start().await;
    let identity = control_plane.enroll().await;
    let relay = SimulatedRelay::start(control_plane.dialer(), None);
    let elsewhere = Desired {
        fleet: "tenants/acme/fleets/osaka".to_owned(),
        revision: 40,
        hash: bytes::Bytes::from_static(b"hash"),
        settings: bytes::Bytes::new(),
        traceparent: String::new(),
        tracestate: String::new(),
    };
    relay.standing.resumed(&elsewhere);
    relay.identity.send_replace(Some(identity));
    let opened = control_plane.next_session().await;
    assert_eq!((opened.hello.running_revision, opened.hello.running_hash.len()), (0, 0));
    opened.say(Say::Snapshot(snapshot(2))).await;
    assert_eq!(relay.desired(2).await.fleet, FLEET);
}

#[tokio::test]
async fn a_fresh_identity_is_used_at_once_after_a_refusal() {
    let mut control_plane = FakeControlPlane::start().await;
    let removed = Status::unauthenticated("the relay was removed");
    control_plane.change(|behaviour| behaviour.refuse_sessions = Some(removed));
    let identity = control_plane.enroll().await;
    let standing = Arc::new(Standing::new(Clock::system()));
    let view = watch::Sender::new(View::default());
    let identities = watch::Sender::new(Some(identity));
    let urgent = watch::Sender::new(0);
    let subject = Subject {
        description: RelayDescription::default(),
        standing,
        report: Arc::new(HealthReport::default),
        urgent: urgent.subscribe(),
        view: view.clone(),
        orders: Orders::default(),
        clock: Clock::system(),
    };
    let goodbye = watch::Sender::new(None);
    let mut session = JoinSet::new();
    // Delays grow past any patience from the eighth failure on.
    session.spawn(keep(
        control_plane.dialer(),
        identities.subscribe(),
        subject,
        goodbye.subscribe(),
        || 0.99,
    ));
    timeout(SAFETY, view.subscribe().wait_for(|view| view.refused.is_some() && view.failures > 2))
        .await
        .unwrap()
        .unwrap();
    control_plane.change(|behaviour| behaviour.refuse_sessions = None);
    identities.send_replace(Some(control_plane.enroll().await));
    control_plane.next_session().await;
}
