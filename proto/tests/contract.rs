//! The released contract stays valid: what a released client or relay may send or read keeps its number, type and name.
use std::{collections::BTreeMap, env, fs, path::PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

/// Every fact that a client relies on: where it is, and what it is.
type Facts = BTreeMap<String, String>;

fn facts(descriptor: &[u8]) -> Facts {
    let set = FileDescriptorSet::decode(descriptor).unwrap();
    let mut facts = Facts::new();
    for file in set.file.iter().filter(|f| f.package().starts_with("ekiden.")) {
        let package = file.package();
        for message in &file.message_type {
            message_facts(package, message, &mut facts);
        }
        for values in &file.enum_type {
            enum_facts(package, values, &mut facts);
        }
        for service in &file.service {
            for method in &service.method {
                facts.insert(
                    format!("rpc {package}.{}/{}", service.name(), method.name()),
                    format!(
                        "{}{} -> {}{}",
                        if method.client_streaming() { "stream " } else { "" },
                        method.input_type(),
                        if method.server_streaming() { "stream " } else { "" },
                        method.output_type()
                    ),
                );
            }
        }
    }
    facts
}

fn message_facts(scope: &str, message: &DescriptorProto, facts: &mut Facts) {
    let scope = format!("{scope}.{}", message.name());
    facts.insert(format!("message {scope}"), String::new());
    for field in &message.field {
        let oneof = field
            .oneof_index
            .and_then(|i| message.oneof_decl.get(i as usize))
            .map_or("", |o| o.name());
        facts.insert(
            format!("field {scope} = {}", field.number()),
            format!(
                "{} {:?} {:?} {} {oneof}",
                field.name(),
                field.label(),
                field.r#type(),
                field.type_name()
            ),
        );
    }
    for nested in &message.nested_type {
        message_facts(&scope, nested, facts);
    }
    for values in &message.enum_type {
        enum_facts(&scope, values, facts);
    }
}

fn enum_facts(scope: &str, values: &EnumDescriptorProto, facts: &mut Facts) {
    for value in &values.value {
        facts.insert(
            format!("enum {scope}.{} = {}", values.name(), value.number()),
            value.name().to_owned(),
        );
    }
}

fn broken(released: &Facts, now: &Facts) -> Vec<String> {
    released
        .iter()
        .filter_map(|(place, was)| match now.get(place) {
            Some(is) if is == was => None,
            Some(is) => Some(format!("{place}: was `{was}`, is `{is}`")),
            None => Some(format!("{place}: `{was}` is gone")),
        })
        .collect()
}

fn released_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("released/ekiden.bin")
}

#[test]
fn the_released_contract_is_not_broken() {
    if env::var_os("EKIDEN_RELEASE_CONTRACT").is_some() {
        fs::write(released_path(), ekiden_proto::DESCRIPTOR).unwrap();
    }
    let released = fs::read(released_path()).unwrap();
    let broken = broken(&facts(&released), &facts(ekiden_proto::DESCRIPTOR));
    assert!(
        broken.is_empty(),
        "these would break released clients or relays; add beside them instead (a release of the contract is \
         written down by running this test with EKIDEN_RELEASE_CONTRACT=1):\n{}",
        broken.join("\n")
    );
}

#[test]
fn a_changed_and_a_missing_field_count_as_broken() {
    let released = facts(ekiden_proto::DESCRIPTOR);
    let mut now = released.clone();
    now.remove("field ekiden.admin.v1.Fleet = 3");
    now.insert("enum ekiden.admin.v1.Role = 1".to_owned(), "ROLE_ROOT".to_owned());
    assert_eq!(broken(&released, &now).len(), 2);
}

#[test]
fn every_message_that_holds_a_secret_hides_it_in_debug() {
    let key = ekiden_proto::relay::v1::KeyMaterial {
        access_key: "tenants/acme/accessKeys/us4".to_owned(),
        version: 3,
        value: b"s3cret-value".to_vec(),
        ..Default::default()
    };
    let bundle = ekiden_proto::relay::v1::KeyBundle { keys: vec![key], ..Default::default() };
    assert!(
        !format!("{bundle:?}").contains("s3cret") && !format!("{bundle:?}").contains("115, 51")
    );
    let set = ekiden_proto::admin::v1::AccessKey {
        value: "s3cret-value".to_owned(),
        ..Default::default()
    };
    assert!(!format!("{set:?}").contains("s3cret"));
    let rotate = ekiden_proto::admin::v1::RotateAccessKeyRequest {
        value: "s3cret-value".to_owned(),
        ..Default::default()
    };
    assert!(!format!("{rotate:?}").contains("s3cret"));
    let enroll = ekiden_proto::relay::v1::EnrollRequest {
        proof: Some(ekiden_proto::relay::v1::enroll_request::Proof::EnrollmentToken(
            "ekr_s3cret".to_owned(),
        )),
        ..Default::default()
    };
    assert!(!format!("{enroll:?} {:?}", enroll.proof).contains("s3cret"));
}
