use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};

use super::*;

/// A chain of so many events with its head and the key.
fn chain_of(name: &str, length: u64) -> (Vec<AuditEvent>, AuditHead, Vec<u8>) {
    let mut events: Vec<AuditEvent> = Vec::new();
    for sequence in 1..=length {
        let mut event = AuditEvent {
            name: format!("{name}auditEvents/{sequence}"),
            create_time: Some(Timestamp { seconds: 1_800_000_000, nanos: 123_456_000 }),
            actor: "apiTokens/1".to_owned(),
            resource: format!("{name}fleets/f{sequence}"),
            changed_fields: vec!["display_name".to_owned()],
            sequence,
            previous_hash: events.last().map(|event| event.hash.clone()).unwrap_or_default(),
            ..Default::default()
        };
        event.hash = hash(&event).to_vec();
        events.push(event);
    }
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let mut head = AuditHead {
        name: format!("{name}auditHead"),
        sequence: length,
        hash: events.last().unwrap().hash.clone(),
        sign_time: Some(Timestamp { seconds: 1_800_000_001, nanos: 0 }),
        public_key: key.public_key().as_ref().to_vec(),
        ..Default::default()
    };
    head.signature = key.sign(&SystemRandom::new(), &statement(&head)).unwrap().as_ref().to_vec();
    let key = head.public_key.clone();
    (events, head, key)
}

/// What is found wrong after `bend`.
fn found(bend: impl FnOnce(&mut Vec<AuditEvent>, &mut AuditHead)) -> Vec<Break> {
    let (mut events, mut head, key) = chain_of("tenants/acme/", 5);
    bend(&mut events, &mut head);
    check(&events, &[head], &key).err().unwrap_or_default()
}

fn named() -> String {
    "tenants/acme/auditHead".to_owned()
}

#[test]
fn a_chain_as_it_was_written_is_whole_in_any_order() {
    assert_eq!(found(|_, _| {}), []);
    assert_eq!(found(|events, _| events.reverse()), []);
}

#[test]
fn an_altered_event_is_found_whatever_was_altered() {
    let bends: [fn(&mut AuditEvent); 8] = [
        |e| e.actor.push('x'),
        |e| e.peer.push('x'),
        |e| e.method.push('x'),
        |e| e.resource.push('x'),
        |e| e.changed_fields.clear(),
        |e| e.trace_id.push('x'),
        |e| e.create_time = Some(Timestamp { seconds: 1_800_000_000, nanos: 123_457_000 }),
        // Moved from one field into the next.
        |e| e.changed_fields = vec!["display".to_owned(), "_name".to_owned()],
    ];
    for bend in bends {
        let breaks = found(|events, _| bend(&mut events[2]));
        assert!(matches!(&breaks[..], [Break::Altered { sequence: 3, .. }]), "{breaks:?}");
    }
}

#[test]
fn an_event_that_was_rewritten_with_its_hash_breaks_the_next_one() {
    let breaks = found(|events, _| {
        events[2].actor.push('x');
        events[2].hash = hash(&events[2]).to_vec();
    });
    assert_eq!(breaks, [Break::Replaced { chain: named(), sequence: 4 }]);
    let breaks = found(|events, _| {
        events[4].actor.push('x');
        events[4].hash = hash(&events[4]).to_vec();
    });
    assert_eq!(breaks, [Break::OtherHead { chain: named(), sequence: 5 }]);
}

#[test]
fn an_event_that_was_removed_or_put_in_twice_is_found() {
    let breaks = found(|events, _| {
        events.remove(1);
    });
    assert_eq!(breaks, [Break::Missing { chain: named(), sequence: 2 }]);
    let breaks = found(|events, _| {
        events.remove(0);
    });
    assert_eq!(breaks, [Break::Missing { chain: named(), sequence: 1 }]);
    let breaks = found(|events, _| events.push(events[3].clone()));
    assert_eq!(breaks, [Break::Doubled { chain: named(), sequence: 4 }]);
}

#[test]
fn an_end_that_was_cut_off_is_found() {
    let breaks = found(|events, _| events.truncate(3));
    assert_eq!(breaks, [Break::Truncated { chain: named(), head: 5, last: 3 }]);
    let breaks = found(|events, _| events.clear());
    assert_eq!(breaks, [Break::Truncated { chain: named(), head: 5, last: 0 }]);
}

#[test]
fn a_head_that_was_turned_back_without_the_key_is_found() {
    let breaks = found(|events, head| {
        events.truncate(3);
        head.sequence = 3;
        head.hash = events[2].hash.clone();
    });
    assert_eq!(breaks, [Break::Signature { chain: named() }]);
}

#[test]
fn a_chain_without_its_head_is_found_and_events_from_before_chains_are_counted() {
    let (mut events, head, key) = chain_of("", 2);
    events.push(AuditEvent { name: "auditEvents/old".to_owned(), ..Default::default() });
    let whole = check(&events, &[head], &key).unwrap();
    assert_eq!(whole, [Whole { chain: "auditHead".to_owned(), events: 2, unchained: 1 }]);
    let breaks = check(&events, &[], &key).unwrap_err();
    assert_eq!(breaks, [Break::NoHead { chain: "auditHead".to_owned(), events: 2 }]);
}
