//! The ECS task metadata endpoint, version 4, of every task in the world: `{url of the task}/task`.
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use crate::task_role::ACCOUNT;

/// How the endpoint treats questions about one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers.
    Serve,
    /// Answers after this long.
    Slow(Duration),
    /// Answers with something that is not JSON.
    Garbage,
    /// Answers 500.
    Fail,
}

/// A task as the endpoint describes it.
#[derive(Clone, Debug)]
struct Task {
    address: IpAddr,
    zone: String,
    mode: Mode,
}

type Tasks = Arc<Mutex<BTreeMap<String, Task>>>;

/// A running endpoint; it stops when dropped.
#[derive(Debug)]
pub struct EcsMetadata {
    address: SocketAddr,
    tasks: Tasks,
    /// Aborts the server when dropped.
    _server: JoinSet<()>,
}

impl EcsMetadata {
    /// Starts it on `bind`, without tasks.
    pub async fn start(bind: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let tasks = Tasks::default();
        let router =
            Router::new().route("/v4/{task}/task", get(describe)).with_state(Arc::clone(&tasks));
        let mut server = JoinSet::new();
        server.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the task metadata endpoint stopped");
            }
        });
        Ok(Self { address, tasks, _server: server })
    }

    /// Adds a task (32 hex digits) and returns what its `ECS_CONTAINER_METADATA_URI_V4` would be.
    pub fn add_task(&self, task: &str, address: IpAddr, zone: &str, mode: Mode) -> String {
        let entry = Task { address, zone: zone.to_owned(), mode };
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).insert(task.to_owned(), entry);
        format!("http://{}/v4/{task}", self.address)
    }
}

async fn describe(State(tasks): State<Tasks>, Path(id): Path<String>) -> Response {
    let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    let Some(task) = task else { return StatusCode::NOT_FOUND.into_response() };
    match task.mode {
        Mode::Serve => {}
        Mode::Slow(delay) => tokio::time::sleep(delay).await,
        Mode::Garbage => return "<html>not the endpoint you look for".into_response(),
        Mode::Fail => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
    let region = task.zone.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    let account = format!("arn:aws:ecs:{region}:{ACCOUNT}");
    let body = json!({
        "Cluster": "relays",
        "TaskARN": format!("{account}:task/relays/{id}"),
        "Family": "ekiden-relay",
        "Revision": "7",
        "ServiceName": "ekiden-relay",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": { "CPU": 0.25, "Memory": 512 },
        "AvailabilityZone": task.zone,
        "LaunchType": "FARGATE",
        "EphemeralStorageMetrics": { "Utilized": 261, "Reserved": 20496 },
        "Containers": [{
            "DockerId": format!("{id}-1"),
            "Name": "relay",
            "ContainerARN": format!("{account}:container/relays/{id}/relay"),
            "KnownStatus": "RUNNING",
            "Type": "NORMAL",
            "Networks": [{
                "NetworkMode": "awsvpc",
                "IPv4Addresses": [task.address.to_string()],
                "AttachmentIndex": 0,
            }],
        }],
    });
    axum::Json(body).into_response()
}
