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
fn discovery_has_cells_a_registrar_and_a_role() {
    let mut fleet = tokyo();
    let line = "ekidenctl fleet update tokyo --registration ecs --cloud-map-role arn:aws:iam::111122223333:role/dns \
                --cloud-map-external-id acme --cell service=srv-a,dns-name=a.relay.internal \
                --cell service=srv-b,dns-name=b.relay.internal.";
    assert_eq!(shaped(line, &mut fleet).unwrap(), ["discovery"]);
    let again = "ekidenctl fleet update tokyo --cell service=srv-b,dns-name=bb.relay.internal";
    shaped(again, &mut fleet).unwrap();
    insta::assert_snapshot!("fleet_in_cells", details(&fleet, now()));
    let less =
        "ekidenctl fleet update tokyo --remove-cell srv-a --no-cloud-map-role --registration relay";
    assert_eq!(shaped(less, &mut fleet).unwrap(), ["discovery", "discovery"]);
    let cloud_map = fleet.discovery.clone().unwrap().cloud_map.unwrap();
    assert_eq!((cloud_map.cells.len(), cloud_map.role.clone()), (1, None));
    assert_eq!(cloud_map.mode(), RegistrationMode::Self_);
    assert!(shaped("ekidenctl fleet update tokyo --remove-cell srv-a", &mut fleet).is_err());
    for wrong in ["srv-a", "service=srv-a", "service=srv-a,dns-name=", "service=srv-a,name=b"] {
        let line = ["ekidenctl", "fleet", "update", "tokyo", "--cell", wrong];
        assert!(Arguments::try_parse_from(line).is_err(), "{wrong}");
    }
}

fn snippet(fleet: &Fleet, line: &str) -> Result<String, Failure> {
    let line = format!("ekidenctl fleet snippet tokyo {line}");
    match Arguments::try_parse_from(line.split_whitespace()).unwrap().noun {
        Noun::Fleet(FleetVerb::Snippet { wanted, .. }) => snippet::write(fleet, &wanted),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_workload_is_told_the_name_of_its_cell_and_always_the_same() {
    let mut fleet = tokyo();
    let own = snippet(&fleet, "").unwrap();
    insta::assert_snapshot!("snippet", own);
    assert_eq!(snippet(&fleet, "--workload checkout").unwrap(), own, "it has no cells");
    let cell = |n| {
        format!("ekidenctl fleet update tokyo --cell service=srv-{n},dns-name=cell-{n}.internal")
    };
    for n in 0..4 {
        shaped(&cell(n), &mut fleet).unwrap();
    }
    let names = |fleet: &Fleet| -> Vec<String> {
        (0..400)
            .map(|n| snippet(fleet, &format!("--listener agents --workload w{n}")).unwrap())
            .collect()
    };
    let before = names(&fleet);
    for n in 0..4 {
        let there =
            before.iter().filter(|text| text.contains(&format!("=cell-{n}.internal\n"))).count();
        assert!((60..140).contains(&there), "cell {n} has {there} of 400");
    }
    shaped(&cell(4), &mut fleet).unwrap();
    let moved: Vec<String> = names(&fleet)
        .into_iter()
        .zip(&before)
        .filter(|(now, before)| now != *before)
        .map(|(now, _)| now)
        .collect();
    assert!(
        moved.iter().all(|text| text.contains("cell-4")) && moved.len() < 120,
        "{}",
        moved.len()
    );
    assert_eq!(snippet(&fleet, "").unwrap(), own, "the fleet's own name still answers");
}

#[test]
fn a_snippet_is_for_one_program_in_the_form_that_is_wanted() {
    let fleet = tokyo();
    let orchestrator = snippet(&fleet, "--listener agents --program agent5").unwrap();
    assert_eq!(
        orchestrator,
        "SYSDIG_ORCHESTRATOR=relay.telemetry.internal\nSYSDIG_ORCHESTRATOR_PORT=6443\n"
    );
    let ecs = snippet(&fleet, "--listener otlp --as ecs").unwrap();
    let ecs: serde_json::Value = serde_json::from_str(&ecs).unwrap();
    assert_eq!(ecs["environment"][0]["value"], "http://relay.telemetry.internal:4317");
    assert!(snippet(&fleet, "--program otel").is_err(), "both listeners would set one variable");
    assert!(snippet(&fleet, "--listener nobody").is_err());
    assert!(snippet(&Fleet { discovery: None, ..fleet }, "").is_err());
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
