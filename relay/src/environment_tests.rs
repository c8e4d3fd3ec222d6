use std::fs;

use super::*;

const TOKEN: &str = "ekr_01_do-not-show";

fn raw(arguments: &[&str]) -> Raw {
    let mut all = vec!["ekiden-relay"];
    all.extend_from_slice(arguments);
    Cli::try_parse_from(all).unwrap().raw
}

fn variables(problems: &[Problem]) -> Vec<&'static str> {
    problems.iter().map(|problem| problem.variable).collect()
}

#[test]
fn one_address_is_enough() {
    let environment = check(&raw(&["--control-plane", "https://cp.example"])).unwrap();
    assert_eq!(
        environment.control_plane,
        Some(ControlPlane::Host { host: Host::Name("cp.example".to_owned()), port: 443 })
    );
    assert_eq!(environment.stop_timeout, Duration::from_secs(30));
    assert_eq!(environment.http_listen, "0.0.0.0:8080".parse().unwrap());
    assert!(environment.roots.is_empty());
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = check(&raw(&[
        "--control-plane=http://cp.example",
        "--control-plane-ca=/nonexistent/ca.pem",
        "--listen-address=everywhere",
        "--advertise-address=0.0.0.0",
        "--http-listen=8080",
        "--stop-timeout=0",
        "--resolvers=10.0.0.2:53,dns.example",
    ]))
    .unwrap_err();
    assert_eq!(
        variables(&problems),
        [
            "EKIDEN_CONTROL_PLANE",
            "EKIDEN_CONTROL_PLANE_CA",
            "EKIDEN_HTTP_LISTEN",
            "EKIDEN_LISTEN_ADDRESS",
            "EKIDEN_ADVERTISE_ADDRESS",
            "EKIDEN_STOP_TIMEOUT",
            "EKIDEN_RESOLVERS",
        ]
    );
}

#[test]
fn a_control_plane_is_needed_or_a_collector() {
    let problems = check(&raw(&[])).unwrap_err();
    assert_eq!(variables(&problems), ["EKIDEN_CONTROL_PLANE"]);
    let mut raw = raw(&[]);
    let collector = ("COLLECTOR".to_owned(), "vendor.example".to_owned());
    raw.beside.vendor = vendor::Variables::from([collector].into_iter());
    let environment = check(&raw).unwrap();
    assert_eq!(environment.control_plane, None);
    assert!(environment.bootstrap.is_some());
    assert_eq!(environment.notices, []);
    raw.fleet = Some("tenants/acme/fleets/tokyo".to_owned());
    raw.beside.enrollment_token = Some(SecretString::from(TOKEN));
    let names: Vec<_> = check(&raw).unwrap().notices.into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["EKIDEN_FLEET", "EKIDEN_ENROLLMENT_TOKEN"], "they ask for a control plane");
}

#[test]
fn an_srv_record_may_name_the_control_plane() {
    assert_eq!(
        control_plane("srv:_relays._tcp.ekiden.example."),
        Ok(ControlPlane::Srv { name: "_relays._tcp.ekiden.example".to_owned() })
    );
    for wrong in [
        "srv:",
        "srv:ekiden.example",
        "srv:_relays._tcp",
        "srv:_a._tcp..example",
        "https://cp/path",
        "cp:1",
    ] {
        assert!(control_plane(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_ipv6_address_may_name_the_control_plane() {
    assert_eq!(
        control_plane("https://[::1]:8443"),
        Ok(ControlPlane::Host { host: Host::Address("::1".parse().unwrap()), port: 8443 })
    );
}

#[test]
fn a_token_given_twice_is_refused_and_never_shown() {
    let mut raw =
        raw(&["--control-plane=https://cp.example", "--enrollment-token-file=/run/token"]);
    raw.beside.enrollment_token = Some(SecretString::from(TOKEN));
    let problems = check(&raw).unwrap_err();
    assert_eq!(variables(&problems), ["EKIDEN_ENROLLMENT_TOKEN"]);
    raw.enrollment_token_file = None;
    let environment = check(&raw).unwrap();
    assert!(!format!("{problems:?} {environment:?}").contains(TOKEN));
}

#[test]
fn a_file_that_is_no_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    fs::write(&path, "not a certificate").unwrap();
    let argument = format!("--control-plane-ca={}", path.display());
    let problems = check(&raw(&["--control-plane=https://cp.example", &argument])).unwrap_err();
    assert!(problems.first().unwrap().description.contains("holds no PEM certificate"));
}

#[test]
fn the_healthcheck_needs_no_control_plane() {
    let cli = Cli::try_parse_from(["ekiden-relay", "healthcheck", "--http-listen", "0.0.0.0:9000"])
        .unwrap();
    let Ok(Invocation::Healthcheck(healthcheck)) = invocation(&cli) else {
        panic!("not a healthcheck")
    };
    assert_eq!(healthcheck.default_address(), "127.0.0.1:9000".parse().unwrap());
}

#[test]
fn the_arguments_are_well_formed() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn a_fleet_is_joined_by_its_resource_name_alone() {
    let given = |fleet: &str| {
        let fleet = format!("--fleet={fleet}");
        check(&raw(&["--control-plane=https://cp.example", &fleet]))
    };
    let named = given("tenants/acme/fleets/tokyo").unwrap();
    assert_eq!(named.fleet.as_deref(), Some("tenants/acme/fleets/tokyo"));
    for bad in ["tokyo", "tenants/acme", "tenants/Acme/fleets/tokyo", "tenants//fleets/tokyo"] {
        assert_eq!(variables(&given(bad).unwrap_err()), ["EKIDEN_FLEET"], "{bad}");
    }
}
