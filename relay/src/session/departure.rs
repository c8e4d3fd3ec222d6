//! Asking the control plane whether this relay may leave its services.
use std::time::Duration;

use ekiden_proto::relay::v1 as proto;
use tokio::sync::watch;

/// Leaving for good is asked this often: the stop timeout runs.
const LEAVING: Duration = Duration::from_secs(1);
/// For one that cannot deliver: while a vendor is down for all, every relay asks.
const UNDELIVERED: Duration = Duration::from_secs(10);

/// What the control plane knows of siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveVerdict {
    /// Each service has another relay that stays.
    Granted,
    /// A sibling is expected, but not listed yet.
    Wait,
    /// No sibling is known.
    Last,
    /// There is no control plane: DNS decides, and nobody would take out what stays.
    OnItsOwn,
}

/// The question and its answer; sessions carry them, whichever is open.
#[derive(Clone, Debug)]
pub struct Departure {
    /// None: nothing is asked.
    asked: watch::Sender<Option<proto::LeaveRequest>>,
    verdict: watch::Sender<Option<LeaveVerdict>>,
}

impl Default for Departure {
    fn default() -> Self {
        Self { asked: watch::Sender::new(None), verdict: watch::Sender::new(None) }
    }
}

impl Departure {
    /// Asks, again and again, until leaving these services for good is granted.
    pub fn ask(&self, services: Vec<String>) {
        self.put(Some(proto::LeaveRequest { service_ids: services, undelivered: false }));
    }

    /// Asks as [`Departure::ask`] does, for a relay that stays and cannot deliver.
    pub fn ask_undelivered(&self, services: Vec<String>) {
        self.put(Some(proto::LeaveRequest { service_ids: services, undelivered: true }));
    }

    /// Asks nothing any more.
    pub fn withdraw(&self) {
        self.put(None);
    }

    /// Notes a new session: what was said of who can deliver may be old. Who leaves for good goes by the last word.
    pub(super) fn renewed(&self) {
        if self.asked.borrow().as_ref().is_some_and(|question| question.undelivered) {
            self.forget();
        }
    }

    /// Forgets what was answered; it is asked again.
    fn forget(&self) {
        self.verdict.send_if_modified(|verdict| {
            let old = verdict.is_some_and(|verdict| verdict != LeaveVerdict::OnItsOwn);
            if old {
                *verdict = None;
            }
            old
        });
    }

    fn put(&self, question: Option<proto::LeaveRequest>) {
        let news = self.asked.send_if_modified(|asked| {
            let news = *asked != question;
            *asked = question;
            news
        });
        if news {
            self.forget();
        }
    }

    /// Notes that there is no control plane to ask.
    pub fn nobody_decides(&self) {
        self.verdict.send_replace(Some(LeaveVerdict::OnItsOwn));
    }

    /// The last answer; none: there was none yet.
    pub fn verdict(&self) -> Option<LeaveVerdict> {
        *self.verdict.borrow()
    }

    /// Comes back when there is another answer.
    pub async fn answered(&self) {
        // The sender is here: it cannot be gone.
        self.verdict.subscribe().changed().await.ok();
    }

    #[cfg(test)]
    pub(crate) fn answer(&self, verdict: LeaveVerdict) {
        self.verdict.send_replace(Some(verdict));
    }

    #[cfg(test)]
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.borrow().is_some()
    }

    pub(super) fn questions(&self) -> watch::Receiver<Option<proto::LeaveRequest>> {
        self.asked.subscribe()
    }

    /// How often the question is to be asked; none: not, or not any more.
    pub(super) fn asks_every(&self) -> Option<Duration> {
        let asked = self.asked.borrow();
        let question = asked.as_ref().filter(|_| self.verdict() != Some(LeaveVerdict::Granted))?;
        Some(if question.undelivered { UNDELIVERED } else { LEAVING })
    }

    pub(super) fn question(&self) -> proto::LeaveRequest {
        self.asked.borrow().clone().unwrap_or_default()
    }

    pub(super) fn hear(&self, verdict: proto::LeaveVerdict) {
        let verdict = match verdict {
            proto::LeaveVerdict::Granted => LeaveVerdict::Granted,
            proto::LeaveVerdict::Last => LeaveVerdict::Last,
            proto::LeaveVerdict::Wait | proto::LeaveVerdict::Unspecified => LeaveVerdict::Wait,
        };
        self.verdict.send_replace(Some(verdict));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_session_asks_anew_who_delivers_and_keeps_the_word_on_leaving_for_good() {
        let departure = Departure::default();
        assert_eq!(departure.asks_every(), None);
        departure.ask(vec!["srv-one".to_owned()]);
        assert_eq!(departure.asks_every(), Some(LEAVING));
        departure.hear(proto::LeaveVerdict::Wait);
        departure.renewed();
        assert_eq!(departure.verdict(), Some(LeaveVerdict::Wait));
        departure.ask_undelivered(vec!["srv-one".to_owned()]);
        assert_eq!(departure.verdict(), None, "another question");
        assert_eq!(departure.asks_every(), Some(UNDELIVERED), "all may be asking");
        departure.hear(proto::LeaveVerdict::Wait);
        departure.renewed();
        assert_eq!(departure.verdict(), None);
        departure.withdraw();
        departure.nobody_decides();
        departure.ask_undelivered(vec!["srv-one".to_owned()]);
        departure.renewed();
        assert_eq!(departure.verdict(), Some(LeaveVerdict::OnItsOwn));
    }
}
