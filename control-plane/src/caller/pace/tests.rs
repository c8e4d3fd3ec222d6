use std::sync::{Arc, atomic::AtomicI64};

use time::OffsetDateTime;

use super::*;

/// A clock that stands still until it is told to go on.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn clock(&self) -> Clock {
        let millis = Arc::clone(&self.0);
        Clock::from_fn(move || {
            let passed = time::Duration::milliseconds(millis.load(Ordering::SeqCst));
            OffsetDateTime::UNIX_EPOCH + passed
        })
    }

    fn pass(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

fn five() -> NonZeroU32 {
    NonZeroU32::new(5).unwrap()
}

fn let_through(calls: &Calls, actor: &str) -> usize {
    let actor = actor.to_owned();
    (0..100).take_while(|_| calls.take(&actor).is_ok()).count()
}

#[test]
fn a_caller_has_a_burst_of_two_seconds_and_then_its_rate() {
    let hand = Hand::default();
    let calls = Calls::new(five(), hand.clock());
    assert_eq!(let_through(&calls, "a"), 10);
    let Err(Error::Exhausted { reason, retry_after, .. }) = calls.take(&"a".to_owned()) else {
        panic!("it is over its rate")
    };
    assert_eq!((reason, retry_after), ("CALLS_TOO_FAST", Duration::from_millis(200)));
    assert_eq!(let_through(&calls, "b"), 10, "another's calls are its own");
    hand.pass(199);
    assert_eq!(let_through(&calls, "a"), 0);
    hand.pass(1);
    assert_eq!(let_through(&calls, "a"), 1);
    hand.pass(1000);
    assert_eq!(let_through(&calls, "a"), 5);
    hand.pass(3_600_000);
    assert_eq!(let_through(&calls, "a"), 10, "what is not used is not saved up");
}

#[test]
fn an_address_whose_tries_fail_is_held_back_and_good_ones_cost_nothing() {
    let hand = Hand::default();
    let attempts = Attempts::new(five(), hand.clock());
    let (bad, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let failures = || {
        (0..100).take_while(|_| attempts.check(bad).map(|()| attempts.failed(bad)).is_ok()).count()
    };
    for _ in 0..1000 {
        attempts.check(bad).unwrap();
    }
    assert_eq!(failures(), 10);
    assert_eq!(attempts.check(bad).unwrap_err().reason(), "ATTEMPTS_TOO_FAST");
    attempts.check(other).unwrap();
    for _ in 0..10 {
        hand.pass(200);
        assert_eq!(failures(), 1);
    }
}

#[test]
fn an_ipv6_network_is_one_address_and_a_mapped_ipv4_address_is_itself() {
    let address = |text: &str| -> IpAddr { text.parse().unwrap() };
    assert_eq!(network(address("2001:db8:0:1:2:3:4:5")), address("2001:db8:0:1::"));
    assert_ne!(network(address("2001:db8:0:2::1")), network(address("2001:db8:0:1::1")));
    assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
}

#[test]
fn keys_that_are_not_in_use_are_forgotten() {
    let hand = Hand::default();
    let attempts = Attempts::new(five(), hand.clock());
    for number in 0..100_000_u32 {
        let from = IpAddr::from(number.to_be_bytes());
        for _ in 0..11 {
            attempts.failed(from);
        }
        hand.pass(1);
    }
    // 2 s of a key a millisecond, and those since the last sweep.
    assert!(attempts.failures.limiter.len() <= 2000 + SWEEP_EVERY as usize);
    assert!(attempts.held.lock().unwrap().len() <= HELD);
}
