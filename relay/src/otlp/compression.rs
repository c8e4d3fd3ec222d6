//! The compressions that gRPC messages travel in: gzip and zstd, bounded on the way out of them.

use std::io::{self, Read, Write};

use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Header that names a message's compression.
pub(super) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// Header that names the compressions that a peer takes.
pub(super) const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// What the relay takes, from workloads and from collectors.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");

/// The largest zstd window taken, as a power of two: 8 MiB, what RFC 8878 §3.1.1.1.2 asks decoders to support. The
/// library's default would let a few bytes of frame header reserve 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// A compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Zstd,
}

/// Why bytes could not be expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// They are not what their encoding says, or cut short.
    Corrupt,
    /// They expand past the limit.
    TooLarge,
}

impl Encoding {
    /// Reads `grpc-encoding`: nothing for identity, the header's value as error where it is unknown.
    pub(super) fn of_message(headers: &HeaderMap) -> Result<Option<Self>, String> {
        match headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(None),
            Some(b"gzip") => Ok(Some(Self::Gzip)),
            Some(b"zstd") => Ok(Some(Self::Zstd)),
            Some(other) => Err(String::from_utf8_lossy(other).chars().take(32).collect()),
        }
    }

    /// Chooses what to answer in from `grpc-accept-encoding`; zstd, which costs less, where the peer takes both.
    pub(super) fn for_answer(headers: &HeaderMap) -> Option<Self> {
        let mut gzip = false;
        for name in headers
            .get_all(GRPC_ACCEPT_ENCODING)
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        {
            match name.trim_ascii() {
                b"zstd" => return Some(Self::Zstd),
                b"gzip" => gzip = true,
                _ => {}
            }
        }
        gzip.then_some(Self::Gzip)
    }

    /// Gives the encoding's name as a header value.
    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// Gives the encoding's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Expands a whole message of at most `limit` bytes; never holds more than one byte past it.
    pub(super) fn expand(self, compressed: &[u8], limit: usize) -> Result<Vec<u8>, ExpandError> {
        let capacity = compressed.len().saturating_mul(4).min(limit);
        match self {
            // All members, since a collector may read them all: what was not checked must not be passed on.
            Self::Gzip => read(MultiGzDecoder::new(compressed), capacity, limit),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed)
                    .map_err(|_| ExpandError::Corrupt)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|_| ExpandError::Corrupt)?;
                read(decoder, capacity, limit)
            }
        }
    }

    /// Compresses a message, fast rather than small.
    pub(super) fn compress(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut encoder =
                    GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
                encoder.write_all(plain)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(plain, 1),
        }
    }
}

fn read(from: impl Read, capacity: usize, limit: usize) -> Result<Vec<u8>, ExpandError> {
    let mut plain = Vec::with_capacity(capacity);
    let past_limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    from.take(past_limit).read_to_end(&mut plain).map_err(|_| ExpandError::Corrupt)?;
    if plain.len() > limit { Err(ExpandError::TooLarge) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Encoding; 2] = [Encoding::Gzip, Encoding::Zstd];

    #[test]
    fn what_was_compressed_expands_to_the_same() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(|n| (n % 1000).to_le_bytes()).collect();
        for encoding in BOTH {
            let compressed = encoding.compress(&plain).unwrap();
            assert!(compressed.len() < plain.len());
            assert_eq!(encoding.expand(&compressed, plain.len()).unwrap(), plain);
            assert_eq!(encoding.expand(&compressed, plain.len() - 1), Err(ExpandError::TooLarge));
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let plain = vec![0; 64 << 20];
        for encoding in BOTH {
            let bomb = encoding.compress(&plain).unwrap();
            assert!(bomb.len() < 1 << 20);
            assert_eq!(encoding.expand(&bomb, 1 << 20), Err(ExpandError::TooLarge));
        }
    }

    #[test]
    fn damage_is_found() {
        let plain: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        for encoding in BOTH {
            let mut compressed = encoding.compress(&plain).unwrap();
            assert_eq!(encoding.expand(b"no such thing", 1000), Err(ExpandError::Corrupt));
            assert_eq!(
                encoding.expand(&compressed[..compressed.len() - 5], 1 << 20),
                Err(ExpandError::Corrupt)
            );
            compressed.extend_from_slice(b"trailing");
            assert_eq!(encoding.expand(&compressed, 1 << 20), Err(ExpandError::Corrupt));
        }
    }

    #[test]
    fn every_gzip_member_is_read() {
        let two = [
            Encoding::Gzip.compress(b"seen, ").unwrap(),
            Encoding::Gzip.compress(b"also seen").unwrap(),
        ]
        .concat();
        assert_eq!(Encoding::Gzip.expand(&two, 100).unwrap(), b"seen, also seen");
    }

    #[test]
    fn a_zstd_frame_that_asks_for_a_huge_window_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"small").unwrap();
        assert_eq!(
            Encoding::Zstd.expand(&encoder.finish().unwrap(), 100),
            Err(ExpandError::Corrupt)
        );
    }

    #[test]
    fn the_answer_takes_zstd_first() {
        let mut headers = HeaderMap::new();
        assert_eq!(Encoding::for_answer(&headers), None);
        headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity, gzip"));
        assert_eq!(Encoding::for_answer(&headers), Some(Encoding::Gzip));
        headers.append(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("deflate,zstd"));
        assert_eq!(Encoding::for_answer(&headers), Some(Encoding::Zstd));
    }
}
