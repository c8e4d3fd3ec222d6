//! Ports, counts, sizes and lengths of time.
use std::{ops::RangeInclusive, time::Duration};

use crate::Limits;

/// Most bytes of encoded settings.
pub const MAX_SETTINGS_BYTES: usize = 1 << 20;
pub(crate) const MAX_LISTENERS: usize = 32;
pub(crate) const MAX_COLLECTORS: usize = 64;
pub(crate) const MAX_ENDPOINTS: usize = 16;
pub(crate) const MAX_CELLS: usize = 32;
const MAX_LISTENER_CONNECTIONS: u32 = 60_000;
const MAX_PRIORITY: u32 = 100;
const MAX_REQUEST_BYTES: u32 = 16 << 20;

const LISTENER_CONNECTIONS: u32 = 10_000;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Longer is as good as never, and safe to add to any time.
const LONGEST_IDLE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(10);
/// Source: google/protobuf/duration.proto, about 10,000 years.
const LONGEST_DURATION: Duration = Duration::from_secs(315_576_000_000);

/// Reads a port: 1 to 65535.
pub fn port(port: u32) -> Result<u16, String> {
    match u16::try_from(port) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{port} is no port; 1 to 65535")),
    }
}

/// Reads an endpoint's priority: 0 to 100.
pub fn priority(priority: u32) -> Result<u32, String> {
    match priority {
        0..=MAX_PRIORITY => Ok(priority),
        _ => Err(format!("{priority} is too high; 0 to {MAX_PRIORITY}")),
    }
}

/// Reads how many connections a listener may have open: at most 60,000, 0 for the default.
pub fn listener_connections(most: u32) -> Result<u64, String> {
    match most {
        0..=MAX_LISTENER_CONNECTIONS => Ok(or_default(most, LISTENER_CONNECTIONS).into()),
        _ => Err(format!("{most} is too many; at most {MAX_LISTENER_CONNECTIONS}")),
    }
}

/// Reads the size of the largest OTLP request, in bytes: at most 16 MiB, 0 for the default.
pub fn request_bytes(most: u32) -> Result<usize, String> {
    match usize::try_from(most) {
        Ok(bytes) if most <= MAX_REQUEST_BYTES => {
            Ok(or_default(bytes, Limits::default().max_request_bytes))
        }
        _ => Err(format!("{most} is too many; at most {MAX_REQUEST_BYTES}")),
    }
}

/// Holds a list to a length.
pub fn at_most(most: usize, count: usize) -> Result<(), String> {
    match count <= most {
        true => Ok(()),
        false => Err(format!("{count} are too many; at most {most}")),
    }
}

/// Reads how long an attempt to connect may take: 100 ms to 30 s, 0 or nothing for the default.
pub fn connect_timeout(given: Option<&prost_types::Duration>) -> Result<Duration, String> {
    let range = Duration::from_millis(100)..=Duration::from_secs(30);
    given.filter(is_set).map_or(Ok(CONNECT_TIMEOUT), |given| {
        duration(given, range, "100 ms to 30 s; 0 or nothing means 2 s")
    })
}

/// Reads how long a connection may be silent: 1 s or more, 0 or nothing for the default.
pub fn idle_timeout(given: Option<&prost_types::Duration>) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=LONGEST_DURATION;
    given.filter(is_set).map_or(Ok(IDLE_TIMEOUT), |given| {
        duration(given, range, "at least 1 s; 0 or nothing means 1 hour")
            .map(|idle| idle.min(LONGEST_IDLE))
    })
}

/// Reads how old a connection may grow: 60 s to 30 days, 0 or nothing for no limit.
pub fn max_connection_age(
    given: Option<&prost_types::Duration>,
) -> Result<Option<Duration>, String> {
    let range = Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 60 * 60);
    given
        .filter(is_set)
        .map(|given| duration(given, range, "60 s to 30 days; 0 or nothing means no limit"))
        .transpose()
}

