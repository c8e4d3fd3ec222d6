//! Raw TCP workloads: random bytes with hashes, both ways, and connections that are held.
use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use aws_lc_rs::{
    digest::{Context, SHA256},
    rand::{SecureRandom as _, SystemRandom},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};

use crate::harness::wait::{SAFETY, TimedOut};

/// Size of one read or write, in bytes.
const CHUNK: usize = 256 << 10;
/// Longest exchange, which may be a gibibyte in a debug build: only there to end a test that hangs.
const EXCHANGED: Duration = Duration::from_secs(120);
/// Pause between two messages of a connection that keeps beating.
const PAUSE: Duration = Duration::from_millis(5);

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
    let both = async { tokio::try_join!(sending, receiving) };
    let (sent_sha256, (received, received_sha256)) =
        within(EXCHANGED, "an exchange ends", both).await?;
    Ok(Carried { sent: bytes, sent_sha256, received, received_sha256 })
}

/// A connection to an echoing collector that is kept open, to see whether anything cuts it or harms its bytes.
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
        self.pass(&message).await
    }

    /// Sends any bytes and wants them back.
    pub async fn pass(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let (mut reader, mut writer) = self.stream.split();
        let mut answer = vec![0; bytes.len()];
        let sending =
            async { writer.write_all(bytes).await.context("sending on a held connection") };
        let receiving = async {
            let read = reader.read_exact(&mut answer).await;
            read.map(drop).context("reading from a held connection")
        };
        let both = async { tokio::try_join!(sending, receiving).map(drop) };
        within(SAFETY, "a held connection gives back what it took", both).await?;
        anyhow::ensure!(answer == bytes, "the held connection gave other bytes back than it took");
        Ok(())
    }

    /// Sends messages from now on without being asked.
    pub fn keep_beating(mut self) -> Beating {
        let (count, beats) = watch::channel(0);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                self.beat().await?;
                count.send_modify(|count| *count += 1);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Beating { beats, task }
    }

    /// Half-closes and wants the other side's end, without a reset.
    pub async fn close(mut self) -> anyhow::Result<()> {
        self.stream.shutdown().await.context("closing a held connection")?;
        let mut rest = Vec::new();
        let ending = async {
            let end = self.stream.read_to_end(&mut rest).await;
            end.context("waiting for the end of a held connection")
        };
        within(SAFETY, "a held connection ends", ending).await?;
        anyhow::ensure!(rest.is_empty(), "{} bytes came that were not asked for", rest.len());
        Ok(())
    }
}

/// A held connection on which messages go back and forth all the time; it is closed when dropped.
#[derive(Debug)]
pub struct Beating {
    beats: watch::Receiver<u64>,
    /// Ends with an error when the connection fails, and only so.
    task: JoinSet<anyhow::Result<()>>,
}

impl Beating {
    /// Waits until this many more messages came back; fails when the connection has failed, now or before.
    pub async fn passes(&mut self, messages: u64) -> anyhow::Result<()> {
        let goal = *self.beats.borrow() + messages;
        let more = async { Ok(self.beats.wait_for(|beats| *beats >= goal).await.is_ok()) };
        if within(SAFETY, "more messages pass a held connection", more).await? {
            return Ok(());
        }
        match self.task.join_next().await {
            Some(ended) => ended?,
            None => anyhow::bail!("the held connection failed before"),
        }
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    does: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::time::timeout(limit, does).await.map_err(|_| TimedOut::new(what, limit))?
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
