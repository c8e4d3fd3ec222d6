//! Calls to one control plane: a time limit, retries where they are safe, and one request id for the change a command makes.
use std::{io::IsTerminal, time::Duration};

use secrecy::ExposeSecret;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt;

use crate::{
    arguments::Global,
    environment::Environment,
    failure::{Failure, chain},
    names::Defaults,
    output::Printer,
    target::Target,
};

/// How often a call is sent when the control plane says that trying again is safe.
const ATTEMPTS: u32 = 4;
/// Items asked for at once.
const PAGE: usize = 1_000;

/// What clients are made on: `TenantServiceClient::new(session.wire())`.
pub type Wire = InterceptedService<Channel, Credentials>;

/// Calls to one control plane.
#[derive(Debug)]
pub struct Session {
    wire: Wire,
    endpoint: String,
    timeout: Duration,
    request_id: String,
    /// Whether changes are only checked.
    pub validate_only: bool,
    /// What stands in for left-out parents.
    pub names: Defaults,
    /// Where results go.
    pub printer: Printer,
}

/// Puts the token, and the trace that the caller is in, into every request.
#[derive(Clone, Debug)]
pub struct Credentials {
    authorization: MetadataValue<Ascii>,
    traceparent: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.authorization.clone());
        if let Some(traceparent) = &self.traceparent {
            request.metadata_mut().insert("traceparent", traceparent.clone());
        }
        Ok(request)
    }
}

/// What a list gave.
#[derive(Debug)]
pub struct Listing<T> {
    /// The items, at most as many as asked for.
    pub items: Vec<T>,
    /// Token of what follows; empty: nothing does.
    pub next_page_token: String,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// [`Failure::Unreachable`], [`Failure::TimedOut`], or what is wrong with token or CA.
    pub async fn open(
        target: Target,
        global: &Global,
        environment: &Environment,
        printer: Printer,
    ) -> Result<Self, Failure> {
        let endpoint = target.endpoint.to_string().trim_end_matches('/').to_owned();
        let credentials = Credentials {
            authorization: authorization(target.token.expose_secret())?,
            traceparent: environment.traceparent.as_deref().and_then(|text| text.parse().ok()),
        };
        let timeout = global.timeout.0;
        let unreachable = |error: tonic::transport::Error| Failure::Unreachable {
            endpoint: endpoint.clone(),
            cause: chain(&error),
            request_id: None,
        };
        let mut connection = Endpoint::from(target.endpoint.clone())
            .user_agent(concat!("ekidenctl/", env!("CARGO_PKG_VERSION")))
            .map_err(unreachable)?
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        if target.endpoint.scheme_str() == Some("https") {
            let tls = ClientTlsConfig::new();
            let tls = match &target.ca_certificate {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls.with_native_roots(),
            };
            connection = connection.tls_config(tls).map_err(unreachable)?;
        }
        let channel = tokio::time::timeout(timeout, connection.connect())
            .await
            .map_err(|_| Failure::TimedOut {
                endpoint: endpoint.clone(),
                after: timeout,
                request_id: None,
            })?
            .map_err(unreachable)?;
        Ok(Self {
            wire: InterceptedService::new(channel, credentials),
            endpoint,
            timeout,
            request_id: global.request_id.unwrap_or_else(uuid::Uuid::new_v4).to_string(),
            validate_only: global.validate_only,
            names: target.defaults,
            printer,
        })
    }

    /// What clients are made on.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// Id of the change that this command makes; the same for each try.
    #[must_use]
    pub fn request_id(&self) -> String {
        self.request_id.clone()
    }

    /// Calls; tries again when the control plane says UNAVAILABLE and when to come back, as long as the time limit allows.
    ///
    /// # Errors
    /// What the control plane answered last, or that it did not in time.
    pub async fn call<M: Clone, R>(
        &self,
        message: M,
        send: impl AsyncFn(Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let attempts = async {
            let mut attempt = 1;
            loop {
                let status = match send(Request::new(message.clone())).await {
                    Ok(response) => return Ok(response.into_inner()),
                    Err(status) => status,
                };
                let delay = retry_delay(&status).filter(|_| attempt < ATTEMPTS);
                let Some(delay) = delay else { return Err(status) };
                attempt += 1;
                tokio::time::sleep(delay).await;
            }
        };
        match tokio::time::timeout(self.timeout, attempts).await {
            Ok(result) => result.map_err(|status| self.failure(&status)),
            Err(_) => Err(Failure::TimedOut {
                endpoint: self.endpoint.clone(),
                after: self.timeout,
                request_id: None,
            }),
        }
    }

    /// Calls to change something: a failure that leaves the outcome open names the request id.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn change<M: Clone, R>(
        &self,
        message: M,
        send: impl AsyncFn(Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.change_what_was_read(message, send)
            .await
            .map_err(|failure| failure.of_change(&self.request_id))
    }

    /// Calls to change something to what was computed from what was read. Its failure names no request id: the same command
    /// reads anew, so it is harmless by itself, and with the old id it would be another content.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn change_what_was_read<M: Clone, R>(
        &self,
        message: M,
        send: impl AsyncFn(Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let answer = self.call(message, send).await?;
        if self.validate_only {
            self.printer.note("Checked only: nothing was changed.");
        }
        Ok(answer)
    }

    /// Collects a list page by page; `page` gets the page token and the page size. `limit` 0 means all.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn pages<T>(
        &self,
        limit: usize,
        page: impl AsyncFn(String, i32) -> Result<(Vec<T>, String), Failure>,
    ) -> Result<Listing<T>, Failure> {
        let mut items = Vec::new();
        let mut token = String::new();
        loop {
            let left = if limit == 0 { PAGE } else { (limit - items.len()).min(PAGE) };
            let (more, next_page_token) =
                page(token, i32::try_from(left).unwrap_or(i32::MAX)).await?;
            items.extend(more);
            let full = limit != 0 && items.len() >= limit;
            if next_page_token.is_empty() || full {
                if !next_page_token.is_empty() {
                    self.printer.note(&format!(
                        "There are more than these {limit}: see them with a higher `--limit`."
                    ));
                }
                return Ok(Listing { items, next_page_token });
            }
            token = next_page_token;
        }
    }

    /// A status as a failure of this session.
    #[must_use]
    pub fn failure(&self, status: &Status) -> Failure {
        Failure::from_status(status, &self.endpoint)
    }
}

/// When to try again: only where the control plane itself says that it was not done and when to come back.
fn retry_delay(status: &Status) -> Option<Duration> {
    if status.code() != Code::Unavailable {
        return None;
    }
    status.get_details_retry_info()?.retry_delay.map(|delay| delay.min(Duration::from_secs(10)))
}

fn authorization(token: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| {
        Failure::config(
            "the token has characters that no token has",
            "copy it again, without spaces or line breaks",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a person reads standard output.
#[must_use]
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
