//! How fast callers may call, and how fast strangers may try: token buckets by the crate `governor`.
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock as Ticking, middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};

use crate::{clock::Clock, error::Error};

/// How many times its calls of a second a bucket holds.
const BURST: u32 = 2;
/// After how many calls full buckets, which say nothing, are forgotten.
const SWEEP_EVERY: u32 = 1024;
/// Addresses held back at once; past it they are forgotten.
const HELD: usize = 4096;

/// How fast callers may call, by their names.
pub(super) struct Calls(Buckets<String>);

impl Calls {
    pub(super) fn new(per_second: NonZeroU32, clock: Clock) -> Self {
        Self(Buckets::new(per_second, clock))
    }

    /// Lets a call through, or says when the next one may come.
    pub(super) fn take(&self, actor: &String) -> Result<(), Error> {
        self.0.take(actor).map(drop).map_err(|wait| Error::Exhausted {
            reason: "CALLS_TOO_FAST",
            description: format!(
                "{actor} calls more than {} times a second: try again in {} ms",
                self.0.per_second,
                millis(wait)
            ),
            retry_after: wait,
        })
    }
}

/// How fast credentials may be tried that turn out not to be good, by the address that they come from.
pub(super) struct Attempts {
    failures: Buckets<IpAddr>,
    /// Until when, in ticks, an address is held back.
    held: Mutex<HashMap<IpAddr, Duration>>,
}

impl Attempts {
    pub(super) fn new(per_second: NonZeroU32, clock: Clock) -> Self {
        Self { failures: Buckets::new(per_second, clock), held: Mutex::default() }
    }

    /// Lets a try through unless too many of its address have failed.
    pub(super) fn check(&self, from: IpAddr) -> Result<(), Error> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let until = held.get(&network(from)).copied().unwrap_or_default();
        let wait = until.saturating_sub(self.failures.clock.0.ticks());
        if wait.is_zero() {
            return Ok(());
        }
        Err(Error::Exhausted {
            reason: "ATTEMPTS_TOO_FAST",
            description: format!(
                "credentials from {from} were refused more than {} times a second: correct the one you use, and try again in {} ms",
                self.failures.per_second,
                millis(wait)
            ),
            retry_after: wait,
        })
    }

    /// Counts a try that failed.
    pub(super) fn failed(&self, from: IpAddr) {
        let from = network(from);
        let wait = match self.failures.take(&from) {
            Ok(0) => Duration::from_secs(1) / self.failures.per_second.get(),
            Ok(_) => return,
            Err(wait) => wait,
        };
        let now = self.failures.clock.0.ticks();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= HELD {
            held.retain(|_, until| *until > now);
        }
        if held.len() >= HELD {
            held.clear();
        }
        held.insert(from, now + wait);
    }
}

/// A bucket for each key; those not in use for as long as it takes to fill them are forgotten.
struct Buckets<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, HashMapStateStore<K>, Ticks, StateInformationMiddleware>,
    per_second: NonZeroU32,
    clock: Ticks,
    taken: AtomicU32,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(per_second: NonZeroU32, clock: Clock) -> Self {
        let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
        let quota = Quota::per_second(per_second).allow_burst(burst);
        let clock = Ticks(clock);
        let limiter = RateLimiter::hashmap_with_clock(quota, clock.clone()).with_middleware();
        Self { limiter, per_second, clock, taken: AtomicU32::new(0) }
    }

    /// Takes one and says how many are left; an empty bucket says how long it must be waited for.
    fn take(&self, key: &K) -> Result<u32, Duration> {
        if self.taken.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        match self.limiter.check_key(key) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            // Zero would say: not at all.
            Err(until) => Err(until.wait_time_from(self.clock.now()).max(Duration::from_millis(1))),
        }
    }
}

#[derive(Clone)]
struct Ticks(Clock);

impl Ticking for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.ticks()
    }
}

/// Who has one address of IPv6 has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !0 << 64).into(),
    }
}

fn millis(wait: Duration) -> u128 {
    wait.as_millis() + 1
}

#[cfg(test)]
mod tests;
