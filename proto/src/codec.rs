//! How messages become bytes: prost, in buffers that start small.
use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// What a stream's buffer holds at first, in bytes: a control plane keeps two for each of its relays, and most messages are
/// heartbeats. tonic's own 8 KiB would be most of an idle session's memory.
const FIRST: usize = 512;
/// What is gathered, in bytes, before it is handed to HTTP/2; tonic's own.
const GATHERED: usize = 32 << 10;

/// The codec of every Ekiden service: sends `Out`, receives `In`.
#[derive(Debug)]
pub struct LeanCodec<Out, In>(PhantomData<(Out, In)>);

impl<Out, In> Default for LeanCodec<Out, In> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Out, In> Codec for LeanCodec<Out, In>
where
    Out: Message + Send + 'static,
    In: Message + Default + Send + 'static,
{
    type Encode = Out;
    type Decode = In;
    type Encoder = ProstEncoder<Out>;
    type Decoder = ProstDecoder<In>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<Out, In>::raw_encoder(BufferSettings::new(FIRST, GATHERED))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<Out, In>::raw_decoder(BufferSettings::new(FIRST, GATHERED))
    }
}
