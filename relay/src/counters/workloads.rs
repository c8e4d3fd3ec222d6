//! Remembers which workloads were seen lately.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a workload counts as seen.
const LATELY: Duration = Duration::from_secs(10 * 60);
/// How many are remembered; more are not counted.
const MOST: usize = 10_000;
/// A full memory is searched for room at most this often.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Workload addresses with the time they were seen last.
#[derive(Debug, Default)]
pub(super) struct Workloads(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    last: HashMap<IpAddr, Instant>,
    tidied: Option<Instant>,
}

impl Workloads {
    /// Notes that a workload was there.
    pub(super) fn seen(&self, workload: IpAddr, now: Instant) {
        let mut seen = self.lock();
        if let Some(last) = seen.last.get_mut(&workload) {
            *last = now;
            return;
        }
        if seen.last.len() >= MOST && seen.tidied.is_none_or(|at| now >= at + TIDY_EVERY) {
            seen.forget(now);
        }
        if seen.last.len() < MOST {
            seen.last.insert(workload, now);
        }
    }

    /// Counts those seen lately, to 10,000.
    pub(super) fn count(&self, now: Instant) -> u64 {
        let mut seen = self.lock();
        seen.forget(now);
        seen.last.len() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn forget(&mut self, now: Instant) {
        self.last.retain(|_, last| now.saturating_duration_since(*last) < LATELY);
        self.tidied = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn workload(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))
    }

    #[test]
    fn a_workload_counts_once_and_for_ten_minutes() {
        let workloads = Workloads::default();
        let start = Instant::now();
        workloads.seen(workload(1), start);
        workloads.seen(workload(1), start + LATELY / 2);
        workloads.seen(workload(2), start);
        assert_eq!(workloads.count(start + LATELY / 2), 2);
        assert_eq!(workloads.count(start + LATELY), 1);
        assert_eq!(workloads.count(start + LATELY * 2), 0);
    }

    #[test]
    fn no_more_than_ten_thousand_are_remembered_and_the_old_make_room() {
        let workloads = Workloads::default();
        let start = Instant::now();
        for number in 0..20_000 {
            workloads.seen(workload(number), start);
        }
        assert_eq!(workloads.count(start), 10_000);
        workloads.seen(workload(30_000), start + LATELY);
        assert_eq!(workloads.count(start + LATELY), 1);
    }
}
