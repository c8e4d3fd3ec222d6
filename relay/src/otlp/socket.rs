//! A workload's connection: told apart from what is not HTTP/2, and counted.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::counters::ListenerCounters;

/// What an HTTP/2 client sends first. Source: RFC 9113 §3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose first bytes were HTTP/2's.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// How much of the preface HTTP/2 has read again.
    replayed: usize,
    counters: Arc<ListenerCounters>,
}

/// Why a connection is no HTTP/2 connection.
#[derive(Debug)]
pub(super) enum NotHttp2 {
    /// It ended before it said so.
    Closed,
    /// It said something else; what it looks like.
    Other(&'static str),
    /// It broke.
    Broken,
}

/// Reads the preface.
pub(super) async fn open(
    mut stream: TcpStream,
    counters: Arc<ListenerCounters>,
) -> Result<Socket, NotHttp2> {
    let mut first = [0; PREFACE.len()];
    let mut filled = 0;
    while filled < first.len() {
        let read = stream
            .read(first.get_mut(filled..).unwrap_or_default())
            .await
            .map_err(|_| NotHttp2::Broken)?;
        if read == 0 {
            return Err(NotHttp2::Closed);
        }
        counters.received(read as u64);
        filled += read;
        let said = first.get(..filled).unwrap_or_default();
        if !PREFACE.starts_with(said) {
            return Err(NotHttp2::Other(looks_like(said)));
        }
    }
    Ok(Socket { stream, replayed: 0, counters })
}

fn looks_like(said: &[u8]) -> &'static str {
    const METHODS: [&[u8]; 6] = [b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"CONN"];
    match said {
        [0x16, 0x03, ..] => "TLS",
        _ if METHODS.iter().any(|method| said.starts_with(method)) => "HTTP/1",
        _ => "no known protocol",
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let replay = PREFACE.get(self.replayed..).unwrap_or_default();
        if !replay.is_empty() {
            let now = replay.len().min(into.remaining());
            into.put_slice(replay.get(..now).unwrap_or_default());
            self.replayed += now;
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        self.counters.received((into.filled().len() - before) as u64);
        polled
    }
}

impl Socket {
    fn count_sent(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(written)) = polled {
            self.counters.sent(written as u64);
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, from);
        self.count_sent(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, from);
        self.count_sent(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
