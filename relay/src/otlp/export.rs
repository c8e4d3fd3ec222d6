//! Sends export requests to a collector with its access key, and reads its answers.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Version,
    header::{CONTENT_TYPE, TE, USER_AGENT},
};
use secrecy::ExposeSecret;
use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;
use tonic::Code;

use super::{
    channel::{Channel, Failure, Lease, Outgoing, Unreachable},
    compression::{ACCEPTED, Encoding, GRPC_ACCEPT_ENCODING, GRPC_ENCODING},
    error::{Refusal, Said},
    in_flight::Held,
    message::Framed,
    reply::{Unread, read},
    signal::Signal,
    verdict::{Verdict, masked},
};
use crate::collector::{CollectorPool, Key, KeyTrials, Keys, Use};

/// A collector silent for this long is in trouble; a workload with less patience says nothing of it.
const STALLED: Duration = Duration::from_secs(10);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("ekiden-relay/", env!("CARGO_PKG_VERSION")));

/// Sends to one collector, over connections that all its listeners share.
#[derive(Debug)]
pub struct Exporter {
    pub(super) pool: Arc<CollectorPool>,
    pub(super) keys: watch::Receiver<Arc<Keys>>,
    pub(super) trials: Arc<KeyTrials>,
    /// Version of the access key that the collector refused last; it gets the fallback first.
    pub(super) refused: AtomicU64,
    channel: Arc<Channel>,
    /// Whether the collector was seen not to read an encoding.
    no_gzip: AtomicBool,
    no_zstd: AtomicBool,
}

/// A checked export request on its way to a collector.
#[derive(Debug)]
pub(super) struct Export {
    pub(super) signal: Signal,
    pub(super) message: Framed,
    /// How the message is compressed.
    pub(super) encoding: Option<Encoding>,
    /// Most bytes the message expands to.
    pub(super) limit: usize,
    /// Headers that the collector gets besides the relay's own.
    pub(super) passed_on: HeaderMap,
    /// When the workload no longer waits.
    pub(super) deadline: Instant,
    /// The bytes held for it; none for a probe.
    pub(super) held: Option<Held>,
    /// The version of the access key to try; none: the one in use.
    pub(super) trial: Option<Arc<Key>>,
}

/// Takes from a workload's headers what goes on to the collector: its trace context, nothing else.
pub(super) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut passed_on = HeaderMap::new();
    for name in [TRACEPARENT, TRACESTATE] {
        for value in headers.get_all(&name) {
            passed_on.append(name.clone(), value.clone());
        }
    }
    passed_on
}

impl Exporter {
    /// Begins without a connection; the first request or probe dials.
    pub fn new(
        pool: Arc<CollectorPool>,
        keys: watch::Receiver<Arc<Keys>>,
        trials: Arc<KeyTrials>,
        tracker: TaskTracker,
    ) -> Arc<Self> {
        let channel = Channel::new(Arc::clone(&pool), tracker);
        Arc::new(Self {
            pool,
            keys,
            trials,
            refused: AtomicU64::new(0),
            channel,
            no_gzip: AtomicBool::new(false),
            no_zstd: AtomicBool::new(false),
        })
    }

    /// Ends every connection at once, and with them the requests in flight.
    pub fn close(&self) {
        self.channel.close();
    }

