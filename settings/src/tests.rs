//! The whole snapshot, field by field.
use std::{sync::Arc, time::Duration};

use ekiden_proto::settings::v1::{
    self as proto, CollectorProtocol as Speaks, ListenerProtocol as Takes,
};
use proptest::prelude::*;
use prost::Message;

use crate::*;

const TCP: &str = "tenants/acme/collectors/sysdig";
const OTLP: &str = "tenants/acme/collectors/vendor";

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn listener(name: &str, port: u32, protocol: Takes, collector: &str) -> proto::Listener {
    proto::Listener {
        name: name.to_owned(),
        port,
        protocol: protocol.into(),
        collector: collector.to_owned(),
        ..Default::default()
    }
}

fn endpoint(host: &str, priority: u32) -> proto::Endpoint {
    proto::Endpoint { host: host.to_owned(), port: 6443, priority }
}

fn good() -> proto::Settings {
    proto::Settings {
        fleet: "tenants/acme/fleets/tokyo".to_owned(),
        listeners: vec![
            listener("agents", 6443, Takes::Tcp, TCP),
            listener("otlp", 4317, Takes::Otlp, OTLP),
        ],
        collectors: vec![
            proto::Collector {
                name: TCP.to_owned(),
                protocol: Speaks::Tcp.into(),
                endpoints: vec![endpoint("backup.example", 10), endpoint("First.example.", 0)],
                tls: Some(proto::Tls::default()),
                ..Default::default()
            },
            proto::Collector {
                name: OTLP.to_owned(),
                protocol: Speaks::OtlpGrpc.into(),
                endpoints: vec![endpoint("192.0.2.7", 0)],
                key_placement: Some(proto::KeyPlacement {
                    access_key: "tenants/acme/accessKeys/vendor".to_owned(),
                    header: "authorization".to_owned(),
                    prefix: "Bearer ".to_owned(),
                }),
                ..Default::default()
            },
        ],
        discovery: Some(proto::Discovery {
            cloud_map: Some(proto::CloudMap {
                service_id: "srv-e4anhexample0004".to_owned(),
                dns_name: "relay.telemetry.internal.".to_owned(),
                ..Default::default()
            }),
        }),
        limits: None,
    }
}

fn violations(settings: &proto::Settings) -> Vec<Violation> {
    check(&settings.encode_to_vec()).err().unwrap_or_default()
}

/// Asserts that exactly one field is wrong after a change, and gives what is said of it.
#[track_caller]
fn wrong(field: &str, change: impl FnOnce(&mut proto::Settings)) -> String {
    let mut settings = good();
    change(&mut settings);
    match &violations(&settings)[..] {
        [only] => {
            assert_eq!(only.field, field, "{only}");
            only.description.clone()
        }
        others => panic!("{field} alone should be wrong, not {others:?}"),
    }
}

#[test]
fn good_settings_come_out_complete_with_the_documented_defaults() {
    let checked = check(&good().encode_to_vec()).unwrap();
    assert_eq!(checked.fleet, "tenants/acme/fleets/tokyo");
    let [agents, otlp] = &checked.listeners[..] else { panic!("{:?}", checked.listeners) };
    assert_eq!(
        (agents.port, agents.protocol, agents.max_connections),
        (6443, Protocol::Tcp, 10_000)
    );
    assert_eq!(agents.idle_timeout, Duration::from_secs(3600));
    let hosts = agents.collector.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(hosts, ["first.example:6443", "backup.example:6443"], "by priority");
    assert_eq!(agents.collector.connect_timeout, Duration::from_secs(2));
    assert!(Arc::ptr_eq(&agents.collector, &checked.collectors[0]));
    assert_eq!(otlp.protocol, Protocol::Otlp);
    assert_eq!(checked.discovery.unwrap().ttl, Duration::from_secs(10));
    let limits = Limits {
        max_connections: 50_000,
        max_request_bytes: 4 << 20,
        max_in_flight_bytes: 64 << 20,
    };
    assert_eq!(checked.limits, limits);
    assert!(check(&[]).is_err(), "nothing at all is no settings");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let mut settings = good();
    settings.fleet.clear();
    settings.listeners[0].port = 0;
    settings.listeners[1].idle_timeout = seconds(-1);
    settings.collectors[0].endpoints[1].host = "https://first.example".to_owned();
    settings.collectors[1].key_placement.as_mut().unwrap().header = "te".to_owned();
    let violations = violations(&settings);
    let mut fields =
        violations.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "collectors[0].endpoints[1].host",
            "collectors[1].key_placement.header",
            "fleet",
            "listeners[0].port",
            "listeners[1].idle_timeout",
        ]
    );
}

