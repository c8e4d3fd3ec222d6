use ekiden_proto::settings::v1::{
    CloudMap, CollectorProtocol, Discovery, Endpoint, KeyPlacement, Limits, Listener,
    ListenerProtocol, Tls,
};
use prost_types::Duration;
use rcgen::{CertificateParams, CustomExtension, KeyPair};

use super::*;

fn collector() -> admin::Collector {
    admin::Collector {
        protocol: CollectorProtocol::OtlpGrpc.into(),
        endpoints: vec![endpoint("backup.example.com", 4317), endpoint("192.0.2.7", 4317)],
        tls: Some(Tls::default()),
        key_placement: Some(KeyPlacement {
            access_key: "tenants/acme/accessKeys/vendor".to_owned(),
            header: "api-key".to_owned(),
            prefix: String::new(),
        }),
        ..admin::Collector::default()
    }
}

fn endpoint(host: &str, port: u32) -> Endpoint {
    Endpoint { host: host.to_owned(), port, priority: 0 }
}

fn fleet() -> admin::Fleet {
    let listener = |name: &str, port| Listener {
        name: name.to_owned(),
        port,
        protocol: ListenerProtocol::Otlp.into(),
        collector: "tenants/acme/collectors/vendor".to_owned(),
        ..Listener::default()
    };
    let cloud_map = CloudMap {
        service_id: "srv-e4anhexample0004".to_owned(),
        dns_name: "relay.telemetry.internal.".to_owned(),
        ..CloudMap::default()
    };
    admin::Fleet {
        // Not in the order of names, in which relays get them.
        listeners: vec![listener("zulu", 4317), listener("alpha", 4318)],
        discovery: Some(Discovery { cloud_map: Some(cloud_map) }),
        ..admin::Fleet::default()
    }
}

