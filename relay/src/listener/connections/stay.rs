//! How long a connection may stay. Pure: time and chance are arguments.

use std::time::Duration;

use ekiden_settings::Protocol;
use tokio::time::Instant;

use crate::listener::CloseCause;

/// Without a byte for so long a raw connection is between two messages, as far as anyone can tell.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// One that is never quiet goes after so much of its age more.
const PATIENCE: f64 = 0.25;
/// And one that was picked to go after this at most.
const LONGEST_PATIENCE: Duration = Duration::from_secs(60);
/// Asked to go, a workload has so long to end a raw connection.
const RAW_FAREWELL: Duration = Duration::from_secs(10);
/// And its requests so long to be answered: more than the longest may take.
const OTLP_FAREWELL: Duration = Duration::from_secs(75);

/// One connection's stay.
#[derive(Debug)]
pub(super) struct Stay {
    opened: Instant,
    /// What the listener's age is multiplied with: connections that came together should not leave together.
    share: f64,
    /// When it was picked to go, whatever its age.
    shed_at: Option<Instant>,
    /// When and why it was asked to go.
    asked: Option<(Instant, CloseCause)>,
}

/// What is to be done about a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this; none: nothing at all.
    Later(Option<Instant>),
    /// Its time is over, but something is on its way.
    Soon,
    /// Ask it to go.
    Ask(CloseCause),
    /// It was asked and is still there.
    End(CloseCause),
}

impl Stay {
    /// Begins; `random` is uniform in `[0, 1)`.
    pub(super) fn begin(opened: Instant, random: f64) -> Self {
        Self { opened, share: 0.8 + 0.4 * random, shed_at: None, asked: None }
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Whether it is on its way out already.
    pub(super) fn leaves(&self) -> bool {
        self.shed_at.is_some() || self.asked.is_some()
    }

    /// Whether it was asked to go.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Picks it to go then.
    pub(super) fn shed(&mut self, at: Instant) {
        self.shed_at = Some(at);
    }

    /// Notes that it was asked to go.
    pub(super) fn asked(&mut self, at: Instant, cause: CloseCause) {
        self.asked = Some((at, cause));
    }

    /// Says what is due. `max_age` is the listener's; `silent_for` is for how long no byte came.
    pub(super) fn due(
        &self,
        protocol: Protocol,
        max_age: Option<Duration>,
        silent_for: Duration,
        now: Instant,
    ) -> Due {
        if let Some((asked, cause)) = self.asked {
            let farewell = match protocol {
                Protocol::Tcp => RAW_FAREWELL,
                Protocol::Otlp => OTLP_FAREWELL,
            };
            return if now >= asked + farewell {
                Due::End(cause)
            } else {
                Due::Later(Some(asked + farewell))
            };
        }
        let Some(max_age) = max_age else { return Due::Later(None) };
        let max_age = max_age.mul_f64(self.share);
        let patience = max_age.mul_f64(PATIENCE);
        let old_at = self.opened + max_age;
        let (at, patience, cause) = match self.shed_at.filter(|shed_at| *shed_at < old_at) {
            Some(shed_at) => (shed_at, patience.min(LONGEST_PATIENCE), CloseCause::Shed),
            None => (old_at, patience, CloseCause::MaxAge),
        };
        if now < at {
            return Due::Later(Some(at));
        }
        match protocol {
            Protocol::Tcp if silent_for < QUIET && now < at + patience => Due::Soon,
            Protocol::Tcp | Protocol::Otlp => Due::Ask(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGE: Option<Duration> = Some(Duration::from_secs(100));
    const LIVELY: Duration = Duration::ZERO;

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A stay whose age is exactly the listener's.
    fn stay() -> (Stay, Instant) {
        let opened = Instant::now();
        (Stay::begin(opened, 0.5), opened)
    }

    #[test]
    fn a_raw_connection_goes_at_the_first_quiet_moment_after_its_age() {
        let (stay, opened) = stay();
        let due = |silent, at| stay.due(Protocol::Tcp, AGE, silent, opened + after(at));
        assert_eq!(due(after(50), 99), Due::Later(Some(opened + after(100))));
        assert_eq!(due(LIVELY, 101), Due::Soon);
        assert_eq!(due(QUIET, 101), Due::Ask(CloseCause::MaxAge));
        assert_eq!(due(LIVELY, 124), Due::Soon);
        assert_eq!(due(LIVELY, 125), Due::Ask(CloseCause::MaxAge), "never quiet");
    }

    #[test]
    fn one_of_otlp_goes_at_its_age_since_its_requests_finish() {
        let (stay, opened) = stay();
        let due = |at| stay.due(Protocol::Otlp, AGE, LIVELY, opened + after(at));
        assert_eq!(due(99), Due::Later(Some(opened + after(100))));
        assert_eq!(due(100), Due::Ask(CloseCause::MaxAge));
    }

    #[test]
    fn asked_to_go_it_has_a_while_and_then_none() {
        for (protocol, farewell) in [(Protocol::Tcp, RAW_FAREWELL), (Protocol::Otlp, OTLP_FAREWELL)]
        {
            let (mut stay, opened) = stay();
            stay.asked(opened, CloseCause::Shed);
            let due = |at| stay.due(protocol, None, LIVELY, at);
            assert_eq!(due(opened), Due::Later(Some(opened + farewell)));
            assert_eq!(due(opened + farewell), Due::End(CloseCause::Shed));
        }
    }

    #[test]
    fn one_that_was_picked_goes_before_its_age_and_only_where_ages_are_bounded() {
        let (mut stay, opened) = stay();
        stay.shed(opened + after(10));
        let due = |age, silent, at| stay.due(Protocol::Tcp, age, silent, opened + after(at));
        assert_eq!(due(AGE, QUIET, 9), Due::Later(Some(opened + after(10))));
        assert_eq!(due(AGE, QUIET, 10), Due::Ask(CloseCause::Shed));
        assert_eq!(due(AGE, LIVELY, 34), Due::Soon);
        assert_eq!(due(AGE, LIVELY, 35), Due::Ask(CloseCause::Shed));
        assert_eq!(due(None, QUIET, 1000), Due::Later(None), "the setting was taken back");
        let week = Some(after(7 * 86_400));
        assert_eq!(due(week, LIVELY, 70), Due::Ask(CloseCause::Shed), "not in a day");
    }

    proptest! {
        #[test]
        fn ages_lie_within_a_fifth_of_the_listeners(random in 0.0..1.0_f64, age in 60_u64..1_000_000) {
            let opened = Instant::now();
            let stay = Stay::begin(opened, random);
            let age = Duration::from_secs(age);
            let due = |at| stay.due(Protocol::Tcp, Some(age), QUIET, opened + at);
            prop_assert!(matches!(due(age.mul_f64(0.799)), Due::Later(Some(_))));
            prop_assert_eq!(due(age.mul_f64(1.201)), Due::Ask(CloseCause::MaxAge));
            let lively = stay.due(Protocol::Tcp, Some(age), LIVELY, opened + age.mul_f64(1.201 * 1.25));
            prop_assert_eq!(lively, Due::Ask(CloseCause::MaxAge));
        }
    }
}
