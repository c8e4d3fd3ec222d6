//! Sealing before the transaction: a value is bound to the version it will be, so another change in between makes it void.
use std::time::Duration;

use crate::{
    app::App, error::Error, names::AccessKeyName, store::access_keys::place, vault::Sealed,
};

/// Reason of the error when another change took the version; sealing again helps.
pub(super) const OVERTAKEN: &str = "ACCESS_KEY_OVERTAKEN";
/// How often a value is sealed for one call.
pub(super) const SEALING_TRIES: u32 = 5;

/// A value sealed for one version of one key.
pub(super) struct SealedValue {
    pub(super) version: i64,
    pub(super) sealed: Sealed,
    pub(super) fingerprint: String,
}

impl SealedValue {
    pub(super) async fn seal(
        app: &App,
        name: &AccessKeyName,
        version: i64,
        value: &str,
    ) -> Result<Self, Error> {
        let sealed = app.vault.seal(&place(name, version), value.as_bytes()).await?;
        Ok(Self { version, sealed, fingerprint: app.fingerprints.fingerprint(value.as_bytes()) })
    }
}

/// Lets through a value that was sealed for the version after `current`.
pub(super) fn must_follow(current: i64, value: &SealedValue) -> Result<(), Error> {
    if value.version == current + 1 {
        return Ok(());
    }
    Err(Error::Unavailable {
        reason: OVERTAKEN,
        description: "the access key was changed at the same time, again and again; nothing was changed",
        retry_after: Duration::from_secs(1),
        source: None,
    })
}
