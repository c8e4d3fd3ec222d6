//! A vendor's collector on loopback: takes raw TCP or OTLP/gRPC, with or without TLS, checks the access key, keeps what
//! it got, and misbehaves on demand.
//!
//! - [`behaviour`]: what it can be told to do wrong.
//! - [`records`]: what it keeps of what arrived.
//! - `otlp`: the three OTLP services.
//! - `tcp`: echo, sink, source and exchange.
pub mod behaviour;
mod otlp;
pub mod records;
mod tcp;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{either::Either, sync::CancellationToken, task::TaskTracker};

pub use self::{
    behaviour::Behaviour,
    records::{KeyCheck, Received, Records, Stream},
    tcp::Exchange,
};
use crate::certificates::Authority;

/// How long a collector waits to get its port back after a refusal.
const REBIND_TRIES: u32 = 200;

/// What a collector speaks.
#[derive(Clone, Debug)]
enum Service {
    Tcp,
    Otlp,
}

/// TLS settings of a collector: the certificate it should show and one that its clients must refuse.
#[derive(Clone, Debug)]
pub struct ServerTls {
    right: Arc<ServerConfig>,
    wrong: Arc<ServerConfig>,
}

impl ServerTls {
    /// Issues a certificate for `names`, and a wrong one for the same names from an authority that no one trusts.
    pub fn issue(authority: &Authority, names: &[&str]) -> anyhow::Result<Self> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let stranger = Authority::new("an authority that no one trusts")?;
        Ok(Self {
            right: authority.server_config(&names, &["h2"])?,
            wrong: stranger.server_config(&names, &["h2"])?,
        })
    }
}

/// A running collector; it stops and cuts its connections when dropped.
#[derive(Debug)]
pub struct VendorCollector {
    address: SocketAddr,
    shared: Arc<Shared>,
    cancel: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    service: Service,
    tls: Option<ServerTls>,
    records: Records,
    behaviour: watch::Sender<Behaviour>,
    exchange: watch::Sender<Exchange>,
    /// Counts up each time all open connections are to end; `true`: by reset.
    cut: watch::Sender<(u64, bool)>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl VendorCollector {
    /// Starts a collector that takes OTLP/gRPC on `bind` and accepts the requests that `keys` lets through.
    pub async fn otlp(
        bind: SocketAddr,
        tls: Option<ServerTls>,
        keys: KeyCheck,
    ) -> anyhow::Result<Self> {
        Self::start(bind, tls, Service::Otlp, keys, Exchange::Echo).await
    }

    /// Starts a collector that takes raw bytes on `bind` and treats each connection as `exchange` says.
    pub async fn tcp(
        bind: SocketAddr,
        tls: Option<ServerTls>,
        exchange: Exchange,
    ) -> anyhow::Result<Self> {
        Self::start(bind, tls, Service::Tcp, KeyCheck::none(), exchange).await
    }

    async fn start(
        bind: SocketAddr,
        tls: Option<ServerTls>,
        service: Service,
        keys: KeyCheck,
        exchange: Exchange,
    ) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(bind).await.with_context(|| format!("listening on {bind}"))?;
        let address = listener.local_addr()?;
        let cancel = CancellationToken::new();
        let shared = Arc::new(Shared {
            service,
            tls,
            records: Records::new(keys),
            behaviour: watch::Sender::new(Behaviour::Serve),
            exchange: watch::Sender::new(exchange),
            cut: watch::Sender::new((0, false)),
            tracker: TaskTracker::new(),
            cancel: cancel.clone(),
        });
        let task = accept(Arc::clone(&shared), listener, address);
        shared.tracker.spawn(task);
        Ok(Self { address, shared, cancel })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what it has received so far.
    pub fn records(&self) -> &Records {
        &self.shared.records
    }

    /// Makes it behave so from now on. [`Behaviour::Refuse`] and [`Behaviour::Reset`] end open connections as well.
    pub fn behave(&self, behaviour: Behaviour) {
        let cuts = matches!(behaviour, Behaviour::Refuse | Behaviour::Reset);
        let reset = matches!(behaviour, Behaviour::Reset);
        self.shared.behaviour.send_replace(behaviour);
        if cuts {
            self.cut(reset);
        }
    }

    /// Treats TCP connections accepted from now on so.
    pub fn exchange(&self, exchange: Exchange) {
        self.shared.exchange.send_replace(exchange);
    }

    /// Ends all open connections, with RST or with FIN.
    pub fn cut(&self, reset: bool) {
        self.shared.cut.send_modify(|cut| *cut = (cut.0 + 1, reset));
    }
}

impl Drop for VendorCollector {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Accepts connections while the behaviour lets it; gives the port up while it is to refuse.
async fn accept(shared: Arc<Shared>, listener: TcpListener, address: SocketAddr) {
    let mut behaviour = shared.behaviour.subscribe();
    let mut listener = Some(listener);
    loop {
        let refuses = matches!(*behaviour.borrow_and_update(), Behaviour::Refuse);
        if refuses {
            listener = None;
        } else if listener.is_none() {
            listener = rebind(address).await.ok();
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            changed = behaviour.changed() => if changed.is_err() { return },
            accepted = accepted => match accepted {
                Ok((stream, peer)) => {
                    shared.tracker.spawn(connection(Arc::clone(&shared), stream, peer));
                }
                Err(error) => tracing::debug!(%error, "accepting a connection"),
            },
        }
    }
}

async fn rebind(address: SocketAddr) -> io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        match TcpListener::bind(address).await {
            Err(_) if tries < REBIND_TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => return result,
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let mut cut = shared.cut.subscribe();
    cut.mark_unchanged();
    // Outlives the stream itself, so that a reset can be asked for while TLS or HTTP/2 owns it.
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
    if matches!(*shared.behaviour.borrow(), Behaviour::Reset) {
        return reset(&socket);
    }
    shared.records.connected();
    tokio::select! {
        () = shared.cancel.cancelled() => {}
        _ = cut.changed() => if cut.borrow().1 { reset(&socket) },
        result = serve(&shared, stream, peer) => if let Err(error) = result {
            tracing::debug!(%error, "serving a connection");
        },
    }
    shared.records.disconnected();
}

/// Makes the close of the last handle on this socket send RST.
fn reset(socket: &OwnedFd) {
    if let Err(error) = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "asking for a reset");
    }
}

async fn serve(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let behaviour = shared.behaviour.borrow().clone();
    if matches!(behaviour, Behaviour::Stall) {
        return std::future::pending().await;
    }
    let stream = match &shared.tls {
        None => Either::Left(stream),
        Some(tls) => {
            let wrong = matches!(behaviour, Behaviour::WrongCertificate);
            let config = Arc::clone(if wrong { &tls.wrong } else { &tls.right });
            Either::Right(TlsAcceptor::from(config).accept(stream).await?)
        }
    };
    match shared.service {
        Service::Tcp => {
            let exchange = shared.exchange.borrow().clone();
            tcp::serve(&shared.records, exchange, stream, peer).await
        }
        Service::Otlp => otlp::serve(Arc::clone(shared), stream).await,
    }
}