#[test]
fn listeners_are_checked_field_by_field() {
    let told = wrong("listeners[1].port", |settings| settings.listeners[1].port = 0);
    assert_eq!(told, "0 is no port; 1 to 65535");
    wrong("listeners[1].port", |settings| settings.listeners[1].port = 65_536);
    let told = wrong("listeners[1].port", |settings| settings.listeners[1].port = 6443);
    assert_eq!(told, "another listener has the same port 6443");
    wrong("listeners[1].name", |settings| settings.listeners[1].name = "agents".to_owned());
    wrong("listeners[1].name", |settings| settings.listeners[1].name = "Agents".to_owned());
    wrong("listeners[0].protocol", |settings| settings.listeners[0].protocol = 0);
    wrong("listeners[0].protocol", |settings| settings.listeners[0].protocol = 99);
    wrong("listeners[0].collector", |settings| {
        settings.listeners[0].collector = "elsewhere".to_owned()
    });
    wrong("listeners[0].collector", |settings| {
        settings.listeners[0].collector = "tenants/other/collectors/sysdig".to_owned()
    });
    let told = wrong("listeners[0].collector", |settings| {
        settings.listeners[0].collector = "tenants/acme/collectors/gone".to_owned()
    });
    assert_eq!(told, "there is no collector \"tenants/acme/collectors/gone\"");
    let told = wrong("listeners[0].collector", |settings| {
        settings.listeners[0].collector = OTLP.to_owned()
    });
    assert_eq!(
        told,
        "tenants/acme/collectors/vendor does not speak TCP, which a listener of TCP needs"
    );
    wrong("listeners[1].collector", |settings| settings.listeners[1].collector = TCP.to_owned());
    wrong("listeners[0].max_connections", |settings| {
        settings.listeners[0].max_connections = 60_001
    });
    wrong("listeners[0].idle_timeout", |settings| {
        settings.listeners[0].idle_timeout =
            Some(prost_types::Duration { seconds: 0, nanos: 999_999_999 });
    });
    wrong("listeners[1].max_connection_age", |settings| {
        settings.listeners[1].max_connection_age = seconds(59);
    });
    wrong("listeners", |settings| {
        let more =
            (1..=33).map(|number| listener(&format!("l{number}"), 7000 + number, Takes::Tcp, TCP));
        settings.listeners = more.collect();
    });
}

#[test]
fn collectors_are_checked_field_by_field() {
    wrong("collectors[2].name", |settings| {
        settings.collectors.push(settings.collectors[0].clone())
    });
    wrong("collectors[2].name", |settings| {
        let mut other = settings.collectors[0].clone();
        other.name = "tenants/other/collectors/sysdig".to_owned();
        settings.collectors.push(other);
    });
    wrong("collectors[0].endpoints", |settings| settings.collectors[0].endpoints.clear());
    wrong("collectors[0].endpoints", |settings| {
        let more = (0..17).map(|number| endpoint(&format!("a{number}.example"), 0));
        settings.collectors[0].endpoints = more.collect();
    });
    wrong("collectors[0].endpoints[1].host", |settings| {
        settings.collectors[0].endpoints[1].host = "Backup.example.".to_owned()
    });
    wrong("collectors[0].endpoints[0].host", |settings| {
        settings.collectors[0].endpoints[0].host.clear()
    });
    wrong("collectors[0].endpoints[0].port", |settings| {
        settings.collectors[0].endpoints[0].port = 0
    });
    wrong("collectors[0].endpoints[0].priority", |settings| {
        settings.collectors[0].endpoints[0].priority = 101
    });
    wrong("collectors[0].connect_timeout", |settings| {
        settings.collectors[0].connect_timeout = seconds(31)
    });
    wrong("collectors[0].connect_timeout", |settings| {
        settings.collectors[0].connect_timeout = seconds(-1)
    });
    wrong("collectors[0].connect_timeout", |settings| {
        settings.collectors[0].connect_timeout =
            Some(prost_types::Duration { seconds: 0, nanos: 99_999_999 });
    });
    wrong("collectors[0].key_placement.header", |settings| {
        settings.collectors[0].key_placement = settings.collectors[1].key_placement.clone();
        settings.collectors[0].key_placement.get_or_insert_default().prefix.clear();
    });
    wrong("collectors[0].key_placement.access_key", |settings| {
        settings.collectors[0].key_placement = Some(proto::KeyPlacement::default());
    });
    wrong("collectors", |settings| {
        let collector = settings.collectors[0].clone();
        settings.collectors.extend((0..63).map(|number| proto::Collector {
            name: format!("tenants/acme/collectors/c{number}"),
            ..collector.clone()
        }));
    });
}

