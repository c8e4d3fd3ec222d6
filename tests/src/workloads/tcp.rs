//! Raw TCP workloads: random bytes with hashes, both ways.
use std::net::SocketAddr;

use anyhow::Context as _;
use aws_lc_rs::{
    digest::{Context, SHA256},
    rand::{SecureRandom as _, SystemRandom},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

/// Size of one read or write, in bytes.
const CHUNK: usize = 256 << 10;

/// What one connection carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Bytes sent.
    pub sent: u64,
    /// SHA-256 of them.
    pub sent_sha256: [u8; 32],
    /// Bytes that came back.
    pub received: u64,
    /// SHA-256 of them.
    pub received_sha256: [u8; 32],
}

/// Connects to `relay`, sends `bytes` random bytes, half-closes, and reads to the end at the same time.
pub async fn exchange(relay: SocketAddr, bytes: u64) -> anyhow::Result<Carried> {
    let stream =
        TcpStream::connect(relay).await.with_context(|| format!("connecting to {relay}"))?;
    let (mut reader, mut writer) = stream.into_split();
    let sending = async {
        let digest = write_random(&mut writer, bytes).await?;
        writer.shutdown().await?;
        anyhow::Ok(digest)
    };
    let receiving = async { read_all(&mut reader, |_| ()).await };
    let (sent_sha256, (received, received_sha256)) = tokio::try_join!(sending, receiving)?;
    Ok(Carried { sent: bytes, sent_sha256, received, received_sha256 })
}

/// A connection to an echoing collector that is kept open, to see whether anything cuts it.
#[derive(Debug)]
pub struct Held {
    stream: TcpStream,
    sent: u64,
}

impl Held {
    /// Connects and sends a first message.
    pub async fn open(relay: SocketAddr) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(relay).await.with_context(|| format!("connecting to {relay}"))?;
        stream.set_nodelay(true)?;
        let mut held = Self { stream, sent: 0 };
        held.beat().await?;
        Ok(held)
    }

    /// Sends a message that was not sent before and wants it back.
    pub async fn beat(&mut self) -> anyhow::Result<()> {
        self.sent += 1;
        let message = self.sent.to_be_bytes();
        self.stream.write_all(&message).await.context("sending on a held connection")?;
        let mut answer = [0; 8];
        self.stream.read_exact(&mut answer).await.context("reading from a held connection")?;
        anyhow::ensure!(
            answer == message,
            "the held connection gave other bytes back than it took"
        );
        Ok(())
    }

    /// Half-closes and wants the other side's end, without a reset.
    pub async fn close(mut self) -> anyhow::Result<()> {
        self.stream.shutdown().await.context("closing a held connection")?;
        let mut rest = Vec::new();
        self.stream
            .read_to_end(&mut rest)
            .await
            .context("waiting for the end of a held connection")?;
        anyhow::ensure!(rest.is_empty(), "{} bytes came that were not asked for", rest.len());
        Ok(())
    }
}

/// Reads to the end; `seen` is told of each piece's size.
pub(crate) async fn read_all(
    reader: &mut (impl AsyncRead + Unpin),
    mut seen: impl FnMut(u64),
) -> anyhow::Result<(u64, [u8; 32])> {
    let mut hash = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let read = reader.read(&mut chunk).await.context("reading")?;
        if read == 0 {
            return Ok((total, hash.finish().as_ref().try_into()?));
        }
        hash.update(&chunk[..read]);
        total += read as u64;
        seen(read as u64);
    }
}

/// Writes `bytes` random bytes and returns their SHA-256; does not close.
pub(crate) async fn write_random(
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: u64,
) -> anyhow::Result<[u8; 32]> {
    let random = SystemRandom::new();
    let mut hash = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        random.fill(&mut chunk[..size]).context("drawing random bytes")?;
        hash.update(&chunk[..size]);
        writer.write_all(&chunk[..size]).await.context("writing")?;
        left -= size as u64;
    }
    Ok(hash.finish().as_ref().try_into()?)
}
