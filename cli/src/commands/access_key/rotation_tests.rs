use ekiden_proto::admin::v1::KeyRotationCollector;

use super::*;
use crate::{
    commands::tests::{at, now},
    output::structured,
};

fn rotation() -> KeyRotation {
    let wait = |relay: &str, reason: KeyRotationWaitReason, message: &str| KeyRotationWait {
        relay: format!("tenants/acme/fleets/tokyo/relays/{relay}"),
        reason: reason.into(),
        collector: "tenants/acme/collectors/us4".to_owned(),
        message: message.to_owned(),
        observe_time: at(60),
    };
    KeyRotation {
        access_key: "tenants/acme/accessKeys/sysdig".to_owned(),
        state: KeyRotationState::Distributing.into(),
        stop_time: at(60),
        old_version: 1,
        new_version: 2,
        old_fingerprint: "0011aabbccdd".to_owned(),
        new_fingerprint: "ddccbbaa1100".to_owned(),
        grace: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        start_time: at(300),
        state_time: at(299),
        relays: 50,
        relays_acknowledged: 50,
        relays_proven: 48,
        collectors: vec![
            KeyRotationCollector {
                collector: "tenants/acme/collectors/us4".to_owned(),
                proof: KeyProof::Probed.into(),
            },
            KeyRotationCollector {
                collector: "tenants/acme/collectors/agents".to_owned(),
                proof: KeyProof::Observed.into(),
            },
        ],
        waits: vec![
            wait("0193a0b0", KeyRotationWaitReason::Refused, "Unauthenticated: no such key"),
            wait("0193a0b1", KeyRotationWaitReason::Unproven, ""),
        ],
    }
}

#[test]
fn a_stopped_rotation_names_the_relay_and_the_answer() {
    let rotation = rotation();
    let done = KeyRotation {
        state: KeyRotationState::OldDestroyed.into(),
        stop_time: None,
        relays: 0,
        relays_acknowledged: 0,
        relays_proven: 0,
        waits: Vec::new(),
        ..rotation.clone()
    };
    insta::assert_snapshot!(
        "rotation",
        [
            progress(&rotation),
            text(&rotation, now()),
            text(&done, now()),
            structured::json(&rotation).unwrap(),
        ]
        .join("\n\n")
    );
}

#[test]
fn every_state_and_reason_has_words() {
    for number in 1..=7 {
        let state_of = KeyRotationState::try_from(number).unwrap();
        assert_ne!(state(state_of), "unknown");
        let rotation = KeyRotation { state: number, ..KeyRotation::default() };
        assert!(!meaning(&rotation).is_empty());
    }
    assert!(KeyRotationState::try_from(8).is_err(), "a new state needs words");
    for number in 1..=5 {
        let wait = KeyRotationWait { reason: number, ..KeyRotationWait::default() };
        assert_ne!(reason(&wait), "unknown");
    }
    assert!(KeyRotationWaitReason::try_from(6).is_err(), "a new reason needs words");
}
