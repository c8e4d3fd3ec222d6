//! Buffers that connections borrow.

use std::{cell::RefCell, ops::Range};

/// Big enough that bulk costs few system calls: 8 KiB cost half as much CPU again.
const SIZE: usize = 64 << 10;
/// Buffers that a thread keeps for the next reads.
const KEPT: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer with bytes on their way; goes back to its thread's spares when dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    filled: Range<usize>,
}

impl Buffer {
    /// Borrows an empty one.
    pub(super) fn borrow() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        Self { bytes: spare.unwrap_or_else(|| vec![0; SIZE].into()), filled: 0..0 }
    }

    /// What a read may fill.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Notes how many bytes a read has filled.
    pub(super) fn fill(&mut self, count: usize) {
        self.filled = 0..count.min(self.bytes.len());
    }

    /// What is still to be written.
    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(self.filled.clone()).unwrap_or_default()
    }

    /// Notes that bytes were written.
    pub(super) fn advance(&mut self, count: usize) {
        self.filled.start += count.min(self.filled.len());
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // A thread that ends keeps nothing.
        SPARE
            .try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < KEPT {
                    spare.push(bytes);
                }
            })
            .ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_gives_out_what_was_filled_and_comes_back_empty() {
        let mut buffer = Buffer::borrow();
        buffer.space()[..5].copy_from_slice(b"hello");
        buffer.fill(5);
        buffer.advance(2);
        assert_eq!(buffer.filled(), b"llo");
        buffer.advance(3);
        assert!(buffer.filled().is_empty());
        drop(buffer);
        assert!(Buffer::borrow().filled().is_empty());
    }

    #[test]
    fn a_thread_keeps_few_spares() {
        drop((0..20).map(|_| Buffer::borrow()).collect::<Vec<_>>());
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }
}
