//! The access keys, in memory only.

use std::{collections::HashMap, fmt, sync::Arc};

use ekiden_proto::relay::v1::KeyBundle;
use secrecy::SecretSlice;

/// All access keys of a fleet, of one version.
#[derive(Default)]
pub struct Keys {
    keys: HashMap<String, Arc<Key>>,
    secret_version: u64,
}

/// One access key.
pub struct Key {
    version: u64,
    value: SecretSlice<u8>,
}

impl Keys {
    /// Takes a bundle's keys; of two with one name the later.
    pub fn from_bundle(bundle: KeyBundle) -> Self {
        let key =
            |version, value: Vec<u8>| Arc::new(Key { version, value: SecretSlice::from(value) });
        let keys = bundle
            .keys
            .into_iter()
            .map(|given| (given.access_key, key(given.version, given.value)));
        Self { keys: keys.collect(), secret_version: bundle.secret_version }
    }

    /// Finds a key by `tenants/{tenant}/accessKeys/{access_key}`.
    pub fn get(&self, access_key: &str) -> Option<&Arc<Key>> {
        self.keys.get(access_key)
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
