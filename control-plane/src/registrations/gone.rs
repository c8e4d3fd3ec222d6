//! Whose records are to be taken out: relays that lost their session and have no successor. Pure.
//!
//! When many vanish at once it is more likely that this side is cut off than that they are gone: then nothing is asked for a
//! while. What is asked of a sibling it checks itself, at the address.
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::store::registrations::ListedRow;

/// A session that broke is back within this, mostly; of those that are not, the sibling finds that they answer.
const GRACE: Duration = Duration::SECOND;
/// Those that vanish within this of each other vanish together.
const TOGETHER: Duration = Duration::MINUTE;
/// How many of a fleet may vanish together; one always may.
const AT_MOST_PERCENT: usize = 30;
/// When more have vanished, siblings are asked only after this, if those are still here by then.
const HOLD: Duration = Duration::minutes(5);
/// Relays asked about at once.
const AT_ONCE: usize = 32;

/// Which relays of one fleet a sibling is to be asked about now.
pub fn due(fleet: &[&ListedRow], now: OffsetDateTime) -> Vec<Uuid> {
    let gone: Vec<(&ListedRow, OffsetDateTime)> =
        fleet.iter().filter_map(|row| Some((*row, row.gone_at?))).collect();
    // The last record stays: somebody has to be there, and to stay.
    if !fleet.iter().any(|row| row.gone_at.is_none() && !row.leaving) {
        return Vec::new();
    }
    let allowed = (fleet.len() * AT_MOST_PERCENT / 100).max(1);
    gone.iter()
        .filter(|(row, _)| row.reap_after.is_none_or(|after| after <= now))
        .filter(|(_, at)| now - *at >= GRACE)
        .filter(|(_, at)| {
            let together =
                gone.iter().filter(|(_, other)| (*other - *at).abs() <= TOGETHER).count();
            together <= allowed || now - *at >= HOLD
        })
        .map(|(row, _)| row.relay_id)
        .take(AT_ONCE)
        .collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 10:00 UTC);

    fn relay(gone_for: Option<Duration>) -> ListedRow {
        ListedRow {
            tenant_id: "acme".to_owned(),
            fleet_id: "tokyo".to_owned(),
            relay_id: Uuid::now_v7(),
            epoch: 1,
            gone_at: gone_for.map(|gone| NOW - gone),
            reap_after: None,
            leaving: false,
        }
    }

    fn fleet(live: usize, gone: &[Duration]) -> Vec<ListedRow> {
        let gone = gone.iter().map(|gone| relay(Some(*gone)));
        (0..live).map(|_| relay(None)).chain(gone).collect()
    }

    fn count(fleet: &[ListedRow]) -> usize {
        due(&fleet.iter().collect::<Vec<_>>(), NOW).len()
    }

    #[test]
    fn one_of_two_that_is_gone_is_asked_about_after_a_moment() {
        assert_eq!(count(&fleet(1, &[GRACE / 2])), 0);
        assert_eq!(count(&fleet(1, &[GRACE])), 1);
    }

    #[test]
    fn nobody_is_asked_when_nobody_would_be_left() {
        assert_eq!(count(&fleet(0, &[Duration::HOUR, Duration::HOUR])), 0);
        let mut leaving = fleet(1, &[Duration::HOUR]);
        leaving[0].leaving = true;
        assert_eq!(count(&leaving), 0);
    }

    #[test]
    fn of_many_that_vanish_together_none_is_asked_about_until_it_is_clear_that_they_stay_away() {
        let three = [Duration::seconds(10); 3];
        assert_eq!(count(&fleet(7, &three)), 3);
        assert_eq!(count(&fleet(6, &three)), 0);
        assert_eq!(count(&fleet(6, &[HOLD; 3])), 3);
        // One after the other is not together.
        assert_eq!(count(&fleet(4, &[10, 100, 200].map(Duration::seconds))), 3);
    }

    #[test]
    fn one_that_was_asked_about_is_left_alone_for_a_while() {
        let mut fleet = fleet(2, &[Duration::MINUTE]);
        fleet[2].reap_after = Some(NOW + Duration::SECOND);
        assert_eq!(count(&fleet), 0);
        fleet[2].reap_after = Some(NOW);
        assert_eq!(count(&fleet), 1);
    }
}
