//! Notes the TLS alert that ends a connection. With TLS 1.3 a server judges the client's certificate after the handshake
//! looks done, and HTTP/2 keeps only the text of what it then reads.
use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The alert that ended a connection, if one did.
#[derive(Clone, Debug, Default)]
pub(super) struct Alert(Arc<OnceLock<AlertDescription>>);

impl Alert {
    /// Whether the other side did not accept this side's certificate.
    pub(super) fn refuses_certificate(&self) -> bool {
        matches!(
            self.0.get(),
            Some(
                AlertDescription::UnknownCA
                    | AlertDescription::BadCertificate
                    | AlertDescription::CertificateExpired
                    | AlertDescription::CertificateRevoked
                    | AlertDescription::CertificateUnknown
                    | AlertDescription::DecryptError
                    | AlertDescription::AccessDenied
            )
        )
    }

    fn note(&self, error: &io::Error) {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        if let Some(rustls::Error::AlertReceived(alert)) = cause {
            // The first one is the reason; what follows is its echo.
            self.0.set(*alert).ok();
        }
    }
}

pin_project! {
    /// A stream whose alerts are noted.
    #[derive(Debug)]
    pub(super) struct Noting<S> {
        #[pin]
        stream: S,
        alert: Alert,
    }
}

impl<S> Noting<S> {
    pub(super) fn new(stream: S, alert: Alert) -> Self {
        Self { stream, alert }
    }
}

impl<S: AsyncRead> AsyncRead for Noting<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let read = ready!(this.stream.poll_read(cx, buf));
        if let Err(error) = &read {
            this.alert.note(error);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite> AsyncWrite for Noting<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
