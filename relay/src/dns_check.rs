//! Whether workloads can find this relay: asks DNS itself, past every cache of this process.
use std::net::{IpAddr, Ipv4Addr};

use crate::resolver::{ResolveError, Resolver};

/// Cloud Map answers with at most 8 of a service's records, a different set each time (AWS Cloud Map Developer Guide).
const FULL_ANSWER: usize = 8;
/// A full answer without this relay says little; that many in a row say enough.
const ASK_FULL: usize = 4;

/// What DNS says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The name holds it.
    Held,
    /// The name does not hold it.
    Absent,
    /// DNS did not answer.
    Unknown(String),
}

/// Asks whether `name` holds `address`.
pub async fn ask(resolver: &Resolver, name: &str, address: IpAddr) -> Seen {
    for _ in 0..ASK_FULL {
        let answer = match resolver.addresses_from_dns(name).await {
            Ok(answer) => answer,
            Err(ResolveError::NoSuchName { .. } | ResolveError::NoRecords { .. }) => {
                return Seen::Absent;
            }
            Err(error) => return Seen::Unknown(error.to_string()),
        };
        match judge(&answer, address) {
            Some(seen) => return seen,
            None => continue,
        }
    }
    Seen::Absent
}

/// What one answer says; none if it is full of others.
fn judge(answer: &[Ipv4Addr], address: IpAddr) -> Option<Seen> {
    if answer.iter().any(|held| *held == address) {
        return Some(Seen::Held);
    }
    (answer.len() < FULL_ANSWER).then_some(Seen::Absent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(count: u8) -> Vec<Ipv4Addr> {
        (1..=count).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect()
    }

    #[test]
    fn an_answer_that_may_have_left_records_out_proves_nothing() {
        let own = IpAddr::from([10, 0, 1, 1]);
        assert_eq!(judge(&others(7), own), Some(Seen::Absent));
        assert_eq!(judge(&others(8), own), None);
        assert_eq!(judge(&others(8), IpAddr::from([10, 0, 0, 8])), Some(Seen::Held));
    }
}