/// Reads the TTL of DNS records: whole seconds, 1 to 300, nothing for the default.
pub fn record_ttl(given: Option<&prost_types::Duration>) -> Result<Duration, String> {
    const ALLOWED: &str = "whole seconds, 1 to 300; nothing means 10 s";
    let Some(given) = given else { return Ok(TTL) };
    let ttl = duration(given, Duration::from_secs(1)..=Duration::from_secs(300), ALLOWED)?;
    match ttl.subsec_nanos() {
        0 => Ok(ttl),
        _ => Err(format!("{ttl:?} is no number of seconds; {ALLOWED}")),
    }
}

pub(crate) fn or_default<T: Default + PartialEq>(given: T, default: T) -> T {
    if given == T::default() { default } else { given }
}

fn is_set(given: &&prost_types::Duration) -> bool {
    **given != prost_types::Duration::default()
}

fn duration(
    given: &prost_types::Duration,
    range: RangeInclusive<Duration>,
    allowed: &str,
) -> Result<Duration, String> {
    let seconds = u64::try_from(given.seconds).ok();
    let nanos = u32::try_from(given.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let Some((seconds, nanos)) = seconds.zip(nanos) else {
        return Err(format!("is no length of time; {allowed}"));
    };
    match Duration::new(seconds, nanos) {
        duration if range.contains(&duration) => Ok(duration),
        duration => Err(format!("{duration:?} is out of range; {allowed}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos })
    }

    #[test]
    fn a_length_of_time_is_taken_in_its_own_range_and_in_its_one_form() {
        let connect = |seconds, nanos| connect_timeout(given(seconds, nanos).as_ref());
        assert_eq!(connect(0, 0), Ok(CONNECT_TIMEOUT));
        assert_eq!(connect(0, 100_000_000), Ok(Duration::from_millis(100)));
        assert_eq!(connect(30, 0), Ok(Duration::from_secs(30)));
        for (seconds, nanos) in
            [(0, 99_999_999), (30, 1), (-1, 0), (2, -1), (0, 1_000_000_000), (-1, 2_000_000_000)]
        {
            assert!(connect(seconds, nanos).is_err(), "{seconds} s, {nanos} ns");
        }
        let idle = |seconds, nanos| idle_timeout(given(seconds, nanos).as_ref());
        assert_eq!(idle(0, 0), Ok(IDLE_TIMEOUT));
        assert_eq!(idle(315_576_000_000, 0), Ok(LONGEST_IDLE));
        for (seconds, nanos) in [(0, 999_999_999), (315_576_000_001, 0), (i64::MAX, 0), (-1, 0)] {
            assert!(idle(seconds, nanos).is_err(), "{seconds} s, {nanos} ns");
        }
        let ttl = |seconds, nanos| record_ttl(given(seconds, nanos).as_ref());
        assert_eq!((record_ttl(None), ttl(300, 0)), (Ok(TTL), Ok(Duration::from_secs(300))));
        for (seconds, nanos) in [(0, 0), (301, 0), (1, 500_000_000), (-1, 0)] {
            assert!(ttl(seconds, nanos).is_err(), "{seconds} s, {nanos} ns");
        }
    }

    #[test]
    fn connections_grow_old_unless_a_minute_or_more_is_set() {
        let age = |seconds, nanos| max_connection_age(given(seconds, nanos).as_ref());
        assert_eq!((max_connection_age(None), age(0, 0)), (Ok(None), Ok(None)));
        assert_eq!(age(60, 0), Ok(Some(Duration::from_secs(60))));
        assert_eq!(age(30 * 86_400, 0), Ok(Some(Duration::from_secs(30 * 86_400))));
        for (seconds, nanos) in [(59, 999_999_999), (30 * 86_400, 1), (-60, 0), (0, 1)] {
            assert!(age(seconds, nanos).is_err(), "{seconds} s, {nanos} ns");
        }
    }

    #[test]
    fn numbers_are_taken_up_to_their_bounds() {
        assert_eq!((port(1), port(65_535)), (Ok(1), Ok(65_535)));
        assert!(port(0).is_err() && port(65_536).is_err());
        assert!(priority(100).is_ok() && priority(101).is_err());
        assert_eq!(listener_connections(0), Ok(10_000));
        assert!(listener_connections(60_000).is_ok() && listener_connections(60_001).is_err());
        assert_eq!(request_bytes(0), Ok(4 << 20));
        assert!(request_bytes(16 << 20).is_ok() && request_bytes((16 << 20) + 1).is_err());
    }
}
