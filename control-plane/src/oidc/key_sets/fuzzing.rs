//! Keys that need not be fetched, for fuzz targets.
use std::sync::Arc;

use rustls::RootCertStore;
use time::OffsetDateTime;
use tokio::sync::Mutex as AsyncMutex;

use super::{Fetched, Kept, KeySet, KeySets, Keys, LastAsked};
use crate::{clock::Clock, https::Https, oidc::Issuer};

/// What is known when an issuer has just published `document`; nobody is asked for more.
///
/// # Errors
/// No key of the set counts, or TLS cannot be set up.
pub fn key_sets(issuer: &Issuer, document: &[u8], now: OffsetDateTime) -> anyhow::Result<KeySets> {
    let fetched = Fetched { set: KeySet::read(document)?, at: now };
    let asking = LastAsked { at: Some(now), failure: None };
    let keys = Keys { asking: Arc::new(AsyncMutex::new(asking)), ..Keys::default() };
    keys.fetched.store(Some(Arc::new(fetched)));
    let https = Https::new(RootCertStore::empty(), &[])?;
    let sets = KeySets::new(https, Clock::from_fn(move || now));
    let kept = Kept { keys: Arc::new(keys), used_at: now };
    sets.issuers.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.insert(issuer.clone(), kept);
    Ok(sets)
}
