use clap::Parser;
use ekiden_proto::settings::v1::{KeyPlacement, Tls};

use super::*;
use crate::{
    arguments::{Arguments, Noun},
    commands::tests::{at, now},
    names::Defaults,
    output::structured,
};

fn us4() -> Collector {
    let mut collector = Collector {
        name: "tenants/acme/collectors/us4".to_owned(),
        preset: "sysdig-us4".to_owned(),
        endpoints: vec![
            Endpoint { host: "ingest.us4.sysdig.com".to_owned(), port: 6443, priority: 0 },
            Endpoint { host: "2001:db8::1".to_owned(), port: 6443, priority: 10 },
        ],
        tls: Some(Tls::default()),
        key_placement: Some(KeyPlacement {
            access_key: "tenants/acme/accessKeys/sysdig".to_owned(),
            header: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
        }),
        connect_timeout: Some(prost_types::Duration { seconds: 2, nanos: 0 }),
        etag: "\"1\"".to_owned(),
        create_time: at(300),
        update_time: at(300),
        ..Collector::default()
    };
    collector.set_protocol(CollectorProtocol::Tcp);
    collector
}

/// Applies the options of an update as the command line reads them.
fn update(collector: &mut Collector, options: &str) -> Vec<&'static str> {
    let line = format!("ekidenctl collector update us4 {options}");
    let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
    let Noun::Collector(CollectorVerb::Update { shape, removal, .. }) = arguments.noun else {
        panic!("another command");
    };
    let names = Defaults { tenant: Some("acme".to_owned()) };
    let mut paths = shape.apply(collector, &names).unwrap();
    paths.extend(removal.apply(collector));
    paths
}

#[test]
fn collectors_are_shown() {
    let preset = CollectorPreset {
        name: "sysdig-us4".to_owned(),
        description: "Sysdig US West (GCP)".to_owned(),
        collector: Some(us4()),
    };
    insta::assert_snapshot!(
        "collectors",
        [
            table(&[us4(), Collector::default()], "tenants/acme", now()),
            details(&us4(), now()),
            presets(&[preset]),
            structured::yaml(&us4()).unwrap(),
        ]
        .join("\n")
    );
}

#[test]
fn an_update_changes_what_is_given_and_nothing_else() {
    let mut collector = us4();
    assert_eq!(update(&mut collector, ""), Vec::<&str>::new());
    assert_eq!(collector, us4());

    assert_eq!(
        update(&mut collector, "--endpoint a.example:1 --endpoint b.example:2,5"),
        ["endpoints"]
    );
    assert_eq!(collector.endpoints.len(), 2);
    assert_eq!(collector.endpoints[1].priority, 5);

    assert_eq!(update(&mut collector, "--access-key other"), ["key_placement"]);
    let placement = collector.key_placement.as_ref().unwrap();
    assert_eq!(placement.access_key, "tenants/acme/accessKeys/other");
    assert_eq!(placement.header, "authorization");

    assert_eq!(update(&mut collector, "--tls-server-name x.example"), ["tls"]);
    assert_eq!(collector.tls.as_ref().unwrap().server_name, "x.example");
    assert_eq!(update(&mut collector, "--no-tls --no-access-key"), ["tls", "key_placement"]);
    assert_eq!((collector.tls, collector.key_placement), (None, None));
    assert_eq!(collector.etag, us4().etag);
}
