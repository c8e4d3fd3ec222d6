//! Rotations of access keys, as relays and operators see them.
use ekiden_proto::relay::v1::{KeyBundle, KeyTrial, KeyTrialOutcome as Outcome, KeyUse};
use ekiden_proto::settings::v1::{CollectorProtocol, KeyPlacement, Listener, ListenerProtocol};
use tokio::{sync::watch, task::JoinSet};

use super::*;

const KEY: &str = "tenants/acme/accessKeys/main";
const VENDOR: &str = "tenants/acme/collectors/vendor";

/// A relay that takes every bundle and tells how its collector likes the newest version.
struct Holder {
    device: Device,
    /// What its collector says to the new version.
    vendor: watch::Sender<Outcome>,
    /// The bundles it got.
    bundles: watch::Receiver<Vec<KeyBundle>>,
    _running: JoinSet<()>,
}

impl Holder {
    async fn start(app: &TestApp, vendor: Outcome) -> Self {
        let device = enrolled(app, "acme").await;
        let mut stream = device.joined(app).await;
        let (vendor, mut says) = watch::channel(vendor);
        let (got, bundles) = watch::channel(Vec::new());
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut held = KeyBundle::default();
            loop {
                tokio::select! {
                    message = stream.next() => match message {
                        Ok(Some(Down::KeyBundle(bundle))) => {
                            got.send_modify(|all| all.push(bundle.clone()));
                            held = bundle;
                        }
                        Ok(Some(_)) => continue,
                        Ok(None) | Err(_) => return,
                    },
                    _ = says.changed() => {}
                }
                let outcome = *says.borrow_and_update();
                stream.say(Up::KeyStatus(status(&held, outcome))).await;
            }
        });
        let mut holder = Self { device, vendor, bundles, _running: running };
        holder.saw(1).await;
        holder
    }

    /// The bundles, once there are this many.
    async fn saw(&mut self, count: usize) -> Vec<KeyBundle> {
        let seen = timeout(PATIENCE, self.bundles.wait_for(|all| all.len() >= count)).await;
        seen.unwrap().unwrap().clone()
    }
}

fn status(held: &KeyBundle, outcome: Outcome) -> KeyStatus {
    let newest = held.keys.iter().max_by_key(|key| key.version);
    let on_trial = newest.filter(|_| held.keys.len() > 1);
    let trial = on_trial.map(|key| KeyTrial {
        access_key: key.access_key.clone(),
        version: key.version,
        collector: VENDOR.to_owned(),
        outcome: outcome.into(),
        message: if outcome == Outcome::Refused { "no such key".to_owned() } else { String::new() },
        observed_at: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
    });
    KeyStatus {
        secret_version: held.secret_version,
        trials: trial.into_iter().collect(),
        ..KeyStatus::default()
    }
}

async fn rotate(app: &TestApp, value: &str, grace: i64) -> Result<KeyRotation, Status> {
    let request = RotateAccessKeyRequest {
        name: KEY.to_owned(),
        value: value.to_owned(),
        grace: Some(prost_types::Duration { seconds: grace, nanos: 0 }),
        ..Default::default()
    };
    let answer: RotateAccessKeyResponse =
        app.call("AccessKeyService/RotateAccessKey", request).await?;
    Ok(answer.rotation.unwrap())
}

async fn cancel(app: &TestApp) -> Result<KeyRotation, Status> {
    let request = CancelKeyRotationRequest { name: KEY.to_owned(), ..Default::default() };
    let answer: CancelKeyRotationResponse =
        app.call("AccessKeyService/CancelKeyRotation", request).await?;
    Ok(answer.rotation.unwrap())
}

async fn look(app: &TestApp) -> KeyRotation {
    let request = GetKeyRotationRequest { name: KEY.to_owned() };
    let answer: GetKeyRotationResponse =
        app.call("AccessKeyService/GetKeyRotation", request).await.unwrap();
    answer.rotation.unwrap()
}