#[test]
fn a_protocol_that_is_not_known_is_told_at_the_collector() {
    let told = wrong("collectors[0].protocol", |settings| settings.collectors[0].protocol = 0);
    assert_eq!(told, "is not set; TCP or OTLP_GRPC");
    wrong("collectors[0].protocol", |settings| settings.collectors[0].protocol = 99);
}

#[test]
fn tls_is_checked_field_by_field() {
    let tls = |settings: &mut proto::Settings, change: fn(&mut proto::Tls)| {
        change(settings.collectors[0].tls.get_or_insert_default());
    };
    wrong("collectors[0].tls.server_name", |settings| {
        tls(settings, |tls| tls.server_name = "a b".to_owned())
    });
    wrong("collectors[0].tls.ca_certificates_pem", |settings| {
        tls(settings, |tls| tls.ca_certificates_pem = "certificate".to_owned());
    });
    wrong("collectors[0].tls.ca_certificates_pem", |settings| {
        tls(settings, |tls| {
            tls.ca_certificates_pem =
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
        });
    });
    wrong("collectors[0].tls.ca_certificates_pem", |settings| {
        tls(settings, |tls| tls.ca_certificates_pem = "#".repeat((64 << 10) + 1));
    });
}

#[test]
fn given_roots_are_taken_in() {
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let mut settings = good();
    let pem = format!("# the vendor's lab\n{}{}", ca.pem(), ca.pem());
    settings.collectors[0].tls =
        Some(proto::Tls { ca_certificates_pem: pem, ..Default::default() });
    let checked = check(&settings.encode_to_vec()).unwrap();
    let tls = checked.collectors[0].tls.clone().unwrap();
    assert_eq!(tls.roots.as_ref().map(|roots| roots.len()), Some(2));
    assert_eq!(
        check(&settings.encode_to_vec()).unwrap(),
        checked,
        "equal bytes make equal settings"
    );
}

#[test]
fn a_collector_of_raw_tcp_may_name_the_key_that_workloads_carry() {
    let mut settings = good();
    let named = proto::KeyPlacement {
        access_key: "tenants/acme/accessKeys/vendor".to_owned(),
        ..Default::default()
    };
    settings.collectors[0].key_placement = Some(named);
    let checked = check(&settings.encode_to_vec()).unwrap();
    assert_eq!(checked.collectors[0].key_placement, None, "the relay puts it nowhere");
}

#[test]
fn key_placement_is_checked_field_by_field() {
    let placed = |settings: &mut proto::Settings, change: fn(&mut proto::KeyPlacement)| {
        change(settings.collectors[1].key_placement.get_or_insert_default());
    };
    let path = "collectors[1].key_placement";
    wrong(&format!("{path}.access_key"), |settings| {
        placed(settings, |placement| {
            placement.access_key = "tenants/other/accessKeys/vendor".to_owned()
        });
    });
    wrong(&format!("{path}.access_key"), |settings| {
        placed(settings, |placement| placement.access_key.clear())
    });
    wrong(&format!("{path}.header"), |settings| {
        placed(settings, |placement| placement.header = "content-type".to_owned());
    });
    wrong(&format!("{path}.prefix"), |settings| {
        placed(settings, |placement| placement.prefix = "Bearer\r\n".to_owned());
    });
    wrong(&format!("{path}.prefix"), |settings| {
        placed(settings, |placement| placement.prefix = "x".repeat(257))
    });
}

