use clap::Parser;
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use super::*;
use crate::arguments::{Arguments, Noun};

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::create_dir_all(self.folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn run(&self, line: &str) -> Result<(), Failure> {
        let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
        let Noun::Context(verb) = arguments.noun else { panic!("another command") };
        let environment =
            Environment { config: Some(self.path("config.yaml").into()), ..Environment::default() };
        let printer =
            Printer { format: Format::Json, now: OffsetDateTime::UNIX_EPOCH, terminal: false };
        run(verb, &arguments.global, &environment, printer)
    }

    fn config(&self) -> Config {
        Config::load(Path::new(&self.path("config.yaml"))).unwrap()
    }
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

#[test]
fn a_running_control_plane_is_imported_and_found_again_on_another_port() {
    let home = Home::new();
    let token = home.write("token", "eka_1_secret\n");
    let endpoints = |port: u16| {
        format!(
            r#"{{"relays":"127.0.0.1:1","operators":"127.0.0.1:{port}","operators_tls":true,"ca_certificate":"elsewhere/ca.pem"}}"#
        )
    };
    home.write("data/endpoints.json", &endpoints(4000));
    home.write("data/ca.pem", PEM);
    let data = home.path("data");
    home.run(&format!("ekidenctl context import {data} --token-file {token} --tenant acme"))
        .unwrap();
    let config = home.config();
    assert_eq!(config.current.as_deref(), Some("local"));
    let context = &config.contexts["local"];
    assert_eq!(context.endpoint, "https://127.0.0.1:4000");
    assert_eq!(context.ca_certificate.as_deref(), Some(PEM));
    assert_eq!(context.token.as_ref().unwrap().0.expose_secret(), "eka_1_secret");

    home.write("data/endpoints.json", &endpoints(5000));
    home.run(&format!("ekidenctl context import {data}")).unwrap();
    let context = &home.config().contexts["local"];
    assert_eq!(context.endpoint, "https://127.0.0.1:5000");
    assert_eq!(context.tenant.as_deref(), Some("acme"));
    assert_eq!(context.token.as_ref().unwrap().0.expose_secret(), "eka_1_secret");
}

#[test]
fn a_context_is_set_bit_by_bit_used_and_deleted() {
    let home = Home::new();
    assert!(home.run("ekidenctl context set prod").is_err());
    home.run("ekidenctl context set prod --control-plane ekiden.example:9443").unwrap();
    home.run("ekidenctl context set lab --control-plane http://127.0.0.1:9443 --tenant acme")
        .unwrap();
    assert_eq!(home.config().current.as_deref(), Some("prod"));
    home.run("ekidenctl context set prod --tenant umbrella").unwrap();
    let prod = home.config().contexts["prod"].clone();
    assert_eq!(
        (prod.endpoint.as_str(), prod.tenant.as_deref()),
        ("https://ekiden.example:9443", Some("umbrella"))
    );
    home.run("ekidenctl context use lab").unwrap();
    assert!(home.run("ekidenctl context use none").is_err());
    home.run("ekidenctl context delete lab").unwrap();
    assert_eq!((home.config().current, home.config().contexts.len()), (None, 1));
}

#[test]
fn an_import_of_what_is_no_control_plane_says_so() {
    let home = Home::new();
    let failure =
        home.run(&format!("ekidenctl context import {}", home.path("nowhere"))).unwrap_err();
    assert!(failure.to_string().contains("endpoints.json"), "{failure}");
    home.write("data/endpoints.json", "{}");
    assert!(home.run(&format!("ekidenctl context import {}", home.path("data"))).is_err());
}

#[test]
fn contexts_are_shown_without_their_token() {
    let shown = [
        Shown {
            name: "local",
            current: true,
            endpoint: "https://127.0.0.1:4000",
            tenant: Some("acme"),
            has_token: true,
            has_ca_certificate: true,
        },
        Shown {
            name: "prod",
            current: false,
            endpoint: "https://ekiden.example:9443",
            tenant: None,
            has_token: false,
            has_ca_certificate: false,
        },
    ];
    insta::assert_snapshot!(
        "contexts",
        table(&shown) + "\n" + &serde_json::to_string_pretty(&shown).unwrap()
    );
}
