//! Which version of its access key a collector is shown, and what it says to each.
//!
//! During a rotation the relay holds two. The preferred one goes first; a collector that refuses it gets the fallback, for
//! the same request and first from then on, until the preferred one is accepted again when it is tried by itself.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use ekiden_proto::relay::v1::KeyTrialOutcome as Outcome;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::{
    error::{Refusal, Said, status},
    export::{Export, Exporter, takes_requests},
    message::Framed,
    signal::Signal,
};
use crate::collector::{Key, Trial};

impl Export {
    /// An export of nothing, with the key in use or with this one.
    pub(super) fn of_nothing(deadline: Instant, trial: Option<Arc<Key>>) -> Self {
        Self {
            signal: Signal::Traces,
            message: Framed::EMPTY,
            encoding: None,
            limit: 0,
            passed_on: HeaderMap::new(),
            deadline,
            held: None,
            trial,
        }
    }
}

impl Exporter {
    /// Shows the collector the version on trial, if there is one, and notes what it says. Gives whether nothing is left to try.
    pub async fn try_key(&self, deadline: Instant) -> bool {
        let Some((access_key, key)) = self.on_trial() else { return true };
        let nothing = Export::of_nothing(deadline, Some(Arc::clone(&key)));
        let outcome = timeout_at(deadline, self.send(&nothing)).await;
        match outcome.unwrap_or(Err(Refusal::DeadlinePassed)) {
            // Both were noted where the answer was read.
            Ok(_) | Err(Refusal::CollectorRefusedKey) => {}
            Err(Refusal::Collector(Said { code, .. })) if takes_requests(code) => {}
            Err(refusal) => {
                let message = status(refusal).message().to_owned();
                self.note(&access_key, &key, Outcome::Unreachable, message);
            }
        }
        !self.trials.is_open(&access_key, &self.pool.settings().name, key.version())
    }

    /// Versions to show, in order; one that is none where the collector takes no key.
    pub(super) fn versions(
        &self,
        trial: Option<&Arc<Key>>,
    ) -> Result<Vec<Option<Arc<Key>>>, Refusal> {
        let Some(placement) = &self.pool.settings().key_placement else { return Ok(vec![None]) };
        if let Some(key) = trial {
            return Ok(vec![Some(Arc::clone(key))]);
        }
        let keys = self.keys.borrow();
        let preferred = keys.get(&placement.access_key).ok_or(Refusal::AccessKeyNotHere)?;
        let mut versions = vec![Some(Arc::clone(preferred))];
        versions.extend(keys.fallback(&placement.access_key).map(|key| Some(Arc::clone(key))));
        if self.refused.load(Relaxed) == preferred.version() {
            versions.reverse();
        }
        Ok(versions)
    }

    /// Notes that the collector took a version.
    pub(super) fn key_accepted(&self, key: Option<&Arc<Key>>) {
        let Some((access_key, on_trial)) = self.on_trial() else { return };
        let Some(key) = key.filter(|key| key.version() == on_trial.version()) else { return };
        self.refused.store(0, Relaxed);
        self.note(&access_key, key, Outcome::Accepted, String::new());
    }

    /// Notes that the collector refused a version.
    pub(super) fn key_refused(&self, key: &Arc<Key>, said: Said) {
        let Some((access_key, on_trial)) = self.on_trial() else { return };
        if key.version() != on_trial.version() {
            return;
        }
        self.refused.store(key.version(), Relaxed);
        let answer = match said.message.as_str() {
            "" => format!("{:?}", said.code),
            message => format!("{:?}: {message}", said.code),
        };
        self.note(&access_key, key, Outcome::Refused, answer);
    }

    fn note(&self, access_key: &str, key: &Key, outcome: Outcome, message: String) {
        let collector = &self.pool.settings().name;
        let trial = Trial { version: key.version(), outcome, message };
        let told = trial.message.clone();
        if self.trials.note(access_key, collector, trial) && outcome == Outcome::Refused {
            tracing::warn!(
                collector.id = collector,
                access_key.id = access_key,
                access_key.version = key.version(),
                answer = told,
                "A collector refuses the new version of its access key; the old one is used until it does not"
            );
        }
    }

    fn on_trial(&self) -> Option<(String, Arc<Key>)> {
        let access_key = &self.pool.settings().key_placement.as_ref()?.access_key;
        let keys = self.keys.borrow();
        Some((access_key.clone(), Arc::clone(keys.on_trial(access_key)?)))
    }
}
