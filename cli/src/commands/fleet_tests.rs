use clap::Parser;

use super::*;
use crate::{
    arguments::{Arguments, Noun},
    commands::tests::{at, now},
    output::structured,
};

fn shaped(line: &str, fleet: &mut Fleet) -> Result<Vec<&'static str>, Failure> {
    let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
    match arguments.noun {
        Noun::Fleet(FleetVerb::Create { shape, .. }) => shape.apply(fleet, "tenants/acme"),
        Noun::Fleet(FleetVerb::Update { shape, removal, .. }) => {
            let mut paths = removal.apply(fleet)?;
            paths.extend(shape.apply(fleet, "tenants/acme")?);
            Ok(paths)
        }
        other => panic!("{other:?}"),
    }
}

fn tokyo() -> Fleet {
    let mut fleet = Fleet {
        name: "tenants/acme/fleets/tokyo".to_owned(),
        desired_revision: 4,
        secret_version: 2,
        etag: "\"9\"".to_owned(),
        create_time: at(86_400),
        update_time: at(60),
        ..Fleet::default()
    };
    let paths = shaped(
        "ekidenctl fleet create tokyo \
         --listener name=agents,port=6443,protocol=tcp,collector=us4,idle-timeout=1h,max-connection-age=8h \
         --listener name=otlp,port=4317,protocol=otlp,collector=umbrella/own,max-connections=500 \
         --cloud-map-service srv-abc --dns-name relay.telemetry.internal --ttl 10s --max-connections 20000",
        &mut fleet,
    )
    .unwrap();
    assert_eq!(paths, ["listeners", "listeners", "discovery", "limits"]);
    fleet
}

#[test]
fn fleets_are_shown() {
    insta::assert_snapshot!(
        "fleets",
        [
            table(
                &[
                    tokyo(),
                    Fleet { name: "tenants/acme/fleets/bare".to_owned(), ..Fleet::default() }
                ],
                "tenants/acme",
                now()
            ),
            details(&tokyo(), now()),
            structured::json(&tokyo()).unwrap(),
        ]
        .join("\n")
    );
}

#[test]
fn an_update_replaces_listeners_by_name() {
    let mut fleet = tokyo();
    let line =
        "ekidenctl fleet update tokyo --listener name=agents,port=7000,protocol=tcp,collector=eu1";
    assert_eq!(shaped(line, &mut fleet).unwrap(), ["listeners"]);
    assert_eq!(fleet.listeners.len(), 2);
    assert_eq!(fleet.listeners[0].port, 7000);
    assert_eq!(fleet.listeners[0].collector, "tenants/acme/collectors/eu1");
    assert_eq!(fleet.listeners[1], tokyo().listeners[1]);
}

#[test]
fn an_update_takes_away_what_is_there_and_refuses_what_is_not() {
    let mut fleet = tokyo();
    let paths =
        shaped("ekidenctl fleet update tokyo --remove-listener otlp --no-discovery", &mut fleet);
    assert_eq!(paths.unwrap(), ["listeners", "discovery"]);
    assert_eq!((fleet.listeners.len(), fleet.discovery.clone()), (1, None));
    assert!(shaped("ekidenctl fleet update tokyo --remove-listener otlp", &mut fleet).is_err());
}

#[test]
fn a_dns_name_becomes_absolute_once() {
    let mut fleet = Fleet::default();
    for name in ["relay.internal", "relay.internal."] {
        shaped(&format!("ekidenctl fleet update tokyo --dns-name {name}"), &mut fleet).unwrap();
        let cloud_map = fleet.discovery.as_ref().unwrap().cloud_map.as_ref().unwrap();
        assert_eq!(cloud_map.dns_name, "relay.internal.");
    }
}
