use ekiden_proto::relay::v1::Violation;
use time::macros::datetime;

use super::*;
use crate::{
    environment::Notice,
    registry::membership::ServiceState,
    session::{Parameters, standing::Attempt},
    test_settings::{COLLECTOR, checked, registered_in, settings},
};

/// A relay that serves, with nothing wrong.
fn well() -> Facts {
    let parameters = Parameters {
        session: "session-1".to_owned(),
        health_interval: Duration::from_secs(10),
        heartbeat_interval: Duration::from_secs(20),
        reconnect_spread: Duration::ZERO,
        clock_ahead: Some(time::Duration::milliseconds(-40)),
    };
    Facts {
        now: datetime!(2026-11-23 10:00 UTC),
        draining: false,
        settings: Some(checked(&settings(6667, ([127, 0, 0, 1], 9).into()))),
        keys: Arc::default(),
        running: Running { revision: 3, ..Running::default() },
        collectors: vec![CollectorHealth {
            name: COLLECTOR.to_owned(),
            reachable: true,
            ..CollectorHealth::default()
        }],
        registration: Registration::default(),
        session: View { parameters: Some(parameters), opened: 1, ..View::default() },
        enrollment: String::new(),
        told: Told { control_plane: true, bootstrap: None, notices: [].into() },
        certificate_ends: Some(datetime!(2026-11-23 11:00 UTC)),
        renew_at: Some(datetime!(2026-11-23 10:30 UTC)),
        process: ProcessHealth { open_files: 20, ..ProcessHealth::default() },
        open_files_limit: Some(1024),
    }
}

fn judged(facts: &Facts) -> (RelayPhase, Vec<String>) {
    let assessment = assess(facts, &mut Memory::default());
    (
        assessment.phase,
        assessment.conditions.into_iter().map(|condition| condition.reason).collect(),
    )
}

fn unreachable() -> Facts {
    let mut facts = well();
    facts.collectors = vec![CollectorHealth {
        name: COLLECTOR.to_owned(),
        failure: "dial".to_owned(),
        ..CollectorHealth::default()
    }];
    facts
}

#[test]
fn a_relay_with_nothing_wrong_serves() {
    assert_eq!(judged(&well()), (RelayPhase::Serving, vec![]));
}

#[test]
fn a_relay_without_settings_starts() {
    assert_eq!(judged(&Facts { settings: None, ..well() }).0, RelayPhase::Starting);
}

#[test]
fn a_relay_joins_until_dns_answers_with_it() {
    let mut facts = well();
    let listed =
        registered_in(settings(6667, ([127, 0, 0, 1], 9).into()), "srv-one", "relay.internal.");
    facts.settings = Some(checked(&listed));
    let mut service = ServiceState { registered: true, ..ServiceState::default() };
    let listed_as = |service: &ServiceState| Registration {
        wanted: true,
        services: vec![service.clone()],
        current: 1,
        ..Registration::default()
    };
    facts.registration = listed_as(&service);
    assert_eq!(judged(&facts), (RelayPhase::Joining, vec!["NOT_IN_DNS".to_owned()]));
    service.dns_differs = true;
    facts.registration = listed_as(&service);
    assert_eq!(judged(&facts), (RelayPhase::Joining, vec!["DNS_DIFFERS".to_owned()]));
    (service.in_dns, service.dns_differs) = (true, false);
    facts.registration = listed_as(&service);
    assert_eq!(judged(&facts), (RelayPhase::Serving, vec![]));
}

#[test]
fn a_relay_that_served_and_cannot_deliver_is_degraded_and_one_that_never_did_joins() {
    let mut memory = Memory::default();
    assert_eq!(assess(&unreachable(), &mut memory).phase, RelayPhase::Joining);
    assert_eq!(assess(&well(), &mut memory).phase, RelayPhase::Serving);
    let degraded = assess(&unreachable(), &mut memory);
    assert_eq!(
        (degraded.phase, degraded.delivers, degraded.ready),
        (RelayPhase::Degraded, false, false)
    );
    assert_eq!(degraded.conditions.first().unwrap().reason, "COLLECTOR_UNREACHABLE");
}

#[test]
fn a_refused_key_is_critical_but_no_reason_to_leave_dns() {
    let mut facts = well();
    facts.collectors = vec![CollectorHealth {
        name: COLLECTOR.to_owned(),
        failure: "auth".to_owned(),
        ..CollectorHealth::default()
    }];
    let assessment = assess(&facts, &mut Memory::default());
    assert!(assessment.delivers);
    assert_eq!(assessment.phase, RelayPhase::Degraded);
    assert_eq!(assessment.conditions.first().unwrap().reason, "ACCESS_KEY_REFUSED");
}

#[test]
fn nothing_delivers_before_the_first_probe_answered() {
    let mut facts = well();
    facts.collectors =
        vec![CollectorHealth { name: COLLECTOR.to_owned(), ..CollectorHealth::default() }];
    let assessment = assess(&facts, &mut Memory::default());
    assert_eq!((assessment.delivers, assessment.phase), (false, RelayPhase::Joining));
}

