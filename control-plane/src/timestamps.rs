//! Times between the wire and the rest.
use prost_types::Timestamp;
use time::{Duration, OffsetDateTime};

use crate::error::Error;

/// A time as messages carry it.
pub fn to_proto(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or(0),
    }
}

/// Reads a time, cut to the microsecond that Postgres keeps.
///
/// # Errors
/// [`Error::invalid`] naming `field` when it is no time between the years 1 and 9999.
pub fn from_proto(field: &str, time: &Timestamp) -> Result<OffsetDateTime, Error> {
    let wrong = || Error::invalid(field, "it is no time between the years 1 and 9999");
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(wrong());
    }
    OffsetDateTime::from_unix_timestamp(time.seconds)
        .ok()
        .filter(|t| (1..=9999).contains(&t.year()))
        .and_then(|t| t.checked_add(Duration::microseconds(i64::from(time.nanos / 1000))))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_timestamp_is_read_without_panic_and_written_back(seconds in any::<i64>(), nanos in any::<i32>()) {
            if let Ok(time) = from_proto("t", &Timestamp { seconds, nanos }) {
                prop_assert_eq!(to_proto(time), Timestamp { seconds, nanos: nanos / 1000 * 1000 });
            }
        }
    }
}
