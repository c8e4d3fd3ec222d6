//! Ends the sessions of relays that were revoked, on whichever replica that was done.
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::LiveSessions;
use crate::{
    clock::Clock,
    store::{
        relays,
        scope::{Scope, ScopedPool},
    },
};

/// How often the database is asked; a session ends within it and the time of one query.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How far back is looked beyond the last look: replicas' clocks differ, and a transaction commits after its time.
const OVERLAP: time::Duration = time::Duration::minutes(10);

/// Looks until cancelled.
pub async fn run(
    pool: &ScopedPool,
    clock: &Clock,
    live: &LiveSessions,
    cancel: &CancellationToken,
) {
    let mut since = clock.now() - OVERLAP;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let now = clock.now();
        match look(pool, since).await {
            Ok(revoked) => {
                // Each look, not once: a session may have entered between its own check and the look before.
                revoked.into_iter().for_each(|relay| live.revoke(relay));
                since = now - OVERLAP;
            }
            Err(error) => tracing::debug!(error = %error, "Revocations could not be read"),
        }
    }
}

async fn look(pool: &ScopedPool, since: OffsetDateTime) -> Result<Vec<Uuid>, sqlx::Error> {
    relays::revoked_since(&mut *pool.begin(&Scope::Provider).await?, since).await
}
