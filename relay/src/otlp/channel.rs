//! Keeps HTTP/2 connections to one collector: dials when needed, shares them among all requests, replaces them with age.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::Shared};
use http::{Request, Response, Uri, uri::PathAndQuery};
use http_body::{Body, Frame};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    heard::{Heard, HeardAt},
    signal::Signal,
    tasks::Tasks,
};
use crate::{
    collector::{CollectorPool, DialError, Dialled},
    error_chain::{causes, chain},
};

/// Connections to one collector at once: one until it is crowded. A second one helps where the collector's receive
/// window, not the relay, bounds a connection, which over long distances is the rule.
const CONNECTIONS: usize = 4;
/// Requests in flight that make a connection crowded.
const CROWDED: usize = 64;
/// After this a connection takes no new requests once another is open, so that changes in DNS and of priority are followed.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);
/// An idle connection is not used again after this: AWS's NAT gateways and load balancers forget flows silently after 350 s.
const MAX_IDLE: Duration = Duration::from_secs(240);
/// After a failed dial its failure is the answer for this long.
const HOLD_FAILURE: Duration = Duration::from_secs(1);
/// Pings ask whether a collector is there while requests wait; none on idle connections, which gRPC servers punish, and
/// few enough that grpc-go's default (two strikes within a silent stream) is not reached in the longest request.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that brings nothing for this long while a request waits is not trusted with others: what cuts a relay off
/// without a word would go unnoticed until a ping does.
const SILENT: Duration = Duration::from_secs(5);
/// What the relay takes of answers before it reads them, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Requests on a connection before the collector has said how many it takes at once; more could be refused.
const FIRST_STREAMS: usize = 16;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreachable {
    /// Stable lower-case name: `dns`, `dial`, `tls`, `response`.
    pub(super) failure: &'static str,
    pub(super) message: String,
}

/// What became of a request without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The collector surely did not process it.
    Unsent(String),
    /// The collector may have processed it.
    Lost(String),
}

/// The connections to one collector.
#[derive(Debug)]
pub(super) struct Channel {
    pool: Arc<CollectorPool>,
    state: Mutex<State>,
    tasks: Tasks,
    ends: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    connections: Vec<Arc<Connection>>,
    dialling: Option<Dialling>,
    failed: Option<(Instant, Unreachable)>,
}

type Dialling = Shared<oneshot::Receiver<Result<Arc<Connection>, Unreachable>>>;

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Outgoing>,
    /// By signal.
    uris: [Uri; Signal::ALL.len()],
    opened: Instant,
    in_flight: AtomicUsize,
    last_used: Mutex<Instant>,
    heard_at: HeardAt,
    retired: AtomicBool,
}

/// The use of a connection for one request.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Arc<Connection>,
}

impl Channel {
    /// Begins without a connection.
    pub(super) fn new(pool: Arc<CollectorPool>, tracker: TaskTracker) -> Arc<Self> {
        let ends = CancellationToken::new();
        let tasks = Tasks::new(tracker, ends.clone());
        Arc::new(Self { pool, state: Mutex::default(), tasks, ends })
    }

    /// Ends every connection at once.
    pub(super) fn close(&self) {
        self.ends.cancel();
        *self.state() = State::default();
    }

