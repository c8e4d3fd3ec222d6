//! What a rotation may do next, from what is known of relays and collectors; pure.
use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use ekiden_proto::{
    admin::v1::KeyRotationWaitReason as Reason, relay::v1::KeyTrialOutcome as Outcome,
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::RotationState;
use crate::store::key_rotations::{CountedRelay, TakingCollector, TrialRow};

/// Everything that a rotation rests on.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Where it is.
    pub state: RotationState,
    /// Since when.
    pub state_at: OffsetDateTime,
    /// How long the old version drains.
    pub grace: Duration,
    /// Relays that count.
    pub relays: Vec<CountedRelay>,
    /// Collectors that take the key, once for each fleet.
    pub collectors: Vec<TakingCollector>,
    /// What was said to the new version.
    pub trials: Vec<TrialRow>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The state that it may go on to now; none: it waits.
    pub next: Option<RotationState>,
    /// Whether a refusal holds it up.
    pub stopped: bool,
    /// Relays that hold what the state asks for.
    pub acknowledged: usize,
    /// Relays whose collectors have all taken the new version.
    pub proven: usize,
    /// What it waits for, refusals first.
    pub waits: Vec<Wait>,
}

/// Something that it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Fleet of the relay.
    pub fleet_id: String,
    /// The relay.
    pub relay_id: Uuid,
    /// The collector; empty: it is about the relay itself.
    pub collector_id: String,
    /// Why.
    pub reason: Reason,
    /// What was answered.
    pub message: String,
    /// When; none: nothing happened yet.
    pub at: Option<OffsetDateTime>,
}

impl Facts {
    /// How far it is at this time.
    pub fn progress(&self, now: OffsetDateTime) -> Progress {
        let mut trials: HashMap<(Uuid, &str), &TrialRow> = HashMap::new();
        for trial in &self.trials {
            trials.insert((trial.relay_id, &trial.collector_id), trial);
        }
        let (mut waits, mut acknowledged, mut proven) = (Vec::new(), 0, 0);
        for relay in &self.relays {
            let here = relay.connected && relay.up_to_date;
            acknowledged += usize::from(here);
            if let Some(wait) = relay.absence() {
                waits.push(wait);
            }
            let asked =
                self.collectors.iter().filter(|c| c.answers && c.fleet_id == relay.fleet_id);
            let mut all = true;
            for collector in asked {
                let trial = trials.get(&(relay.relay_id, collector.collector_id.as_str()));
                let Some(wait) = doubt(relay, collector, trial.copied()) else { continue };
                all = false;
                // Who is away or behind is waited for once.
                if here || wait.reason == Reason::Refused {
                    waits.push(wait);
                }
            }
            proven += usize::from(all && here);
        }
        let trying = self.state.can_go_back() && self.state != RotationState::Added;
        let stopped = trying && waits.iter().any(|wait| wait.reason == Reason::Refused);
        waits.retain(|wait| self.matters(wait.reason));
        waits.sort_by_key(|wait| {
            (wait.reason as i32, wait.fleet_id.clone(), wait.relay_id, wait.collector_id.clone())
        });
        let next = self.next(now).filter(|_| waits.is_empty());
        Progress { next, stopped, acknowledged, proven, waits }
    }

    /// How each collector's consent is known: by id, whether it answers.
    pub fn consents(&self) -> Vec<(&str, bool)> {
        let mut seen = HashSet::new();
        let once = self.collectors.iter().filter(|c| seen.insert(c.collector_id.as_str()));
        once.map(|c| (c.collector_id.as_str(), c.answers)).collect()
    }

    /// Whether the state has to wait for it.
    fn matters(&self, reason: Reason) -> bool {
        match self.state {
            RotationState::Added | RotationState::OldDestroyed | RotationState::Cancelled => false,
            RotationState::Distributing => true,
            // What was proven before it was preferred stays proven until somebody refuses.
            RotationState::Preferred | RotationState::OldDraining => {
                !matches!(reason, Reason::Unproven | Reason::Unreachable)
            }
            RotationState::OldDisabled => matches!(reason, Reason::Away | Reason::Behind),
        }
    }

    fn next(&self, now: OffsetDateTime) -> Option<RotationState> {
        match self.state {
            RotationState::Added => Some(RotationState::Distributing),
            RotationState::Distributing => Some(RotationState::Preferred),
            RotationState::Preferred => Some(RotationState::OldDraining),
            RotationState::OldDraining => {
                (now >= self.state_at + self.grace).then_some(RotationState::OldDisabled)
            }
            RotationState::OldDisabled => Some(RotationState::OldDestroyed),
            RotationState::OldDestroyed | RotationState::Cancelled => None,
        }
    }
}

impl CountedRelay {
    fn absence(&self) -> Option<Wait> {
        let (reason, message) = match (self.connected, self.up_to_date) {
            (true, true) => return None,
            (true, false) => (Reason::Behind, ""),
            (false, _) => (
                Reason::Away,
                "it has no session; it is waited for until its certificate can no longer be renewed: if it is gone for good, revoke it",
            ),
        };
        let at = (!self.connected).then_some(self.last_seen_at);
        Some(self.wait("", reason, message, at))
    }

    fn wait(
        &self,
        collector: &str,
        reason: Reason,
        message: &str,
        at: Option<OffsetDateTime>,
    ) -> Wait {
        Wait {
            fleet_id: self.fleet_id.clone(),
            relay_id: self.relay_id,
            collector_id: collector.to_owned(),
            reason,
            message: message.to_owned(),
            at,
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "relay {} of {} at {}: {}",
            self.relay_id, self.fleet_id, self.collector_id, self.message
        )
    }
}

/// Why a collector's consent is not known; none: it took the new version.
fn doubt(
    relay: &CountedRelay,
    collector: &TakingCollector,
    trial: Option<&TrialRow>,
) -> Option<Wait> {
    let id = &collector.collector_id;
    let Some(trial) = trial else { return Some(relay.wait(id, Reason::Unproven, "", None)) };
    let reason = match Outcome::try_from(i32::from(trial.outcome)) {
        Ok(Outcome::Accepted) => return None,
        Ok(Outcome::Refused) => Reason::Refused,
        Ok(Outcome::Unreachable) => Reason::Unreachable,
        Ok(Outcome::Unspecified) | Err(_) => Reason::Unproven,
    };
    Some(relay.wait(id, reason, &trial.message, Some(trial.observed_at)))
}

#[cfg(test)]
mod tests;