/// Fields that a collector with this change is refused for.
fn of_changed_collector(change: impl FnOnce(&mut admin::Collector)) -> Vec<String> {
    let mut given = collector();
    change(&mut given);
    let violations = of_collector("acme", &given).err().unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

/// Fields that a fleet with this change is refused for.
fn of_changed_fleet(change: impl FnOnce(&mut admin::Fleet)) -> Vec<String> {
    let mut given = fleet();
    change(&mut given);
    let violations = of_fleet("acme", &given).err().unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

fn certificate(params: CertificateParams) -> String {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// A certificate that other programs read, but rustls does not: it has one extension twice.
fn certificate_with_an_extension_twice() -> String {
    let mut params = CertificateParams::default();
    let usage = CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0x00]);
    params.custom_extensions = vec![usage.clone(), usage];
    certificate(params)
}

#[test]
fn what_is_good_is_kept_as_it_was_given() {
    let given = collector();
    let spec = of_collector("acme", &given).unwrap();
    assert_eq!((spec.endpoints, spec.key_placement), (given.endpoints, given.key_placement));
    let given = fleet();
    let spec = of_fleet("acme", &given).unwrap();
    assert_eq!((spec.listeners, spec.discovery), (given.listeners, given.discovery));
}

#[test]
fn a_header_that_a_relay_would_not_write_is_refused_at_the_operator() {
    for header in [
        "user-agent",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "trailer",
        "content-encoding",
        "content-type",
        "te",
        "traceparent",
        "tracestate",
        "grpc-timeout",
        "key-bin",
        "Api-Key",
        "api!key",
        "",
    ] {
        let fields = of_changed_collector(|collector| {
            collector.key_placement.as_mut().unwrap().header = header.to_owned();
        });
        assert_eq!(fields, ["collector.key_placement.header"], "{header:?}");
    }
}

#[test]
fn a_host_that_a_relay_would_not_dial_is_refused_at_the_operator() {
    for host in [
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "vendor_.example.com",
        "vendor.example_",
        "vendor.0x1f",
        "vendor.0X",
        "vendor.example.7",
        "https://vendor.example.com",
        "vendor.example.com:443",
        "[2001:db8::1]",
        "vendor\0.example.com",
        "",
    ] {
        let fields = of_changed_collector(|collector| {
            collector.endpoints[1].host = host.to_owned();
        });
        assert_eq!(fields, ["collector.endpoints[1].host"], "{host:?}");
        if !host.is_empty() {
            let fields = of_changed_collector(|collector| {
                collector.tls.as_mut().unwrap().server_name = host.to_owned();
            });
            assert_eq!(fields, ["collector.tls.server_name"], "{host:?}");
            let fields = of_changed_fleet(|fleet| {
                let cloud_map = fleet.discovery.as_mut().unwrap().cloud_map.as_mut().unwrap();
                cloud_map.dns_name = format!("{host}.");
            });
            assert_eq!(fields, ["fleet.discovery.cloud_map.dns_name"], "{host:?}");
        }
    }
}

#[test]
fn certificates_that_a_relay_could_not_load_are_refused_at_the_operator() {
    let good = certificate(CertificateParams::default());
    let odd = certificate_with_an_extension_twice();
    let (_, der) = x509_parser::pem::parse_x509_pem(odd.as_bytes()).unwrap();
    assert!(der.parse_x509().is_ok(), "X.509 it is");
    let with = |pem: String| {
        of_changed_collector(|collector| {
            collector.tls.as_mut().unwrap().ca_certificates_pem = pem;
        })
    };
    assert_eq!(with(format!("# the vendor's lab\n{good}{good}")), <[&str; 0]>::default());
    for bad in [
        odd.clone(),
        format!("{good}{odd}"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
        good[..good.len() - 30].to_owned(),
        "certificate".to_owned(),
        "#".repeat((64 << 10) + 1),
    ] {
        assert_eq!(with(bad.clone()), ["collector.tls.ca_certificates_pem"], "{bad}");
    }
}

#[test]
fn what_is_wrong_with_a_collector_is_told_by_the_operators_field() {
    let told = of_changed_collector(|collector| collector.endpoints[1].port = 0);
    assert_eq!(told, ["collector.endpoints[1].port"]);
    let told = of_changed_collector(|collector| {
        collector.endpoints.push(endpoint("Backup.Example.com.", 4317));
    });
    assert_eq!(told, ["collector.endpoints[2].host"], "one machine under two spellings");
    let told = of_changed_collector(|collector| collector.endpoints.clear());
    assert_eq!(told, ["collector.endpoints"]);
    let told = of_changed_collector(|collector| collector.protocol = 7);
    assert_eq!(told, ["collector.protocol"]);
    let told = of_changed_collector(|collector| {
        collector.protocol = CollectorProtocol::Tcp.into();
    });
    assert_eq!(told, ["collector.key_placement.header"]);
    let told = of_changed_collector(|collector| {
        collector.key_placement.as_mut().unwrap().access_key =
            "tenants/globex/accessKeys/vendor".to_owned();
    });
    assert_eq!(told, ["collector.key_placement.access_key"]);
    for (seconds, nanos) in [(31, 0), (-1, 0), (0, 99_999_999), (-1, 2_000_000_000)] {
        let told = of_changed_collector(|collector| {
            collector.connect_timeout = Some(Duration { seconds, nanos });
        });
        assert_eq!(told, ["collector.connect_timeout"], "{seconds} s, {nanos} ns");
    }
}

#[test]
fn what_is_wrong_with_a_fleet_is_told_by_the_operators_field_in_the_operators_order() {
    let told = of_changed_fleet(|fleet| fleet.listeners[0].port = 0);
    assert_eq!(told, ["fleet.listeners[0].port"]);
    let told = of_changed_fleet(|fleet| fleet.listeners[1].port = 4317);
    assert_eq!(told, ["fleet.listeners[1].port"]);
    let told = of_changed_fleet(|fleet| fleet.listeners[1].name = "zulu".to_owned());
    assert_eq!(told, ["fleet.listeners[1].name"]);
    let told = of_changed_fleet(|fleet| {
        fleet.listeners[1].collector = "tenants/globex/collectors/vendor".to_owned();
    });
    assert_eq!(told, ["fleet.listeners[1].collector"]);
    let told = of_changed_fleet(|fleet| {
        fleet.listeners[0].idle_timeout = Some(Duration { seconds: 0, nanos: 1 });
        fleet.listeners[1].max_connections = 60_001;
        fleet.limits = Some(Limits { max_request_bytes: u32::MAX, ..Limits::default() });
    });
    assert_eq!(
        told,
        [
            "fleet.listeners[0].idle_timeout",
            "fleet.listeners[1].max_connections",
            "fleet.limits.max_request_bytes",
        ]
    );
    let told = of_changed_fleet(|fleet| fleet.discovery = Some(Discovery::default()));
    assert_eq!(told, ["fleet.discovery.cloud_map"]);
}
