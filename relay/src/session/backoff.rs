//! How long to wait before the next attempt: exponential, with full jitter after the cap.
//!
//! The rules come from others' outages: jitter clamped to nothing at the cap, and backoff reset by sessions that lived
//! for a second, both made herds of thousands (FleetDM #53357, Elastic #13874).
use std::time::Duration;

/// Longest delay before jitter.
const CAP: Duration = Duration::from_secs(60);
const BASE: Duration = Duration::from_millis(500);
/// A session that lived for less than this counts as one more failure.
const GOOD_SESSION: Duration = Duration::from_secs(60);

/// What went before the next attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    failures: u32,
}

impl Retries {
    /// Delay after an attempt that failed. `told` is what the control plane asked for; `random` is uniform in `[0, 1)`.
    pub fn failed(&mut self, told: Option<Duration>, random: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        told.unwrap_or_default() + jitter(ceiling(self.failures), random)
    }

    /// Delay after a session that lived for `lived`. `spread` is what the control plane announced in it.
    pub fn lost(&mut self, lived: Duration, spread: Duration, random: f64) -> Duration {
        self.failures = if lived > GOOD_SESSION { 0 } else { self.failures.saturating_add(1) };
        jitter(spread.max(ceiling(self.failures)), random)
    }

    /// Attempts that failed since the last good session.
    pub fn failures(self) -> u32 {
        self.failures
    }
}

/// The longest delay after so many failures in a row.
pub fn ceiling(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        1..=10 => CAP.min(BASE * 2_u32.pow(failures)),
        _ => CAP,
    }
}

/// A uniform part of `ceiling`; `random` is uniform in `[0, 1)`.
pub fn jitter(ceiling: Duration, random: f64) -> Duration {
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_delay_never_passes_the_cap_and_what_was_asked_for(
            failures in 0_u32..10_000, told in proptest::option::of(0_u64..1_000), random in 0.0..1.0,
        ) {
            let told = told.map(Duration::from_secs);
            let mut retries = Retries { failures };
            let delay = retries.failed(told, random);
            prop_assert!(delay >= told.unwrap_or_default());
            prop_assert!(delay <= told.unwrap_or_default() + CAP);
            prop_assert_eq!(retries.failures(), failures + 1);
        }

        #[test]
        fn delays_are_spread_over_all_of_the_cap(failures in 8_u32..u32::MAX, random in 0.0..1.0) {
            let delay = Retries { failures }.failed(None, random);
            prop_assert!((delay.as_secs_f64() - 60.0 * random).abs() < 0.001);
        }

        #[test]
        fn only_a_good_session_resets_the_backoff(failures in 1_u32..100, lived in 0_u64..200) {
            let mut retries = Retries { failures };
            retries.lost(Duration::from_secs(lived), Duration::ZERO, 0.5);
            prop_assert_eq!(retries.failures(), if lived > 60 { 0 } else { failures + 1 });
        }

        #[test]
        fn the_first_attempt_after_a_good_session_waits_a_part_of_the_announced_spread(
            spread in 0_u64..600, random in 0.0..1.0,
        ) {
            let spread = Duration::from_secs(spread);
            let delay = Retries { failures: 5 }.lost(Duration::from_secs(61), spread, random);
            prop_assert_eq!(delay, spread.mul_f64(random));
        }
    }

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let seconds: Vec<u64> = (0..9).map(|failures| ceiling(failures).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
