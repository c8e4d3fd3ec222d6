//! Every way an export request is refused, and the one place that turns them into gRPC statuses.

use std::time::Duration;

use bytes::Bytes;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{compression::ACCEPTED, wire::Violation};

/// Domain of `google.rpc.ErrorInfo`; the reasons below are stable.
const DOMAIN: &str = "ekiden";

/// When to come back after the relay was full.
const RETRY_FULL: Duration = Duration::from_secs(1);
/// When to come back after the collector did not answer.
const RETRY_COLLECTOR: Duration = Duration::from_secs(2);
/// When to come back after the access key was the trouble, which takes a person or the control plane to mend.
const RETRY_KEY: Duration = Duration::from_secs(5);

/// Why a workload's export request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is for no method that the relay has.
    UnknownMethod { path: String },
    /// It is HTTP/2 but not gRPC.
    NotGrpc,
    /// It is compressed in a way that the relay does not read.
    UnknownEncoding { name: String },
    /// It is larger than the limit, in bytes; compressed or not.
    TooLarge { limit: usize },
    /// It is not framed as one gRPC message.
    NotOneMessage { what: &'static str },
    /// It is not what its compression says.
    Corrupt { encoding: &'static str },
    /// It is not valid OTLP.
    Malformed(Violation),
    /// The relay holds as many bytes as it may.
    Full { limit: u64 },
    /// The workload's deadline, or the relay's own, passed first.
    DeadlinePassed,
    /// The relay does not hold the collector's access key now.
    AccessKeyNotHere,
    /// The access key cannot be a header's value.
    AccessKeyUnusable,
    /// No connection to the collector could be made.
    CollectorUnreachable { failure: &'static str, message: String },
    /// The connection broke before the answer; the collector may or may not hold the request.
    CollectorLost { message: String },
    /// The collector refused the relay's access key.
    CollectorRefusedKey,
    /// The collector answered something that is no gRPC answer.
    CollectorAnswerInvalid { what: &'static str },
    /// The collector refused the request.
    Collector(Said),
}

/// A status that a collector answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: Code,
    pub(super) message: String,
    /// An encoded `google.rpc.Status`, or empty.
    pub(super) details: Bytes,
}

impl Refusal {
    /// Gives the gRPC code that the workload sees.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::UnknownMethod { .. } | Self::UnknownEncoding { .. } => Code::Unimplemented,
            Self::NotGrpc
            | Self::NotOneMessage { .. }
            | Self::Corrupt { .. }
            | Self::Malformed(_) => Code::InvalidArgument,
            Self::TooLarge { .. } | Self::Full { .. } => Code::ResourceExhausted,
            Self::DeadlinePassed => Code::DeadlineExceeded,
            Self::AccessKeyNotHere
            | Self::AccessKeyUnusable
            | Self::CollectorUnreachable { .. }
            | Self::CollectorLost { .. }
            | Self::CollectorRefusedKey
            | Self::CollectorAnswerInvalid { .. } => Code::Unavailable,
            Self::Collector(said) => said.code,
        }
    }

    /// Gives the stable reason, as in `google.rpc.ErrorInfo`.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::UnknownMethod { .. } => "METHOD_UNKNOWN",
            Self::NotGrpc => "NOT_GRPC",
            Self::UnknownEncoding { .. } => "ENCODING_UNKNOWN",
            Self::TooLarge { .. } => "REQUEST_TOO_LARGE",
            Self::NotOneMessage { .. } => "REQUEST_NOT_ONE_MESSAGE",
            Self::Corrupt { .. } => "REQUEST_CORRUPT",
            Self::Malformed(_) => "REQUEST_MALFORMED",
            Self::Full { .. } => "RELAY_FULL",
            Self::DeadlinePassed => "DEADLINE_PASSED",
            Self::AccessKeyNotHere => "ACCESS_KEY_NOT_HERE",
            Self::AccessKeyUnusable => "ACCESS_KEY_UNUSABLE",
            Self::CollectorUnreachable { .. } => "COLLECTOR_UNREACHABLE",
            Self::CollectorLost { .. } => "COLLECTOR_CONNECTION_LOST",
            Self::CollectorRefusedKey => "COLLECTOR_REFUSED_KEY",
            Self::CollectorAnswerInvalid { .. } => "COLLECTOR_ANSWER_INVALID",
            Self::Collector(_) => "COLLECTOR_REFUSED",
        }
    }
}

