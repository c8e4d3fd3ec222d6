//! The ECS task credentials endpoint, good or bad.
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    harness::wait::{SAFETY, TimedOut},
    task_role::{CREDENTIALS, ROLE_ARN},
};

/// How the endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the task role's credentials.
    Serves,
    /// With 500.
    Fails,
    /// With something that is not JSON.
    Garbage,
    /// Never.
    Silent,
}

/// A running endpoint; it stops when dropped.
#[derive(Debug)]
pub struct TaskCredentials {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Aborts the server when dropped.
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    answer: watch::Sender<Answer>,
    asked: watch::Sender<u64>,
}

impl TaskCredentials {
    /// Starts it; it fails until told otherwise.
    pub async fn start(host: IpAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            answer: watch::Sender::new(Answer::Fails),
            asked: watch::Sender::new(0),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the task credentials endpoint stopped");
            }
        });
        Ok(Self { address, shared, _server: server })
    }

    /// Returns what `AWS_CONTAINER_CREDENTIALS_FULL_URI` would be.
    pub fn url(&self) -> String {
        format!("http://{}/v2/credentials", self.address)
    }

    /// Answers so from now on; returns how often it was asked until now.
    pub fn answer(&self, answer: Answer) -> u64 {
        self.shared.answer.send_replace(answer);
        *self.shared.asked.borrow()
    }

    /// Waits until it was asked more often than that.
    pub async fn asked_again(&self, than: u64) -> Result<(), TimedOut> {
        let mut asked = self.shared.asked.subscribe();
        let again = tokio::time::timeout(SAFETY, asked.wait_for(|asked| *asked > than));
        match again.await {
            Ok(_) => Ok(()),
            Err(_) => Err(TimedOut::new("the credentials endpoint is asked", SAFETY)),
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>) -> Response {
    shared.asked.send_modify(|asked| *asked += 1);
    let answer = *shared.answer.borrow();
    match answer {
        Answer::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Answer::Garbage => "<html>not the endpoint you look for".into_response(),
        Answer::Silent => std::future::pending().await,
        Answer::Serves => axum::Json(json!({
            "RoleArn": ROLE_ARN,
            "AccessKeyId": CREDENTIALS.access_key_id,
            "SecretAccessKey": CREDENTIALS.secret,
            "Token": CREDENTIALS.session_token,
            "Expiration": "2099-01-01T00:00:00Z",
        }))
        .into_response(),
    }
}
