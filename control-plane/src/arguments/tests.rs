use super::*;

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
    assert_eq!(settings.master_key_file, settings.data_dir.join("master.key"));
    assert!(matches!(settings.database, Database::Embedded { .. }));
    assert_eq!(settings.server.server_names, ["localhost", "127.0.0.1"]);
    assert_eq!(settings.server.relay_certificate_lifetime, Duration::from_secs(3600));
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
        "--relay-certificate-lifetime=1",
        "--health-interval=soon",
        "--heartbeat-interval=0",
    ]);
    assert_eq!(problems.len(), 8, "{problems:#?}");
    for (problem, flag) in problems.iter().zip([
        "--relay-listen (EKIDEN_RELAY_LISTEN)",
        "--operator-plaintext (EKIDEN_OPERATOR_PLAINTEXT)",
        "--database-url (EKIDEN_DATABASE_URL)",
        "--server-names (EKIDEN_SERVER_NAMES)",
        "--trust-domain (EKIDEN_TRUST_DOMAIN)",
        "--relay-certificate-lifetime (EKIDEN_RELAY_CERTIFICATE_LIFETIME)",
        "--health-interval (EKIDEN_HEALTH_INTERVAL)",
        "--heartbeat-interval (EKIDEN_HEARTBEAT_INTERVAL)",
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
