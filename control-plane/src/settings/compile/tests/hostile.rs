//! Whatever operators write, and whatever rows hold: what is committed, a relay's check accepts.
use std::cell::Cell;

use ekiden_proto::{
    admin::v1 as admin,
    settings::v1::{CloudMap, Limits},
};
use ekiden_settings::check_routes;
use proptest::{option, prelude::*, sample::select, test_runner::Config, test_runner::TestRunner};

use super::*;
use crate::settings::spec;

const HOSTILE: &[&str] = &[
    "",
    ".",
    "\0",
    "a b",
    "\u{202e}evil",
    "vendor_.example.com",
    "vendor.0x1f",
    "1.2.3",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "::",
    "[::1]",
    "vendor.example.com:443",
    "user-agent",
    "keep-alive",
    "proxy-authorization",
    "trailer",
    "content-encoding",
    "traceparent",
    "tracestate",
    "grpc-status",
    "key-bin",
    "Bearer\r\nhost: evil",
    "tenants/globex/collectors/tcp",
    "tenants/globex/accessKeys/vendor",
    "tenants/acme/collectors/../tcp",
    "tenants/acme/collectors/gone",
    "srv-",
];

/// Mostly one of these, at times something hostile.
fn text(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        60 => select(good).prop_map(str::to_owned),
        1 => select(HOSTILE).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[a-zA-Z0-9._-]{0,300}",
    ]
}

/// Mostly one of these, at times any number.
fn number(good: &'static [u32]) -> impl Strategy<Value = u32> {
    prop_oneof![60 => select(good), 1 => select(vec![0, 101, 60_001, 65_536, u32::MAX]), 1 => any::<u32>()]
}

fn duration() -> impl Strategy<Value = Option<Duration>> {
    let of = |(seconds, nanos)| Some(Duration { seconds, nanos });
    prop_oneof![
        20 => Just(None),
        20 => select(vec![(0, 0), (1, 0), (5, 0), (30, 0)]).prop_map(of),
        1 => select(vec![(0, 1), (-1, 2_000_000_000), (1, -1), (i64::MAX, i32::MAX)]).prop_map(of),
        1 => any::<(i64, i32)>().prop_map(of),
    ]
}

/// How old connections may grow, usually within the bounds.
fn age() -> impl Strategy<Value = Option<Duration>> {
    let of = |seconds| Some(Duration { seconds, nanos: 0 });
    prop_oneof![20 => Just(None), 20 => select(vec![0, 60, 3600]).prop_map(of), 1 => duration()]
}

