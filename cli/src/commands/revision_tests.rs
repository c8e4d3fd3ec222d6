use ekiden_proto::settings::v1::{Collector, Endpoint, Listener, Settings};

use super::*;
use crate::{
    commands::tests::{at, now},
    output::structured,
};

#[test]
fn revisions_are_shown() {
    let revision = Revision {
        name: "tenants/acme/fleets/tokyo/revisions/4".to_owned(),
        revision: 4,
        hash: "0123456789abcdef".repeat(4),
        settings: Some(Settings {
            fleet: "tenants/acme/fleets/tokyo".to_owned(),
            listeners: vec![Listener {
                name: "agents".to_owned(),
                port: 6443,
                protocol: 1,
                collector: "tenants/acme/collectors/us4".to_owned(),
                ..Listener::default()
            }],
            collectors: vec![Collector {
                name: "tenants/acme/collectors/us4".to_owned(),
                endpoints: vec![Endpoint { host: "c.example".to_owned(), port: 1, priority: 0 }],
                ..Collector::default()
            }],
            ..Settings::default()
        }),
        actor: "apiTokens/0198c5d2".to_owned(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        create_time: at(3_600),
    };
    insta::assert_snapshot!(
        "revisions",
        [
            table(std::slice::from_ref(&revision), now()),
            details(&revision, now()),
            structured::json(&revision).unwrap(),
        ]
        .join("\n")
    );
}
