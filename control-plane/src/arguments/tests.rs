use std::{io::Write, time::Duration};

use rcgen::generate_simple_self_signed;

use super::*;
use crate::vault::MasterKeySource;

fn settings(arguments: &[&str]) -> Result<Settings, Vec<String>> {
    let all = ["ekiden-control-plane"].iter().chain(arguments);
    check(Given::try_parse_from(all).unwrap(), Vec::new)
}

fn problems(arguments: &[&str]) -> Vec<String> {
    settings(arguments).err().unwrap()
}

#[test]
fn without_settings_it_runs_alone_in_its_data_directory() {
    let settings = settings(&[]).unwrap();
    assert_eq!(settings.relay_listen.to_string(), "0.0.0.0:8443");
    assert_eq!(settings.operator_listen.to_string(), "127.0.0.1:9443");
    assert!(
        settings.data_dir.is_absolute() && settings.data_dir.ends_with(".ekiden/control-plane")
    );
    let usual = MasterKeySource::File(settings.data_dir.join("master.key"));
    assert_eq!(settings.master_keys, MasterKeySources { seal: usual, also: Vec::new() });
    assert!(matches!(settings.database, Database::Embedded { .. }));
    assert_eq!(settings.server.server_names, ["localhost", "127.0.0.1"]);
    assert_eq!(settings.server.relay_certificate_lifetime, Duration::from_secs(3600));
    assert_eq!(settings.server.calls_per_second.get(), 50);
    assert_eq!(settings.server.attempts_per_second.get(), 20);
    assert!(settings.server.logins.is_none());
}

#[test]
fn every_problem_is_told_at_once_by_flag_and_variable() {
    let problems = problems(&[
        "--relay-listen=nowhere",
        "--operator-listen=0.0.0.0:1",
        "--operator-plaintext",
        "--database-url=mysql://x",
        "--server-names=ok.example,-bad-",
        "--trust-domain=UPPER",
        "--master-key=vault:ekiden",
        "--master-key-also=kms:alias/ekiden,/etc/master.key",
        "--relay-certificate-lifetime=1",
        "--health-interval=soon",
        "--heartbeat-interval=0",
        "--calls-per-second=0",
        "--attempts-per-second=100001",
        "--operator-oidc-issuer=http://login.example",
        "--operator-oidc-roles=groups=a:owner",
        "--operator-oidc-ca=/nowhere/ca.pem",
    ]);
    assert_eq!(problems.len(), 16, "{problems:#?}");
    for (problem, flag) in problems.iter().zip([
        "--relay-listen (EKIDEN_RELAY_LISTEN)",
        "--operator-plaintext (EKIDEN_OPERATOR_PLAINTEXT)",
        "--master-key (EKIDEN_MASTER_KEY)",
        "--master-key-also (EKIDEN_MASTER_KEY_ALSO)",
        "--database-url (EKIDEN_DATABASE_URL)",
        "--server-names (EKIDEN_SERVER_NAMES)",
        "--trust-domain (EKIDEN_TRUST_DOMAIN)",
        "--relay-certificate-lifetime (EKIDEN_RELAY_CERTIFICATE_LIFETIME)",
        "--health-interval (EKIDEN_HEALTH_INTERVAL)",
        "--heartbeat-interval (EKIDEN_HEARTBEAT_INTERVAL)",
        "--calls-per-second (EKIDEN_CALLS_PER_SECOND)",
        "--attempts-per-second (EKIDEN_ATTEMPTS_PER_SECOND)",
        "--operator-oidc-issuer (EKIDEN_OPERATOR_OIDC_ISSUER)",
        "--operator-oidc-audience (EKIDEN_OPERATOR_OIDC_AUDIENCE)",
        "--operator-oidc-roles (EKIDEN_OPERATOR_OIDC_ROLES)",
        "--operator-oidc-ca (EKIDEN_OPERATOR_OIDC_CA)",
    ]) {
        assert!(problem.starts_with(flag), "{problem} is not about {flag}");
    }
}

#[test]
fn plaintext_is_accepted_on_loopback() {
    assert!(settings(&["--operator-plaintext", "--operator-listen=[::1]:0"]).is_ok());
}

