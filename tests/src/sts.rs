//! AWS STS on loopback, with signatures checked, and the account's issuer of web identity tokens.
//!
//! Tasks reach STS over plain HTTP, by `AWS_ENDPOINT_URL_STS`. Under their public names STS and issuer answer over TLS.
//!
//! - `api`: the actions.
//! - `issuer`: tokens, and the documents by which they are verified.
mod api;
mod issuer;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use ekiden_relay::clock::Clock;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use self::issuer::Issuer;
use crate::certificates::Authority;

/// STS of the tasks' region.
pub const STS_HOST: &str = "sts.ap-northeast-1.amazonaws.com";
/// Issuer of the account's web identity tokens.
pub const ISSUER_HOST: &str = "0f3c1b5e-7a52-4be0-9d3a-2c6e81f4d970.tokens.sts.global.api.aws";
/// Issuer as tokens and enrollment rules name it.
pub const ISSUER: &str = "https://0f3c1b5e-7a52-4be0-9d3a-2c6e81f4d970.tokens.sts.global.api.aws";

/// One call as it came, for assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whom it was for: a public name, or the plain endpoint.
    pub host: String,
    /// The action of STS, or the issuer's document.
    pub what: String,
    /// Code of the error that was answered; `None`: success.
    pub error: Option<&'static str>,
}

/// How STS and issuer answer.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Whether the account has outbound identity federation switched on.
    pub federates: bool,
    /// Whether it fails whatever it is asked.
    pub fails: bool,
    /// How long each answer takes.
    pub delay: Duration,
}

/// A running stand-in; it stops when dropped.
#[derive(Debug)]
pub struct Sts {
    plain: SocketAddr,
    tls: SocketAddr,
    shared: Arc<Shared>,
    /// Aborts the servers when dropped.
    _servers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    issuer: Issuer,
    clock: Clock,
    behaviour: Mutex<Behaviour>,
    calls: Mutex<Vec<Call>>,
}

/// An answer: its JSON, which STS's callers may want as XML, or the status and code of an error.
type Answer = Result<serde_json::Value, (StatusCode, &'static str)>;

impl Sts {
    /// Starts it on `bind`, twice; `authority` certifies the public names.
    pub async fn start(bind: SocketAddr, authority: &Authority) -> anyhow::Result<Self> {
        let (plain, tls) = (TcpListener::bind(bind).await?, TcpListener::bind(bind).await?);
        let (plain_at, tls_at) = (plain.local_addr()?, tls.local_addr()?);
        let names = [STS_HOST.to_owned(), ISSUER_HOST.to_owned()];
        let config = authority.server_config(&names, &["http/1.1"])?;
        let behaviour = Behaviour { federates: true, fails: false, delay: Duration::ZERO };
        let shared = Arc::new(Shared {
            issuer: Issuer::new()?,
            clock: Clock::system(),
            behaviour: Mutex::new(behaviour),
            calls: Mutex::default(),
        });
        let router = Router::new().fallback(call).with_state(Arc::clone(&shared));
        let mut servers = JoinSet::new();
        servers.spawn(serve_tls(tls, config, router.clone()));
        servers.spawn(async move {
            if let Err(error) = axum::serve(plain, router).await {
                tracing::warn!(%error, "the STS stand-in stopped");
            }
        });
        Ok(Self { plain: plain_at, tls: tls_at, shared, _servers: servers })
    }

    /// Returns its plain endpoint, for `AWS_ENDPOINT_URL_STS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.plain)
    }

    /// Returns where its public names are served.
    pub fn tls(&self) -> SocketAddr {
        self.tls
    }

    /// Makes it answer otherwise from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.shared.behaviour));
    }

    /// Returns every call so far.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }
}

async fn serve_tls(listener: TcpListener, config: Arc<ServerConfig>, router: Router) {
    let (tls, mut connections) = (TlsAcceptor::from(config), JoinSet::new());
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, tls.clone(), router.clone()));
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, router: Router) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let http = auto::Builder::new(TokioExecutor::new());
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = served.await {
        tracing::debug!(error, "serving a connection");
    }
}

async fn call(State(shared): State<Arc<Shared>>, head: Parts, body: Bytes) -> Response {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default().to_owned();
    let behaviour = *lock(&shared.behaviour);
    if !behaviour.delay.is_zero() {
        tokio::time::sleep(behaviour.delay).await;
    }
    let (what, answer) = match host.as_str() {
        ISSUER_HOST => (head.uri.path().to_owned(), shared.issuer.document(head.uri.path())),
        _ => api::act(&shared, behaviour, &head, &body),
    };
    let answer = match behaviour.fails {
        true => Err((StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")),
        false => answer,
    };
    let error = answer.as_ref().err().map(|(_, code)| *code);
    lock(&shared.calls).push(Call { host: host.clone(), what, error });
    let json = host == ISSUER_HOST || text(header::ACCEPT) == Some("application/json");
    let (status, content_type, text) = api::text(answer, json);
    (status, [(header::CONTENT_TYPE, content_type)], text).into_response()
}

/// A test that panicked elsewhere must not hide the state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
