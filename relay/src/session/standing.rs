//! Where a relay stands: what is wanted of it, and what it runs.
//!
//! Everything here is a latest value. Sessions come and go, two may overlap; what they are told meets here, and what is
//! newer replaces what is pending. Whoever carries settings out watches [`Standing::desired`] and [`Standing::keys`].
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use ekiden_proto::relay::v1::{
    Hello, KeyBundle, KeyStatus, KeyTrial, RelayDescription, SettingsPhase, SettingsSnapshot,
    SettingsStatus, Violation,
};
use prost_types::Timestamp;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    collector::{Keys, Trials},
};

/// Violations that a status names at most.
const MOST_VIOLATIONS: usize = 32;

/// Settings whose hash was found right, and that are newer than what runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Desired {
    /// Resource name of the fleet that they are for.
    pub fleet: String,
    /// Their number.
    pub revision: u64,
    /// SHA-256 of `settings`.
    pub hash: Bytes,
    /// An encoded `ekiden.settings.v1.Settings`.
    pub settings: Bytes,
    /// W3C traceparent of the change; empty: none.
    pub traceparent: String,
    /// W3C tracestate that goes with it.
    pub tracestate: String,
}

/// Keys to use.
#[derive(Debug)]
pub struct DesiredKeys {
    /// Resource name of the fleet that they are for.
    pub fleet: String,
    /// The keys.
    pub keys: Arc<Keys>,
    /// W3C traceparent of the change; empty: none.
    pub traceparent: String,
}

/// How the last attempt to run settings went.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Number of the revision.
    pub revision: u64,
    /// Its hash as received.
    pub hash: Bytes,
    /// Where it is.
    pub phase: SettingsPhase,
    /// Why it failed.
    pub violations: Vec<Violation>,
    /// Since when.
    pub observed_at: Timestamp,
}

/// What a relay runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Running {
    /// Resource name of the fleet whose settings run; empty: none.
    pub fleet: String,
    /// Their revision; 0: none.
    pub revision: u64,
    /// Their SHA-256; empty: none.
    pub hash: Bytes,
    /// The last attempt of this process.
    pub attempt: Option<Attempt>,
    /// Resource name of the fleet whose keys are in use; empty: none.
    pub keys_fleet: String,
    /// Version of the keys in use; 0: none.
    pub secret_version: u64,
    /// Since when.
    pub keys_since: Option<Timestamp>,
    /// What collectors say to the newest versions of keys that are being rotated.
    pub trials: Vec<KeyTrial>,
    /// Attempts that failed since the process started.
    pub rejected: u64,
}

/// Where a relay stands.
#[derive(Debug)]
pub struct Standing {
    desired: watch::Sender<Option<Arc<Desired>>>,
    keys: watch::Sender<Option<Arc<DesiredKeys>>>,
    running: watch::Sender<Running>,
    clock: Clock,
}

impl Standing {
    /// Nothing is wanted yet, and nothing runs.
    pub fn new(clock: Clock) -> Self {
        Self {
            desired: watch::Sender::new(None),
            keys: watch::Sender::new(None),
            running: watch::Sender::new(Running::default()),
            clock,
        }
    }

    /// The newest settings that may run.
    pub fn desired(&self) -> watch::Receiver<Option<Arc<Desired>>> {
        self.desired.subscribe()
    }

    /// The newest keys.
    pub fn keys(&self) -> watch::Receiver<Option<Arc<DesiredKeys>>> {
        self.keys.subscribe()
    }

    /// What runs.
    pub fn running(&self) -> watch::Receiver<Running> {
        self.running.subscribe()
    }

    /// Takes settings in, if they are what they say and newer than what runs or waits; else says why not.
    pub fn offer(&self, fleet: &str, snapshot: SettingsSnapshot) {
        let refusal =
            |description: String, field: &str| Violation { field: field.to_owned(), description };
        if digest(&SHA256, &snapshot.settings).as_ref() != snapshot.hash.as_ref() {
            let why =
                refusal("it is not the SHA-256 of the settings as they arrived".to_owned(), "hash");
            return self.report(snapshot.revision, snapshot.hash, SettingsPhase::Failed, vec![why]);
        }
        let (runs, hash) = {
            let running = self.running.borrow();
            if running.fleet == fleet {
                (running.revision, running.hash.clone())
            } else {
                (0, Bytes::new())
            }
        };
        if snapshot.revision == runs && snapshot.hash == hash {
            return self.report(
                snapshot.revision,
                snapshot.hash,
                SettingsPhase::Applied,
                Vec::new(),
            );
        }
        if snapshot.revision <= runs {
            let why = format!(
                "revision {} is not newer than revision {runs}, which runs",
                snapshot.revision
            );
            let why = vec![refusal(why, "revision")];
            return self.report(snapshot.revision, snapshot.hash, SettingsPhase::Failed, why);
        }
        let offered = Desired {
            fleet: fleet.to_owned(),
            revision: snapshot.revision,
            hash: snapshot.hash,
            settings: snapshot.settings,
            traceparent: snapshot.traceparent,
            tracestate: snapshot.tracestate,
        };
        self.desired.send_if_modified(|desired| {
            let older = desired.as_ref().is_none_or(|desired| {
                desired.fleet != offered.fleet || desired.revision <= offered.revision
            });
            if older {
                *desired = Some(Arc::new(offered));
            }
            older
        });
    }

