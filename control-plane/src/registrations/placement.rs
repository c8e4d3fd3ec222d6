//! In which cells relays are: a pure function of who is there, so that every process comes to the same. Rendezvous hashing
//! (Thaler and Ravishankar, 1998), held to even sizes: who comes or goes moves few others.
use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

/// A DNS answer holds at most so many addresses (AWS Cloud Map Developer Guide).
const CELL: usize = 8;
/// A cell has at least so many relays, if the fleet has: one may stop.
const AT_LEAST: usize = 2;

/// Gives each relay the cells, by their place in `cells`, that it is to be in. With more than eight times as many relays as cells,
/// some are in none.
pub fn place(relays: &[Uuid], cells: &[String]) -> HashMap<Uuid, Vec<usize>> {
    let mut placed: HashMap<Uuid, Vec<usize>> =
        relays.iter().map(|relay| (*relay, Vec::new())).collect();
    if cells.is_empty() || relays.is_empty() {
        return placed;
    }
    let mut pairs: Vec<(u64, usize, Uuid)> = relays
        .iter()
        .flat_map(|relay| {
            cells.iter().enumerate().map(|(at, cell)| (weight(cell, *relay), at, *relay))
        })
        .collect();
    pairs.sort_unstable_by(|a, b| b.cmp(a));

    // The heaviest pairs first: each relay gets the cell that weighs most among those with room.
    let room = relays.len().div_ceil(cells.len()).min(CELL);
    let mut members = vec![0_usize; cells.len()];
    for (_, cell, relay) in &pairs {
        let homes = placed.entry(*relay).or_default();
        if homes.is_empty() && members[*cell] < room {
            homes.push(*cell);
            members[*cell] += 1;
        }
    }
    // A cell with too few borrows those that weigh most there.
    let least = AT_LEAST.min(relays.len());
    for (_, cell, relay) in &pairs {
        let homes = placed.entry(*relay).or_default();
        if members[*cell] < least && !homes.contains(cell) {
            homes.push(*cell);
            members[*cell] += 1;
        }
    }
    placed
}

fn weight(cell: &str, relay: Uuid) -> u64 {
    let hash = digest(&SHA256, &[cell.as_bytes(), relay.as_bytes()].concat());
    hash.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("srv-cell{n}")).collect()
    }

    fn sizes(placed: &HashMap<Uuid, Vec<usize>>, cells: usize) -> Vec<usize> {
        (0..cells)
            .map(|cell| placed.values().filter(|homes| homes.contains(&cell)).count())
            .collect()
    }

    fn relays(seed: u128, count: usize) -> Vec<Uuid> {
        (0..count as u128)
            .map(|n| Uuid::from_u128(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + n))
            .collect()
    }

    proptest! {
        #[test]
        fn every_relay_has_a_home_and_no_cell_too_few_or_too_many(seed: u128, count in 1_usize..64, cells_count in 1_usize..9) {
            let relays = relays(seed, count);
            let placed = place(&relays, &cells(cells_count));
            for size in sizes(&placed, cells_count) {
                prop_assert!(size <= CELL && size >= AT_LEAST.min(count), "{size} of {count} in {cells_count}");
            }
            let homeless = placed.values().filter(|homes| homes.is_empty()).count();
            prop_assert_eq!(homeless, count.saturating_sub(CELL * cells_count));
        }

        #[test]
        fn the_order_in_which_relays_are_named_does_not_matter(seed: u128, count in 1_usize..40) {
            let mut relays = relays(seed, count);
            let there = place(&relays, &cells(4));
            relays.reverse();
            prop_assert_eq!(place(&relays, &cells(4)), there);
        }
    }

    #[test]
    fn one_that_comes_moves_about_one_other() {
        let (mut moved, mut came) = (0, 0);
        for seed in 0..40 {
            for count in 4..32 {
                let relays = relays(seed, count + 1);
                let (before, after) =
                    (place(&relays[..count], &cells(4)), place(&relays, &cells(4)));
                moved += before.iter().filter(|(relay, homes)| after[*relay] != **homes).count();
                came += 1;
            }
        }
        let share = f64::from(u32::try_from(moved).unwrap()) / f64::from(came);
        assert!(share < 2.0, "{share} relays move for one that comes");
    }

    #[test]
    fn without_cells_or_relays_there_is_nothing_to_place() {
        assert!(place(&[], &cells(3)).is_empty());
        assert_eq!(place(&relays(1, 2), &[]).values().filter(|homes| !homes.is_empty()).count(), 0);
    }
}
