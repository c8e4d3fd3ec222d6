//! What can go wrong for a caller, and the only place that builds a gRPC status.
use std::{collections::HashMap, time::Duration};

pub use ekiden_settings::Violation;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

use crate::{oidc::OidcError, sts::StsError};

/// Domain of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "ekiden";

/// A failure by its meaning to the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields of the request are wrong: each one's path in it, e.g. `fleet.listeners[1].port`, and what would be right.
    #[error("the request is wrong: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// The resource does not exist, or not for this caller.
    #[error("{resource} was not found")]
    NotFound {
        /// Name as asked for.
        resource: String,
    },
    /// The resource exists already.
    #[error("{resource} exists already")]
    AlreadyExists {
        /// Its name.
        resource: String,
    },
    /// The caller read something older than what is there.
    #[error(
        "{resource} has changed since it was read: get it again and repeat the change on what you see"
    )]
    Conflict {
        /// Its name.
        resource: String,
    },
    /// The state of things does not allow it.
    #[error("{description}")]
    Precondition {
        /// Stable reason in SCREAMING_SNAKE_CASE.
        reason: &'static str,
        /// What stands in the way.
        subject: String,
        /// A sentence with what to do.
        description: String,
    },
    /// No usable credential.
    #[error("{description}")]
    Unauthenticated {
        /// Stable reason in SCREAMING_SNAKE_CASE.
        reason: &'static str,
        /// A sentence with what to do.
        description: &'static str,
    },
    /// A proof or credential that does not hold, for a cause that only running it showed.
    #[error("{description}")]
    Refused {
        /// Stable reason in SCREAMING_SNAKE_CASE.
        reason: &'static str,
        /// A sentence with what to do; nothing of the credential itself.
        description: String,
    },
    /// A good credential that does not allow this.
    #[error("{description}")]
    Forbidden {
        /// Stable reason in SCREAMING_SNAKE_CASE.
        reason: &'static str,
        /// A sentence with what to do.
        description: String,
    },
    /// A limit is reached.
    #[error("{description}")]
    Exhausted {
        /// Stable reason in SCREAMING_SNAKE_CASE.
        reason: &'static str,
        /// A sentence with what to do.
        description: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// It cannot be done just now; trying again is safe.
    #[error("{description}")]
    Unavailable {
        /// Stable reason in SCREAMING_SNAKE_CASE.
        reason: &'static str,
        /// A sentence with what to do.
        description: &'static str,
        /// When to try again.
        retry_after: Duration,
        /// For the log only.
        #[source]
        source: Option<anyhow::Error>,
    },
    /// The answer took longer than the caller or we allow.
    #[error(
        "the call took longer than {} ms and was given up; nothing was changed unless a repeat of the call with the same request_id says so",
        .within.as_millis()
    )]
    TooSlow {
        /// What was allowed.
        within: Duration,
    },
    /// A fault of ours; the caller sees only an id to quote.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// One wrong field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }

    /// Nothing of that name for this caller.
    pub fn not_found(resource: impl ToString) -> Self {
        Self::NotFound { resource: resource.to_string() }
    }

    /// What is behind it, for the log only; where nothing is, what the caller is told.
    pub fn cause(&self) -> String {
        match self {
            Self::Unavailable { source: Some(source), .. } | Self::Internal(source) => {
                format!("{source:#}")
            }
            error => error.to_string(),
        }
    }

    /// Stable reason for `google.rpc.ErrorInfo`, also the metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::NotFound { .. } => "RESOURCE_NOT_FOUND",
            Self::AlreadyExists { .. } => "RESOURCE_EXISTS",
            Self::Conflict { .. } => "RESOURCE_CHANGED",
            Self::Precondition { reason, .. }
            | Self::Unauthenticated { reason, .. }
            | Self::Refused { reason, .. }
            | Self::Forbidden { reason, .. }
            | Self::Exhausted { reason, .. }
            | Self::Unavailable { reason, .. } => reason,
            Self::TooSlow { .. } => "CALL_TOO_SLOW",
            Self::Internal(_) => "INTERNAL",
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let lost = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => true,
            // Class 08 connection, 53 resources, 57P0x shutdown or start; 25006 read-only after a failover; 40001/40P01 try again.
            sqlx::Error::Database(e) => e.code().is_some_and(|c| {
                c.starts_with("08")
                    || c.starts_with("53")
                    || c.starts_with("57P0")
                    || c == "25006"
                    || c == "40001"
                    || c == "40P01"
            }),
            _ => false,
        };
        if lost {
            return Self::Unavailable {
                reason: "DATABASE_UNAVAILABLE",
                description: "the database does not answer just now; nothing was changed unless a repeat of the call with the same request_id says so",
                retry_after: Duration::from_secs(1),
                source: Some(error.into()),
            };
        }
        Self::Internal(error.into())
    }
}