    /// Takes keys in, if they are not older than those of before.
    pub fn offer_keys(&self, fleet: &str, bundle: KeyBundle) {
        let traceparent = bundle.traceparent.clone();
        let keys = Arc::new(Keys::from_bundle(bundle));
        let offered = DesiredKeys { fleet: fleet.to_owned(), keys, traceparent };
        self.keys.send_if_modified(|held| {
            let older = held.as_ref().is_none_or(|held| {
                held.fleet != offered.fleet
                    || held.keys.secret_version() <= offered.keys.secret_version()
            });
            if older {
                *held = Some(Arc::new(offered));
            }
            older
        });
    }

    /// Says that `desired` is being checked and applied.
    pub fn applying(&self, desired: &Desired) {
        self.report(desired.revision, desired.hash.clone(), SettingsPhase::Applying, Vec::new());
    }

    /// Says that `desired` runs.
    pub fn applied(&self, desired: &Desired) {
        self.running.send_modify(|running| {
            running.fleet.clone_from(&desired.fleet);
            running.revision = desired.revision;
            running.hash = desired.hash.clone();
            running.attempt = Some(Attempt {
                revision: desired.revision,
                hash: desired.hash.clone(),
                phase: SettingsPhase::Applied,
                violations: Vec::new(),
                observed_at: self.clock.timestamp(),
            });
        });
    }

    /// Whether `desired` is what runs.
    pub fn runs(&self, desired: &Desired) -> bool {
        let running = self.running.borrow();
        (&running.fleet, running.revision, &running.hash)
            == (&desired.fleet, desired.revision, &desired.hash)
    }

    /// Says that `desired` does not run, and why; what ran before still does.
    pub fn failed(&self, desired: &Desired, violations: Vec<Violation>) {
        self.report(desired.revision, desired.hash.clone(), SettingsPhase::Failed, violations);
    }

    /// Says what runs since before there was a session: the last good settings from disk.
    pub fn resumed(&self, desired: &Desired) {
        self.running.send_modify(|running| {
            running.fleet.clone_from(&desired.fleet);
            running.revision = desired.revision;
            running.hash = desired.hash.clone();
        });
    }

    /// Says that these keys are in use.
    pub fn keys_taken(&self, taken: &DesiredKeys) {
        self.running.send_modify(|running| {
            running.keys_fleet.clone_from(&taken.fleet);
            running.secret_version = taken.keys.secret_version();
            running.keys_since = Some(self.clock.timestamp());
        });
    }

    /// Says what collectors said to new versions of keys; what is not news keeps its time.
    pub fn keys_tried(&self, trials: &Trials) {
        let now = self.clock.timestamp();
        self.running.send_if_modified(|running| {
            let told = trials.iter().map(|((access_key, collector), trial)| {
                let told = KeyTrial {
                    access_key: access_key.clone(),
                    version: trial.version,
                    collector: collector.clone(),
                    outcome: trial.outcome.into(),
                    message: trial.message.clone(),
                    observed_at: None,
                };
                let same = |before: &&KeyTrial| {
                    KeyTrial { observed_at: None, ..(*before).clone() } == told
                };
                let before = running.trials.iter().find(same).cloned();
                before.unwrap_or(KeyTrial { observed_at: Some(now), ..told })
            });
            let told: Vec<KeyTrial> = told.collect();
            let news = running.trials != told;
            running.trials = told;
            news
        });
    }

    fn report(
        &self,
        revision: u64,
        hash: Bytes,
        phase: SettingsPhase,
        mut violations: Vec<Violation>,
    ) {
        violations.truncate(MOST_VIOLATIONS);
        self.running.send_modify(|running| {
            running.rejected += u64::from(phase == SettingsPhase::Failed);
            running.attempt = Some(Attempt {
                revision,
                hash,
                phase,
                violations,
                observed_at: self.clock.timestamp(),
            });
        });
    }
}

impl Running {
    /// The first message of a session of a relay of `fleet`.
    pub(super) fn hello(&self, fleet: &str, description: RelayDescription) -> Hello {
        let (revision, hash) = self.of(fleet);
        Hello {
            description: Some(description),
            running_revision: revision,
            running_hash: hash.to_vec(),
            secret_version: if self.keys_fleet == fleet { self.secret_version } else { 0 },
        }
    }

    /// How the last attempt went; none if nothing was attempted.
    pub(super) fn settings_status(&self, fleet: &str) -> Option<SettingsStatus> {
        let attempt = self.attempt.as_ref()?;
        let (revision, hash) = self.of(fleet);
        Some(SettingsStatus {
            attempted_revision: attempt.revision,
            attempted_hash: attempt.hash.to_vec(),
            running_revision: revision,
            running_hash: hash.to_vec(),
            phase: attempt.phase.into(),
            violations: attempt.violations.clone(),
            observed_at: Some(attempt.observed_at),
        })
    }

    /// Which keys of `fleet` are in use; none if there are none.
    pub(super) fn key_status(&self, fleet: &str) -> Option<KeyStatus> {
        let observed_at = self.keys_since.filter(|_| self.keys_fleet == fleet)?;
        Some(KeyStatus {
            secret_version: self.secret_version,
            observed_at: Some(observed_at),
            trials: self.trials.clone(),
        })
    }

    /// Revision numbers of another fleet mean nothing in this one.
    fn of(&self, fleet: &str) -> (u64, Bytes) {
        if self.fleet == fleet { (self.revision, self.hash.clone()) } else { (0, Bytes::new()) }
    }
}