/// Reads the rotation until it is as wanted.
async fn until(app: &TestApp, wanted: impl Fn(&KeyRotation) -> bool) -> KeyRotation {
    let found = timeout(PATIENCE, async {
        loop {
            let rotation = look(app).await;
            if wanted(&rotation) {
                return rotation;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    match found.await {
        Ok(rotation) => rotation,
        Err(_) => panic!("it stayed {:?}", look(app).await),
    }
}

async fn reaches(app: &TestApp, state: KeyRotationState) -> KeyRotation {
    until(app, |rotation| rotation.state() == state).await
}

async fn key(app: &TestApp) -> AccessKey {
    let request = GetAccessKeyRequest { name: KEY.to_owned() };
    let answer: GetAccessKeyResponse =
        app.call("AccessKeyService/GetAccessKey", request).await.unwrap();
    answer.access_key.unwrap()
}

/// Numbers of the versions that are sealed in the database.
async fn sealed(app: &TestApp) -> String {
    let mut db = app.database.pool.acquire().await.unwrap();
    let versions = "select coalesce(string_agg(key_version::text, ',' order by key_version), '') from access_key_versions";
    crate::test_database::text(&mut db, versions).await
}

/// What the control plane did by itself, from the audit trail.
async fn steps(app: &TestApp) -> String {
    let mut db = app.database.pool.acquire().await.unwrap();
    let steps = "select coalesce(string_agg(method, ', ' order by sequence), '') from audit_events where actor = 'controlPlane' and method like '%rotation%'";
    crate::test_database::text(&mut db, steps).await
}

/// What each bundle is made of: value and use, in the order sent.
fn uses(bundle: &KeyBundle) -> Vec<(&str, KeyUse)> {
    bundle.keys.iter().map(|k| (std::str::from_utf8(&k.value).unwrap(), k.r#use())).collect()
}

async fn world() -> TestApp {
    let app = TestApp::start().await;
    customer(&app, "acme").await;
    app
}

#[tokio::test]
async fn a_rotation_ends_when_every_relay_has_proven_the_new_version_and_let_go_of_the_old() {
    let app = world().await;
    let mut relays = [
        Holder::start(&app, Outcome::Accepted).await,
        Holder::start(&app, Outcome::Accepted).await,
    ];
    let begun = rotate(&app, "the-next", 0).await.unwrap();
    assert_eq!((begun.old_version, begun.new_version), (1, 2));
    assert_eq!(key(&app).await.version, 1, "nothing is used before it is proven");
    reaches(&app, KeyRotationState::OldDestroyed).await;
    for relay in &mut relays {
        let bundles = relay.saw(4).await;
        let seen: Vec<_> = bundles.iter().map(uses).collect();
        use KeyUse::*;
        assert_eq!(
            seen,
            [
                vec![("the-secret", Preferred)],
                vec![("the-next", Candidate), ("the-secret", Preferred)],
                vec![("the-secret", Fallback), ("the-next", Preferred)],
                vec![("the-next", Preferred)],
            ]
        );
    }
    let now = key(&app).await;
    assert_eq!((now.version, now.fingerprint), (2, begun.new_fingerprint));
    assert_eq!(sealed(&app).await, "2", "the old value is destroyed");
    assert_eq!(
        steps(&app).await,
        "key rotation: distributing, key rotation: preferred, key rotation: old-draining, key rotation: old-disabled, key rotation: old-destroyed"
    );
}

#[tokio::test]
async fn a_refusal_stops_the_rotation_names_the_relay_and_its_end_lets_it_go_on() {
    let app = world().await;
    let _good = Holder::start(&app, Outcome::Accepted).await;
    let bad = Holder::start(&app, Outcome::Refused).await;
    rotate(&app, "the-next", 0).await.unwrap();
    let stopped = until(&app, |rotation| rotation.stop_time.is_some()).await;
    assert_eq!(stopped.state(), KeyRotationState::Distributing);
    assert_eq!((stopped.relays, stopped.relays_proven), (2, 1));
    let wait = &stopped.waits[0];
    assert_eq!((wait.relay.as_str(), wait.collector.as_str()), (&*bad.device.name, VENDOR));
    assert_eq!(wait.reason(), KeyRotationWaitReason::Refused);
    assert_eq!(wait.message, "no such key");
    assert_eq!(wait.observe_time.unwrap().seconds, 1_800_000_000);
    assert_eq!(key(&app).await.version, 1, "the old version is still in use");

    bad.vendor.send_replace(Outcome::Accepted);
    let done = reaches(&app, KeyRotationState::OldDestroyed).await;
    assert!(done.stop_time.is_none());
    assert!(steps(&app).await.contains("stop key rotation, resume key rotation"));
}

#[tokio::test]
async fn a_refusal_during_the_grace_keeps_the_old_version_and_begins_the_grace_anew() {
    let app = world().await;
    let relay = Holder::start(&app, Outcome::Accepted).await;
    rotate(&app, "the-next", 3600).await.unwrap();
    let draining = reaches(&app, KeyRotationState::OldDraining).await;
    relay.vendor.send_replace(Outcome::Refused);
    until(&app, |rotation| rotation.stop_time.is_some()).await;
    relay.vendor.send_replace(Outcome::Accepted);
    let resumed = until(&app, |rotation| rotation.stop_time.is_none()).await;
    assert_eq!(resumed.state(), KeyRotationState::OldDraining);
    let at = |rotation: &KeyRotation| {
        let time = rotation.state_time.unwrap();
        (time.seconds, time.nanos)
    };
    assert!(at(&resumed) > at(&draining));
    assert_eq!(sealed(&app).await, "1,2");
}

#[tokio::test]
async fn a_relay_that_is_away_is_waited_for_until_it_is_revoked() {
    let app = world().await;
    let away = enrolled(&app, "acme").await;
    let _here = Holder::start(&app, Outcome::Accepted).await;
    rotate(&app, "the-next", 0).await.unwrap();
    let waiting = until(&app, |rotation| rotation.relays_proven == 1).await;
    assert_eq!(waiting.state(), KeyRotationState::Distributing);
    assert_eq!(waiting.waits.len(), 1);
    assert_eq!(
        (&waiting.waits[0].relay, waiting.waits[0].reason()),
        (&away.name, KeyRotationWaitReason::Away)
    );
    let request = RevokeRelayRequest { name: away.name.clone(), ..Default::default() };
    let _: RevokeRelayResponse = app.call("RelayService/RevokeRelay", request).await.unwrap();
    reaches(&app, KeyRotationState::OldDestroyed).await;
}

#[tokio::test]
async fn a_cancelled_rotation_leaves_the_old_version_alone_in_use_and_its_number_is_not_used_again()
{
    let app = world().await;
    let mut relay = Holder::start(&app, Outcome::Accepted).await;
    rotate(&app, "the-next", 3600).await.unwrap();
    reaches(&app, KeyRotationState::OldDraining).await;
    assert_eq!(key(&app).await.version, 2);
    assert_eq!(cancel(&app).await.unwrap().state(), KeyRotationState::Cancelled);
    assert_eq!((key(&app).await.version, sealed(&app).await.as_str()), (1, "1"));
    let bundles = relay.saw(4).await;
    assert_eq!(uses(&bundles[3]), [("the-secret", KeyUse::Preferred)]);
    assert_eq!(reason(&cancel(&app).await.unwrap_err()), "KEY_ROTATION_PAST_CANCELLING");
    assert_eq!(rotate(&app, "the-third", 0).await.unwrap().new_version, 3);
}

#[tokio::test]
async fn what_would_disturb_a_rotation_or_prove_nothing_is_refused() {
    let app = world().await;
    let update = |access_key: AccessKey, path: &str| UpdateAccessKeyRequest {
        access_key: Some(AccessKey { name: KEY.to_owned(), ..access_key }),
        update_mask: Some(prost_types::FieldMask { paths: vec![path.to_owned()] }),
        ..Default::default()
    };
    let set = async |request| {
        app.call::<_, UpdateAccessKeyResponse>("AccessKeyService/UpdateAccessKey", request).await
    };
    assert_eq!(rotate(&app, "the-next", -1).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(
        rotate(&app, "the-next", 31 * 86400).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    assert_eq!(rotate(&app, "", 0).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(rotate(&app, "the-secret", 0).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(cancel(&app).await.unwrap_err().code(), Code::NotFound);

    set(update(AccessKey { enabled: Some(false), ..Default::default() }, "enabled")).await.unwrap();
    assert_eq!(reason(&rotate(&app, "the-next", 0).await.unwrap_err()), "ACCESS_KEY_DISABLED");
    set(update(AccessKey { enabled: Some(true), ..Default::default() }, "enabled")).await.unwrap();

    // A relay that never answers keeps it open.
    let _away = enrolled(&app, "acme").await;
    rotate(&app, "the-next", 0).await.unwrap();
    assert_eq!(reason(&rotate(&app, "the-third", 0).await.unwrap_err()), "ACCESS_KEY_ROTATING");
    let value = AccessKey { value: "by-force".to_owned(), ..Default::default() };
    assert_eq!(reason(&set(update(value, "value")).await.unwrap_err()), "ACCESS_KEY_ROTATING");
}

#[tokio::test]
async fn several_replicas_take_each_step_once() {
    let app = world().await;
    let other = app.beside().await;
    let relay = Holder::start(&other, Outcome::Accepted).await;
    rotate(&app, "the-next", 0).await.unwrap();
    reaches(&app, KeyRotationState::OldDestroyed).await;
    assert_eq!(steps(&app).await.matches("key rotation:").count(), 5);
    drop(relay);
}

#[tokio::test]
async fn what_a_relay_says_of_another_tenants_key_is_not_kept() {
    let app = world().await;
    customer(&app, "globex").await;
    let relay = enrolled(&app, "globex").await;
    let stream = relay.joined(&app).await;
    let trial = |access_key: &str, collector: &str| KeyTrial {
        access_key: access_key.to_owned(),
        version: 2,
        collector: collector.to_owned(),
        outcome: Outcome::Accepted.into(),
        observed_at: Some(prost_types::Timestamp::default()),
        ..Default::default()
    };
    let own = "tenants/globex/accessKeys/main";
    let trials = vec![
        trial(KEY, VENDOR),
        trial(KEY, "tenants/globex/collectors/vendor"),
        trial(own, VENDOR),
        trial("tenants/globex/accessKeys/none", "tenants/globex/collectors/vendor"),
        trial("nonsense", "nonsense"),
        trial(own, "tenants/globex/collectors/vendor"),
    ];
    stream.say(Up::KeyStatus(KeyStatus { secret_version: 7, trials, ..Default::default() })).await;
    super::until(&app, &relay.name, |relay| relay.secret_version == 7).await;
    let mut db = app.database.pool.acquire().await.unwrap();
    let kept = "select string_agg(tenant_id || '/' || access_key_id || '/' || collector_id, ',') from relay_key_trials";
    assert_eq!(crate::test_database::text(&mut db, kept).await, "globex/main/vendor");
}

#[tokio::test]
async fn a_key_that_workloads_carry_over_raw_tcp_is_observed_and_never_leaves_the_control_plane() {
    let app = world().await;
    let collector = Collector {
        name: VENDOR.to_owned(),
        protocol: CollectorProtocol::Tcp.into(),
        key_placement: Some(KeyPlacement { access_key: KEY.to_owned(), ..Default::default() }),
        ..test_app::customer::otlp_collector("acme", "main")
    };
    let fleet = app.read_fleet("acme", "tokyo").await;
    let listeners = fleet
        .listeners
        .into_iter()
        .map(|listener| Listener { protocol: ListenerProtocol::Tcp.into(), ..listener });
    let raw = Fleet { name: fleet.name, listeners: listeners.collect(), ..Default::default() };
    let request = CreateCollectorRequest {
        parent: "tenants/acme".to_owned(),
        collector_id: "raw".to_owned(),
        collector: Some(Collector { name: String::new(), ..collector }),
        ..Default::default()
    };
    let _: CreateCollectorResponse =
        app.call("CollectorService/CreateCollector", request).await.unwrap();
    let mut raw = raw;
    raw.listeners[0].collector = "tenants/acme/collectors/raw".to_owned();
    let request = UpdateFleetRequest {
        fleet: Some(raw),
        update_mask: Some(prost_types::FieldMask { paths: vec!["listeners".to_owned()] }),
        ..Default::default()
    };
    let _: UpdateFleetResponse = app.call("FleetService/UpdateFleet", request).await.unwrap();

    let mut relay = Holder::start(&app, Outcome::Unspecified).await;
    assert!(relay.saw(1).await[0].keys.is_empty());
    let begun = rotate(&app, "the-next", 0).await.unwrap();
    assert_eq!(begun.collectors.len(), 1);
    assert_eq!(begun.collectors[0].collector, "tenants/acme/collectors/raw");
    assert_eq!(begun.collectors[0].proof(), KeyProof::Observed);
    reaches(&app, KeyRotationState::OldDestroyed).await;
    assert!(relay.saw(4).await.iter().all(|bundle| bundle.keys.is_empty()));
}
