//! Waiting on conditions, with words for when they do not come.
use std::{fmt, time::Duration};

use tokio::time::Instant;

/// Longest wait for something that should take a moment: only there to end a test that hangs.
pub const SAFETY: Duration = Duration::from_secs(30);

/// How often a condition outside this process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Something did not happen in time.
#[derive(Clone, Debug)]
pub struct TimedOut {
    what: String,
    within: Duration,
    detail: String,
}

impl TimedOut {
    /// Says what was waited for.
    pub fn new(what: &str, within: Duration) -> Self {
        Self { what: what.to_owned(), within, detail: String::new() }
    }

    /// Adds what may explain it.
    pub fn with_detail(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "did not happen within {:?}: {}", self.within, self.what)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, "\n{}", self.detail) }
    }
}

impl std::error::Error for TimedOut {}

/// Asks until the answer is something; an error ends the wait.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(TimedOut::new(what, within).into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
