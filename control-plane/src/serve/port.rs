//! One port: accept, TLS, HTTP/2, within limits.
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::Service;

use super::{
    handshake::{Failures, cause},
    peer::{PeerAddress, PeerCertificate},
    tls::Tls,
};
use crate::metrics::Metrics;

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How often HTTP/2 asks whether a silent peer is there, and how long it waits for the answer. A relay that dies with its
/// machine says nothing: its record is to be out of DNS within a TTL and 5 s.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(4));
/// After how long TCP asks, for what dies while HTTP/2 cannot ask.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// Wait after an accept that failed for want of something, e.g. file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Limits of a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct PortLimits {
    /// Connections at once; more wait in the kernel's queue.
    pub(super) connections: usize,
    /// Handshakes at once; more wait likewise.
    pub(super) handshakes: usize,
    /// Calls at once on one connection.
    pub(super) streams: u32,
    /// Bytes that a peer may send ahead, per call and per connection.
    pub(super) windows: (u32, u32),
    /// Bytes of one call's answer that wait for the peer in our memory.
    pub(super) send_buffer: usize,
    /// Bytes of a call's headers.
    pub(super) headers: u32,
}

/// One port and its service.
pub(super) struct Port<S> {
    pub(super) name: &'static str,
    pub(super) tls: Option<Tls>,
    pub(super) service: S,
    pub(super) limits: PortLimits,
    pub(super) metrics: Metrics,
    /// Cancelled: accept no more, finish what runs.
    pub(super) drain: CancellationToken,
    /// Cancelled: leave everything.
    pub(super) abort: CancellationToken,
    pub(super) tracker: TaskTracker,
}

impl<S, B> Port<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Accepts until drained.
    pub(super) async fn accept(self, listener: TcpListener) {
        let connections = Arc::new(Semaphore::new(self.limits.connections));
        let handshakes = Arc::new(Semaphore::new(self.limits.handshakes));
        let failures = Failures::new(self.name, self.metrics.clone());
        let port = Arc::new(Running { port: self, failures });
        loop {
            let next = async {
                let connection = Arc::clone(&connections).acquire_owned().await.ok()?;
                let handshake = Arc::clone(&handshakes).acquire_owned().await.ok()?;
                Some((connection, handshake, listener.accept().await))
            };
            let next = tokio::select! {
                biased;
                () = port.port.drain.cancelled() => return,
                next = next => next,
            };
            let Some((connection, handshake, accepted)) = next else { return };
            match accepted {
                Ok((stream, peer)) => {
                    let serve = Arc::clone(&port).serve(stream, peer, handshake);
                    port.port.tracker.spawn(async move {
                        serve.await;
                        drop(connection);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(port = port.port.name, error = %error, "No connection can be accepted just now");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

struct Running<S> {
    port: Port<S>,
    failures: Failures,
}

impl<S, B> Running<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        handshake: OwnedSemaphorePermit,
    ) {
        if let Err(error) = prepare(&stream) {
            tracing::debug!(peer = %peer, error = %error, "A socket option was refused");
        }
        let Some(tls) = &self.port.tls else {
            drop(handshake);
            return self.http(stream, peer, None).await;
        };
        // Boxed: a handshake's state is large and short-lived beside that of a held connection.
        let accepting = Box::pin(TlsAcceptor::from(tls.config()).accept(stream));
        let done = tokio::select! {
            done = timeout(HANDSHAKE_WITHIN, accepting) => done,
            () = self.port.drain.cancelled() => return,
        };
        drop(handshake);
        match done {
            Ok(Ok(stream)) => {
                let certificate = stream.get_ref().1.peer_certificates();
                let certificate = certificate.and_then(<[_]>::first).cloned();
                self.http(stream, peer, certificate).await;
            }
            Ok(Err(error)) => self.failures.count(peer, cause(&error), &error),
            Err(_) => self.failures.count(peer, "timeout", &"the handshake took too long"),
        }
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: SocketAddr,
        certificate: Option<CertificateDer<'static>>,
    ) {
        let port = &self.port;
        let certificate = PeerCertificate(certificate);
        let service = service_fn(|request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(PeerAddress(peer));
            request.extensions_mut().insert(certificate.clone());
            let mut service = port.service.clone();
            async move {
                std::future::poll_fn(|context| service.poll_ready(context)).await?;
                service.call(request).await
            }
        });
        let connection =
            http(&port.limits, &port.tracker).serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        port.metrics.connections(port.name, 1);
        let mut told = false;
        let outcome = loop {
            tokio::select! {
                outcome = connection.as_mut() => break outcome,
                () = port.abort.cancelled() => break Ok(()),
                () = port.drain.cancelled(), if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        port.metrics.connections(port.name, -1);
        match outcome {
            Ok(()) => {}
            Err(error) if is_garbage(&error) => self.failures.count(peer, "no_http2", &error),
            Err(error) => {
                tracing::debug!(port = port.name, peer = %peer, error = %error, "A connection broke");
            }
        }
    }
}

fn http(limits: &PortLimits, tracker: &TaskTracker) -> http2::Builder<Tracked> {
    let mut builder = http2::Builder::new(Tracked(tracker.clone()));
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.windows.0)
        .initial_connection_window_size(limits.windows.1)
        .max_send_buf_size(limits.send_buffer)
        .max_header_list_size(limits.headers);
    builder
}

/// Whether the peer spoke something else than HTTP/2 from the start.
fn is_garbage(error: &hyper::Error) -> bool {
    use std::error::Error;
    error.is_parse()
        || error.source().is_some_and(|source| {
            source
                .downcast_ref::<h2::Error>()
                .is_some_and(|e| e.is_go_away() && e.reason() == Some(h2::Reason::PROTOCOL_ERROR))
        })
}

/// Spawns what HTTP/2 wants done on the process's tracker.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn(future));
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(KEEPALIVE.1);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Whether only the connection being accepted failed.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
