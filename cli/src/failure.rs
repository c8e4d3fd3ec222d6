//! What can go wrong.
use std::{collections::BTreeMap, error::Error as _, io, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

pub mod exit_code;
pub mod report;

/// A failure by what the person has to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong.
    #[error("{message}")]
    Usage {
        /// A sentence.
        message: String,
        /// What to do next.
        next: String,
    },
    /// The config file cannot be used.
    #[error("{message}")]
    Config {
        /// A sentence.
        message: String,
        /// What to do next.
        next: String,
    },
    /// A local file cannot be read or written.
    #[error("{path} cannot be {verb}: {source}")]
    File {
        /// Which.
        path: String,
        /// `read` or `written`.
        verb: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No connection to the control plane, or it broke.
    #[error("the control plane at {endpoint} cannot be reached: {cause}")]
    Unreachable {
        /// As configured.
        endpoint: String,
        /// The chain of causes.
        cause: String,
        /// Id of the change whose outcome is unknown now.
        request_id: Option<String>,
    },
    /// No answer in time.
    #[error("{endpoint} did not answer within {after:?}")]
    TimedOut {
        /// As configured.
        endpoint: String,
        /// `--timeout`.
        after: Duration,
        /// Id of the change whose outcome is unknown now.
        request_id: Option<String>,
    },
    /// The control plane said no.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// A token exists, but its text was shown to an earlier call only.
    #[error(
        "{name} was made by an earlier call with the same request id; its text was shown only then"
    )]
    TextGone {
        /// The token.
        name: String,
    },
    /// The audit trail is not whole.
    #[error("the audit trail is not whole: {}", .breaks.join("; "))]
    Broken {
        /// What is wrong with it, a sentence each.
        breaks: Vec<String>,
    },
    /// Collectors refuse the new value of an access key.
    #[error("the rotation of {name} has stopped: {}", .refusals.join("; "))]
    RotationStopped {
        /// The access key.
        name: String,
        /// Which relay met which answer.
        refusals: Vec<String>,
    },
    /// Standard output is gone.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// What the control plane said, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// gRPC's code.
    pub code: Code,
    /// A sentence.
    pub message: String,
    /// Stable reason in SCREAMING_SNAKE_CASE; empty: none was given.
    pub reason: String,
    /// Fields that are wrong: path and what would be right.
    pub fields: Vec<(String, String)>,
    /// The resource it is about.
    pub resource: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// Whatever else the control plane wants known.
    pub metadata: BTreeMap<String, String>,
    /// Id of the change whose outcome is unknown now.
    pub request_id: Option<String>,
}

impl Failure {
    /// Wrong use: a sentence, and what to do next.
    pub fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), next: next.into() }
    }

    /// A bad config file: a sentence, and what to do next.
    pub fn config(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Config { message: message.into(), next: next.into() }
    }

    /// Takes a status apart; one that a broken connection made here, not the control plane, is [`Failure::Unreachable`].
    pub fn from_status(status: &Status, endpoint: &str) -> Self {
        let details = status.get_error_details();
        // What came over the wire has no source.
        if let (None, Some(source)) = (details.error_info(), status.source()) {
            return Self::Unreachable {
                endpoint: endpoint.to_owned(),
                cause: chain(source),
                request_id: None,
            };
        }
        let fields = details
            .bad_request()
            .map(|bad| &bad.field_violations)
            .into_iter()
            .flatten()
            .map(|v| (v.field.clone(), v.description.clone()))
            .collect();
        let (reason, metadata) = details
            .error_info()
            .map(|info| (info.reason.clone(), info.metadata.clone().into_iter().collect()))
            .unwrap_or_default();
        let mut metadata: BTreeMap<String, String> = metadata;
        let resource = details
            .resource_info()
            .map(|info| info.resource_name.clone())
            .or_else(|| metadata.remove("resource"))
            .filter(|name| !name.is_empty());
        Self::Refused(Box::new(Refusal {
            code: status.code(),
            message: status.message().to_owned(),
            reason,
            fields,
            resource,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            metadata,
            request_id: None,
        }))
    }

    /// Names the change whose outcome this failure leaves open.
    #[must_use]
    pub fn of_change(mut self, id: &str) -> Self {
        match &mut self {
            Self::Unreachable { request_id, .. } | Self::TimedOut { request_id, .. } => {
                *request_id = Some(id.to_owned());
            }
            Self::Refused(refusal)
                if matches!(
                    refusal.code,
                    Code::Unavailable | Code::DeadlineExceeded | Code::Internal | Code::Unknown
                ) =>
            {
                refusal.request_id = Some(id.to_owned());
            }
            _ => {}
        }
        self
    }
}

/// An error's message and those of its sources, without repeats.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    // "transport error" and the like say nothing where a cause follows.
    if parts.len() > 1 && parts.first().is_some_and(|first| first == "transport error") {
        parts.remove(0);
    }
    parts.join(": ")
}
