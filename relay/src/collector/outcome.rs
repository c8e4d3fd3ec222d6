//! What is known of a collector from dialling and using it.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ekiden_proto::health::v1::{self, CollectorHealth};

use super::{DialError, Dialled};

/// Longest message in a health report, in characters.
const MAX_MESSAGE: usize = 512;

/// Durations of one connection's phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectTimings {
    pub dns: Duration,
    pub tcp: Duration,
    /// None: without TLS.
    pub tls: Option<Duration>,
}

/// What a probe came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    Reachable,
    Failed {
        /// Stable lower-case name: `dns`, `dial`, `tls`, `auth`, `response`.
        failure: &'static str,
        /// For a person; without key material.
        message: String,
    },
}

/// What the use of a connection told of the collector.
#[derive(Clone, Copy, Debug)]
pub enum Use<'a> {
    /// It answered and took the key, whatever it thought of the request.
    Answered,
    /// It refused the access key.
    KeyRefused,
    /// It did not answer as a collector does.
    Failed { failure: &'static str, message: &'a str },
}

/// Counts and the last outcome of one collector; they live on when its settings change.
#[derive(Debug, Default)]
pub struct CollectorCounters {
    dials: AtomicU64,
    dials_failed: AtomicU64,
    key_refusals: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    /// None: nothing was tried yet.
    outcome: Option<ProbeOutcome>,
    endpoint: String,
    connect: Option<ConnectTimings>,
}

impl CollectorCounters {
    pub(super) fn dialled(&self, dialled: &Dialled) {
        self.dials.fetch_add(1, Relaxed);
        let mut last = self.last();
        last.endpoint = dialled.endpoint.to_string();
        last.connect = Some(dialled.timings);
        // A connection says nothing of the key or of the answers.
        let stays = matches!(
            &last.outcome,
            Some(ProbeOutcome::Failed { failure: "auth" | "response", .. })
        );
        if !stays {
            last.outcome = Some(ProbeOutcome::Reachable);
        }
    }

    /// Counts one address that could not be reached.
    pub(super) fn attempt_failed(&self) {
        self.dials_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn dial_failed(&self, error: &DialError) {
        self.last().outcome = Some(ProbeOutcome::failed(error.failure(), &error.to_string()));
    }

    pub(super) fn used(&self, outcome: Use<'_>) {
        if let Use::KeyRefused = outcome {
            self.key_refusals.fetch_add(1, Relaxed);
        }
        self.last().outcome = Some(match outcome {
            Use::Answered => ProbeOutcome::Reachable,
            Use::KeyRefused => ProbeOutcome::failed("auth", "the collector refused the access key"),
            Use::Failed { failure, message } => ProbeOutcome::failed(failure, message),
        });
    }

    /// Whether the last probe or use succeeded.
    pub(super) fn reachable(&self) -> bool {
        self.last().outcome == Some(ProbeOutcome::Reachable)
    }

    /// Writes what health reports of the collector called `name`.
    pub(super) fn health(&self, name: &str) -> CollectorHealth {
        let last = self.last();
        let (reachable, failure, message) = match &last.outcome {
            Some(ProbeOutcome::Reachable) => (true, "", String::new()),
            Some(ProbeOutcome::Failed { failure, message }) => (false, *failure, message.clone()),
            None => (false, "", "nothing was sent to it yet".to_owned()),
        };
        CollectorHealth {
            name: name.to_owned(),
            reachable,
            failure: failure.to_owned(),
            message,
            dials: self.dials.load(Relaxed),
            dials_failed: self.dials_failed.load(Relaxed),
            endpoint: last.endpoint.clone(),
            last_connect: last.connect.map(Into::into),
            key_refusals: self.key_refusals.load(Relaxed),
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProbeOutcome {
    /// A failure, its message cut to what a health report takes.
    pub fn failed(failure: &'static str, message: &str) -> Self {
        Self::Failed { failure, message: message.chars().take(MAX_MESSAGE).collect() }
    }
}

impl From<&DialError> for ProbeOutcome {
    fn from(error: &DialError) -> Self {
        Self::failed(error.failure(), &error.to_string())
    }
}

impl From<ConnectTimings> for v1::ConnectTimings {
    fn from(timings: ConnectTimings) -> Self {
        let duration = |from: Duration| prost_types::Duration::try_from(from).ok();
        Self {
            dns: duration(timings.dns),
            tcp: duration(timings.tcp),
            tls: timings.tls.and_then(duration),
            first_byte: None,
        }
    }
}
