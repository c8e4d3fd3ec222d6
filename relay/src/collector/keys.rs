//! The access keys, in memory only.

use std::{collections::HashMap, fmt, sync::Arc};

use ekiden_proto::relay::v1::{KeyBundle, KeyUse};
use secrecy::SecretSlice;

/// All access keys of a fleet, of one version of the bundle.
#[derive(Default)]
pub struct Keys {
    keys: HashMap<String, Versions>,
    secret_version: u64,
}

/// One version of an access key.
pub struct Key {
    version: u64,
    value: SecretSlice<u8>,
}

/// What is held of one access key; more than one version during a rotation.
#[derive(Default)]
struct Versions {
    preferred: Option<Arc<Key>>,
    /// To be tried, not used.
    candidate: Option<Arc<Key>>,
    /// To be used where the preferred one is refused.
    fallback: Option<Arc<Key>>,
}

impl Keys {
    /// Takes a bundle's keys; of two with one name and use the later.
    pub fn from_bundle(bundle: KeyBundle) -> Self {
        let mut keys: HashMap<String, Versions> = HashMap::new();
        for given in bundle.keys {
            let used = given.r#use();
            let key = Key { version: given.version, value: SecretSlice::from(given.value) };
            let versions = keys.entry(given.access_key).or_default();
            let place = match used {
                KeyUse::Preferred | KeyUse::Unspecified => &mut versions.preferred,
                KeyUse::Candidate => &mut versions.candidate,
                KeyUse::Fallback => &mut versions.fallback,
            };
            *place = Some(Arc::new(key));
        }
        Self { keys, secret_version: bundle.secret_version }
    }

    /// Finds the version to use of `tenants/{tenant}/accessKeys/{access_key}`.
    pub fn get(&self, access_key: &str) -> Option<&Arc<Key>> {
        self.keys.get(access_key)?.preferred.as_ref()
    }

    /// Finds the version to use where that one is refused.
    pub fn fallback(&self, access_key: &str) -> Option<&Arc<Key>> {
        self.keys.get(access_key)?.fallback.as_ref()
    }

    /// Finds the version that collectors are still to consent to: the newest one while two are held.
    pub fn on_trial(&self, access_key: &str) -> Option<&Arc<Key>> {
        let versions = self.keys.get(access_key)?;
        let proven = versions.fallback.as_ref().and(versions.preferred.as_ref());
        versions.candidate.as_ref().or(proven)
    }

    /// The bundle's version; 0: none came yet.
    pub fn secret_version(&self) -> u64 {
        self.secret_version
    }
}

impl Key {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn value(&self) -> &SecretSlice<u8> {
        &self.value
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.keys.keys().collect::<Vec<_>>();
        f.debug_struct("Keys")
            .field("secret_version", &self.secret_version)
            .field("keys", &names)
            .finish()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("version", &self.version).finish_non_exhaustive()
    }
}
