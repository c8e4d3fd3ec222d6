//! Takes OTLP over gRPC from workloads and passes it on to a collector, as bytes.
//!
//! A request is checked on the wire ([`wire`]), never decoded; it keeps its framing and its compression on the way
//! through, and its workload is answered when the collector has answered. gRPC itself is small enough for a relay to
//! speak it directly over hyper: what a general client or server would do with messages is what costs.
//!
//! - [`OtlpListener`]: serves a listener's connections. `service`: one request. `socket`: one connection's bytes.
//! - [`Exporter`]: sends to one collector. `channel`: its connections. `reply`, `verdict`: its answers. `probe`: whether it
//!   takes the key.
//! - `message`, `compression`: gRPC's framing. `answer`, `error`: what workloads are told.
//! - [`InFlight`]: the bytes held. [`RequestCounters`]: what became of requests. `tasks`: HTTP/2's tasks.

mod answer;
mod channel;
mod compression;
mod counters;
mod error;
mod export;
mod heard;
mod in_flight;
mod key_versions;
mod message;
mod probe;
mod reply;
mod service;
mod signal;
mod socket;
mod tasks;
#[cfg(test)]
mod tests;
mod verdict;
pub mod wire;

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use hyper::{server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    counters::{RequestCounters, code_name},
    export::Exporter,
    in_flight::InFlight,
    signal::Signal,
};
use self::{
    service::{Activity, Service},
    socket::NotHttp2,
    tasks::Tasks,
};
use crate::{counters::ListenerCounters, error_chain::causes, listener::CloseCause};

/// A client that has not sent HTTP/2's preface by then is none.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests of one connection at once.
const MAX_STREAMS: u32 = 256;
/// Pings find workloads that are gone.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What a workload may send before the relay reads it, in bytes. Requests are read as they come, so this bounds bytes on
/// the wire rather than memory held.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// What of an OTLP listener may change while it serves.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// Largest request in bytes, compressed or not.
    pub max_request_bytes: usize,
    /// A connection without a request for this long is ended.
    pub idle_timeout: Duration,
}

/// A listener of protocol OTLP; cheap to share.
#[derive(Debug)]
pub struct OtlpListener {
    name: String,
    target: ArcSwap<Target>,
    in_flight: Arc<InFlight>,
    counters: Arc<ListenerCounters>,
    tracker: TaskTracker,
}

#[derive(Debug)]
struct Target {
    exporter: Arc<Exporter>,
    settings: OtlpSettings,
}

impl OtlpListener {
    /// Makes a listener that sends through `exporter`; accepting connections is its owner's work.
    pub fn new(
        name: &str,
        exporter: Arc<Exporter>,
        in_flight: Arc<InFlight>,
        settings: OtlpSettings,
        counters: Arc<ListenerCounters>,
        tracker: TaskTracker,
    ) -> Self {
        let target = ArcSwap::from_pointee(Target { exporter, settings });
        Self { name: name.to_owned(), target, in_flight, counters, tracker }
    }

    /// Sends new requests through another exporter, those of open connections too; requests in flight end on the old one.
    pub fn retarget(&self, exporter: Arc<Exporter>, settings: OtlpSettings) {
        self.target.store(Arc::new(Target { exporter, settings }));
    }

    /// Serves one connection until it ends; lets it finish its requests and take no new ones once `drain` is cancelled.
    pub async fn serve_connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        drain: CancellationToken,
    ) -> CloseCause {
        let opened = timeout(PREFACE_TIMEOUT, socket::open(stream, Arc::clone(&self.counters)));
        let socket = tokio::select! {
            () = drain.cancelled() => return CloseCause::Drained,
            opened = opened => match opened {
                Ok(Ok(socket)) => socket,
                Ok(Err(NotHttp2::Closed)) => return CloseCause::WorkloadClosed,
                Ok(Err(NotHttp2::Broken)) => return CloseCause::WorkloadReset,
                Ok(Err(NotHttp2::Other(looks_like))) => {
                    tracing::debug!(
                        listener = self.name, client.address = %peer, looks_like,
                        "a connection to an OTLP listener did not speak HTTP/2"
                    );
                    return CloseCause::ProtocolError;
                }
                Err(_) => return CloseCause::IdleTimeout,
            },
        };
        self.serve_http2(socket, drain).await
    }

    async fn serve_http2(&self, socket: socket::Socket, drain: CancellationToken) -> CloseCause {
        let activity = Activity::begin();
        let service = service_fn(|request| {
            let target = self.target.load();
            let service = Service {
                exporter: Arc::clone(&target.exporter),
                in_flight: Arc::clone(&self.in_flight),
                counters: self.counters.requests(),
                max_request_bytes: target.settings.max_request_bytes,
            };
            let busy = activity.busy();
            async move {
                let answer = service.answer(request).await;
                drop(busy);
                Ok::<_, Infallible>(answer)
            }
        });
        // Requests run on tasks of their own; they end with the connection.
        let ends = CancellationToken::new();
        let tasks = Tasks::new(self.tracker.clone(), ends.clone());
        let _ends = ends.drop_guard();
        let connection = Builder::new(tasks)
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = pin!(connection);
        let mut look_at = Instant::now() + self.idle_timeout();
        let mut asked_to_end = None;
        loop {
            tokio::select! {
                ended = &mut connection => return asked_to_end.unwrap_or_else(|| cause(ended)),
                () = drain.cancelled(), if asked_to_end.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    asked_to_end = Some(CloseCause::Drained);
                }
                () = sleep_until(look_at), if asked_to_end.is_none() => {
                    let now = Instant::now();
                    look_at = activity.idle_since().unwrap_or(now) + self.idle_timeout();
                    if look_at <= now {
                        connection.as_mut().graceful_shutdown();
                        asked_to_end = Some(CloseCause::IdleTimeout);
                    }
                }
            }
        }
    }

    fn idle_timeout(&self) -> Duration {
        self.target.load().settings.idle_timeout
    }
}

/// Names why a connection ended by itself.
fn cause(ended: Result<(), hyper::Error>) -> CloseCause {
    let Err(error) = ended else { return CloseCause::WorkloadClosed };
    if error.is_timeout() {
        return CloseCause::WorkloadReset;
    }
    match causes(&error).find_map(|cause| cause.downcast_ref::<h2::Error>()) {
        Some(error) if error.is_io() => CloseCause::WorkloadReset,
        Some(error) if error.is_remote() => CloseCause::WorkloadClosed,
        Some(_) => CloseCause::ProtocolError,
        None => CloseCause::WorkloadReset,
    }
}
