//! Asks an HTTP proxy for a tunnel. Source: RFC 9110 §9.3.6.

use std::io;

use ekiden_settings::Endpoint;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::Stream;

/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 8 << 10;

/// Makes the stream to a proxy one to the endpoint; nothing that the endpoint says first is lost.
pub(super) async fn tunnel(
    stream: &mut Stream,
    endpoint: &Endpoint,
    authorization: Option<&SecretString>,
) -> io::Result<()> {
    let mut request =
        Zeroizing::new(format!("CONNECT {endpoint} HTTP/1.1\r\nhost: {endpoint}\r\n"));
    if let Some(authorization) = authorization {
        request.push_str("proxy-authorization: ");
        request.push_str(authorization.expose_secret());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_HEAD {
            return Err(io::Error::other("its answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    // What a proxy writes beside the number may repeat what it was asked, the secret included.
    match status(&head) {
        Some(200..=299) => Ok(()),
        Some(407) => Err(io::Error::other("it wants other credentials (407)")),
        Some(status) => Err(io::Error::other(format!("it answers {status}"))),
        None => Err(io::Error::other("its answer is no HTTP")),
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    let code = line.get(2..5)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_http_and_from_nothing_else() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n"), Some(407));
        for other in [&b"HTTP/2 200\r\n\r\n"[..], b"", b"HTTP/1.1 2x0 OK", b"HTTP/1.1", b"SSH-2.0"]
        {
            assert_eq!(status(other), None);
        }
    }
}
