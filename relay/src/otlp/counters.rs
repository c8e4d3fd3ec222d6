//! Counts what became of export requests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tonic::Code;

use super::signal::Signal;

/// How many codes gRPC has; they are numbered from 0.
const CODES: usize = 17;

/// Cumulative counts of one listener's export requests.
#[derive(Debug, Default)]
pub struct RequestCounters {
    accepted: AtomicU64,
    bytes: AtomicU64,
    items: [AtomicU64; Signal::ALL.len()],
    failed: [AtomicU64; CODES],
}

impl RequestCounters {
    /// Counts a request that the collector accepted.
    pub(super) fn count_accepted(&self, signal: Signal, items: u64, bytes: u64) {
        self.accepted.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        if let Some(count) = self.items.get(signal as usize) {
            count.fetch_add(items, Relaxed);
        }
    }

    /// Counts a request that was answered with an error.
    pub(super) fn count_failed(&self, code: Code) {
        if let Some(count) = self.failed.get(code as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Requests that collectors accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Requests answered with an error.
    pub fn failed(&self) -> u64 {
        self.failed.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Bytes of accepted requests as they travelled, without HTTP/2's own.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Spans, data points or log records in accepted requests.
    pub fn items(&self, signal: Signal) -> u64 {
        self.items.get(signal as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// Requests answered with an error, by code; codes that did not occur are left out.
    pub fn failed_by_code(&self) -> impl Iterator<Item = (Code, u64)> + use<'_> {
        self.failed.iter().enumerate().filter_map(|(code, count)| {
            let count = count.load(Relaxed);
            (count > 0).then(|| (Code::from_i32(i32::try_from(code).unwrap_or_default()), count))
        })
    }
}

/// Gives a code's name as gRPC writes it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
