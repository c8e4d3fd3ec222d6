use ekiden_proto::{
    admin::v1::{ReceivedHealthReport, RelayState},
    health::v1::{
        CollectorHealth, Condition, ConnectTimings, DiscoveryHealth, HealthReport, ListenerHealth,
        ProcessHealth, RelayPhase, Severity,
    },
    relay::v1::{SettingsPhase, Violation},
};

use super::*;
use crate::{
    commands::tests::{at, now},
    output::structured,
};

fn relay(id: &str) -> Relay {
    let mut relay = Relay {
        name: format!("tenants/acme/fleets/tokyo/relays/0198c5d2-7a31-7000-8000-{id}"),
        desired_revision: 4,
        running_revision: 4,
        attempted_revision: 4,
        secret_version: 2,
        address: "10.0.1.17".to_owned(),
        availability_zone: "ap-northeast-1a".to_owned(),
        software_version: "0.1.0".to_owned(),
        enroll_time: at(7_200),
        session_time: at(600),
        last_seen_time: at(3),
        certificate_expire_time: at(-1_800),
        health: Some(health()),
        ..Relay::default()
    };
    relay.set_state(RelayState::Connected);
    relay.set_phase(RelayPhase::Serving);
    relay.set_settings_phase(SettingsPhase::Applied);
    relay
}

fn health() -> HealthReport {
    let mut condition = Condition {
        reason: "COLLECTOR_UNREACHABLE".to_owned(),
        message: "own does not answer: check its endpoints".to_owned(),
        since: at(60),
        ..Condition::default()
    };
    condition.set_severity(Severity::Critical);
    let ms = |millis: i32| Some(prost_types::Duration { seconds: 0, nanos: millis * 1_000_000 });
    let mut report = HealthReport {
        observed_at: at(4),
        started_at: at(7_200),
        listeners: vec![ListenerHealth {
            name: "agents".to_owned(),
            port: 6443,
            connections_open: 12,
            connections_accepted: 40,
            connections_refused: 1,
            bytes_received: 5_368_709_120,
            bytes_sent: 1_536,
            workloads_seen: 9,
            ..ListenerHealth::default()
        }],
        collectors: vec![
            CollectorHealth {
                name: "tenants/acme/collectors/us4".to_owned(),
                reachable: true,
                dials: 40,
                endpoint: "ingest.us4.sysdig.com:6443".to_owned(),
                last_connect: Some(ConnectTimings {
                    dns: ms(1),
                    tcp: ms(12),
                    tls: ms(30),
                    first_byte: None,
                }),
                ..CollectorHealth::default()
            },
            CollectorHealth {
                name: "tenants/acme/collectors/own".to_owned(),
                failure: "dial".to_owned(),
                message: "connection refused".to_owned(),
                dials_failed: 7,
                ..CollectorHealth::default()
            },
        ],
        discovery: Some(DiscoveryHealth {
            registered: true,
            in_dns: true,
            ..DiscoveryHealth::default()
        }),
        conditions: vec![condition],
        process: Some(ProcessHealth { resident_bytes: 20_971_520, ..ProcessHealth::default() }),
        ..HealthReport::default()
    };
    report.set_phase(RelayPhase::Degraded);
    report
}

fn relays() -> [Relay; 4] {
    let behind = Relay { running_revision: 3, ..relay("000000000002") };
    let mut failed = Relay {
        running_revision: 3,
        attempted_revision: 4,
        violations: vec![Violation {
            field: "listeners[0].port".to_owned(),
            description: "80 is taken".to_owned(),
        }],
        ..relay("000000000003")
    };
    failed.set_settings_phase(SettingsPhase::Failed);
    let mut left = relay("100000000004");
    left.set_state(RelayState::Left);
    [relay("000000000001"), behind, failed, left]
}

#[test]
fn relays_are_shown() {
    let received = ReceivedHealthReport { report: Some(health()), receive_time: at(3) };
    let lines: String = relays()
        .iter()
        .map(|relay| shown::watch_line(relay, "tenants/acme/fleets/-") + "\n")
        .collect();
    insta::assert_snapshot!(
        "relays",
        [
            shown::table(&relays(), "tenants/acme/fleets/-", now()),
            shown::table(&relays(), "tenants/acme/fleets/tokyo", now()),
            shown::details(&relays()[2], now()),
            shown::reports(&[received]),
            format!("{}\n{lines}", shown::watch_header()),
            structured::json(&relay("000000000001")).unwrap(),
        ]
        .join("\n")
    );
    assert!(!structured::json_line(&relay("000000000001")).unwrap().contains('\n'));
}

#[test]
fn the_first_digits_find_one_relay_or_say_why_not() {
    let relays = relays();
    let found = |digits: &str| pick(&relays, digits).map_err(|failure| failure.to_string());
    assert_eq!(found("0198c5d2-7a31-7000-8000-1"), Ok(relays[3].name.clone()));
    assert!(found("0198").unwrap_err().contains("several"));
    assert!(found("ff").unwrap_err().contains("no relay"));
}
