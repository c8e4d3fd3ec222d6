//! Asks a collector whether it takes the key, before any telemetry depends on it.

use tokio::time::{Instant, timeout_at};

use super::{
    error::{Refusal, Said, status},
    export::{Export, Exporter, takes_requests},
};
use crate::collector::ProbeOutcome;

impl Exporter {
    /// Asks by an export of nothing; any answer that a working collector could give to that counts as reachable.
    pub async fn probe(&self, deadline: Instant) -> ProbeOutcome {
        let nothing = Export::of_nothing(deadline, None);
        let outcome = timeout_at(deadline, self.send(&nothing)).await;
        let Err(refusal) = outcome.unwrap_or(Err(Refusal::DeadlinePassed)) else {
            return ProbeOutcome::Reachable;
        };
        let failure = match &refusal {
            Refusal::Collector(Said { code, .. }) if takes_requests(*code) => {
                return ProbeOutcome::Reachable;
            }
            Refusal::AccessKeyNotHere
            | Refusal::AccessKeyUnusable
            | Refusal::CollectorRefusedKey => "auth",
            Refusal::CollectorUnreachable { failure, .. } => failure,
            _ => "response",
        };
        ProbeOutcome::failed(failure, status(refusal).message())
    }
}
