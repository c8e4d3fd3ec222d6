//! An egress proxy: tunnels CONNECT to where a name is served in this world, and nowhere else. Its tunnels lead from port
//! 443 alone.
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Longest head of a request, bytes.
const LONGEST_HEAD: usize = 8 << 10;

/// Names and where they are served.
type Routes = BTreeMap<String, SocketAddr>;

/// A running proxy; it stops and cuts its tunnels when dropped.
#[derive(Debug)]
pub struct EgressProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Aborts the server when dropped.
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    routes: watch::Sender<Routes>,
    asked: Mutex<Vec<String>>,
}

impl EgressProxy {
    /// Starts it on `bind`; it leads nowhere yet.
    pub async fn start(bind: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { routes: watch::Sender::default(), asked: Mutex::default() });
        let mut server = JoinSet::new();
        server.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _server: server })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its URL, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads port 443 of `host` to `address` from now on; tunnels to elsewhere are cut.
    pub fn lead(&self, host: &str, address: SocketAddr) {
        self.shared.routes.send_modify(|routes| {
            routes.insert(host.to_owned(), address);
        });
    }

    /// Leads port 443 of `host` nowhere from now on; its tunnels are cut.
    pub fn block(&self, host: &str) {
        self.shared.routes.send_modify(|routes| {
            routes.remove(host);
        });
    }

    /// Returns each `host:port` that a tunnel was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut tunnels = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while tunnels.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        tunnels.spawn(async move {
            if let Err(error) = tunnel(stream, &shared).await {
                tracing::debug!(%error, "a tunnel");
            }
        });
    }
}

async fn tunnel(mut from: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(head.len() < LONGEST_HEAD, "a head without end");
        head.push(from.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let target = target.context("no CONNECT")?;
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(target.to_owned());
    let host = target.strip_suffix(":443").unwrap_or_default();
    let mut routes = shared.routes.subscribe();
    let address = routes.borrow_and_update().get(host).copied();
    let to = match address {
        Some(address) => TcpStream::connect(address).await.ok(),
        None => None,
    };
    let Some(mut to) = to else {
        return Ok(from
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            .await?);
    };
    to.set_nodelay(true)?;
    from.set_nodelay(true)?;
    from.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    tokio::select! {
        copied = copy_bidirectional(&mut from, &mut to) => drop(copied?),
        led = routes.wait_for(|routes| routes.get(host).copied() != address) => drop(led?),
    }
    Ok(())
}
