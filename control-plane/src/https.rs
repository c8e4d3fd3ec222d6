//! HTTPS to services of others: no redirects, bounded answers, a deadline; their bytes are never believed.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{Client, Request, StatusCode, Url, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

mod roots;

pub use roots::roots;

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long a whole exchange may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longest answer that is read, bytes.
pub(crate) const LONGEST_ANSWER: usize = 64 << 10;

/// Sends requests; cheap to clone.
#[derive(Clone)]
pub struct Https {
    client: Client,
}

/// What a service answered.
#[derive(Debug)]
pub struct Answer {
    /// Status; a redirect is one like any other.
    pub status: StatusCode,
    /// At most 64 KiB.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// No connection, no TLS, or no answer in time.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// Host of the request.
        host: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// It answers more than anyone asked for.
    #[error("{host} answered with more than 64 KiB")]
    TooLong {
        /// Host of the request.
        host: String,
    },
}

impl Https {
    /// A client that trusts `roots`; a host of `instead` is reached at the address beside it, under its own name.
    ///
    /// # Errors
    /// The roots or the cipher suites cannot be used.
    pub fn new(roots: RootCertStore, instead: &[(String, SocketAddr)]) -> anyhow::Result<Self> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN);
        for (host, address) in instead {
            builder = builder.resolve(host, *address);
        }
        Ok(Self { client: builder.build()? })
    }

    /// Gets a document.
    ///
    /// # Errors
    /// [`HttpsError`].
    pub async fn get(&self, url: Url) -> Result<Answer, HttpsError> {
        self.send(Request::new(reqwest::Method::GET, url)).await
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`HttpsError`].
    pub async fn send(&self, request: Request) -> Result<Answer, HttpsError> {
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let unreachable = |source: reqwest::Error| HttpsError::Unreachable {
            host: host.clone(),
            source: source.without_url(),
        };
        let mut answer = self.client.execute(request).await.map_err(unreachable)?;
        let (status, mut body) = (answer.status(), Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(HttpsError::TooLong { host });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}