    /// Finds the least busy connection; dials where there is none, once for all who wait.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Lease, Unreachable> {
        let dialling = {
            let mut state = self.state();
            let now = Instant::now();
            let found = state.choose(now);
            let held = state
                .failed
                .as_ref()
                .filter(|(at, _)| now < *at + HOLD_FAILURE)
                .map(|(_, why)| why.clone());
            if found.as_ref().is_none_or(|found| found.wants_company)
                && state.dialling.is_none()
                && held.is_none()
            {
                state.dialling = Some(self.dial());
            }
            match (found, held, &state.dialling) {
                (Some(found), _, _) => return Ok(Lease::new(found.connection)),
                (None, _, Some(dialling)) => dialling.clone(),
                (None, Some(why), None) => return Err(why),
                (None, None, None) => return Err(Unreachable::closed()),
            }
        };
        match dialling.await {
            Ok(dialled) => dialled.map(Lease::new),
            Err(_) => Err(Unreachable::closed()),
        }
    }

    /// Sees to it that there is a connection, or that it is known why not.
    pub(super) fn prepare(self: &Arc<Self>) {
        let mut state = self.state();
        if state.choose(Instant::now()).is_none() && state.dialling.is_none() {
            state.dialling = Some(self.dial());
        }
    }

    /// Dials on a task of its own, so that no workload's deadline cuts short what others wait for.
    fn dial(self: &Arc<Self>) -> Dialling {
        let (done, dialling) = oneshot::channel();
        let channel = Arc::clone(self);
        self.tasks.spawn(async move {
            let dialled = channel.open().await;
            {
                let mut state = channel.state();
                state.dialling = None;
                match &dialled {
                    Ok(connection) => {
                        state.failed = None;
                        state.connections.push(Arc::clone(connection));
                    }
                    Err(why) => state.failed = Some((Instant::now(), why.clone())),
                }
            }
            // Nobody may wait any more; the connection is kept either way.
            drop(done.send(dialled));
        });
        dialling.shared()
    }

    async fn open(&self) -> Result<Arc<Connection>, Unreachable> {
        let Dialled { stream, endpoint, .. } = self.pool.dial().await.map_err(Unreachable::from)?;
        let scheme = if self.pool.settings().tls.is_some() { "https" } else { "http" };
        let uri = |signal: Signal| {
            Uri::builder()
                .scheme(scheme)
                .authority(endpoint.to_string())
                .path_and_query(PathAndQuery::from_static(signal.path()))
                .build()
        };
        let uris = || Ok([uri(Signal::Traces)?, uri(Signal::Metrics)?, uri(Signal::Logs)?]);
        let uris = uris().map_err(|error: http::Error| Unreachable::response(&error))?;
        let (stream, heard_at) = Heard::new(stream);
        let (sender, driver) = Builder::new(self.tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(FIRST_STREAMS)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Unreachable::response(&error))?;
        let collector = self.pool.settings().name.clone();
        self.tasks.spawn(async move {
            match driver.await {
                Ok(()) => tracing::debug!(
                    collector.id = collector,
                    "the connection to the collector ended"
                ),
                Err(error) => tracing::debug!(
                    collector.id = collector,
                    error = &error as &dyn std::error::Error,
                    "the connection to the collector broke"
                ),
            }
        });
        let now = Instant::now();
        Ok(Arc::new(Connection {
            sender,
            uris,
            opened: now,
            in_flight: AtomicUsize::new(0),
            last_used: Mutex::new(now),
            heard_at,
            retired: AtomicBool::new(false),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // Requests in flight hold the channel: nothing is cut short here.
        self.ends.cancel();
    }
}

struct Found {
    connection: Arc<Connection>,
    /// Whether another connection should be opened beside it.
    wants_company: bool,
}

impl State {
    /// Forgets what cannot be used and picks the least busy of the rest; an aged one only until its successor is there.
    fn choose(&mut self, now: Instant) -> Option<Found> {
        self.connections.retain(|connection| connection.usable(now));
        if self.connections.iter().any(|connection| !connection.aged(now)) {
            self.connections.retain(|connection| !connection.aged(now));
        }
        let least =
            self.connections.iter().min_by_key(|connection| connection.in_flight.load(Relaxed))?;
        let crowded =
            least.in_flight.load(Relaxed) >= CROWDED && self.connections.len() < CONNECTIONS;
        Some(Found { connection: Arc::clone(least), wants_company: crowded || least.aged(now) })
    }
}

impl Connection {
    fn usable(&self, now: Instant) -> bool {
        let idle = || {
            let last_used = *self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
            self.in_flight.load(Relaxed) == 0 && now.duration_since(last_used) > MAX_IDLE
        };
        !self.retired.load(Relaxed) && !self.sender.is_closed() && !idle()
    }

    fn aged(&self, now: Instant) -> bool {
        now.duration_since(self.opened) > MAX_AGE
    }
}

impl Lease {
    fn new(connection: Arc<Connection>) -> Self {
        connection.in_flight.fetch_add(1, Relaxed);
        Self { connection }
    }

    /// Gives the URI of a signal's method on this connection.
    pub(super) fn uri(&self, signal: Signal) -> Uri {
        match self.connection.uris.get(signal as usize) {
            Some(uri) => uri.clone(),
            None => Uri::default(),
        }
    }

    /// Lets the connection take no new requests; tells whether that is news.
    pub(super) fn retire(&self) -> bool {
        !self.connection.retired.swap(true, Relaxed)
    }

    /// Comes back when nothing was heard on the connection for a while, from now on.
    pub(super) async fn fallen_silent(&self) {
        let begun = Instant::now();
        loop {
            let at = self.connection.heard_at.get().max(begun) + SILENT;
            if at <= Instant::now() {
                return;
            }
            sleep_until(at).await;
        }
    }

    /// Sends a request and waits for the answer's headers.
    pub(super) async fn send(
        &self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut sender = self.connection.sender.clone();
        sender.try_send_request(request).await.map_err(|error| {
            let unsent = error.message().is_some() || refused_unprocessed(error.error());
            let text = chain(error.error());
            if unsent { Failure::Unsent(text) } else { Failure::Lost(text) }
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.in_flight.fetch_sub(1, Relaxed);
        *self.connection.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// Says whether HTTP/2 promises that the request was not processed: its stream was refused, or lies past what a
/// graceful GOAWAY said would be served. Source: RFC 9113 §8.7.
fn refused_unprocessed(error: &hyper::Error) -> bool {
    causes(error).find_map(|cause| cause.downcast_ref::<h2::Error>()).is_some_and(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        let gone = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (refused || gone)
    })
}

impl Unreachable {
    fn closed() -> Self {
        Self { failure: "dial", message: "the relay no longer uses this collector".to_owned() }
    }

    fn response(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { failure: "response", message: chain(error) }
    }
}

impl From<DialError> for Unreachable {
    fn from(error: DialError) -> Self {
        Self { failure: error.failure(), message: chain(&error) }
    }
}

/// A request body of one chunk, which does not announce its length: gRPC has its own.
#[derive(Debug)]
pub(super) struct Outgoing(pub(super) Option<Bytes>);

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
