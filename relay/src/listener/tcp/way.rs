//! One way through a connection: what one side says, the other side hears, its end included.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{buffer::Buffer, pipe::Pipe};
use crate::collector::Stream;

/// Reads in one turn; then the other way and other connections have theirs.
const TURN: u32 = 8;
/// A read of so many bytes counts toward bulk, and so many of them in a row are bulk.
const LARGE: usize = 32 << 10;
const BULK: u32 = 16;
/// A splice of fewer bytes counts against bulk, and so many of them in a row end it.
const SMALL: usize = 8 << 10;
const NO_BULK: u32 = 8;

/// The state of one way.
#[derive(Debug, Default)]
pub(super) struct Way {
    held: Held,
    /// Bytes moved and not asked for yet.
    moved: u64,
    /// How many reads in a row spoke for the other mode.
    streak: u32,
    bulk: bool,
    /// Written, but perhaps still within TLS.
    unflushed: bool,
    ended: Option<End>,
    done: bool,
}

/// How a source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Said,
    /// TCP ended and TLS did not, as many a server has it.
    Truncated,
}

/// Where bytes are between reading and writing.
#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    Buffer(Buffer),
    Pipe(Pipe),
}

/// What broke a way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Broken {
    /// The side that was read.
    Source,
    /// The side that was written to.
    Sink,
}

impl Way {
    /// Takes the count of bytes moved since it was last taken.
    pub(super) fn take_moved(&mut self) -> u64 {
        std::mem::take(&mut self.moved)
    }

    /// How the source said its last byte; none: it has more to say.
    pub(super) fn ended(&self) -> Option<End> {
        self.ended
    }

    /// Whether the source has ended and the sink was told.
    pub(super) fn done(&self) -> bool {
        self.done
    }

    /// Moves what can be moved; ready when the source has ended and the sink was told.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Poll<Result<(), Broken>> {
        ready!(self.poll_write(context, to))?;
        for _ in 0..TURN {
            if self.ended.is_some() {
                // A sink that is gone needs no farewell.
                drop(ready!(Pin::new(&mut *to).poll_shutdown(context)));
                self.done = true;
                return Poll::Ready(Ok(()));
            }
            if self.poll_read(context, from, to).map_err(|_| Broken::Source)?.is_pending() {
                if self.unflushed
                    && Pin::new(&mut *to).poll_flush(context).map_err(|_| Broken::Sink)?.is_ready()
                {
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
            ready!(self.poll_write(context, to))?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Says the last byte to the sink, whatever the source still has to say, and lets go of that; ready when the source
    /// has ended as well.
    pub(super) fn poll_part(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Poll<Result<(), Broken>> {
        if !self.done {
            ready!(self.poll_write(context, to))?;
            drop(ready!(Pin::new(&mut *to).poll_shutdown(context)));
            self.done = true;
        }
        for _ in 0..TURN {
            if self.ended.is_some() {
                return Poll::Ready(Ok(()));
            }
            if self.poll_copy(context, from).map_err(|_| Broken::Source)?.is_pending() {
                return Poll::Pending;
            }
            self.held = Held::Nothing;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes all that is held.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        to: &mut Stream,
    ) -> Poll<Result<(), Broken>> {
        match &mut self.held {
            Held::Nothing => return Poll::Ready(Ok(())),
            Held::Buffer(buffer) => {
                while !buffer.filled().is_empty() {
                    match ready!(Pin::new(&mut *to).poll_write(context, buffer.filled())) {
                        Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Sink)),
                        Ok(written) => {
                            buffer.advance(written);
                            self.moved += written as u64;
                        }
                    }
                }
                self.unflushed = !matches!(to, Stream::Plain(_));
            }
            Held::Pipe(pipe) => {
                while pipe.held() > 0 {
                    ready!(to.tcp().poll_write_ready(context)).map_err(|_| Broken::Sink)?;
                    match pipe.drain(to.tcp()) {
                        Ok(written @ 1..) => self.moved += written as u64,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Sink)),
                    }
                }
            }
        }
        self.held = Held::Nothing;
        Poll::Ready(Ok(()))
    }

    /// Reads once. A buffer or pipe is borrowed only when there is something to read, and kept only with bytes in it.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Stream,
        to: &Stream,
    ) -> io::Result<Poll<()>> {
        let (Stream::Plain(source), Stream::Plain(_)) = (&*from, to) else {
            return self.poll_copy(context, from);
        };
        while source.poll_read_ready(context)?.is_ready() {
            let pipe = if self.bulk { Pipe::borrow().ok() } else { None };
            let Some(mut pipe) = pipe else { return self.poll_copy(context, from) };
            match pipe.fill(source) {
                Ok(0) => self.ended = Some(End::Said),
                Ok(count) => {
                    self.held = Held::Pipe(pipe);
                    self.lean(count < SMALL, NO_BULK);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            return Ok(Poll::Ready(()));
        }
        Ok(Poll::Pending)
    }

    fn poll_copy(&mut self, context: &mut Context<'_>, from: &mut Stream) -> io::Result<Poll<()>> {
        if let Stream::Plain(source) = &*from
            && source.poll_read_ready(context)?.is_pending()
        {
            return Ok(Poll::Pending);
        }
        let mut buffer = Buffer::borrow();
        let mut space = ReadBuf::new(buffer.space());
        let read = Pin::new(&mut *from).poll_read(context, &mut space);
        let count = space.filled().len();
        match read {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(())) if count > 0 => {
                buffer.fill(count);
                self.held = Held::Buffer(buffer);
                self.lean(count >= LARGE, BULK);
            }
            Poll::Ready(Ok(())) => self.ended = Some(End::Said),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = Some(End::Truncated);
            }
            Poll::Ready(Err(error)) => return Err(error),
        }
        Ok(Poll::Ready(()))
    }

    /// Counts reads that speak for the other mode, and changes to it after enough of them in a row.
    fn lean(&mut self, over: bool, enough: u32) {
        self.streak = if over { self.streak + 1 } else { 0 };
        if self.streak >= enough {
            self.bulk = !self.bulk;
            self.streak = 0;
        }
    }
}
