//! How many connections crowded relays are to let go: long-lived ones stay where they came, and a relay that joined later has
//! none. Pure.
use std::collections::HashMap;

use uuid::Uuid;

/// A relay with so many times its siblings' mean is crowded,
const CROWDED: f64 = 1.25;
/// if it is by more than a handful that came by chance.
const BY_CHANCE: f64 = 16.0;
/// Of what it has too many, so much goes at once: those that go come back anywhere, here too.
const AT_ONCE: f64 = 0.25;

/// A relay and the connections that it may let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The relay.
    pub relay: Uuid,
    /// Open connections of listeners that let connections go.
    pub connections: u64,
    /// Services under whose names DNS answers with it.
    pub in_dns: Vec<String>,
}

/// Gives the crowded relays and how many connections each is to let go.
///
/// Those are siblings that workloads could go to instead: relays of one cell, or of a fleet without cells.
pub fn shed(loads: &[Load]) -> Vec<(Uuid, u32)> {
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    for service in loads.iter().flat_map(|load| &load.in_dns) {
        *sizes.entry(service).or_default() += 1;
    }
    let mut groups: HashMap<&str, Vec<&Load>> = HashMap::new();
    for load in loads {
        let services = load.in_dns.iter().map(String::as_str);
        // The fleet's own name has everyone; the cell is the smaller one.
        let smallest = services.min_by_key(|service| (sizes.get(service).copied(), *service));
        if let Some(service) = smallest {
            groups.entry(service).or_default().push(load);
        }
    }
    let mut shed: Vec<(Uuid, u32)> = groups.values().flat_map(|group| crowded(group)).collect();
    shed.sort_unstable();
    shed
}

fn crowded(group: &[&Load]) -> Vec<(Uuid, u32)> {
    let all: u64 = group.iter().map(|load| load.connections).sum();
    let mean = all as f64 / group.len() as f64;
    let too_many = |load: &&Load| {
        let excess = load.connections as f64 - mean;
        let crowded = load.connections as f64 > mean * CROWDED && excess > BY_CHANCE;
        crowded.then(|| (load.relay, (excess * AT_ONCE).ceil() as u32))
    };
    group.iter().filter_map(too_many).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(n: u128, connections: u64, in_dns: &[&str]) -> Load {
        let in_dns = in_dns.iter().map(|service| (*service).to_owned()).collect();
        Load { relay: Uuid::from_u128(n), connections, in_dns }
    }

    #[test]
    fn old_relays_let_go_a_part_of_what_they_have_too_many() {
        let loads = [load(1, 500, &["own"]), load(2, 500, &["own"]), load(3, 0, &["own"])];
        assert_eq!(shed(&loads), [(Uuid::from_u128(1), 42), (Uuid::from_u128(2), 42)]);
    }

    #[test]
    fn chance_is_no_crowd() {
        assert_eq!(shed(&[load(1, 30, &["own"]), load(2, 10, &["own"])]), []);
        assert_eq!(shed(&[load(1, 1100, &["own"]), load(2, 900, &["own"])]), []);
        assert_eq!(shed(&[load(1, 10_000, &["own"])]), [], "there is nobody to go to");
        assert_eq!(shed(&[load(1, 10_000, &[]), load(2, 0, &["own"])]), [], "nobody comes to it");
    }

    #[test]
    fn a_cells_workloads_have_its_relays_alone() {
        let loads = [
            load(1, 400, &["own", "cell-a"]),
            load(2, 400, &["own", "cell-a"]),
            load(3, 0, &["own", "cell-b"]),
            load(4, 0, &["own", "cell-b"]),
        ];
        assert_eq!(shed(&loads), []);
    }

    proptest! {
        #[test]
        fn nobody_gets_below_the_mean_and_rounds_come_to_an_end(
            connections in proptest::collection::vec(0_u64..5000, 2..12),
        ) {
            let mut loads: Vec<Load> =
                connections.iter().enumerate().map(|(n, c)| load(n as u128, *c, &["own"])).collect();
            let all: u64 = connections.iter().sum();
            let mean = all as f64 / connections.len() as f64;
            for _ in 0..60 {
                let orders = shed(&loads);
                let mut homeless = 0;
                for (relay, count) in &orders {
                    let at = loads.iter_mut().find(|load| load.relay == *relay).unwrap();
                    at.connections -= u64::from(*count);
                    homeless += u64::from(*count);
                    prop_assert!(at.connections as f64 >= mean.floor());
                }
                // They spread evenly over all, whoever let them go.
                let count = loads.len() as u64;
                for (n, load) in loads.iter_mut().enumerate() {
                    load.connections += homeless / count + u64::from((n as u64) < homeless % count);
                }
            }
            prop_assert_eq!(shed(&loads), []);
        }
    }
}
