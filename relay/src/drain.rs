//! Leaving in good order: what to do between SIGTERM and SIGKILL, and for how long.
//!
//! [`Plan`] is arithmetic alone; the lifecycle carries it out. No phase's failure stops the next one.
use std::time::Duration;

/// DNS changes reach every server within this (Route 53 Developer Guide).
const LONGEST_DNS_WAIT: Duration = Duration::from_secs(60);
/// Asking DNS for less than this is not worth a phase.
const SHORTEST_DNS_WAIT: Duration = Duration::from_secs(10);
/// Clients keep an answer for its TTL; slow ones take a little longer to act on it.
const BEYOND_TTL: Duration = Duration::from_secs(5);
/// Without discovery something else leads workloads here, and needs a moment to notice that this relay is not ready.
const WITHOUT_DISCOVERY: Duration = Duration::from_secs(5);

/// What asking leaves to DNS at the least.
const LEFT_TO_DNS: Duration = Duration::from_secs(10);

/// How long each phase of leaving may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Waiting, listed and accepting, for the permission to leave; ends early when it is given.
    pub ask: Duration,
    /// Waiting, still accepting, until DNS no longer answers with this relay's address; ends early when it does not.
    pub leave_dns: Duration,
    /// Accepting on, for clients that still hold the old answer.
    pub keep_accepting: Duration,
    /// When, after SIGTERM, connections and requests that have not finished are ended.
    pub finish_by: Duration,
    /// When, after SIGTERM, the process is gone.
    pub exit_by: Duration,
}

/// The longest TTL whose answers a relay with this stop timeout can outlive: two fifths of it.
pub fn longest_ttl(stop_timeout: Duration) -> Duration {
    stop_timeout * 2 / 5
}

/// Plans the way out. `ttl` is that of the relay's DNS record; none where it has no record.
pub fn plan(stop_timeout: Duration, ttl: Option<Duration>) -> Plan {
    let exit_by = stop_timeout - stop_timeout / 15;
    let finish_by = stop_timeout - stop_timeout / 8;
    let Some(ttl) = ttl else {
        return Plan {
            ask: Duration::ZERO,
            leave_dns: Duration::ZERO,
            keep_accepting: WITHOUT_DISCOVERY.min(stop_timeout / 6),
            finish_by,
            exit_by,
        };
    };
    let keep_accepting = ttl + BEYOND_TTL;
    let finishing = stop_timeout / 4;
    let for_dns = finish_by.saturating_sub(finishing + keep_accepting);
    if for_dns >= SHORTEST_DNS_WAIT {
        return Plan {
            ask: for_dns.saturating_sub(LEFT_TO_DNS),
            leave_dns: for_dns.min(LONGEST_DNS_WAIT),
            keep_accepting,
            finish_by,
            exit_by,
        };
    }
    let keep_accepting = keep_accepting.min(stop_timeout * 2 / 5);
    Plan {
        ask: stop_timeout / 10,
        leave_dns: Duration::ZERO,
        keep_accepting,
        finish_by: keep_accepting + stop_timeout / 3,
        exit_by,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(plan: Plan) -> [u64; 5] {
        [plan.ask, plan.leave_dns, plan.keep_accepting, plan.finish_by, plan.exit_by]
            .map(|duration| duration.as_secs())
    }

    #[test]
    fn two_minutes_leave_time_for_dns_and_a_full_ttl() {
        let plan = plan(Duration::from_secs(120), Some(Duration::from_secs(10)));
        assert_eq!(seconds(plan), [50, 60, 15, 105, 112]);
    }

    #[test]
    fn half_a_minute_goes_to_listeners_and_connections() {
        let plan = plan(Duration::from_secs(30), Some(Duration::from_secs(10)));
        assert_eq!(seconds(plan), [3, 0, 12, 22, 28]);
    }

    #[test]
    fn a_relay_outside_dns_keeps_accepting_for_a_moment() {
        assert_eq!(seconds(plan(Duration::from_secs(30), None)), [0, 0, 5, 26, 28]);
        assert_eq!(plan(Duration::from_secs(2), None).keep_accepting, Duration::from_secs(2) / 6);
    }

    proptest! {
        #[test]
        fn every_phase_fits_in_the_stop_timeout(stop in 2_u64..=86_400, ttl in proptest::option::of(1_u64..=300)) {
            let stop = Duration::from_secs(stop);
            let plan = plan(stop, ttl.map(Duration::from_secs));
            prop_assert!(plan.leave_dns + plan.keep_accepting < plan.finish_by);
            prop_assert!(plan.ask + plan.keep_accepting < plan.finish_by);
            prop_assert!(plan.finish_by < plan.exit_by);
            prop_assert!(plan.exit_by < stop);
            prop_assert!(plan.leave_dns <= LONGEST_DNS_WAIT);
        }

        #[test]
        fn accepting_stops_before_the_ttl_ends_only_where_the_time_is_too_short(stop in 90_u64..=86_400, ttl in 1_u64..=20) {
            let plan = plan(Duration::from_secs(stop), Some(Duration::from_secs(ttl)));
            prop_assert_eq!(plan.keep_accepting, Duration::from_secs(ttl) + BEYOND_TTL);
        }
    }
}
