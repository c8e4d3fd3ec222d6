use ekiden_proto::settings::v1::{
    CollectorProtocol, Discovery, Endpoint, KeyPlacement, Listener, ListenerProtocol, Tls,
};
use time::OffsetDateTime;

use super::*;

mod hostile;

const TCP: &str = "tenants/acme/collectors/tcp";
const OTLP: &str = "tenants/acme/collectors/otlp";

fn fleet_row(spec: Settings) -> FleetRow {
    FleetRow {
        tenant_id: "acme".to_owned(),
        fleet_id: "tokyo".to_owned(),
        display_name: String::new(),
        spec,
        revision: 0,
        secret_version: 0,
        version: 1,
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn collector_row(id: &str, spec: Collector) -> CollectorRow {
    CollectorRow {
        tenant_id: "acme".to_owned(),
        collector_id: id.to_owned(),
        display_name: String::new(),
        preset: String::new(),
        spec,
        access_key_id: None,
        version: 1,
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn listener(name: &str, port: u32, protocol: ListenerProtocol, collector: &str) -> Listener {
    Listener {
        name: name.to_owned(),
        port,
        protocol: protocol.into(),
        collector: collector.to_owned(),
        ..Listener::default()
    }
}

fn endpoint(host: &str, priority: u32) -> Endpoint {
    Endpoint { host: host.to_owned(), port: 443, priority }
}

/// Listeners and endpoints, neither in the order in which relays get them.
fn rows() -> (FleetRow, Vec<CollectorRow>) {
    let fleet = fleet_row(Settings {
        listeners: vec![
            listener("zulu", 4317, ListenerProtocol::Otlp, OTLP),
            listener("mike", 6667, ListenerProtocol::Tcp, TCP),
            listener("alpha", 6668, ListenerProtocol::Tcp, TCP),
        ],
        ..Settings::default()
    });
    let tcp = Collector {
        protocol: CollectorProtocol::Tcp.into(),
        endpoints: vec![endpoint("backup.example.com", 10), endpoint("first.example.com", 0)],
        ..Collector::default()
    };
    let otlp = Collector {
        protocol: CollectorProtocol::OtlpGrpc.into(),
        endpoints: vec![endpoint("otlp.example.com", 0)],
        ..Collector::default()
    };
    (fleet, vec![collector_row("tcp", tcp), collector_row("otlp", otlp)])
}

/// Fields that these rows, changed so, are refused for.
fn refused(change: impl FnOnce(&mut FleetRow, &mut [CollectorRow])) -> Vec<String> {
    let (mut fleet, mut collectors) = rows();
    change(&mut fleet, &mut collectors);
    let violations = compile(&fleet, &collectors).unwrap_err();
    violations.into_iter().map(|violation| violation.field).collect()
}

#[test]
fn the_same_rows_in_any_order_give_the_same_bytes() {
    let (fleet, collectors) = rows();
    let compiled = compile(&fleet, &collectors).unwrap();
    let (mut turned, mut others) = rows();
    turned.spec.listeners.reverse();
    turned.spec.listeners[0].idle_timeout = Some(Duration::default());
    turned.spec.listeners[0].max_connection_age = Some(Duration::default());
    others.reverse();
    others[1].spec.endpoints.reverse();
    others[1].spec.connect_timeout = Some(Duration::default());
    others.push(collector_row("unnamed", others[0].spec.clone()));
    assert_eq!(compile(&turned, &others).unwrap(), compiled);
}

#[test]
fn what_a_relay_would_refuse_is_told_by_the_fleets_own_fields_in_their_own_order() {
    let told = refused(|fleet, _| fleet.spec.listeners[0].port = 0);
    assert_eq!(told, ["fleet.listeners[0].port"]);
    let told = refused(|fleet, _| fleet.spec.listeners[2].name = "Alpha".to_owned());
    assert_eq!(told, ["fleet.listeners[2].name"]);
    let told = refused(|fleet, _| fleet.spec.discovery = Some(Discovery::default()));
    assert_eq!(told, ["fleet.discovery.cloud_map"]);
    let told = refused(|fleet, _| {
        let more =
            (0..33).map(|at| listener(&format!("l{at}"), at + 1, ListenerProtocol::Tcp, TCP));
        fleet.spec.listeners = more.collect();
    });
    assert_eq!(told, ["fleet.listeners"]);
    let told = refused(|_, collectors| {
        collectors[0].spec.protocol = CollectorProtocol::OtlpGrpc.into();
    });
    assert_eq!(told, ["fleet.listeners[2].collector", "fleet.listeners[1].collector"]);
}

#[test]
fn what_a_relay_would_refuse_is_told_by_the_collectors_own_fields_with_its_name() {
    let told = refused(|_, collectors| collectors[0].spec.endpoints[0].host.clear());
    assert_eq!(told, ["collector.endpoints[0].host"]);
    let told = refused(|_, collectors| collectors[0].spec.endpoints.clear());
    assert_eq!(told, ["collector.endpoints"]);

    let (fleet, mut collectors) = rows();
    collectors[1].spec.key_placement = Some(KeyPlacement {
        access_key: "tenants/acme/accessKeys/vendor".to_owned(),
        header: "user-agent".to_owned(),
        prefix: String::new(),
    });
    let [only] = &compile(&fleet, &collectors).unwrap_err()[..] else { panic!("one is wrong") };
    assert_eq!(only.field, "collector.key_placement.header");
    assert!(only.description.ends_with("; in tenants/acme/collectors/otlp"), "{only}");
}

#[test]
fn settings_that_are_too_large_for_a_relay_are_not_made() {
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
    let pem = format!("{ca}{}", "#".repeat(60_000));
    let (mut fleet, mut collectors) = rows();
    let large = collectors[0].spec.clone();
    collectors.clear();
    fleet.spec.listeners.clear();
    for at in 0..20 {
        let name = format!("tenants/acme/collectors/c{at}");
        fleet.spec.listeners.push(listener(
            &format!("l{at}"),
            7000 + at,
            ListenerProtocol::Tcp,
            &name,
        ));
        let tls = Tls { ca_certificates_pem: pem.clone(), ..Tls::default() };
        collectors
            .push(collector_row(&format!("c{at}"), Collector { tls: Some(tls), ..large.clone() }));
    }
    let [only] = &compile(&fleet, &collectors).unwrap_err()[..] else { panic!("one is wrong") };
    assert_eq!(only.field, "fleet");
    fleet.spec.listeners.truncate(10);
    assert!(compile(&fleet, &collectors).is_ok());
}
