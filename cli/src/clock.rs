//! The only place that reads the time.
use time::OffsetDateTime;

/// The time now, UTC.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
