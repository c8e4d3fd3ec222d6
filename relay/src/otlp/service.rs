//! Answers one export request: take it in, check it, send it on, answer what the collector answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, Method, Request, Response, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::Instrument;

use super::{
    answer::{self, Answer},
    compression::{Encoding, ExpandError},
    counters::RequestCounters,
    error::Refusal,
    export::{Export, Exporter, passed_on},
    in_flight::{Full, Held, InFlight},
    message::{Assembly, FrameError, Framed},
    signal::Signal,
    wire::{self, Walked},
};

/// The longest that a request may take, whatever its workload allows.
const LONGEST: Duration = Duration::from_secs(60);

/// What a connection needs to answer requests.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) exporter: Arc<Exporter>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) counters: Arc<RequestCounters>,
    /// Largest request in bytes, compressed or not.
    pub(super) max_request_bytes: usize,
}

/// What is known of a request before its body.
struct Head {
    signal: Signal,
    /// What compressed messages of the request are compressed with.
    encoding: Option<Encoding>,
    answer_in: Option<Encoding>,
    passed_on: HeaderMap,
    deadline: Instant,
}

impl Service {
    /// Answers a request, and counts it.
    pub(super) async fn answer(self, request: Request<Incoming>) -> Response<Answer> {
        let (head, body) = request.into_parts();
        let answered = match Head::read(&head) {
            Ok(head) => {
                let span = tracing::debug_span!("export", signal = head.signal.name());
                self.export(head, body).instrument(span).await
            }
            Err(refusal) => Err(refusal),
        };
        answered.unwrap_or_else(|refusal| {
            self.counters.count_failed(refusal.code());
            tracing::debug!(reason = refusal.reason(), code = ?refusal.code(), "an export request was refused");
            answer::refused(refusal)
        })
    }

    async fn export(&self, head: Head, body: Incoming) -> Result<Response<Answer>, Refusal> {
        let Head { signal, encoding, answer_in, passed_on, deadline } = head;
        let mut held = self.in_flight.begin();
        let received = tokio::time::timeout_at(deadline, self.receive(body, &mut held)).await;
        let message = received.map_err(|_| Refusal::DeadlinePassed)??;
        let encoding = encoding_of(&message, encoding)?;
        let Walked { items, .. } = self.check(signal, &message, encoding)?;
        let bytes = message.message().len() as u64;
        let limit = self.max_request_bytes;
        let held = Some(held);
        let export =
            Export { signal, message, encoding, limit, passed_on, deadline, held, trial: None };
        let response = self.exporter.export(export).await?;
        self.counters.count_accepted(signal, items, bytes);
        Ok(answer::accepted(&response, answer_in))
    }

    /// Takes the request in, holding as many bytes as have come.
    async fn receive(&self, mut body: Incoming, held: &mut Held) -> Result<Framed, Refusal> {
        let mut assembly = Assembly::new(self.max_request_bytes);
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|_| FrameError::Incomplete.refusal(self.max_request_bytes))?;
            if let Ok(chunk) = frame.into_data() {
                held.grow(chunk.len())?;
                assembly.push(chunk).map_err(|error| error.refusal(self.max_request_bytes))?;
            }
        }
        let framed = assembly.finish().map_err(|error| error.refusal(self.max_request_bytes))?;
        framed.ok_or(Refusal::NotOneMessage { what: "it is empty" })
    }

    fn check(
        &self,
        signal: Signal,
        message: &Framed,
        encoding: Option<Encoding>,
    ) -> Result<Walked, Refusal> {
        let bytes = message.message();
        let expanded = match encoding {
            None => return Ok(wire::walk(signal, &bytes)?),
            Some(encoding) => {
                encoding.expand(&bytes, self.max_request_bytes).map_err(|error| match error {
                    ExpandError::Corrupt => Refusal::Corrupt { encoding: encoding.name() },
                    ExpandError::TooLarge => Refusal::TooLarge { limit: self.max_request_bytes },
                })?
            }
        };
        Ok(wire::walk(signal, &expanded)?)
    }
}

/// Says how this message is compressed: its prefix decides whether, the header how.
fn encoding_of(message: &Framed, header: Option<Encoding>) -> Result<Option<Encoding>, Refusal> {
    match (message.compressed(), header) {
        (false, _) => Ok(None),
        (true, Some(encoding)) => Ok(Some(encoding)),
        (true, None) => Err(Refusal::NotOneMessage {
            what: "it says it is compressed, and grpc-encoding does not say how",
        }),
    }
}

impl Head {
    fn read(head: &http::request::Parts) -> Result<Self, Refusal> {
        let content_type =
            head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
        let is_grpc = match content_type.strip_prefix(b"application/grpc") {
            Some([] | [b';', ..]) => true,
            Some(rest) => rest.starts_with(b"+proto"),
            None => false,
        };
        if !is_grpc || head.method != Method::POST {
            return Err(Refusal::NotGrpc);
        }
        let path = head.uri.path();
        let signal = Signal::of_path(path)
            .ok_or_else(|| Refusal::UnknownMethod { path: path.chars().take(128).collect() })?;
        let allowed = head
            .headers
            .get("grpc-timeout")
            .and_then(|value| timeout(value.as_bytes()))
            .unwrap_or(LONGEST);
        Ok(Self {
            signal,
            encoding: Encoding::of_message(&head.headers)
                .map_err(|name| Refusal::UnknownEncoding { name })?,
            answer_in: Encoding::for_answer(&head.headers),
            passed_on: passed_on(&head.headers),
            deadline: Instant::now() + allowed.min(LONGEST),
        })
    }
}

/// Reads `grpc-timeout`: at most eight digits and a unit.
fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(count * 3600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

impl From<Full> for Refusal {
    fn from(Full { limit }: Full) -> Self {
        Self::Full { limit }
    }
}

impl FrameError {
    fn refusal(self, limit: usize) -> Refusal {
        match self {
            Self::TooLarge => Refusal::TooLarge { limit },
            Self::Flag | Self::Incomplete | Self::Trailing => {
                Refusal::NotOneMessage { what: self.what() }
            }
        }
    }
}

/// Whether a connection is in use, and since when not.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    requests: AtomicUsize,
    /// Milliseconds from `opened`.
    last: AtomicU64,
}

/// One request of a connection; the connection is in use until it is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Activity {
    /// Begins idle, now.
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            last: AtomicU64::new(0),
        })
    }

    /// Notes a request.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Relaxed);
        Busy(Arc::clone(self))
    }

    /// Says since when nothing is asked; nothing while a request is open.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let last = self.opened + Duration::from_millis(self.last.load(Relaxed));
        (self.requests.load(Relaxed) == 0).then_some(last)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let elapsed = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(elapsed, Relaxed);
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_in_every_unit() {
        assert_eq!(timeout(b"1H"), Some(Duration::from_secs(3600)));
        assert_eq!(timeout(b"2M"), Some(Duration::from_secs(120)));
        assert_eq!(timeout(b"99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(timeout(b"250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout(b"7u"), Some(Duration::from_micros(7)));
        assert_eq!(timeout(b"7n"), Some(Duration::from_nanos(7)));
        for wrong in [&b""[..], b"S", b"1", b"-1S", b"123456789S", b"1x", b"+1S"] {
            assert_eq!(timeout(wrong), None);
        }
    }
}