impl From<OidcError> for Error {
    fn from(error: OidcError) -> Self {
        let (reason, description) = (error.reason(), error.to_string());
        match error.is_temporary() {
            true => Self::Unavailable {
                reason,
                description: "the token's issuer cannot be asked for its keys just now",
                retry_after: Duration::from_secs(2),
                source: Some(error.into()),
            },
            false => Self::Refused { reason, description },
        }
    }
}

impl From<StsError> for Error {
    fn from(error: StsError) -> Self {
        let (reason, description) = (error.reason(), error.to_string());
        match error.retry() {
            true => Self::Unavailable {
                reason,
                description: "AWS STS cannot be asked who signed just now",
                retry_after: Duration::from_secs(2),
                source: Some(error.into()),
            },
            false => Self::Refused { reason, description },
        }
    }
}

impl From<Error> for Status {
    /// The one function that turns meanings into codes and details. Logs what the caller must not see, once, under the id that the caller gets.
    fn from(error: Error) -> Self {
        let reason = error.reason();
        let message = error.to_string();
        let mut details = ErrorDetails::new();
        let mut metadata = HashMap::new();
        let code = match error {
            Error::Invalid(violations) => {
                let violations: Vec<_> = violations
                    .into_iter()
                    .map(|v| FieldViolation::new(v.field, v.description))
                    .collect();
                details.set_bad_request(violations);
                Code::InvalidArgument
            }
            Error::NotFound { resource } => {
                details.set_resource_info("", resource, "", "it does not exist, or not for you");
                Code::NotFound
            }
            Error::AlreadyExists { resource } => {
                details.set_resource_info("", resource, "", "it exists already");
                Code::AlreadyExists
            }
            Error::Conflict { resource } => {
                metadata.insert("resource".to_owned(), resource);
                Code::Aborted
            }
            Error::Precondition { reason, subject, description } => {
                details.set_precondition_failure(vec![PreconditionViolation::new(
                    reason,
                    subject,
                    description,
                )]);
                Code::FailedPrecondition
            }
            Error::Unauthenticated { .. } | Error::Refused { .. } => Code::Unauthenticated,
            Error::Forbidden { .. } => Code::PermissionDenied,
            Error::Exhausted { retry_after, .. } => {
                details.set_retry_info(Some(retry_after));
                Code::ResourceExhausted
            }
            Error::Unavailable { retry_after, source, .. } => {
                if let Some(source) = source {
                    tracing::info!(
                        error = format!("{source:#}"),
                        reason,
                        "A call could not be served just now"
                    );
                }
                details.set_retry_info(Some(retry_after));
                Code::Unavailable
            }
            Error::TooSlow { .. } => Code::DeadlineExceeded,
            Error::Internal(source) => {
                let id = uuid::Uuid::now_v7().to_string();
                tracing::error!(
                    error.id = id,
                    error = format!("{source:#}"),
                    "A call failed inside the control plane"
                );
                metadata.insert("error_id".to_owned(), id);
                Code::Internal
            }
        };
        let message = match metadata.get("error_id") {
            Some(id) => format!("internal error; quote {id} to find it in the control plane's log"),
            None => message,
        };
        details.set_error_info(reason, DOMAIN, metadata);
        Self::with_error_details(code, message, details)
    }
}