#[test]
fn discovery_is_checked_field_by_field() {
    let path = "discovery.cloud_map";
    let cloud_map = |settings: &mut proto::Settings, change: fn(&mut proto::CloudMap)| {
        change(settings.discovery.get_or_insert_default().cloud_map.get_or_insert_default());
    };
    wrong(path, |settings| settings.discovery = Some(proto::Discovery::default()));
    for ttl in [0, -1, 301] {
        wrong(&format!("{path}.ttl"), |settings| {
            settings.discovery.as_mut().unwrap().cloud_map.as_mut().unwrap().ttl = seconds(ttl);
        });
    }
    wrong(&format!("{path}.dns_name"), |settings| {
        cloud_map(settings, |cloud_map| cloud_map.dns_name = "relay.internal".to_owned());
    });
    wrong(&format!("{path}.dns_name"), |settings| {
        cloud_map(settings, |cloud_map| cloud_map.dns_name = "relay..internal.".to_owned());
    });
    wrong(&format!("{path}.service_id"), |settings| {
        cloud_map(settings, |cloud_map| cloud_map.service_id = "ns-1".to_owned());
    });
    wrong(&format!("{path}.mode"), |settings| cloud_map(settings, |cloud_map| cloud_map.mode = 9));
    wrong(&format!("{path}.role.role_arn"), |settings| {
        cloud_map(settings, |cloud_map| cloud_map.role = Some(proto::AssumedRole::default()));
    });
    let cell =
        |id: &str, name: &str| proto::Cell { service_id: id.to_owned(), dns_name: name.to_owned() };
    let own = ("srv-e4anhexample0004", "relay.telemetry.internal.");
    for (field, cells) in [
        ("cells[0].service_id", vec![cell(own.0, "a.telemetry.internal.")]),
        ("cells[0].dns_name", vec![cell("srv-a", own.1)]),
        ("cells[1].service_id", vec![cell("srv-a", "a.internal."), cell("srv-a", "b.internal.")]),
        ("cells[0].dns_name", vec![cell("srv-a", "a.internal")]),
        ("cells", (0..33).map(|n| cell(&format!("srv-{n}"), &format!("c{n}.internal."))).collect()),
    ] {
        wrong(&format!("{path}.{field}"), |settings| {
            settings.discovery.as_mut().unwrap().cloud_map.as_mut().unwrap().cells = cells.clone();
        });
    }
    wrong(&format!("{path}.cells"), |settings| {
        cloud_map(settings, |cloud_map| {
            cloud_map.mode = proto::RegistrationMode::Ecs.into();
            cloud_map.cells = vec![proto::Cell {
                service_id: "srv-a".to_owned(),
                dns_name: "a.internal.".to_owned(),
            }];
        });
    });
}

#[test]
fn limits_and_the_size_of_the_whole_are_checked() {
    wrong("limits.max_request_bytes", |settings| {
        settings.limits =
            Some(proto::Limits { max_request_bytes: (16 << 20) + 1, ..Default::default() });
    });
    let told = check(&vec![0; (1 << 20) + 1]).unwrap_err();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].field, "");
    assert!(
        check(b"\xff\xff\xff").unwrap_err()[0]
            .description
            .contains("no ekiden.settings.v1.Settings")
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_check_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _checked = check(&bytes);
    }

    #[test]
    fn no_change_of_good_bytes_makes_the_check_panic(at in 0usize..600, to in any::<u8>(), cut in 0usize..600) {
        let mut bytes = good().encode_to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        bytes.truncate(bytes.len().saturating_sub(cut % 40));
        if let Err(violations) = check(&bytes) {
            prop_assert!(!violations.is_empty());
        }
    }
}
