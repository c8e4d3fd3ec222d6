//! Reads a collector's answer to its end.

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{
    channel::Failure,
    compression::Encoding,
    message::{Assembly, FrameError},
    verdict::{self, Verdict},
};
use crate::error_chain::chain;

/// Largest answer taken from a collector, in bytes: gRPC's usual limit.
const MAX_ANSWER: usize = 4 << 20;

/// Why an answer tells nothing.
pub(super) enum Unread {
    /// The connection broke within it.
    Broken(Failure),
    /// It is no gRPC answer; what is wrong.
    NotGrpc(&'static str),
}

/// Gives the status and the response message, expanded; a success without a message is one with an empty message.
pub(super) async fn read(answer: Response<Incoming>) -> Result<(Verdict, Bytes), Unread> {
    let (head, mut body) = answer.into_parts();
    if let Some(verdict) = verdict::of_headers(&head.headers) {
        return Ok((verdict, Bytes::new()));
    }
    if let Some(said) = verdict::of_http(head.status) {
        return Ok((Verdict::Refused(said), Bytes::new()));
    }
    let mut assembly = Assembly::new(MAX_ANSWER);
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Unread::Broken(Failure::Lost(chain(&error))))?;
        match frame.into_data() {
            Ok(chunk) => assembly.push(chunk)?,
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let verdict = trailers
        .as_ref()
        .and_then(verdict::of_headers)
        .ok_or(Unread::NotGrpc("it has no status"))?;
    let message = match (&verdict, assembly.finish()?) {
        (Verdict::Refused(_), _) | (_, None) => Bytes::new(),
        (Verdict::Accepted, Some(framed)) if !framed.compressed() => framed.message(),
        (Verdict::Accepted, Some(framed)) => {
            let Ok(Some(encoding)) = Encoding::of_message(&head.headers) else {
                return Err(Unread::NotGrpc("its compression is unknown"));
            };
            let plain = encoding.expand(&framed.message(), MAX_ANSWER);
            Bytes::from(plain.map_err(|_| Unread::NotGrpc("it cannot be decompressed"))?)
        }
    };
    Ok((verdict, message))
}

impl From<FrameError> for Unread {
    fn from(error: FrameError) -> Self {
        Self::NotGrpc(error.what())
    }
}
