//! Puts a gRPC message together from the chunks of an HTTP/2 body.
//!
//! A message stays as it came, with its prefix and its compression, so that it can be passed on without a copy.
//! Format: gRPC over HTTP/2, "Length-Prefixed-Message".

use bytes::{BufMut, Bytes, BytesMut};

/// One byte says whether the message is compressed, four say its length.
const PREFIX: usize = 5;

/// A message with its prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Framed {
    bytes: Bytes,
}

impl Framed {
    /// An empty message, not compressed.
    pub(super) const EMPTY: Self = Self { bytes: Bytes::from_static(&[0; PREFIX]) };

    /// Puts a prefix before a message; nothing where its length does not fit one.
    pub(super) fn new(message: &[u8], compressed: bool) -> Option<Self> {
        if message.is_empty() && !compressed {
            return Some(Self::EMPTY);
        }
        let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
        bytes.put_u8(u8::from(compressed));
        bytes.put_u32(u32::try_from(message.len()).ok()?);
        bytes.put_slice(message);
        Some(Self { bytes: bytes.freeze() })
    }

    /// Says whether the message is compressed.
    pub(super) fn compressed(&self) -> bool {
        self.bytes.first() == Some(&1)
    }

    /// Says how many bytes travel, prefix included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Gives the message as it travels, without its prefix.
    pub(super) fn message(&self) -> Bytes {
        self.bytes.slice(PREFIX..)
    }

    /// Gives the message as it travels, with its prefix.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// Why chunks are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    /// The prefix announces more than the limit.
    TooLarge,
    /// The prefix's first byte is neither 0 nor 1.
    Flag,
    /// The body ended within the message.
    Incomplete,
    /// More follows where one message was due.
    Trailing,
}

impl FrameError {
    /// Says what is wrong, for a person.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::TooLarge => "it is too large",
            Self::Flag => "its first byte is neither 0 nor 1",
            Self::Incomplete => "it ends within the message",
            Self::Trailing => "more follows after the message",
        }
    }
}

/// A message on its way in.
#[derive(Debug)]
pub(super) struct Assembly {
    limit: usize,
    /// Length with prefix, once known.
    whole: Option<usize>,
    chunks: Chunks,
}

#[derive(Debug)]
enum Chunks {
    /// Up to one: what small messages come in; kept without copying.
    One(Bytes),
    Many(BytesMut),
}

impl Assembly {
    /// Begins a message of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, whole: None, chunks: Chunks::One(Bytes::new()) }
    }

    /// Takes the body's next chunk.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), FrameError> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.chunks = match std::mem::replace(&mut self.chunks, Chunks::One(Bytes::new())) {
            Chunks::One(first) if first.is_empty() => Chunks::One(chunk),
            Chunks::One(first) => {
                let mut many =
                    BytesMut::with_capacity(self.whole.unwrap_or(first.len() + chunk.len()));
                many.extend_from_slice(&first);
                many.extend_from_slice(&chunk);
                Chunks::Many(many)
            }
            Chunks::Many(mut many) => {
                many.extend_from_slice(&chunk);
                Chunks::Many(many)
            }
        };
        let so_far: &[u8] = match &self.chunks {
            Chunks::One(bytes) => bytes,
            Chunks::Many(bytes) => bytes,
        };
        if self.whole.is_none() {
            let Some((&[flag, a, b, c, d], _)) = so_far.split_first_chunk::<PREFIX>() else {
                return Ok(());
            };
            if flag > 1 {
                return Err(FrameError::Flag);
            }
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > self.limit {
                return Err(FrameError::TooLarge);
            }
            self.whole = Some(PREFIX + length);
        }
        match self.whole {
            Some(whole) if so_far.len() > whole => Err(FrameError::Trailing),
            _ => Ok(()),
        }
    }

    /// Gives the message when the body has ended; nothing where the body was empty.
    pub(super) fn finish(self) -> Result<Option<Framed>, FrameError> {
        let bytes = match self.chunks {
            Chunks::One(bytes) if bytes.is_empty() => return Ok(None),
            Chunks::One(bytes) => bytes,
            Chunks::Many(bytes) => bytes.freeze(),
        };
        if self.whole == Some(bytes.len()) {
            Ok(Some(Framed { bytes }))
        } else {
            Err(FrameError::Incomplete)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assemble(limit: usize, chunks: &[&[u8]]) -> Result<Option<Framed>, FrameError> {
        let mut assembly = Assembly::new(limit);
        for chunk in chunks {
            assembly.push(Bytes::copy_from_slice(chunk))?;
        }
        assembly.finish()
    }

    proptest! {
        #[test]
        fn a_message_survives_any_chunking(message in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(1_usize..40, 0..400)) {
            let framed = Framed::new(&message, true).unwrap();
            let mut assembly = Assembly::new(300);
            let mut rest = framed.clone().into_bytes();
            for cut in cuts {
                assembly.push(rest.split_to(cut.min(rest.len()))).unwrap();
            }
            assembly.push(rest).unwrap();
            let back = assembly.finish().unwrap().unwrap();
            prop_assert!(back.compressed());
            prop_assert_eq!(&back.message()[..], &message[..]);
            prop_assert_eq!(back, framed);
        }
    }

    #[test]
    fn a_message_in_one_chunk_is_not_copied() {
        let chunk = Framed::new(b"spans", false).unwrap().into_bytes();
        let mut assembly = Assembly::new(10);
        assembly.push(chunk.clone()).unwrap();
        let framed = assembly.finish().unwrap().unwrap();
        assert_eq!(framed.message().as_ptr(), chunk[PREFIX..].as_ptr());
    }

    #[test]
    fn what_is_no_message_is_named() {
        assert_eq!(assemble(10, &[]), Ok(None));
        assert_eq!(assemble(10, &[&[0, 0, 0, 0]]), Err(FrameError::Incomplete));
        assert_eq!(assemble(10, &[&[0, 0, 0, 0, 2, 7]]), Err(FrameError::Incomplete));
        assert_eq!(assemble(10, &[&[0, 0, 0, 0, 1, 7, 7]]), Err(FrameError::Trailing));
        assert_eq!(assemble(10, &[&[0, 0, 0, 0, 1, 7], &[0]]), Err(FrameError::Trailing));
        assert_eq!(assemble(10, &[&[0, 0, 0], &[0, 11]]), Err(FrameError::TooLarge));
        assert_eq!(assemble(10, &[b"GET / HTTP/1.1"]), Err(FrameError::Flag));
    }
}
