//! What a workload is answered, as an HTTP/2 response.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame};

use super::{
    compression::{ACCEPTED, Encoding, GRPC_ACCEPT_ENCODING, GRPC_ENCODING},
    error::{Refusal, status},
    message::Framed,
};

/// Answers smaller than this are not compressed: it would cost more than it saves.
const COMPRESS_FROM: usize = 1024;

/// A response body: one message and the trailers after it, or nothing where the headers say it all.
#[derive(Debug, Default)]
pub(super) struct Answer {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

/// Answers with the collector's response message.
pub(super) fn accepted(message: &[u8], compression: Option<Encoding>) -> Response<Answer> {
    let compressed = compression.filter(|_| message.len() >= COMPRESS_FROM).and_then(|encoding| {
        Some((encoding, Framed::new(&encoding.compress(message).ok()?, true)?))
    });
    let (encoding, framed) = match compressed {
        Some((encoding, framed)) => (Some(encoding), framed),
        None => (None, Framed::new(message, false).unwrap_or(Framed::EMPTY)),
    };
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut response =
        Response::new(Answer { message: Some(framed.into_bytes()), trailers: Some(trailers) });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(encoding) = encoding {
        headers.insert(GRPC_ENCODING, encoding.header());
    }
    response
}

/// Answers with a refusal.
pub(super) fn refused(refusal: Refusal) -> Response<Answer> {
    let http_status = match refusal {
        Refusal::NotGrpc => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::OK,
    };
    let mut response: Response<Answer> = status(refusal).into_http();
    *response.status_mut() = http_status;
    response.headers_mut().insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
    response
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.message.take() {
            Some(message) => Some(Frame::data(message)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}
