//! What the proxies lead to: one server that takes and forgets, one that gives back what it gets.
use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use rustls::{
    ServerConfig,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, cipher_suite::TLS13_AES_128_GCM_SHA256, kx_group::X25519},
    },
    server::NoServerSessionStorage,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::certificates::Authority;

/// The name that the certificate of a backend with TLS holds.
pub const NAME: &str = "collector.bench.test";

/// Two servers behind the proxies.
pub struct Backend {
    /// Reads a count and as many bytes, then answers one.
    pub sink: SocketAddr,
    /// Gives back every byte.
    pub echo: SocketAddr,
    stop: CancellationToken,
}

impl Backend {
    /// Starts both on loopback, with TLS where its settings are given.
    ///
    /// # Errors
    /// When a port cannot be opened.
    pub async fn start(tasks: &mut JoinSet<()>, tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let stop = CancellationToken::new();
        let sink = TcpListener::bind("127.0.0.1:0").await?;
        let echo = TcpListener::bind("127.0.0.1:0").await?;
        let backend =
            Self { sink: sink.local_addr()?, echo: echo.local_addr()?, stop: stop.clone() };
        let tls = tls.map(TlsAcceptor::from);
        tasks.spawn(accept(sink, stop.clone(), tls.clone(), false));
        tasks.spawn(accept(echo, stop, tls, true));
        Ok(backend)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// TLS 1.3 with one cipher and one group for every proxy alike, and a full handshake for each connection.
///
/// # Errors
/// When the certificate cannot be made.
pub fn without_resumption(authority: &Authority) -> Result<Arc<ServerConfig>> {
    let provider = CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![X25519],
        ..aws_lc_rs::default_provider()
    };
    let (chain, key) = authority.server_identity(&[NAME.to_owned()])?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

async fn accept(
    listener: TcpListener,
    stop: CancellationToken,
    tls: Option<TlsAcceptor>,
    echo: bool,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, tls.clone(), echo));
            }
        }
    }
}

/// A connection that breaks is the load's to notice.
async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, echo: bool) {
    stream.set_nodelay(true).ok();
    match tls {
        None => answer(stream, echo).await.ok(),
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => answer(stream, echo).await.ok(),
            Err(_) => None,
        },
    };
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    echo: bool,
) -> std::io::Result<()> {
    if echo {
        let mut buffer = vec![0; 4096];
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            stream.write_all(buffer.get(..count).unwrap_or_default()).await?;
            stream.flush().await?;
        }
    }
    let mut left = stream.read_u64().await?;
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        match stream.read(&mut buffer).await? as u64 {
            0 => return Ok(()),
            count => left = left.saturating_sub(count),
        }
    }
    stream.write_all(b"!").await?;
    stream.flush().await?;
    stream.read(&mut buffer).await.map(drop)
}
