use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};

use super::*;

/// A trail of so many events.
fn trail(length: u64) -> Trail {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let mut trail = Trail::default();
    for sequence in 1..=length {
        let previous_hash =
            trail.events.last().map(|e: &AuditEvent| e.hash.clone()).unwrap_or_default();
        let mut event = AuditEvent {
            name: format!("tenants/acme/auditEvents/{sequence}"),
            actor: "apiTokens/1".to_owned(),
            sequence,
            previous_hash,
            ..AuditEvent::default()
        };
        event.hash = audit_chain::hash(&event).to_vec();
        trail.events.push(event);
        let mut head = AuditHead {
            name: "tenants/acme/auditHead".to_owned(),
            sequence,
            hash: trail.events.last().unwrap().hash.clone(),
            public_key: key.public_key().as_ref().to_vec(),
            ..AuditHead::default()
        };
        let statement = audit_chain::statement(&head);
        head.signature = key.sign(&SystemRandom::new(), &statement).unwrap().as_ref().to_vec();
        trail.heads = vec![head];
    }
    trail
}

fn broken(trail: &Trail, kept: &Trail, signer: Option<&str>) -> Vec<String> {
    match verdict(trail, kept, signer) {
        Err(Failure::Broken { breaks }) => breaks,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_trail_is_told_with_its_signer() {
    let trail = trail(3);
    let text = verdict(&trail, &Trail::default(), None).unwrap();
    let signer = fingerprint(&trail.heads[0].public_key);
    assert_eq!(text, format!("tenants/acme/auditHead: 3 events, whole\nsigned by {signer}\n"));
    verdict(&trail, &Trail::default(), Some(&signer.to_uppercase())).unwrap();
}

#[test]
fn another_signer_than_the_one_asked_for_is_told() {
    let breaks = broken(&trail(2), &Trail::default(), Some("00ff"));
    assert!(breaks[0].contains("not by 00ff"), "{breaks:?}");
}

#[test]
fn a_trail_that_was_turned_back_with_the_key_in_hand_is_found_by_a_kept_head() {
    let now = trail(5);
    let kept = Trail { heads: now.heads.clone(), events: Vec::new() };
    // Another history of the same length, signed by the same key in principle: here by another, so the kept head fails too.
    let breaks = broken(&trail(3), &kept, None);
    assert!(breaks.iter().any(|b| b.contains("its end was cut off")), "{breaks:?}");
    assert!(verdict(&now, &kept, None).unwrap().contains("kept heads: all 1 are part of it"));
}

#[test]
fn an_export_is_read_again_as_it_was_written() {
    let written = trail(2);
    let mut text = structured::json_line(&written.heads[0]).unwrap() + "\n";
    for event in &written.events {
        text += &(structured::json_line(event).unwrap() + "\n\n");
    }
    let file = std::env::temp_dir().join(format!("ekiden-audit-{}.jsonl", std::process::id()));
    fs::write(&file, text).unwrap();
    let again = read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!((again.heads, again.events), (written.heads, written.events));
}

#[test]
fn a_line_that_is_no_event_is_named() {
    let file = std::env::temp_dir().join(format!("ekiden-audit-bad-{}.jsonl", std::process::id()));
    fs::write(&file, "\n{\"neither\": 1}\n").unwrap();
    let error = read(&file).unwrap_err().to_string();
    fs::remove_file(&file).unwrap();
    assert!(error.ends_with(":2 is neither an audit event nor an audit head"), "{error}");
}
