//! The last settings that ran, on disk: what a relay starts from while the control plane is away. Never keys.
use std::io;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use ekiden_proto::relay::v1::SettingsSnapshot;
use ekiden_settings::{CheckedSettings, Violation};
use prost::Message;

use crate::{session::standing::Desired, state_dir::StateDir};

const FILE: &str = "last-good-settings";

/// Keeps the last good settings in the relay's folder.
#[derive(Clone, Debug)]
pub struct LastGood {
    folder: StateDir,
}

/// Why there are no settings to be had from disk.
#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    /// The file cannot be read.
    #[error("the last good settings cannot be read")]
    Io(#[from] io::Error),
    /// The file holds something else.
    #[error("the last good settings are damaged")]
    Damaged,
    /// This version of the relay does not accept them any more.
    #[error("the last good settings do not pass the check: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Violation>),
}

impl LastGood {
    /// Settings kept in `folder`.
    pub fn new(folder: StateDir) -> Self {
        Self { folder }
    }

    /// Reads and checks them; none if nothing was saved.
    ///
    /// # Errors
    /// [`LastGoodError`] when they cannot be used.
    pub fn load(&self) -> Result<Option<(Desired, CheckedSettings)>, LastGoodError> {
        let Some(content) = self.folder.read(FILE)? else { return Ok(None) };
        let saved =
            SettingsSnapshot::decode(Bytes::from(content)).map_err(|_| LastGoodError::Damaged)?;
        if digest(&SHA256, &saved.settings).as_ref() != saved.hash.as_ref() {
            return Err(LastGoodError::Damaged);
        }
        let checked = ekiden_settings::check(&saved.settings).map_err(LastGoodError::Refused)?;
        let desired = Desired {
            fleet: checked.fleet.clone(),
            revision: saved.revision,
            hash: saved.hash,
            settings: saved.settings,
            traceparent: String::new(),
            tracestate: String::new(),
        };
        Ok(Some((desired, checked)))
    }

    /// Saves settings that run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, running: &Desired) -> io::Result<()> {
        let saved = SettingsSnapshot {
            revision: running.revision,
            hash: running.hash.clone(),
            settings: running.settings.clone(),
            traceparent: String::new(),
            tracestate: String::new(),
        };
        self.folder.replace(FILE, &saved.encode_to_vec())
    }
}

#[cfg(test)]
mod tests {
    use ekiden_proto::settings::v1::Settings;

    use super::*;

    fn desired() -> Desired {
        let settings =
            Settings { fleet: "tenants/acme/fleets/tokyo".to_owned(), ..Settings::default() };
        let settings = Bytes::from(settings.encode_to_vec());
        Desired {
            fleet: "tenants/acme/fleets/tokyo".to_owned(),
            revision: 7,
            hash: Bytes::copy_from_slice(digest(&SHA256, &settings).as_ref()),
            settings,
            traceparent: String::new(),
            tracestate: String::new(),
        }
    }

    #[test]
    fn what_was_saved_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(StateDir::open(folder.path()).unwrap());
        assert!(last_good.load().unwrap().is_none());
        last_good.save(&desired()).unwrap();
        let (loaded, checked) = last_good.load().unwrap().unwrap();
        assert_eq!(loaded, desired());
        assert_eq!(checked.fleet, loaded.fleet);
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(StateDir::open(folder.path()).unwrap());
        last_good.save(&desired()).unwrap();
        let path = folder.path().join(FILE);
        let mut content = std::fs::read(&path).unwrap();
        *content.last_mut().unwrap() ^= 1;
        std::fs::write(&path, content).unwrap();
        assert!(matches!(last_good.load(), Err(LastGoodError::Damaged)));
    }
}