/// Turns a refusal into what the workload is told. What the collector said is passed on as it is.
pub(super) fn status(refusal: Refusal) -> Status {
    let code = refusal.code();
    let mut details = ErrorDetails::with_error_info(
        refusal.reason(),
        DOMAIN,
        [("side".to_owned(), side(&refusal).to_owned())],
    );
    let message = match refusal {
        Refusal::UnknownMethod { path } => {
            format!("this relay has no method {path}; it takes the Export methods of OTLP traces, metrics and logs")
        }
        Refusal::NotGrpc => {
            "this port takes OTLP over gRPC: POST with content-type application/grpc; OTLP over HTTP goes elsewhere".to_owned()
        }
        Refusal::UnknownEncoding { name } => {
            format!("compression {name} is not taken; use one of {}", ACCEPTED.to_str().unwrap_or_default())
        }
        Refusal::TooLarge { limit } => {
            format!("the request is larger than limits.max_request_bytes, {limit} bytes; send smaller batches")
        }
        Refusal::NotOneMessage { what } => format!("the body is not one gRPC message: {what}"),
        Refusal::Corrupt { encoding } => format!("the request is not valid {encoding}"),
        Refusal::Malformed(Violation { path, fault }) => {
            let field = if path.is_empty() { "request".to_owned() } else { path };
            details.add_bad_request_violation(field.as_str(), fault.to_string());
            format!("the request is not valid OTLP: {field} {fault}")
        }
        Refusal::Full { limit } => {
            details.set_retry_info(Some(RETRY_FULL));
            format!("the relay holds as many bytes for its collectors as limits.max_in_flight_bytes allows, {limit}")
        }
        Refusal::DeadlinePassed => "the deadline passed before the collector answered".to_owned(),
        Refusal::AccessKeyNotHere => {
            details.set_retry_info(Some(RETRY_KEY));
            "the relay does not hold the collector's access key now: it waits for the control plane, or the key is disabled".to_owned()
        }
        Refusal::AccessKeyUnusable => {
            details.set_retry_info(Some(RETRY_KEY));
            "the collector's access key holds bytes that a header cannot carry; set it anew".to_owned()
        }
        Refusal::CollectorUnreachable { failure, message } => {
            details.set_retry_info(Some(RETRY_COLLECTOR));
            format!("the collector cannot be reached ({failure}): {message}")
        }
        Refusal::CollectorLost { message } => {
            details.set_retry_info(Some(RETRY_COLLECTOR));
            format!("the connection to the collector broke before its answer: {message}")
        }
        Refusal::CollectorRefusedKey => {
            details.set_retry_info(Some(RETRY_KEY));
            "the collector refused the relay's access key; the workload's data is fine, keep it and retry".to_owned()
        }
        Refusal::CollectorAnswerInvalid { what } => {
            details.set_retry_info(Some(RETRY_COLLECTOR));
            format!("the collector's answer is not gRPC: {what}")
        }
        Refusal::Collector(Said { code, message, details }) => return Status::with_details(code, message, details),
    };
    Status::with_error_details(code, message, details)
}

/// Says whose doing a refusal is.
fn side(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownMethod { .. }
        | Refusal::NotGrpc
        | Refusal::UnknownEncoding { .. }
        | Refusal::TooLarge { .. }
        | Refusal::NotOneMessage { .. }
        | Refusal::Corrupt { .. }
        | Refusal::Malformed(_) => "workload",
        Refusal::Full { .. }
        | Refusal::DeadlinePassed
        | Refusal::AccessKeyNotHere
        | Refusal::AccessKeyUnusable => "relay",
        Refusal::CollectorUnreachable { .. }
        | Refusal::CollectorLost { .. }
        | Refusal::CollectorRefusedKey
        | Refusal::CollectorAnswerInvalid { .. }
        | Refusal::Collector(_) => "collector",
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self::Malformed(violation)
    }
}
