//! The only place that reads the time.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use time::OffsetDateTime;

/// Tells the time; tests hand in one that they set themselves.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
    ticks: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        let start = Instant::now();
        Self { now: Arc::new(OffsetDateTime::now_utc), ticks: Arc::new(move || start.elapsed()) }
    }

    /// A clock that answers what `now` answers; its ticks follow.
    pub fn from_fn(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        let now: Arc<dyn Fn() -> OffsetDateTime + Send + Sync> = Arc::new(now);
        let ticked = Arc::clone(&now);
        let ticks = move || (ticked() - OffsetDateTime::UNIX_EPOCH).unsigned_abs();
        Self { now, ticks: Arc::new(ticks) }
    }

    /// The time now, UTC, cut to the microsecond that Postgres keeps.
    pub fn now(&self) -> OffsetDateTime {
        let now = (self.now)();
        now.replace_microsecond(now.microsecond()).unwrap_or(now)
    }

    /// Time since a moment that stays the same, whoever sets the machine's clock: for how long things last.
    pub fn ticks(&self) -> Duration {
        (self.ticks)()
    }
}
