use proptest::prelude::*;

use super::*;

const OTLP: &str = "otlp";
const RAW: &str = "raw";

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds)
}

fn relay(number: u128) -> CountedRelay {
    CountedRelay {
        fleet_id: "tokyo".to_owned(),
        relay_id: Uuid::from_u128(number),
        connected: true,
        up_to_date: true,
        last_seen_at: at(0),
    }
}

fn collector(id: &str) -> TakingCollector {
    let answers = id != RAW;
    TakingCollector { fleet_id: "tokyo".to_owned(), collector_id: id.to_owned(), answers }
}

fn trial(number: u128, outcome: Outcome) -> TrialRow {
    TrialRow {
        relay_id: Uuid::from_u128(number),
        access_key_id: "main".to_owned(),
        key_version: 2,
        collector_id: OTLP.to_owned(),
        outcome: outcome as i16,
        message: "said so".to_owned(),
        observed_at: at(1),
    }
}

/// Two relays at one collector, and both have proven the new version.
fn facts(state: RotationState) -> Facts {
    Facts {
        state,
        state_at: at(0),
        grace: Duration::seconds(60),
        relays: vec![relay(1), relay(2)],
        collectors: vec![collector(OTLP)],
        trials: vec![trial(1, Outcome::Accepted), trial(2, Outcome::Accepted)],
    }
}

fn reasons(progress: &Progress) -> Vec<Reason> {
    progress.waits.iter().map(|wait| wait.reason).collect()
}

#[test]
fn with_every_proof_it_goes_from_state_to_state_and_ends() {
    let mut state = RotationState::Added;
    let mut seen = vec![state];
    while let Some(next) = facts(state).progress(at(60)).next {
        state = next;
        seen.push(state);
    }
    assert_eq!(
        seen,
        [
            RotationState::Added,
            RotationState::Distributing,
            RotationState::Preferred,
            RotationState::OldDraining,
            RotationState::OldDisabled,
            RotationState::OldDestroyed
        ]
    );
}

#[test]
fn the_old_version_stays_for_the_whole_grace() {
    let facts = facts(RotationState::OldDraining);
    assert_eq!(facts.progress(at(59)).next, None);
    assert_eq!(facts.progress(at(60)).next, Some(RotationState::OldDisabled));
}

#[test]
fn nothing_is_preferred_before_every_relay_has_asked_every_collector() {
    for (outcome, reason) in [
        (None, Reason::Unproven),
        (Some(Outcome::Unspecified), Reason::Unproven),
        (Some(Outcome::Unreachable), Reason::Unreachable),
        (Some(Outcome::Refused), Reason::Refused),
    ] {
        let mut facts = facts(RotationState::Distributing);
        facts.trials.pop();
        facts.trials.extend(outcome.map(|outcome| trial(2, outcome)));
        let progress = facts.progress(at(60));
        assert_eq!(progress.next, None, "{outcome:?}");
        assert_eq!(reasons(&progress), [reason]);
        assert_eq!(progress.waits[0].relay_id, Uuid::from_u128(2));
        assert_eq!(progress.stopped, reason == Reason::Refused);
        assert_eq!((progress.acknowledged, progress.proven), (2, 1));
    }
}

#[test]
fn a_refusal_stops_it_as_long_as_there_is_an_old_version_to_go_back_to() {
    for (state, stops) in [
        (RotationState::Added, false),
        (RotationState::Distributing, true),
        (RotationState::Preferred, true),
        (RotationState::OldDraining, true),
        (RotationState::OldDisabled, false),
    ] {
        let mut facts = facts(state);
        facts.trials[0].outcome = Outcome::Refused as i16;
        let progress = facts.progress(at(60));
        assert_eq!(progress.stopped, stops, "{state:?}");
        assert_eq!(progress.next.is_none(), stops, "{state:?}");
    }
}

#[test]
fn a_refusal_counts_also_where_the_relay_has_gone_away_since() {
    let mut facts = facts(RotationState::Preferred);
    facts.trials[0].outcome = Outcome::Refused as i16;
    facts.relays[0].connected = false;
    let progress = facts.progress(at(60));
    assert!(progress.stopped);
    assert_eq!(reasons(&progress), [Reason::Refused, Reason::Away]);
}

#[test]
fn whoever_is_away_or_behind_is_waited_for_in_every_state_that_relays_take_part_in() {
    for state in [
        RotationState::Distributing,
        RotationState::Preferred,
        RotationState::OldDraining,
        RotationState::OldDisabled,
    ] {
        let mut away = facts(state);
        away.relays[1].connected = false;
        assert_eq!(reasons(&away.progress(at(60))), [Reason::Away], "{state:?}");
        let mut behind = facts(state);
        behind.relays[1].up_to_date = false;
        assert_eq!(reasons(&behind.progress(at(60))), [Reason::Behind], "{state:?}");
    }
}

#[test]
fn a_collector_that_breaks_after_the_proof_holds_nothing_up() {
    let mut facts = facts(RotationState::OldDraining);
    facts.trials[0].outcome = Outcome::Unreachable as i16;
    assert_eq!(facts.progress(at(60)).next, Some(RotationState::OldDisabled));
}

#[test]
fn a_collector_of_raw_tcp_is_observed_and_not_waited_for() {
    let mut facts = facts(RotationState::Distributing);
    facts.collectors = vec![collector(RAW)];
    facts.trials.clear();
    assert_eq!(facts.consents(), [(RAW, false)]);
    assert_eq!(facts.progress(at(60)).next, Some(RotationState::Preferred));
    facts.relays[0].connected = false;
    assert_eq!(facts.progress(at(60)).next, None);
}

#[test]
fn what_was_said_to_one_relay_is_no_proof_for_another() {
    let mut facts = facts(RotationState::Distributing);
    facts.trials = vec![trial(1, Outcome::Accepted), trial(3, Outcome::Accepted)];
    assert_eq!(reasons(&facts.progress(at(60))), [Reason::Unproven]);
}

prop_compose! {
    fn any_relay()(number in 1..6_u128, connected: bool, up_to_date: bool) -> CountedRelay {
        CountedRelay { connected, up_to_date, ..relay(number) }
    }
}

proptest! {
    #[test]
    fn no_version_is_ever_preferred_or_disabled_over_a_relay_without_proof(
        relays in proptest::collection::vec(any_relay(), 0..6),
        outcomes in proptest::collection::vec((1..6_u128, 0..5_i16), 0..8),
        distributing: bool,
    ) {
        let state = if distributing { RotationState::Distributing } else { RotationState::OldDraining };
        let trials: Vec<_> = outcomes
            .iter()
            .map(|(number, outcome)| TrialRow { outcome: *outcome, ..trial(*number, Outcome::Accepted) })
            .collect();
        let last = |id: Uuid| trials.iter().rev().find(|t| t.relay_id == id).map(|t| t.outcome);
        let all_here = relays.iter().all(|r| r.connected && r.up_to_date);
        let refused = relays.iter().any(|r| last(r.relay_id) == Some(Outcome::Refused as i16));
        let proven = relays.iter().all(|r| last(r.relay_id) == Some(Outcome::Accepted as i16));
        let facts = Facts { relays, trials, ..facts(state) };
        let may = facts.progress(at(60)).next.is_some();
        prop_assert_eq!(may, all_here && !refused && (proven || !distributing));
    }
}
