//! Moves every secret to the master key that operators prefer, a few at a time, while all else goes on.
//!
//! What is to be done stands in the rows themselves, so that it can be broken off anywhere and begun again. A key is only
//! sealed with once every process holds it, and values only move once every process prefers the same one: in the middle of
//! a roll-out, or when one is taken back, nothing moves to and fro.
use std::{sync::Arc, time::Duration};

use ekiden_telemetry::propagation;
use futures_util::{StreamExt, stream};

use super::VaultError;
use crate::{
    app::App,
    audit_log::Event,
    error::Error,
    store::{
        databases, replicas,
        scope::Scope,
        sealed_values::{self, WrappedRow},
    },
};

#[cfg(test)]
mod tests;

/// How often it is looked whether there is something to move.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Values of each kind that are moved in one transaction.
const BATCH: i64 = 100;
/// Values that are with the master key at once.
const AT_ONCE: usize = 16;

/// Looks until cancelled.
pub async fn run(app: Arc<App>) {
    loop {
        let moved = round(&app).await;
        if let Err(error) = &moved {
            app.metrics.waits("master_keys", "FAILED");
            let error = format!("{error:#}");
            tracing::warn!(error, "Secrets stay under the master key that they are under for now");
        }
        let wait = match moved {
            Ok(true) => Duration::ZERO,
            Ok(false) => LOOK_EVERY,
            Err(_) => RETRY_AFTER,
        };
        tokio::select! {
            () = app.cancel.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Moves a batch; tells whether there was one.
async fn round(app: &App) -> anyhow::Result<bool> {
    let held = app.vault.key_ids();
    let now = app.clock.now();
    let mut db = app.pool.begin(&Scope::Provider).await?;
    let mut number = 0;
    // Who holds none of our keys cannot be helped by any choice here.
    for (candidate, id) in held.iter().enumerate() {
        if replicas::count_without_key(&mut db, id, now).await? == 0 {
            number = candidate;
            break;
        }
    }
    app.vault.seal_with(number);
    let Some(current) = held.first().filter(|_| number == 0) else { return Ok(false) };
    if held.len() == 1 || replicas::count_preferring_others(&mut db, current, now).await? > 0 {
        return Ok(false);
    }
    if !databases::try_alone(&mut db, "rewrapping").await? {
        return Ok(false);
    }
    let rows = sealed_values::under_others(&mut db, current, &held, BATCH).await?;
    if rows.is_empty() {
        return Ok(false);
    }
    let wrapped: Vec<_> =
        stream::iter(rows).map(|row| wrap_anew(app, row)).buffer_unordered(AT_ONCE).collect().await;
    let (mut moved, mut failure) = (0, None);
    for wrapped in wrapped {
        match wrapped {
            Ok((row, (wrapped, id))) => {
                // Whoever changed the value meanwhile sealed it anew.
                sealed_values::rewrap(&mut db, &row, &wrapped, &id).await?;
                moved += 1;
            }
            // One that is damaged holds up no other.
            Err(error) => failure = Some(error),
        }
    }
    if let Some(error) = failure.take_if(|_| moved == 0) {
        return Err(error.into());
    }
    let counts = sealed_values::count(&mut db).await?;
    let left: i64 = counts.iter().filter(|c| c.master_key_id != *current).map(|c| c.count).sum();
    if left == 0 {
        record(app, &mut db, current).await?;
    }
    db.commit().await?;
    tracing::info!(master_key = current, moved, left, "Secrets were moved to the master key");
    Ok(left > 0)
}

async fn wrap_anew(
    app: &App,
    row: WrappedRow,
) -> Result<(WrappedRow, (Vec<u8>, String)), VaultError> {
    let (place, wrapped) = (row.id.place(), &row.wrapped_data_key);
    let anew = app.vault.rewrap(&place, wrapped, &row.master_key_id).await?;
    Ok((row, anew))
}

async fn record(app: &App, db: &mut sqlx::PgConnection, current: &str) -> Result<(), Error> {
    let event = Event {
        tenant: None,
        at: app.clock.now(),
        actor: "controlPlane",
        peer: "",
        method: "move all secrets to a master key",
        resource: &format!("masterKeys/{current}"),
        changed_fields: &[],
        trace_id: &propagation::trace_id(),
    };
    app.audit.record(db, event).await
}
