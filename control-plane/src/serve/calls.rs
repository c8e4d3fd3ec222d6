//! What holds for every call of a port: how many at once, how long, counted, and no panic that goes further.
use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Request, Response};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;
use tower::{Layer, Service};

use crate::{error::Error, metrics::Metrics};

/// Limits of one port.
#[derive(Clone)]
pub(super) struct CallLimits {
    /// Calls whose answer is being made; a stream counts until it begins.
    pub(super) at_once: Arc<Semaphore>,
    /// How long an answer, or the beginning of a stream, may take.
    pub(super) within: Duration,
    /// Names of the methods that there are, `/package.Service/Method`.
    pub(super) methods: Arc<[String]>,
    pub(super) metrics: Metrics,
}

impl<S> Layer<S> for CallLimits {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls { limits: self.clone(), inner }
    }
}

/// Made by [`CallLimits`].
#[derive(Clone)]
pub(super) struct Calls<S> {
    limits: CallLimits,
    inner: S,
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let begun = Instant::now();
        let path = request.uri().path();
        let known = self.limits.methods.iter().position(|method| method == path);
        let limits = self.limits.clone();
        let answer: BoxFuture<'static, Result<_, Error>> = match Arc::clone(&limits.at_once)
            .try_acquire_owned()
        {
            Err(_) => Box::pin(async {
                Err(Error::Exhausted {
                    reason: "TOO_MANY_CALLS",
                    description:
                        "too many calls are being answered just now: try again in a moment"
                            .to_owned(),
                    retry_after: Duration::from_secs(1),
                })
            }),
            Ok(permit) => {
                let within = asked_within(request.headers()).min(limits.within);
                let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
                Box::pin(async move {
                    let _permit = permit;
                    match timeout(within, answer).await {
                        Ok(Ok(Ok(response))) => Ok(response),
                        Ok(Err(_)) => Err(Error::Internal(anyhow::anyhow!("the call panicked"))),
                        Err(_) => Err(Error::TooSlow { within }),
                    }
                })
            }
        };
        Box::pin(async move {
            let response = answer.await.unwrap_or_else(|error| Status::from(error).into_http());
            let method = known.and_then(|at| limits.methods.get(at));
            let method = method.map_or("_OTHER", |method| method.trim_start_matches('/'));
            note(&limits.metrics, method, response.headers(), begun.elapsed());
            Ok(response)
        })
    }
}

/// Counts an answer; one without a status in its head is a stream that began well, or an answer with a body.
fn note(metrics: &Metrics, method: &str, head: &HeaderMap, took: Duration) {
    let Some(status) = Status::from_header_map(head) else {
        metrics.call(method, code_name(Code::Ok), took);
        return;
    };
    metrics.call(method, code_name(status.code()), took);
    if status.code() != Code::Ok {
        let reason = status.get_details_error_info().map(|info| info.reason);
        let reason = reason.filter(|reason| !reason.is_empty());
        metrics.call_error(method, reason.unwrap_or_else(|| code_name(status.code()).to_owned()));
    }
}

/// How long the caller will wait, by its `grpc-timeout` (gRPC over HTTP/2: at most 8 digits and a unit).
fn asked_within(headers: &HeaderMap) -> Duration {
    let parse = || {
        let text = headers.get("grpc-timeout")?.to_str().ok()?;
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let digits = Some(digits).filter(|digits| digits.len() <= 8)?;
        let value: u64 =
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
        Some(match unit {
            "H" => Duration::from_secs(value * 3600),
            "M" => Duration::from_secs(value * 60),
            "S" => Duration::from_secs(value),
            "m" => Duration::from_millis(value),
            "u" => Duration::from_micros(value),
            "n" => Duration::from_nanos(value),
            _ => return None,
        })
    };
    parse().unwrap_or(Duration::MAX)
}

const fn code_name(code: Code) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn within(text: &str) -> Duration {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        asked_within(&headers)
    }

    #[test]
    fn the_callers_deadline_is_read_in_every_unit_and_nonsense_sets_none() {
        assert_eq!(within("2H"), Duration::from_secs(7200));
        assert_eq!(within("3M"), Duration::from_secs(180));
        assert_eq!(within("5S"), Duration::from_secs(5));
        assert_eq!(within("250m"), Duration::from_millis(250));
        assert_eq!(within("7u"), Duration::from_micros(7));
        assert_eq!(within("99999999n"), Duration::from_nanos(99_999_999));
        for nonsense in ["", "S", "5", "+5S", "123456789S", "5x", "-1S"] {
            assert_eq!(within(nonsense), Duration::MAX, "{nonsense}");
        }
    }
}