fn pem() -> impl Strategy<Value = String> {
    let key = rcgen::KeyPair::generate().unwrap();
    let good = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    prop_oneof![
        20 => Just(String::new()),
        20 => Just(good.clone()),
        1 => Just(format!("{good}{odd}")),
        1 => (0..good.len()).prop_map(move |at| good[..at].to_owned()),
        1 => any::<String>(),
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    const HOSTS: &[&str] =
        &["a.example.com", "B.example.com.", "c_d.example.com", "192.0.2.7", "2001:db8::7"];
    (text(HOSTS), number(&[443, 4317, 6443]), number(&[0, 1, 100]))
        .prop_map(|(host, port, priority)| Endpoint { host, port, priority })
}

fn collector(usual: CollectorProtocol) -> impl Strategy<Value = admin::Collector> {
    let protocol = prop_oneof![20 => Just(i32::from(usual)), 1 => 0..4, 1 => any::<i32>()];
    let endpoints = prop_oneof![
        30 => prop::collection::vec(endpoint(), 1..4),
        1 => prop::collection::vec(endpoint(), 0..20),
    ];
    let tls = (text(&["", "vendor.example.com", "192.0.2.7"]), pem(), any::<bool>()).prop_map(
        |(server_name, ca_certificates_pem, insecure_skip_verify)| Tls {
            server_name,
            ca_certificates_pem,
            insecure_skip_verify,
        },
    );
    let placement = (
        text(&["tenants/acme/accessKeys/vendor"]),
        text(&["authorization", "api-key", "x.y_z"]),
        text(&["", "Bearer "]),
    )
        .prop_map(|(access_key, header, prefix)| KeyPlacement { access_key, header, prefix });
    let placed = if usual == CollectorProtocol::OtlpGrpc { 0.8 } else { 0.05 };
    let placement = option::weighted(placed, placement);
    (protocol, endpoints, option::of(tls), placement, duration()).prop_map(
        |(protocol, endpoints, tls, key_placement, connect_timeout)| admin::Collector {
            protocol,
            endpoints,
            tls,
            key_placement,
            connect_timeout,
            ..admin::Collector::default()
        },
    )
}

/// A listener, but for its name and port, which are usually its own.
fn listener() -> impl Strategy<Value = Listener> {
    let usual = select(vec![(ListenerProtocol::Tcp, TCP), (ListenerProtocol::Otlp, OTLP)]);
    let route = prop_oneof![
        40 => usual.prop_map(|(protocol, collector)| (i32::from(protocol), collector.to_owned())),
        1 => (any::<i32>(), text(&[TCP])),
        1 => (0..4, text(&[TCP, OTLP])),
    ];
    (text(&["own"]), number(&[1]), route, number(&[0, 1, 60_000]), duration(), age()).prop_map(
        |(name, port, (protocol, collector), max_connections, idle_timeout, max_connection_age)| {
            Listener {
                name,
                port,
                protocol,
                collector,
                max_connections,
                idle_timeout,
                max_connection_age,
            }
        },
    )
}

fn fleet() -> impl Strategy<Value = admin::Fleet> {
    let cloud_map =
        (text(&["srv-e4anhexample0004"]), text(&["Relay.telemetry.internal."]), duration())
            .prop_map(|(service_id, dns_name, ttl)| CloudMap {
                service_id,
                dns_name,
                ttl,
                ..CloudMap::default()
            });
    let discovery = option::weighted(0.9, cloud_map).prop_map(|cloud_map| Discovery { cloud_map });
    let limits = (any::<u32>(), number(&[0, 1, 16 << 20]), any::<u64>()).prop_map(
        |(max_connections, max_request_bytes, max_in_flight_bytes)| Limits {
            max_connections,
            max_request_bytes,
            max_in_flight_bytes,
        },
    );
    let listeners = prop_oneof![
        40 => prop::collection::vec(listener(), 0..5),
        1 => prop::collection::vec(listener(), 0..40),
    ];
    (listeners, option::of(discovery), option::of(limits)).prop_map(
        |(mut listeners, discovery, limits)| {
            for (at, listener) in (1..).zip(&mut listeners) {
                if listener.name == "own" {
                    listener.name = format!("l{}", 100 - at);
                }
                if listener.port == 1 {
                    listener.port = 7000 + at;
                }
            }
            admin::Fleet { listeners, discovery, limits, ..admin::Fleet::default() }
        },
    )
}

fn given() -> impl Strategy<Value = (admin::Collector, admin::Collector, admin::Fleet)> {
    (collector(CollectorProtocol::Tcp), collector(CollectorProtocol::OtlpGrpc), fleet())
}

/// Whether a path leads to a field that is in the request: its form is known, and its index is one of the list's.
fn leads_into(field: &str, collector: &admin::Collector, fleet: &admin::Fleet) -> bool {
    let (form, at) = match field.split_once('[').zip(field.split_once(']')) {
        Some(((list, _), (before, rest))) => {
            (format!("{list}[]{rest}"), before[list.len() + 1..].parse::<usize>().ok())
        }
        None => (field.to_owned(), None),
    };
    match form.as_str() {
        "collector.endpoints[].host"
        | "collector.endpoints[].port"
        | "collector.endpoints[].priority" => at.is_some_and(|at| at < collector.endpoints.len()),
        "fleet.listeners[].name"
        | "fleet.listeners[].port"
        | "fleet.listeners[].protocol"
        | "fleet.listeners[].collector"
        | "fleet.listeners[].max_connections"
        | "fleet.listeners[].idle_timeout"
        | "fleet.listeners[].max_connection_age" => at.is_some_and(|at| at < fleet.listeners.len()),
        "collector.protocol" | "collector.endpoints" | "collector.connect_timeout" => true,
        "collector.tls.server_name" | "collector.tls.ca_certificates_pem" => {
            collector.tls.is_some()
        }
        "collector.key_placement"
        | "collector.key_placement.access_key"
        | "collector.key_placement.header"
        | "collector.key_placement.prefix" => collector.key_placement.is_some(),
        "fleet.listeners" => true,
        "fleet.limits.max_request_bytes" => fleet.limits.is_some(),
        "fleet.discovery.cloud_map"
        | "fleet.discovery.cloud_map.service_id"
        | "fleet.discovery.cloud_map.dns_name"
        | "fleet.discovery.cloud_map.ttl" => fleet.discovery.is_some(),
        _ => false,
    }
}

#[test]
fn what_an_operator_writes_is_refused_by_its_field_or_runs_on_every_relay() {
    let (refused, committed) = (Cell::new(0), Cell::new(0));
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&given(), |(tcp, otlp, fleet)| {
        let mut rows = Vec::new();
        let told = |violations: Vec<Violation>, collector: &admin::Collector| {
            refused.set(refused.get() + 1);
            prop_assert!(!violations.is_empty());
            for violation in violations {
                prop_assert!(leads_into(&violation.field, collector, &fleet), "{}", violation);
            }
            Ok(())
        };
        for (id, given) in [("tcp", &tcp), ("otlp", &otlp)] {
            match spec::of_collector("acme", given) {
                Ok(spec) => rows.push(collector_row(id, spec)),
                Err(violations) => told(violations, given)?,
            }
        }
        let spec = match spec::of_fleet("acme", &fleet) {
            Ok(spec) => spec,
            Err(violations) => return told(violations, &tcp),
        };
        let named: Vec<_> = rows
            .iter()
            .map(|row| Collector { name: row.name().to_string(), ..row.spec.clone() })
            .collect();
        match check_routes("fleet", &spec.listeners, &named) {
            violations if violations.is_empty() => {}
            violations => return told(violations, &tcp),
        }
        // Nothing that passed field by field fails as a whole.
        let compiled = match compile(&fleet_row(spec), &rows) {
            Ok(compiled) => compiled,
            Err(violations) => {
                return Err(TestCaseError::fail(format!("refused too late: {violations:?}")));
            }
        };
        prop_assert!(check(&compiled.settings).is_ok());
        committed.set(committed.get() + 1);
        Ok(())
    });
    outcome.unwrap();
    let (refused, committed) = (refused.get(), committed.get());
    assert!(refused > 100 && committed > 100, "{refused} refused, {committed} committed");
}

proptest! {
    /// Rows may be older than a rule.
    #[test]
    fn whatever_rows_hold_what_is_compiled_runs_on_every_relay((tcp, otlp, fleet) in given()) {
        let unchecked = |id, given: admin::Collector| {
            let admin::Collector { protocol, endpoints, tls, key_placement, connect_timeout, .. } = given;
            let name = String::new();
            collector_row(id, Collector { name, protocol, endpoints, tls, key_placement, connect_timeout })
        };
        let admin::Fleet { listeners, discovery, limits, .. } = fleet;
        let spec = Settings { listeners, discovery, limits, ..Settings::default() };
        match compile(&fleet_row(spec), &[unchecked("tcp", tcp), unchecked("otlp", otlp)]) {
            Ok(compiled) => prop_assert!(check(&compiled.settings).is_ok()),
            Err(violations) => {
                prop_assert!(!violations.is_empty());
                for violation in violations {
                    let Violation { field, .. } = &violation;
                    prop_assert!(field.starts_with("fleet.") || field.starts_with("collector."), "{}", field);
                }
            }
        }
    }
}
