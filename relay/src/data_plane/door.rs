//! Lets connections in at a port, within limits.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::FutureExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Shared, running::Service};
use crate::{
    listener::{
        CloseCause,
        connections::{Place, Told},
        socket::is_exhausted,
        tcp,
    },
    otlp::OtlpListener,
};

/// How long accepting rests when the process has no file descriptors left: those waiting wait in the kernel.
const REST: Duration = Duration::from_millis(250);
/// A shortage is told of so often, however long it lasts.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// File descriptors that a connection needs: one to each side.
const FILES: u64 = 2;

/// A port that is accepted on.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Door {
    /// Accepts until closed, or until the relay leaves.
    pub(super) fn open(
        shared: Arc<Shared>,
        port: u16,
        listener: TcpListener,
        address: SocketAddr,
    ) -> Self {
        let stop = shared.leaving.child_token();
        let stopped = stop.clone();
        let tracker = shared.tracker.clone();
        let task = tracker.spawn(async move { accept(&shared, port, &listener, &stopped).await });
        Self { address, stop, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port soon.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Closes the port; when it returns, the port can be opened again.
    pub(super) async fn close(self) {
        self.stop();
        if let Err(error) = self.task.await {
            tracing::error!(%error, server.address = %self.address, "accepting failed");
        }
    }
}

async fn accept(shared: &Arc<Shared>, port: u16, listener: &TcpListener, stop: &CancellationToken) {
    let mut stopped = pin!(stop.cancelled());
    let mut told = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => shared.admit(port, stream, peer),
            Err(error) if is_exhausted(&error) => {
                if let Some(route) = shared.running.load().routes.get(&port) {
                    route.connections.counters().accept_paused();
                }
                if told.is_none_or(|at: Instant| at.elapsed() >= TOLD_EVERY) {
                    told = Some(Instant::now());
                    tracing::warn!(%error, server.port = port, "accepting rests: the process has no file descriptors left");
                }
                tokio::select! {
                    () = &mut stopped => break,
                    () = sleep(REST) => {}
                }
            }
            // Gone before it was accepted.
            Err(error) => {
                tracing::debug!(%error, server.port = port, "a connection could not be accepted")
            }
        }
    }
    // Who is in already does not know that the port closes.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        shared.admit(port, stream, peer);
    }
}

impl Shared {
    /// Takes in a connection, or closes it at once where there are too many.
    fn admit(self: &Arc<Self>, port: u16, stream: TcpStream, peer: SocketAddr) {
        let running = self.running.load();
        let Some(route) = running.routes.get(&port) else { return };
        let now = Instant::now();
        let counters = route.connections.counters();
        let refused = if counters.open() >= route.settings.max_connections {
            Some(CloseCause::LimitListener)
        } else if self.open.fetch_add(1, Relaxed)
            >= running.limits.max_connections.min(self.capacity)
        {
            self.gone();
            Some(CloseCause::LimitRelay)
        } else {
            None
        };
        if let Some(cause) = refused {
            counters.refused(cause, peer.ip(), now);
            tracing::debug!(
                listener = route.settings.name, network.peer.address = %peer, cause = cause.kind(),
                "a connection was turned away"
            );
            return;
        }
        let counted = Counted(Arc::clone(self));
        let random = rand::random();
        let place = route.connections.open(peer, route.settings.protocol, now, random);
        // Two tasks apart, so that raw connections do not pay for what HTTP/2 needs.
        match &route.service {
            Service::Tcp(pool) => {
                let pool = Arc::clone(pool);
                self.tracker.spawn(async move {
                    let cause = tcp::serve(stream, &pool, &place).await;
                    place.close(cause);
                    drop(counted);
                });
            }
            Service::Otlp { listener, drain } => {
                let (listener, drain) = (Arc::clone(listener), drain.clone());
                self.tracker.spawn(async move {
                    let cause = serve_otlp(&listener, stream, peer, &drain, &place).await;
                    place.close(counted.named(cause));
                    drop(counted);
                });
            }
        }
    }

    fn gone(&self) {
        if self.open.fetch_sub(1, Relaxed) == 1 {
            self.closed.notify_waiters();
        }
    }
}

/// Serves a connection until it ends or was told to; asked to go, it finishes its requests.
async fn serve_otlp(
    listener: &OtlpListener,
    stream: TcpStream,
    peer: SocketAddr,
    drain: &CancellationToken,
    place: &Place,
) -> CloseCause {
    let drain = drain.child_token();
    let mut serving = pin!(listener.serve_connection(stream, peer, drain.clone()));
    let asked = tokio::select! {
        told = place.connection().told() => match told {
            Told { cause, politely: true } => cause,
            Told { cause, politely: false } => return cause,
        },
        cause = &mut serving => return cause,
    };
    drain.cancel();
    tokio::select! {
        cause = place.connection().ordered() => cause,
        cause = serving => if cause == CloseCause::Drained { asked } else { cause },
    }
}

/// A connection in the relay's count.
struct Counted(Arc<Shared>);

impl Counted {
    /// Tells a connection that was asked to go because its listener is gone from one that the relay took leave of.
    fn named(&self, cause: CloseCause) -> CloseCause {
        match cause {
            CloseCause::Drained if !self.0.leaving.is_cancelled() => CloseCause::SettingsRemoved,
            cause => cause,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.gone();
    }
}

/// Raises the process's limit of open files as far as it may go, and gives how many connections nine tenths of it serve.
pub(super) fn capacity() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let files = if raised { maximum } else { current };
    // No limit at all is given as none.
    files.map_or(u64::MAX, |files| files / 10 * 9 / FILES)
}
