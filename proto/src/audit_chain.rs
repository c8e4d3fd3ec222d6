//! How audit events hang together: each one's hash covers it and the hash before it, and the last one's is signed.
//!
//! The same code makes the hashes and checks them, for an auditor who trusts the key that signed and not the database.
use std::collections::{BTreeMap, btree_map::Entry};

use aws_lc_rs::{
    digest::{Context, SHA256},
    signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey},
};
use prost_types::Timestamp;

use crate::admin::v1::{AuditEvent, AuditHead};

/// What breaks a chain; `chain` is the name of its head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// An event does not hash to what it says.
    #[error(
        "{chain}: event {sequence} ({name}) was altered: its hash is not the one of its content"
    )]
    Altered {
        /// Its chain.
        chain: String,
        /// Its place.
        sequence: u64,
        /// Its name.
        name: String,
    },
    /// An event is not there.
    #[error("{chain}: event {sequence} is missing")]
    Missing {
        /// Its chain.
        chain: String,
        /// Its place.
        sequence: u64,
    },
    /// An event does not follow the one before it.
    #[error("{chain}: event {sequence} does not follow event {}: one of the two was replaced", .sequence - 1)]
    Replaced {
        /// Its chain.
        chain: String,
        /// Its place.
        sequence: u64,
    },
    /// Two events have one place.
    #[error("{chain}: there are two events {sequence}")]
    Doubled {
        /// Its chain.
        chain: String,
        /// Their place.
        sequence: u64,
    },
    /// The chain ends before its head.
    #[error(
        "{chain}: its end was cut off: the head is event {head}, the last one there is event {last}"
    )]
    Truncated {
        /// Its chain.
        chain: String,
        /// Last event according to the head.
        head: u64,
        /// Last event there is.
        last: u64,
    },
    /// The event in the head's place is another one.
    #[error("{chain}: event {sequence} is not the one that the head was signed for")]
    OtherHead {
        /// Its chain.
        chain: String,
        /// The head's place.
        sequence: u64,
    },
    /// The head is not signed by the key, or was altered.
    #[error("{chain}: the head's signature is not good under the key")]
    Signature {
        /// Its chain.
        chain: String,
    },
    /// Events of a chain without a head.
    #[error("{chain}: it has {events} events and no head")]
    NoHead {
        /// Its chain.
        chain: String,
        /// How many there are.
        events: usize,
    },
}

/// What holds of a chain that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Name of its head.
    pub chain: String,
    /// Its last event that was seen.
    pub events: u64,
    /// Events from before the chain began, which nothing vouches for.
    pub unchained: usize,
}

/// SHA-256 of an event with its place and what came before it; its own `hash` does not count.
pub fn hash(event: &AuditEvent) -> [u8; 32] {
    let mut writer = Writer::new(b"ekiden audit event 1\0");
    writer.bytes(event.name.as_bytes());
    writer.number(micros(event.create_time.as_ref()).cast_unsigned());
    for text in [&event.actor, &event.peer, &event.method, &event.resource] {
        writer.bytes(text.as_bytes());
    }
    writer.number(event.changed_fields.len() as u64);
    for field in &event.changed_fields {
        writer.bytes(field.as_bytes());
    }
    writer.bytes(event.trace_id.as_bytes());
    writer.number(event.sequence);
    writer.bytes(&event.previous_hash);
    writer.finish()
}

/// What a head's signature is over.
pub fn statement(head: &AuditHead) -> [u8; 32] {
    let mut writer = Writer::new(b"ekiden audit head 1\0");
    writer.bytes(head.name.as_bytes());
    writer.number(head.sequence);
    writer.bytes(&head.hash);
    writer.number(micros(head.sign_time.as_ref()).cast_unsigned());
    writer.finish()
}

/// Name of the head of the chain that an event belongs to.
pub fn chain(event: &str) -> String {
    match event.rsplit_once("auditEvents/") {
        Some((parent, _)) => format!("{parent}auditHead"),
        None => event.to_owned(),
    }
}

