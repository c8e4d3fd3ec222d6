//! The relay's own HTTP server: whether it lives, whether it is ready, and its figures. For this machine and its network.
use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    health::Health,
    metrics::prometheus::{CONTENT_TYPE as OPEN_METRICS, Prometheus},
};

/// Connections open at once; the rest waits in the kernel.
const CONNECTIONS: usize = 64;
/// A client that has not sent a request within this is let go: it must not keep health checks out.
const HEADERS: Duration = Duration::from_secs(2);
/// Whatever is asked is answered within this.
const CONNECTION: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The bound, not yet serving, local HTTP server.
#[derive(Debug)]
pub struct LocalHttp {
    listener: TcpListener,
    health: Health,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    phase: &'static str,
    conditions: Vec<Reason>,
}

#[derive(Serialize)]
struct Reason {
    reason: String,
    message: String,
}

struct Shared {
    health: Health,
    prometheus: Prometheus,
}

impl LocalHttp {
    /// Takes the port.
    ///
    /// # Errors
    /// When it is taken or not allowed.
    pub async fn bind(address: SocketAddr, health: Health) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, health })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for as long as the process runs: a bounded number of connections, each for a bounded time.
    pub async fn serve(self) {
        let shared = Arc::new(Shared {
            prometheus: Prometheus::new(self.health.clone()),
            health: self.health.clone(),
        });
        let router = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(shared);
        let service = TowerToHyperService::new(router);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) => {
                    let serving = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADERS)
                        .serve_connection(TokioIo::new(stream), service.clone());
                    let health = self.health.clone();
                    connections.spawn(async move {
                        match timeout(CONNECTION, serving).await {
                            Ok(Ok(())) => {}
                            Ok(Err(_)) | Err(_) => health.local_http_failed(),
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!(error = %error, "The local HTTP server could not accept a connection");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

/// Alive as long as it can answer, also without settings, without a control plane, and while draining: a restart cures
/// none of these.
async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let assessment = Arc::clone(&shared.health.assessment().borrow());
    let status = if assessment.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let conditions = assessment
        .conditions
        .iter()
        .map(|condition| Reason {
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        })
        .collect();
    let phase = assessment.phase.as_str_name().trim_start_matches("RELAY_PHASE_");
    (status, Json(Readiness { ready: assessment.ready, phase, conditions })).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match shared.prometheus.text() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::warn!(error = %error, "The figures cannot be written as text");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