    /// Sends a request and gives the collector's response message, once it has accepted.
    pub(super) async fn export(&self, export: Export) -> Result<Bytes, Refusal> {
        let (begun, deadline) = (Instant::now(), export.deadline);
        match tokio::time::timeout_at(deadline, self.export_in_any_encoding(export)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                if begun.elapsed() >= STALLED {
                    let message = "it took a request and did not answer in time";
                    self.pool.report_use(Use::Failed { failure: "response", message });
                }
                Err(Refusal::DeadlinePassed)
            }
        }
    }

    async fn export_in_any_encoding(&self, mut export: Export) -> Result<Bytes, Refusal> {
        let came_as = export.encoding;
        while export.encoding.is_some_and(|encoding| self.unread(encoding).load(Relaxed)) {
            export = export.recoded()?;
        }
        loop {
            let tried = export.encoding;
            let outcome = self.send(&export).await;
            match (&outcome, tried) {
                // Either the method or the encoding is unknown there; in both cases nothing was processed.
                (Err(Refusal::Collector(Said { code: Code::Unimplemented, .. })), Some(_)) => {
                    export = export.recoded()?
                }
                (Ok(_), tried) => {
                    self.learn(came_as, tried);
                    return outcome;
                }
                _ => return outcome,
            }
        }
    }

    /// Sends a request; once more on another connection where the first surely did not get it processed.
    pub(super) async fn send(&self, export: &Export) -> Result<Bytes, Refusal> {
        let mut again = true;
        loop {
            let lease = self.channel.connection().await?;
            match self.attempt(&lease, export).await {
                Err(Attempt::Failed(Failure::Unsent(text))) => {
                    lease.retire();
                    tracing::debug!(
                        collector.id = self.pool.settings().name,
                        text,
                        again,
                        "a request was not processed"
                    );
                    if !again {
                        self.report(export, Use::Failed { failure: "response", message: &text });
                        return Err(Refusal::CollectorUnreachable {
                            failure: "response",
                            message: text,
                        });
                    }
                    again = false;
                }
                Err(Attempt::Failed(Failure::Lost(message))) => {
                    self.report(export, Use::Failed { failure: "response", message: &message });
                    return Err(Refusal::CollectorLost { message });
                }
                // Unreachable: every version was shown.
                Err(Attempt::KeyRefused(_)) => return Err(Refusal::CollectorRefusedKey),
                Err(Attempt::Refused(refusal)) => {
                    if let Refusal::CollectorAnswerInvalid { what } = refusal {
                        self.report(export, Use::Failed { failure: "response", message: what });
                    }
                    return Err(refusal);
                }
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// Sends a request with the access key in use, and with the other version of it where the collector refuses that one: a
    /// refused request was not processed.
    async fn attempt(&self, lease: &Lease, export: &Export) -> Result<Bytes, Attempt> {
        let mut versions = self.versions(export.trial.as_ref())?.into_iter();
        let mut key = versions.next().flatten();
        loop {
            match self.attempt_with(lease, export, key.as_ref()).await {
                Err(Attempt::KeyRefused(said)) => {
                    if let Some(key) = &key {
                        self.key_refused(key, said);
                    }
                    let Some(other) = versions.next() else { break };
                    key = other;
                }
                outcome => return outcome,
            }
        }
        self.report(export, Use::KeyRefused);
        Err(Refusal::CollectorRefusedKey.into())
    }

    async fn attempt_with(
        &self,
        lease: &Lease,
        export: &Export,
        key: Option<&Arc<Key>>,
    ) -> Result<Bytes, Attempt> {
        let request = self.request(lease, export, key)?;
        let mut answer = pin!(lease.send(request));
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer?,
            () = lease.fallen_silent() => {
                // It may be the answer that takes long. Whether the collector is there, another connection tells.
                if lease.retire() {
                    tracing::info!(
                        collector.id = self.pool.settings().name,
                        "A connection to the collector fell silent while a request waits: another is dialled"
                    );
                }
                self.channel.prepare();
                answer.await?
            }
        };
        let secret = key.map_or(&[][..], |key| key.value().expose_secret());
        let (verdict, message) = read(answer).await?;
        match verdict {
            Verdict::Accepted => {
                self.key_accepted(key);
                self.report(export, Use::Answered);
                Ok(masked(message, secret))
            }
            Verdict::Refused(
                said @ Said { code: Code::Unauthenticated | Code::PermissionDenied, .. },
            ) => Err(Attempt::KeyRefused(said.without(secret))),
            Verdict::Refused(said) => {
                let said = said.without(secret);
                if takes_requests(said.code) {
                    self.key_accepted(key);
                    self.report(export, Use::Answered);
                } else {
                    let message = &said.message;
                    self.report(export, Use::Failed { failure: "response", message });
                }
                Err(Refusal::Collector(said).into())
            }
        }
    }

    /// Notes what the use of a connection told; what a key on trial meets says nothing of the collector.
    fn report(&self, export: &Export, used: Use<'_>) {
        if export.trial.is_none() {
            self.pool.report_use(used);
        }
    }

    fn request(
        &self,
        lease: &Lease,
        export: &Export,
        key: Option<&Arc<Key>>,
    ) -> Result<Request<Outgoing>, Refusal> {
        let mut request = Request::new(Outgoing(Some(export.message.clone().into_bytes())));
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = lease.uri(export.signal);
        let mut headers = export.passed_on.clone();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(USER_AGENT, AGENT);
        headers.insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
        headers.insert(GRPC_TIMEOUT, timeout(export.deadline));
        if let Some(encoding) = export.encoding {
            headers.insert(GRPC_ENCODING, encoding.header());
        }
        if let (Some(placement), Some(key)) = (&self.pool.settings().key_placement, key) {
            let value = [placement.prefix.as_bytes(), key.value().expose_secret()].concat();
            let mut value = HeaderValue::from_maybe_shared(Bytes::from(value))
                .map_err(|_| Refusal::AccessKeyUnusable)?;
            value.set_sensitive(true);
            headers.insert(placement.header.clone(), value);
        }
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn unread(&self, encoding: Encoding) -> &AtomicBool {
        match encoding {
            Encoding::Gzip => &self.no_gzip,
            Encoding::Zstd => &self.no_zstd,
        }
    }

    /// Remembers which encodings failed where another one of the same request succeeded.
    fn learn(&self, came_as: Option<Encoding>, succeeded: Option<Encoding>) {
        let mut tried = came_as;
        while let Some(encoding) = tried.filter(|_| tried != succeeded) {
            if !self.unread(encoding).swap(true, Relaxed) {
                tracing::info!(
                    collector.id = self.pool.settings().name,
                    encoding = encoding.name(),
                    "the collector does not read this compression; requests are sent in another"
                );
            }
            tried = encoding.next();
        }
    }
}

/// What one attempt without an answer of success came to.
enum Attempt {
    Failed(Failure),
    KeyRefused(Said),
    Refused(Refusal),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Refusal> for Attempt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unread> for Attempt {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Broken(failure) => failure.into(),
            Unread::NotGrpc(what) => Refusal::CollectorAnswerInvalid { what }.into(),
        }
    }
}

impl From<Unreachable> for Refusal {
    fn from(Unreachable { failure, message }: Unreachable) -> Self {
        Self::CollectorUnreachable { failure, message }
    }
}

impl Export {
    /// The same request in the encoding that is tried after its own; holds the bytes that it grows by.
    fn recoded(mut self) -> Result<Self, Refusal> {
        let Some(encoding) = self.encoding else { return Ok(self) };
        let corrupt = |_| Refusal::Corrupt { encoding: encoding.name() };
        let plain = encoding.expand(&self.message.message(), self.limit).map_err(corrupt)?;
        let next = encoding.next();
        let compressed = next.and_then(|next| next.compress(&plain).ok());
        let message = match &compressed {
            Some(compressed) => Framed::new(compressed, true),
            None => Framed::new(&plain, false),
        };
        let message = message.ok_or(Refusal::TooLarge { limit: self.limit })?;
        if let Some(held) = &mut self.held {
            held.grow(message.len().saturating_sub(self.message.len()))?;
        }
        Ok(Self { message, encoding: next.filter(|_| compressed.is_some()), ..self })
    }
}

impl Encoding {
    /// Gives the encoding to try where this one is not read: gzip is read nearly everywhere, and none everywhere.
    fn next(self) -> Option<Self> {
        match self {
            Self::Zstd => Some(Self::Gzip),
            Self::Gzip => None,
        }
    }
}

/// Writes what is left until a deadline as gRPC does.
fn timeout(deadline: Instant) -> HeaderValue {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    // Digits and a letter are always a header value.
    HeaderValue::try_from(format!("{left}m")).unwrap_or(HeaderValue::from_static("0m"))
}

/// Says whether an error is what a working collector may answer a request with, an export of nothing too.
pub(super) fn takes_requests(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::Unknown
        | Code::Internal
        | Code::DeadlineExceeded
        | Code::DataLoss => false,
        Code::Unauthenticated | Code::PermissionDenied => false,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented => true,
    }
}