/// Checks chains whole: every event from the first to the head, and whether `key` signed each head.
///
/// # Errors
/// Every break there is.
pub fn check(
    events: &[AuditEvent],
    heads: &[AuditHead],
    key: &[u8],
) -> Result<Vec<Whole>, Vec<Break>> {
    let mut breaks = Vec::new();
    let mut chains: BTreeMap<String, Vec<&AuditEvent>> = BTreeMap::new();
    for event in events {
        chains.entry(chain(&event.name)).or_default().push(event);
    }
    let mut whole = Vec::new();
    for head in heads {
        let events = chains.remove(&head.name).unwrap_or_default();
        let unchained = events.iter().filter(|event| event.sequence == 0).count();
        let last = follow(&head.name, &events, &mut breaks);
        against(head, &last, key, &mut breaks);
        whole.push(Whole { chain: head.name.clone(), events: last.0, unchained });
    }
    for (chain, events) in chains {
        let chained = events.iter().filter(|event| event.sequence > 0).count();
        match chained {
            0 => whole.push(Whole { chain, events: 0, unchained: events.len() }),
            events => breaks.push(Break::NoHead { chain, events }),
        }
    }
    if breaks.is_empty() { Ok(whole) } else { Err(breaks) }
}

/// Checks that heads which were kept elsewhere are part of the events, and that `key` signed them.
pub fn check_heads(events: &[AuditEvent], kept: &[AuditHead], key: &[u8]) -> Vec<Break> {
    let mut breaks = Vec::new();
    for head in kept {
        let own: Vec<_> = events.iter().filter(|event| chain(&event.name) == head.name).collect();
        // What is wrong among the events themselves is told of by `check`.
        let followed = follow(&head.name, &own, &mut Vec::new());
        against(head, &followed, key, &mut breaks);
    }
    breaks
}

/// Last place of a chain, and the hash at each place.
type Followed = (u64, BTreeMap<u64, Vec<u8>>);

fn follow(chain: &str, events: &[&AuditEvent], breaks: &mut Vec<Break>) -> Followed {
    let mut places: BTreeMap<u64, &AuditEvent> = BTreeMap::new();
    for event in events.iter().filter(|event| event.sequence > 0) {
        match places.entry(event.sequence) {
            Entry::Vacant(place) => {
                place.insert(event);
            }
            Entry::Occupied(_) => {
                breaks.push(Break::Doubled { chain: chain.to_owned(), sequence: event.sequence });
            }
        }
    }
    let (mut expected, mut previous): (u64, &[u8]) = (1, &[]);
    for (&sequence, event) in &places {
        let chain = || chain.to_owned();
        if sequence > expected {
            breaks.extend(
                (expected..sequence)
                    .take(100)
                    .map(|sequence| Break::Missing { chain: chain(), sequence }),
            );
        } else if event.previous_hash != previous {
            breaks.push(Break::Replaced { chain: chain(), sequence });
        }
        if event.hash != hash(event) {
            breaks.push(Break::Altered { chain: chain(), sequence, name: event.name.clone() });
        }
        (expected, previous) = (sequence + 1, &event.hash);
    }
    (expected - 1, places.into_iter().map(|(place, event)| (place, event.hash.clone())).collect())
}

fn against(head: &AuditHead, (last, places): &Followed, key: &[u8], breaks: &mut Vec<Break>) {
    let chain = || head.name.clone();
    let signed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
    if signed.verify(&statement(head), &head.signature).is_err() {
        breaks.push(Break::Signature { chain: chain() });
    }
    match places.get(&head.sequence) {
        _ if *last < head.sequence => {
            breaks.push(Break::Truncated { chain: chain(), head: head.sequence, last: *last });
        }
        Some(hash) if *hash != head.hash => {
            breaks.push(Break::OtherHead { chain: chain(), sequence: head.sequence });
        }
        // A place that is empty was told of as missing.
        Some(_) | None => {}
    }
}

/// Microseconds since 1970: as exact as the database keeps times.
fn micros(time: Option<&Timestamp>) -> i64 {
    time.map_or(0, |t| {
        t.seconds.saturating_mul(1_000_000).saturating_add(i64::from(t.nanos / 1000))
    })
}

struct Writer(Context);

impl Writer {
    fn new(label: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(label);
        Self(context)
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

#[cfg(test)]
mod tests;
