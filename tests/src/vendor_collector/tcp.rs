//! What a collector does with a raw TCP connection.
use std::net::SocketAddr;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::records::Records;
use crate::workloads::tcp::{read_all, write_random};

/// Size of one read or write, in bytes.
const CHUNK: usize = 64 << 10;

/// How a collector treats a TCP connection.
#[derive(Clone, Debug)]
pub enum Exchange {
    /// Sends back what arrives; half-closes when the peer does.
    Echo,
    /// Reads to the end, then closes.
    Sink,
    /// Sends this many random bytes and half-closes; whatever arrives is read too, at the same time.
    Send(u64),
}

/// Treats one connection as `exchange` says and keeps hashes of both directions.
pub(super) async fn serve(
    records: &Records,
    exchange: Exchange,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    peer: SocketAddr,
) -> anyhow::Result<()> {
    let index = records.open_stream(peer);
    let ended = Ended { records, index };
    match exchange {
        Exchange::Echo => echo(records, index, stream).await?,
        Exchange::Sink => both(records, index, stream, 0).await?,
        Exchange::Send(bytes) => both(records, index, stream, bytes).await?,
    }
    drop(ended);
    Ok(())
}

/// Marks a stream as over, also when its task is cut.
struct Ended<'a> {
    records: &'a Records,
    index: usize,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.records.stream(self.index, |stream| stream.ended = true);
    }
}

async fn echo(
    records: &Records,
    index: usize,
    mut stream: impl AsyncRead + AsyncWrite + Send + Unpin,
) -> anyhow::Result<()> {
    let mut hash = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
        records.stream(index, |stream| stream.received += read as u64);
        stream.write_all(&chunk[..read]).await?;
        records.stream(index, |stream| stream.sent += read as u64);
    }
    stream.shutdown().await?;
    let digest: [u8; 32] = hash.finish().as_ref().try_into()?;
    records.stream(index, |stream| {
        stream.received_sha256 = Some(digest);
        stream.sent_sha256 = Some(digest);
    });
    Ok(())
}

async fn both(
    records: &Records,
    index: usize,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    send: u64,
) -> anyhow::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let receive = async {
        let seen = |read: u64| records.stream(index, |stream| stream.received += read);
        let (_, digest) = read_all(&mut reader, seen).await?;
        records.stream(index, |stream| stream.received_sha256 = Some(digest));
        anyhow::Ok(())
    };
    let sending = async {
        if send > 0 {
            let digest = write_random(&mut writer, send).await?;
            records.stream(index, |stream| {
                stream.sent = send;
                stream.sent_sha256 = Some(digest);
            });
            writer.shutdown().await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(receive, sending)?;
    writer.shutdown().await?;
    Ok(())
}
