//! Leaves addresses alone that failed, for a while that grows.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);
/// What is remembered of an address after its quarantine ended, so that the next one is longer.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// Addresses remembered; DNS gives what it likes.
const MOST: usize = 1024;

/// Addresses that failed.
#[derive(Debug, Default)]
pub(super) struct Quarantine(HashMap<SocketAddr, Entry>);

#[derive(Debug)]
struct Entry {
    failures: u32,
    until: Instant,
}

impl Quarantine {
    /// Whether an address may be tried now. After its quarantine one caller gets it on `trial` for that long, so that the
    /// others do not wait for an address that is likely still dead.
    pub(super) fn admits(&mut self, address: SocketAddr, now: Instant, trial: Duration) -> bool {
        match self.0.get_mut(&address) {
            None => true,
            Some(entry) if now < entry.until => false,
            Some(entry) => {
                entry.until = now + trial;
                true
            }
        }
    }

    /// Notes that an address could not be reached: 5 s at first, doubling to 60 s.
    pub(super) fn failed(&mut self, address: SocketAddr, now: Instant) {
        if self.0.len() >= MOST {
            self.0.retain(|_, entry| now < entry.until + REMEMBERED);
        }
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            return;
        }
        let entry = self.0.entry(address).or_insert(Entry { failures: 0, until: now });
        if now > entry.until + REMEMBERED {
            entry.failures = 0;
        }
        let wait = FIRST.saturating_mul(1 << entry.failures.min(8)).min(LONGEST);
        entry.failures = entry.failures.saturating_add(1);
        entry.until = now + wait;
    }

    /// Notes that an address was reached.
    pub(super) fn reached(&mut self, address: SocketAddr) {
        self.0.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: Duration = Duration::from_secs(2);

    fn address() -> SocketAddr {
        "192.0.2.1:443".parse().unwrap()
    }

    #[test]
    fn each_failure_in_a_row_doubles_the_wait_up_to_a_minute() {
        let mut quarantine = Quarantine::default();
        let mut now = Instant::now();
        for seconds in [5, 10, 20, 40, 60, 60] {
            quarantine.failed(address(), now);
            assert!(!quarantine.admits(address(), now + Duration::from_secs(seconds - 1), TRIAL));
            now += Duration::from_secs(seconds);
            assert!(quarantine.admits(address(), now, TRIAL));
        }
    }

    #[test]
    fn one_caller_at_a_time_tries_an_address_again() {
        let mut quarantine = Quarantine::default();
        let now = Instant::now();
        quarantine.failed(address(), now);
        let later = now + FIRST;
        assert!(quarantine.admits(address(), later, TRIAL));
        assert!(!quarantine.admits(address(), later, TRIAL));
        assert!(quarantine.admits(address(), later + TRIAL, TRIAL));
        quarantine.reached(address());
        assert!(quarantine.admits(address(), later, TRIAL));
        assert!(quarantine.admits(address(), later, TRIAL));
    }

    #[test]
    fn a_good_connection_or_a_long_rest_makes_the_next_wait_short_again() {
        let mut quarantine = Quarantine::default();
        let now = Instant::now();
        quarantine.failed(address(), now);
        quarantine.failed(address(), now);
        let later = now + REMEMBERED * 2;
        quarantine.failed(address(), later);
        assert!(quarantine.admits(address(), later + FIRST, TRIAL));
    }
}
