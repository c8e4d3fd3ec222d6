//! Remembers good answers for when DNS has none: hickory forgets them when their TTL ends.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use super::NEGATIVE_MAX_TTL;

/// How long a good answer serves on.
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// After a failure DNS is left alone for this long where there is a good answer: nobody should wait for its timeout.
const HOLD: Duration = Duration::from_secs(5);
/// Denials in a row that are believed.
const BELIEVED: u32 = 2;
/// Names remembered.
const MOST: usize = 1024;

/// What DNS said.
pub(super) enum Asked {
    Found(Vec<IpAddr>),
    /// There is no such name, or it has no addresses.
    Denied,
    /// Nothing usable.
    Failed,
}

/// The last good answer of each name.
#[derive(Debug, Default)]
pub(super) struct LastGood(HashMap<String, Good>);

#[derive(Debug)]
struct Good {
    addresses: Vec<IpAddr>,
    at: Instant,
    hold_until: Option<Instant>,
    denials: u32,
    denied_at: Option<Instant>,
}

impl LastGood {
    /// Gives the good answer where DNS failed so recently that it is not asked.
    pub(super) fn held(&self, name: &str, now: Instant) -> Option<Vec<IpAddr>> {
        let good = self.0.get(name).filter(|good| good.serves(now))?;
        good.hold_until.filter(|until| now < *until).map(|_| good.addresses.clone())
    }

    /// Gives what to use now that DNS has said something.
    pub(super) fn after(&mut self, name: &str, asked: Asked, now: Instant) -> Option<Vec<IpAddr>> {
        match asked {
            Asked::Found(addresses) => {
                self.remember(name, &addresses, now);
                Some(addresses)
            }
            Asked::Failed => {
                let good = self.0.get_mut(name).filter(|good| good.serves(now))?;
                good.hold_until = Some(now + HOLD);
                Some(good.addresses.clone())
            }
            Asked::Denied => {
                let good = self.0.get_mut(name)?;
                // Sooner than this it is the same denial, out of the cache.
                if good.denied_at.is_none_or(|at| now >= at + NEGATIVE_MAX_TTL) {
                    good.denials += 1;
                    good.denied_at = Some(now);
                }
                if good.denials < BELIEVED && good.serves(now) {
                    return Some(good.addresses.clone());
                }
                self.0.remove(name);
                None
            }
        }
    }

    fn remember(&mut self, name: &str, addresses: &[IpAddr], now: Instant) {
        if let Some(good) = self.0.get_mut(name) {
            if good.addresses != addresses {
                good.addresses = addresses.to_vec();
            }
            (good.at, good.hold_until, good.denials, good.denied_at) = (now, None, 0, None);
            return;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, good| good.serves(now));
        }
        if self.0.len() < MOST {
            let good = Good {
                addresses: addresses.to_vec(),
                at: now,
                hold_until: None,
                denials: 0,
                denied_at: None,
            };
            self.0.insert(name.to_owned(), good);
        }
    }
}

impl Good {
    fn serves(&self, now: Instant) -> bool {
        now < self.at + GOOD_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "collector.example";

    fn addresses() -> Vec<IpAddr> {
        vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]
    }

    fn with_good_answer(now: Instant) -> LastGood {
        let mut last_good = LastGood::default();
        assert_eq!(last_good.after(NAME, Asked::Found(addresses()), now), Some(addresses()));
        last_good
    }

    #[test]
    fn failures_are_bridged_for_fifteen_minutes() {
        let start = Instant::now();
        let mut last_good = with_good_answer(start);
        let late = start + GOOD_FOR - Duration::from_secs(1);
        assert_eq!(last_good.after(NAME, Asked::Failed, late), Some(addresses()));
        assert_eq!(last_good.after(NAME, Asked::Failed, start + GOOD_FOR), None);
        assert_eq!(last_good.after("other.example", Asked::Failed, start), None);
    }

    #[test]
    fn after_a_failure_dns_is_left_alone_for_a_moment() {
        let start = Instant::now();
        let mut last_good = with_good_answer(start);
        assert_eq!(last_good.held(NAME, start), None);
        last_good.after(NAME, Asked::Failed, start);
        assert_eq!(last_good.held(NAME, start), Some(addresses()));
        assert_eq!(last_good.held(NAME, start + HOLD), None);
        last_good.after(NAME, Asked::Found(addresses()), start);
        assert_eq!(last_good.held(NAME, start), None);
    }

    #[test]
    fn the_first_denial_is_bridged_and_the_second_in_a_row_is_believed() {
        let start = Instant::now();
        let mut last_good = with_good_answer(start);
        assert_eq!(last_good.after(NAME, Asked::Denied, start), Some(addresses()));
        let cached = start + NEGATIVE_MAX_TTL / 2;
        assert_eq!(
            last_good.after(NAME, Asked::Denied, cached),
            Some(addresses()),
            "the same denial, from the cache"
        );
        let again = start + NEGATIVE_MAX_TTL;
        assert_eq!(last_good.after(NAME, Asked::Denied, again), None);
        assert_eq!(last_good.after(NAME, Asked::Failed, again), None);
    }

    #[test]
    fn a_good_answer_between_two_denials_makes_them_not_in_a_row() {
        let start = Instant::now();
        let mut last_good = with_good_answer(start);
        last_good.after(NAME, Asked::Denied, start);
        last_good.after(NAME, Asked::Found(addresses()), start + NEGATIVE_MAX_TTL);
        assert_eq!(
            last_good.after(NAME, Asked::Denied, start + NEGATIVE_MAX_TTL * 2),
            Some(addresses())
        );
    }
}
