//! This process's lease: relays' sessions here count while it holds.
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    clock::Clock,
    store::{
        replicas,
        scope::{Scope, ScopedPool},
    },
};

const RENEW_EVERY: Duration = Duration::from_secs(3);
const LEASE: time::Duration = time::Duration::seconds(10);

/// Takes the lease, for a process with these master keys; sessions that open before it is held would not count.
///
/// # Errors
/// What the database says.
pub async fn begin(
    pool: &ScopedPool,
    clock: &Clock,
    replica: Uuid,
    master_keys: &[String],
) -> Result<(), sqlx::Error> {
    let now = clock.now();
    let mut db = pool.begin(&Scope::Provider).await?;
    replicas::lease(&mut db, replica, master_keys, now, now + LEASE).await?;
    db.commit().await
}

/// Renews the lease until cancelled, then gives it up.
pub async fn run(
    pool: &ScopedPool,
    clock: &Clock,
    replica: Uuid,
    master_keys: &[String],
    cancel: &CancellationToken,
) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(RENEW_EVERY) => {}
        }
        if let Err(error) = begin(pool, clock, replica, master_keys).await {
            tracing::info!(error = %error, "The lease could not be renewed; relays here will look disconnected");
        }
    }
    let released = async {
        let mut db = pool.begin(&Scope::Provider).await?;
        replicas::release(&mut db, replica).await?;
        db.commit().await
    };
    if let Err(error) = released.await {
        tracing::debug!(error = %error, "The lease was left to end by itself");
    }
}
