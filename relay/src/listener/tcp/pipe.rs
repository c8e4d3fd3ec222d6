//! Kernel pipes through which bulk moves from socket to socket without being copied into the process.

use std::{cell::RefCell, io, os::fd::OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// What a pipe should hold, in bytes; the kernel may give less.
const SIZE: usize = 512 << 10;
/// Pipes that a thread keeps for the next bulk.
const KEPT: usize = 4;
const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

thread_local! {
    static SPARE: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Ends {
    out: OwnedFd,
    into: OwnedFd,
}

/// A pipe with bytes on their way; goes back to its thread's spares when dropped empty.
#[derive(Debug)]
pub(super) struct Pipe {
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// Borrows an empty one.
    ///
    /// # Errors
    /// Where the process or the user may have no more pipes.
    pub(super) fn borrow() -> io::Result<Self> {
        let ends = match SPARE.with_borrow_mut(Vec::pop) {
            Some(ends) => ends,
            None => Ends::open()?,
        };
        Ok(Self { ends: Some(ends), held: 0 })
    }

    /// How many bytes are in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Moves what a socket has into the empty pipe; 0: the socket has ended.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let Some(ends) = &self.ends else { return Ok(0) };
        let moved = from.try_io(Interest::READABLE, || {
            Ok(splice(from, None, &ends.into, None, SIZE, FLAGS)?)
        })?;
        self.held += moved;
        Ok(moved)
    }

    /// Moves what is in the pipe into a socket, as far as it takes it.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let Some(ends) = &self.ends else { return Ok(0) };
        let moved = to.try_io(Interest::WRITABLE, || {
            Ok(splice(&ends.out, None, to, None, self.held, FLAGS)?)
        })?;
        self.held -= moved.min(self.held);
        Ok(moved)
    }
}

impl Ends {
    fn open() -> io::Result<Self> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user's pipes may together hold only so much; a smaller one works as well.
        fcntl_setpipe_size(&into, SIZE).ok();
        Ok(Self { out, into })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take().filter(|_| self.held == 0) else { return };
        // A thread that ends keeps nothing.
        SPARE
            .try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < KEPT {
                    spare.push(ends);
                }
            })
            .ok();
    }
}
