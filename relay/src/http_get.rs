//! One small GET over plain HTTP/1, for endpoints of this machine: the task's metadata and the relay's own health.
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpGetError {
    /// The URI names no host.
    #[error("`{0}` names no host")]
    NoHost(Uri),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// There is no connection.
    #[error("no connection")]
    Connect(#[from] std::io::Error),
    /// The other side does not speak HTTP.
    #[error("no HTTP answer")]
    Http(#[from] hyper::Error),
    /// The request cannot be made.
    #[error("no request could be made")]
    Request(#[from] http::Error),
    /// It answered with another status than 200.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// The answer broke off or is too large.
    #[error("the answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Asks the host of `base` for `path`; the answer must be 200 and at most `largest` bytes.
///
/// # Errors
/// [`HttpGetError`].
pub async fn http_get(
    base: &Uri,
    path: &str,
    limit: Duration,
    largest: usize,
) -> Result<Bytes, HttpGetError> {
    timeout(limit, get(base, path, largest)).await.unwrap_or(Err(HttpGetError::TimedOut(limit)))
}

async fn get(base: &Uri, path: &str, largest: usize) -> Result<Bytes, HttpGetError> {
    let host = base.host().ok_or_else(|| HttpGetError::NoHost(base.clone()))?;
    let port = base.port_u16().unwrap_or(80);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((address, port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), largest)
            .collect()
            .await
            .map_err(HttpGetError::Body)?;
        if status == StatusCode::OK {
            Ok(body.to_bytes())
        } else {
            Err(HttpGetError::Status(status))
        }
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        driven = connection => {
            driven?;
            exchange.await
        }
    }
}