#[test]
fn everything_that_is_wrong_is_told_most_serious_first() {
    let mut facts = unreachable();
    facts.enrollment = "the token has expired".to_owned();
    facts.session = View { failures: 5, message: "no route".to_owned(), ..View::default() };
    facts.running.attempt = Some(Attempt {
        revision: 4,
        hash: bytes::Bytes::new(),
        phase: SettingsPhase::Failed,
        violations: vec![Violation {
            field: "listeners[0].port".to_owned(),
            description: "0".to_owned(),
        }],
        observed_at: Timestamp::default(),
    });
    facts.now = datetime!(2026-11-23 10:50 UTC);
    facts.process.open_files = 1000;
    let (_, reasons) = judged(&facts);
    assert_eq!(
        reasons,
        [
            "COLLECTOR_UNREACHABLE",
            "IDENTITY_TROUBLE",
            "CONTROL_PLANE_UNREACHABLE",
            "SETTINGS_REJECTED",
            "CERTIFICATE_ENDS_SOON",
            "OPEN_FILES_HIGH",
            "SETTINGS_FROM_DISK",
        ]
    );
}

#[test]
fn a_condition_keeps_the_time_since_when_it_holds() {
    let mut memory = Memory::default();
    let first = assess(&unreachable(), &mut memory);
    let later =
        assess(&Facts { now: datetime!(2026-11-23 10:01 UTC), ..unreachable() }, &mut memory);
    assert_eq!(first.conditions, later.conditions);
    assess(&well(), &mut memory);
    let again =
        assess(&Facts { now: datetime!(2026-11-23 10:02 UTC), ..unreachable() }, &mut memory);
    assert_ne!(first.conditions, again.conditions);
}

#[test]
fn a_clock_that_is_off_is_noticed() {
    let mut facts = well();
    facts.session.parameters.as_mut().unwrap().clock_ahead = Some(time::Duration::minutes(-10));
    assert_eq!(judged(&facts), (RelayPhase::Degraded, vec!["CLOCK_SKEW".to_owned()]));
}

#[test]
fn a_leaving_relay_is_never_ready() {
    let assessment = assess(&Facts { draining: true, ..well() }, &mut Memory::default());
    assert_eq!((assessment.phase, assessment.ready), (RelayPhase::Draining, false));
}

#[test]
fn a_relay_waits_for_its_first_keys_but_serves_its_other_listeners_without_them() {
    let mut keyed = settings(6667, ([127, 0, 0, 1], 9).into());
    let collector = keyed.collectors.first_mut().unwrap();
    collector.protocol = ekiden_proto::settings::v1::CollectorProtocol::OtlpGrpc.into();
    collector.key_placement = Some(ekiden_proto::settings::v1::KeyPlacement {
        access_key: "tenants/acme/accessKeys/datadog".to_owned(),
        header: "api-key".to_owned(),
        prefix: String::new(),
    });
    keyed.listeners.first_mut().unwrap().protocol =
        ekiden_proto::settings::v1::ListenerProtocol::Otlp.into();
    let mut facts = well();
    facts.settings = Some(checked(&keyed));
    let assessment = assess(&facts, &mut Memory::default());
    assert_eq!((assessment.delivers, assessment.phase), (false, RelayPhase::Joining));
    assert_eq!(assessment.conditions.first().unwrap().reason, "ACCESS_KEY_MISSING");

    facts.session = View { failures: 5, ..View::default() };
    let assessment = assess(&facts, &mut Memory::default());
    assert_eq!((assessment.delivers, assessment.phase), (true, RelayPhase::Degraded));
}

fn notice(name: &str, serious: bool) -> Notice {
    Notice { name: name.to_owned(), description: "nobody wants it".to_owned(), serious }
}

/// A relay without a control plane that was heard, which serves what its environment says.
fn from_environment(notices: &[Notice]) -> Facts {
    let mut facts = well();
    facts.session = View::default();
    (facts.certificate_ends, facts.renew_at) = (None, None);
    facts.running = Running::default();
    let bootstrap = facts.settings.clone();
    facts.told = Told { control_plane: false, bootstrap, notices: notices.into() };
    facts
}

#[test]
fn settings_of_the_environment_serve_and_are_told_of() {
    let (phase, reasons) = judged(&from_environment(&[]));
    assert_eq!(
        (phase, reasons),
        (RelayPhase::Serving, vec!["SETTINGS_FROM_ENVIRONMENT".to_owned()])
    );
}

#[test]
fn each_variable_without_effect_is_named_once_and_slight_ones_do_no_harm() {
    let facts = from_environment(&[notice("TAGS", false), notice("ACCESS_KEY", false)]);
    let assessment = assess(&facts, &mut Memory::default());
    assert!(assessment.ready && assessment.phase == RelayPhase::Serving);
    for name in ["TAGS", "ACCESS_KEY"] {
        let naming = assessment.conditions.iter().filter(|it| it.message.starts_with(name));
        assert_eq!(naming.count(), 1, "{name}: {:?}", assessment.conditions);
    }
    let facts = from_environment(&[notice("PROXY_COLOUR", true)]);
    let assessment = assess(&facts, &mut Memory::default());
    assert!(assessment.ready, "it serves all the same");
    assert_eq!(assessment.phase, RelayPhase::Degraded);
}

#[test]
fn nothing_is_said_of_the_environment_once_the_control_planes_settings_run() {
    let mut facts = from_environment(&[notice("PROXY_COLOUR", true)]);
    facts.session = well().session;
    facts.settings = well().settings;
    assert_eq!(judged(&facts), (RelayPhase::Serving, vec![]));
}
