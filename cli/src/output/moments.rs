//! Times and ages in words.
use prost_types::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A protobuf time; none when it is outside of what calendars know.
#[must_use]
pub fn moment(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let nanos = time::Duration::nanoseconds(timestamp.nanos.into());
    OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?.checked_add(nanos)
}

/// How long ago, in one unit: `5s`, `3m`, `2h`, `4d`; ahead: `in 5s`. Empty when absent.
#[must_use]
pub fn age(timestamp: Option<&Timestamp>, now: OffsetDateTime) -> String {
    let Some(then) = timestamp.and_then(moment) else { return String::new() };
    let seconds = (now - then).whole_seconds();
    if seconds < 0 {
        format!("in {}", span(seconds.unsigned_abs()))
    } else {
        span(seconds.unsigned_abs())
    }
}

/// RFC 3339 in UTC, to the second. Empty when absent.
#[must_use]
pub fn date(timestamp: Option<&Timestamp>) -> String {
    timestamp
        .and_then(moment)
        .and_then(|then| then.replace_nanosecond(0).ok())
        .and_then(|then| then.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// A time with its age: `2026-07-28T12:00:00Z (3m ago)`. Empty when absent.
#[must_use]
pub fn date_and_age(timestamp: Option<&Timestamp>, now: OffsetDateTime) -> String {
    let age = age(timestamp, now);
    match (date(timestamp), age.starts_with("in ")) {
        (date, _) if date.is_empty() => date,
        (date, true) => format!("{date} ({age})"),
        (date, false) => format!("{date} ({age} ago)"),
    }
}

/// A length of time as people write it: `10s`, `1m30s`, `500ms`.
#[must_use]
pub fn duration(duration: &prost_types::Duration) -> String {
    let millis = duration.seconds.unsigned_abs() * 1_000
        + u64::from(duration.nanos.unsigned_abs()) / 1_000_000;
    match (millis / 1_000, millis % 1_000) {
        (0, 0) => format!("{:.2}ms", f64::from(duration.nanos) / 1e6),
        (0, millis) => format!("{millis}ms"),
        (seconds, _) if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        (seconds, _) if seconds % 60 == 0 => format!("{}m", seconds / 60),
        (seconds, _) if seconds > 60 => format!("{}m{}s", seconds / 60, seconds % 60),
        (seconds, 0) => format!("{seconds}s"),
        (seconds, millis) => format!("{seconds}.{millis:03}s"),
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_the_largest_unit_that_fits() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        for (ago, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_599, "59m"),
            (3_600, "1h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (-90, "in 1m"),
        ] {
            let then = Timestamp { seconds: 1_800_000_000 - ago, nanos: 0 };
            assert_eq!(age(Some(&then), now), text);
        }
        assert_eq!(age(None, now), "");
        assert_eq!(age(Some(&Timestamp { seconds: i64::MAX, nanos: 0 }), now), "");
    }

    #[test]
    fn dates_are_in_utc_to_the_second() {
        let then = Timestamp { seconds: 1_800_000_000, nanos: 999 };
        assert_eq!(date(Some(&then)), "2027-01-15T08:00:00Z");
    }

    #[test]
    fn durations_are_as_people_write_them() {
        let text = |seconds, nanos| duration(&prost_types::Duration { seconds, nanos });
        assert_eq!(text(10, 0), "10s");
        assert_eq!(text(3_600, 0), "1h");
        assert_eq!(text(90, 0), "1m30s");
        assert_eq!(text(0, 500_000_000), "500ms");
        assert_eq!(text(2, 500_000_000), "2.500s");
        assert_eq!(text(0, 250_000), "0.25ms");
    }
}
