//! What collectors say to the newest version of an access key while it is being rotated.

use std::collections::BTreeMap;

use ekiden_proto::relay::v1::KeyTrialOutcome as Outcome;
use tokio::sync::watch;

use super::Keys;

/// Trials held at once, as many as a status may tell of.
const MOST: usize = 256;
/// Longest message, characters.
const LONGEST_MESSAGE: usize = 256;

/// One version of a key at one collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Version of the key.
    pub version: u64,
    /// What the collector said.
    pub outcome: Outcome,
    /// Its words, without key material.
    pub message: String,
}

/// Trials by access key and collector, both as resource names.
pub type Trials = BTreeMap<(String, String), Trial>;

/// Where trials are noted; the newest word of each collector counts.
#[derive(Debug, Default)]
pub struct KeyTrials(watch::Sender<Trials>);

impl KeyTrials {
    /// What was said, and each change of it.
    pub fn watch(&self) -> watch::Receiver<Trials> {
        self.0.subscribe()
    }

    /// Notes what a collector said; tells whether that is news. That it cannot be asked takes back nothing that it said.
    pub fn note(&self, access_key: &str, collector: &str, trial: Trial) -> bool {
        let trial =
            Trial { message: trial.message.chars().take(LONGEST_MESSAGE).collect(), ..trial };
        self.0.send_if_modified(|trials| {
            let place = (access_key.to_owned(), collector.to_owned());
            let news = match trials.get(&place) {
                None => trials.len() < MOST,
                Some(before) if before.version > trial.version => false,
                Some(before) if before.version < trial.version => true,
                Some(before) if trial.outcome == Outcome::Unreachable => {
                    before.outcome == Outcome::Unreachable && *before != trial
                }
                Some(before) => *before != trial,
            };
            if news {
                trials.insert(place, trial);
            }
            news
        })
    }

    /// Whether a collector is still to consent to the key in this version.
    pub fn is_open(&self, access_key: &str, collector: &str, version: u64) -> bool {
        let trials = self.0.borrow();
        let trial = trials.get(&(access_key.to_owned(), collector.to_owned()));
        trial.is_none_or(|t| t.version != version || t.outcome != Outcome::Accepted)
    }

    /// Forgets what was said to versions that are not on trial in `keys`.
    pub fn keep(&self, keys: &Keys) {
        self.0.send_if_modified(|trials| {
            let before = trials.len();
            trials.retain(|(access_key, _), trial| {
                keys.on_trial(access_key).is_some_and(|key| key.version() == trial.version)
            });
            trials.len() != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(version: u64, outcome: Outcome) -> Trial {
        Trial { version, outcome, message: String::new() }
    }

    #[test]
    fn a_collector_that_cannot_be_asked_takes_nothing_back() {
        let trials = KeyTrials::default();
        assert!(trials.note("key", "one", trial(2, Outcome::Unreachable)));
        assert!(trials.note("key", "one", trial(2, Outcome::Refused)));
        assert!(!trials.note("key", "one", trial(2, Outcome::Unreachable)));
        assert!(trials.note("key", "one", trial(2, Outcome::Accepted)));
        assert!(!trials.note("key", "one", trial(2, Outcome::Unreachable)));
        assert!(!trials.is_open("key", "one", 2));
        assert!(trials.is_open("key", "one", 3) && trials.is_open("key", "two", 2));
    }

    #[test]
    fn a_late_word_about_an_earlier_version_is_no_news() {
        let trials = KeyTrials::default();
        assert!(trials.note("key", "one", trial(3, Outcome::Accepted)));
        assert!(!trials.note("key", "one", trial(2, Outcome::Refused)));
        assert_eq!(trials.watch().borrow().len(), 1);
    }

    #[test]
    fn there_are_never_more_trials_than_a_status_takes() {
        let trials = KeyTrials::default();
        for number in 0..MOST + 10 {
            trials.note("key", &format!("c{number}"), trial(2, Outcome::Accepted));
        }
        assert_eq!(trials.watch().borrow().len(), MOST);
    }
}
