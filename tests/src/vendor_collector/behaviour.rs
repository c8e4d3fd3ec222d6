//! What a collector can be told to do.
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// How a collector treats what arrives.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Works.
    Serve,
    /// Closes its port, so that connecting is refused.
    Refuse,
    /// Accepts connections and requests and never answers.
    Stall,
    /// Resets every connection.
    Reset,
    /// Shows a certificate of an authority that no one trusts.
    WrongCertificate,
    /// Answers OTLP exports with an error.
    Fail {
        /// The gRPC code.
        code: Code,
        /// The message that goes with it.
        message: String,
        /// Put into a RetryInfo where set.
        retry_after: Option<Duration>,
    },
    /// Answers OTLP exports with success, but says that it rejected some of the records.
    PartialSuccess {
        /// How many it says it rejected.
        rejected: i64,
        /// Why.
        message: String,
    },
}

impl Behaviour {
    /// Answers OTLP exports with this code, without a RetryInfo.
    pub fn fail(code: Code) -> Self {
        Self::Fail { code, message: format!("the vendor answers {code:?}"), retry_after: None }
    }

    /// Answers OTLP exports with this code and a RetryInfo.
    pub fn fail_with_retry(code: Code, retry_after: Duration) -> Self {
        Self::Fail {
            code,
            message: format!("the vendor answers {code:?}"),
            retry_after: Some(retry_after),
        }
    }

    /// Returns the error that an export gets, if any.
    pub(super) fn status(&self) -> Option<Status> {
        let Self::Fail { code, message, retry_after } = self else { return None };
        Some(match retry_after {
            None => Status::new(*code, message.clone()),
            Some(after) => Status::with_error_details(
                *code,
                message.clone(),
                ErrorDetails::with_retry_info(Some(*after)),
            ),
        })
    }
}
