//! Key bundles, opened for as long as sessions ask for them.
use std::{collections::HashMap, sync::Arc, time::Duration};

use ekiden_proto::relay::v1::{KeyBundle, KeyMaterial};
use ekiden_telemetry::propagation;
use sqlx::PgConnection;
use tokio::{sync::Mutex, time::Instant};
use zeroize::Zeroize;

use super::Head;
use crate::{
    app::App,
    audit_log::Event,
    error::Error,
    names::{AccessKeyName, FleetName},
    store::{access_keys::place, heads_follow, scope::Scope},
    vault::Sealed,
};

/// How long opened keys stay in memory without being sent.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// A fleet's keys in plaintext; wiped when dropped.
pub struct OpenBundle(KeyBundle);

impl OpenBundle {
    /// The message to send.
    pub fn message(&self) -> KeyBundle {
        self.0.clone()
    }
}

impl Drop for OpenBundle {
    fn drop(&mut self) {
        for key in &mut self.0.keys {
            key.value.zeroize();
        }
    }
}

/// A fleet's opened keys, and when they were opened; whoever opens them holds the lock meanwhile.
type Kept = Arc<Mutex<Option<(Arc<OpenBundle>, Instant)>>>;

/// Bundles that were asked for a moment ago, so that a change to a thousand relays opens each key once.
#[derive(Default)]
pub struct KeyBundles {
    kept: Mutex<HashMap<FleetName, Kept>>,
    /// Version of each fleet's keys whose opening the audit log has.
    told: Mutex<HashMap<FleetName, u64>>,
}

impl KeyBundles {
    /// The bundle of a fleet as `head` wants it.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn open(
        &self,
        app: &App,
        fleet: &FleetName,
        head: &Head,
    ) -> Result<Arc<OpenBundle>, Error> {
        let place = Kept::clone(self.kept.lock().await.entry(fleet.clone()).or_default());
        // Held while opening: a thousand sessions of a fleet ask at once, and one opens.
        let mut kept = place.lock().await;
        if let Some((bundle, at)) = kept.as_ref()
            && bundle.0.secret_version == head.secret_version
            && at.elapsed() < KEPT_FOR
        {
            return Ok(Arc::clone(bundle));
        }
        let bundle = Arc::new(self.open_anew(app, fleet, head).await?);
        *kept = Some((Arc::clone(&bundle), Instant::now()));
        Ok(bundle)
    }

    async fn open_anew(
        &self,
        app: &App,
        fleet: &FleetName,
        head: &Head,
    ) -> Result<OpenBundle, Error> {
        // The connection goes back before the vault, which may be far away, is asked.
        let mut db = app.pool.begin(&Scope::Tenant(fleet.tenant.clone())).await?;
        let rows = heads_follow::keys(&mut db, fleet).await?;
        if self.told.lock().await.insert(fleet.clone(), head.secret_version)
            != Some(head.secret_version)
        {
            let mut keys: Vec<_> = rows.iter().map(|row| row.access_key_id.as_str()).collect();
            keys.dedup();
            record(app, &mut db, fleet, &keys).await?;
        }
        db.commit().await?;
        let mut bundle = OpenBundle(KeyBundle {
            secret_version: head.secret_version,
            keys: Vec::with_capacity(rows.len()),
            traceparent: head.secret_traceparent.clone(),
        });
        for row in rows {
            let name =
                AccessKeyName { tenant: fleet.tenant.clone(), access_key: row.access_key_id };
            let sealed = Sealed {
                sealed: row.sealed,
                wrapped_data_key: row.wrapped_data_key,
                master_key_id: row.master_key_id,
            };
            let value = app.vault.open(&place(&name, row.key_version), &sealed).await?;
            bundle.0.keys.push(KeyMaterial {
                access_key: name.to_string(),
                version: row.key_version.unsigned_abs(),
                value: value.to_vec(),
                r#use: row.usage.into(),
            });
        }
        Ok(bundle)
    }

    /// Forgets what nobody asked for lately.
    pub async fn forget_old(&self) {
        self.kept.lock().await.retain(|_, place| {
            // Who holds the lock is opening just now.
            let Ok(kept) = place.try_lock() else { return true };
            kept.as_ref().is_some_and(|(_, at)| at.elapsed() < KEPT_FOR)
        });
    }
}

/// Records that this process opened a fleet's keys for its relays, once a version.
async fn record(
    app: &App,
    db: &mut PgConnection,
    fleet: &FleetName,
    keys: &[&str],
) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let event = Event {
        tenant: Some(&fleet.tenant),
        at: app.clock.now(),
        actor: "controlPlane",
        peer: "",
        method: "open access keys for relays",
        resource: &fleet.to_string(),
        changed_fields: &keys.iter().map(|key| format!("accessKeys/{key}")).collect::<Vec<_>>(),
        trace_id: &propagation::trace_id(),
    };
    app.audit.record(db, event).await
}
