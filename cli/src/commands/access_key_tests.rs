use super::*;
use crate::{
    commands::tests::{at, now},
    output::structured,
};

#[test]
fn access_keys_are_shown_without_their_value() {
    let access_key = AccessKey {
        name: "tenants/acme/accessKeys/sysdig".to_owned(),
        display_name: "Sysdig US4".to_owned(),
        enabled: Some(false),
        metadata: [
            ("owner".to_owned(), "secops".to_owned()),
            ("env".to_owned(), "prod".to_owned()),
        ]
        .into(),
        version: 3,
        fingerprint: "0011aabbccdd".to_owned(),
        etag: "\"7\"".to_owned(),
        create_time: at(86_400 * 3),
        update_time: at(60),
        disable_time: at(60),
        agent_limit: 500,
        agent_reservation: 50,
        ..AccessKey::default()
    };
    let other = AccessKey {
        name: "tenants/umbrella/accessKeys/k".to_owned(),
        version: 1,
        ..AccessKey::default()
    };
    insta::assert_snapshot!(
        "access_keys",
        [
            table(std::slice::from_ref(&access_key), "tenants/acme", now()),
            table(&[access_key.clone(), other], "tenants/-", now()),
            details(&access_key, now()),
            structured::json(&access_key).unwrap(),
        ]
        .join("\n")
    );
}