#[test]
fn a_problem_with_the_database_url_never_shows_the_password() {
    for url in [
        "postgres://u:pa55@word@host:port/x",
        "mysql://u:pa55word@host/x",
        "postgres://u:pa55word@h.rds.amazonaws.com/x",
    ] {
        let text = problems(&["--database-url", url]).join("\n");
        assert!(!text.contains("pa55"), "{text}");
    }
}

#[test]
fn an_rds_database_over_a_mode_that_may_be_plain_is_refused() {
    let text = problems(&["--database-url=postgres://u@x.rds.amazonaws.com/d?sslmode=prefer"]);
    assert!(text.iter().any(|problem| problem.contains("verify-full")), "{text:?}");
}

#[test]
fn an_empty_database_url_is_none() {
    assert!(matches!(settings(&["--database-url="]).unwrap().database, Database::Embedded { .. }));
}

const ISSUER: &str = "--operator-oidc-issuer=https://login.example/realms/msp";

#[test]
fn an_issuer_of_logins_needs_an_audience_and_roles() {
    let told = problems(&[ISSUER]);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("--operator-oidc-audience"), "{told:#?}");
    assert!(told[1].starts_with("--operator-oidc-roles"), "{told:#?}");
    let told = problems(&[ISSUER, "--operator-oidc-audience= ", "--operator-oidc-roles=a:b,c:d"]);
    assert_eq!(told.len(), 3, "every rule is told: {told:#?}");
    let told = problems(&["--operator-oidc-audience=ekiden", "--operator-oidc-roles=g=o:operator"]);
    assert!(told.len() == 2 && told[0].contains("--operator-oidc-issuer"), "{told:#?}");
    let roles = "--operator-oidc-roles=g=o:operator";
    let settings = settings(&[ISSUER, "--operator-oidc-audience=ekiden", roles]).unwrap();
    let logins = settings.server.logins.unwrap();
    assert_eq!(logins.issuer.url(), "https://login.example/realms/msp");
    assert_eq!(logins.audience, "ekiden");
    assert!(logins.roots.is_empty());
}

#[test]
fn empty_settings_of_logins_are_none() {
    let empty = ["--operator-oidc-issuer=", "--operator-oidc-audience=", "--operator-oidc-roles="];
    assert!(settings(&empty).unwrap().server.logins.is_none());
}

#[test]
fn the_issuers_roots_are_read_and_what_is_none_is_refused() {
    let root = generate_simple_self_signed(["login.example".to_owned()]).unwrap().cert.pem();
    let with = |content: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let ca = format!("--operator-oidc-ca={}", file.path().display());
        let roles = "--operator-oidc-roles=g=o:operator";
        settings(&[ISSUER, "--operator-oidc-audience=ekiden", roles, &ca])
    };
    let settings = with(&format!("{root}{root}")).unwrap();
    assert_eq!(settings.server.logins.unwrap().roots.len(), 2);
    for bad in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!",
    ] {
        let told = with(bad).err().unwrap();
        assert!(told.len() == 1 && told[0].starts_with("--operator-oidc-ca"), "{bad}: {told:?}");
    }
}

#[test]
fn help_teaches_logins_and_paces() {
    let Err(Refusal::Asked(text)) = read(["x".into(), "--help".into()]) else { panic!("no help") };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "--operator-oidc-issuer <URL>",
        "groups=acme-admins:tenant-admin:acme",
        "[default: 50]",
        "Each replica counts for itself",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn settings_may_stand_after_the_command() {
    let given = Given::try_parse_from(["x", "migrate", "--data-dir=/d"]).unwrap();
    assert_eq!(given.command, Some(Command::Migrate));
    assert_eq!(given.data_dir, "/d");
}

#[test]
fn help_is_no_error_and_an_unknown_flag_is() {
    let read = |flag: &str| read(["x".into(), flag.into()]);
    assert!(matches!(read("--help"), Err(Refusal::Asked(text)) if text.contains("master key")));
    assert!(matches!(read("--halp"), Err(Refusal::Wrong(_))));
}
