//! What a session sends next: pure, so that each rule of the protocol is one line to read and one test.
use std::collections::HashSet;

/// What the fleet should run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Desired<'a> {
    pub(super) revision: u64,
    pub(super) hash: &'a [u8],
    pub(super) secret_version: u64,
}

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// The key bundle.
    Keys,
    /// The settings.
    Snapshot,
    /// That there is nothing to change.
    UpToDate,
}

/// What one relay has, as far as it said so.
#[derive(Debug, Default)]
pub(super) struct Reported {
    pub(super) running_revision: u64,
    pub(super) running_hash: Vec<u8>,
    pub(super) secret_version: u64,
    /// Sent and not yet answered.
    pub(super) unanswered: Option<u64>,
    /// Refused; never offered again.
    pub(super) rejected: HashSet<u64>,
    pub(super) told_up_to_date: bool,
}

impl Reported {
    /// The next thing to send; none: wait. Calling it counts as sending.
    pub(super) fn next(&mut self, desired: Desired<'_>) -> Option<Offer> {
        // Keys first: settings that name a key are of no use before it.
        if self.secret_version != desired.secret_version {
            self.secret_version = desired.secret_version;
            return Some(Offer::Keys);
        }
        if self.unanswered.is_some() {
            return None;
        }
        if self.runs(desired) || self.rejected.contains(&desired.revision) {
            let first = !self.told_up_to_date && self.runs(desired);
            self.told_up_to_date = true;
            return first.then_some(Offer::UpToDate);
        }
        self.told_up_to_date = true;
        self.unanswered = Some(desired.revision);
        Some(Offer::Snapshot)
    }

    /// The relay has applied or refused an attempt.
    pub(super) fn answered(
        &mut self,
        attempted: u64,
        running: u64,
        running_hash: Vec<u8>,
        refused: bool,
    ) {
        self.running_revision = running;
        self.running_hash = running_hash;
        if refused {
            self.rejected.insert(attempted);
        }
        if self.unanswered == Some(attempted) {
            self.unanswered = None;
        }
    }

    /// Whether the relay runs the desired settings: the same bytes under an earlier number count, too, only when the
    /// number is the head's: operators look at numbers.
    fn runs(&self, desired: Desired<'_>) -> bool {
        self.running_revision == desired.revision && self.running_hash == desired.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(revision: u64, secret_version: u64) -> Desired<'static> {
        Desired { revision, hash: b"h", secret_version }
    }

    #[test]
    fn a_new_relay_gets_keys_then_settings() {
        let mut relay = Reported::default();
        assert_eq!(relay.next(desired(3, 2)), Some(Offer::Keys));
        assert_eq!(relay.next(desired(3, 2)), Some(Offer::Snapshot));
        assert_eq!(relay.next(desired(3, 2)), None);
    }

    #[test]
    fn a_relay_that_runs_what_it_should_is_told_so_once() {
        let mut relay = Reported {
            running_revision: 3,
            running_hash: b"h".to_vec(),
            secret_version: 2,
            ..Reported::default()
        };
        assert_eq!(relay.next(desired(3, 2)), Some(Offer::UpToDate));
        assert_eq!(relay.next(desired(3, 2)), None);
    }

    #[test]
    fn while_a_snapshot_is_unanswered_newer_ones_wait_and_only_the_newest_is_sent() {
        let mut relay = Reported { secret_version: 1, ..Reported::default() };
        assert_eq!(relay.next(desired(1, 1)), Some(Offer::Snapshot));
        for revision in 2..50 {
            assert_eq!(relay.next(desired(revision, 1)), None);
        }
        relay.answered(1, 1, b"h".to_vec(), false);
        assert_eq!(relay.next(desired(50, 1)), Some(Offer::Snapshot));
        assert_eq!(relay.unanswered, Some(50));
    }

    #[test]
    fn a_refused_revision_is_never_offered_again() {
        let mut relay = Reported { secret_version: 1, ..Reported::default() };
        relay.next(desired(2, 1));
        relay.answered(2, 0, Vec::new(), true);
        assert_eq!(relay.next(desired(2, 1)), None);
        assert_eq!(relay.next(desired(3, 1)), Some(Offer::Snapshot));
    }

    #[test]
    fn a_key_change_goes_out_even_while_a_snapshot_is_unanswered() {
        let mut relay = Reported { secret_version: 1, ..Reported::default() };
        relay.next(desired(1, 1));
        assert_eq!(relay.next(desired(1, 2)), Some(Offer::Keys));
    }
}
