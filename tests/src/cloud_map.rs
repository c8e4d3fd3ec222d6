//! AWS Cloud Map on loopback: the JSON 1.1 API as the AWS SDK calls it, with signatures checked, operations that take
//! their time, and faults on demand. The world's DNS answers from its state.
//!
//! - [`state`]: namespaces, services, instances, operations.
//! - [`faults`]: errors that AWS returns, and those injected.
//! - `api`: the actions, from JSON to state and back.
//! - `signature`: what is not signed as it should be.
mod api;
pub mod faults;
mod signature;
pub mod state;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State as Extract,
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::Instant};

pub use self::{
    faults::{ApiError, Fault},
    state::{DnsView, RecordKind, Records, Routing, State},
};
use crate::harness::wait::TimedOut;

/// One call as it came, for assertions.
#[derive(Clone, Debug)]
pub struct Call {
    /// The action, e.g. `RegisterInstance`.
    pub action: String,
    /// The request's JSON.
    pub request: Value,
    /// Name of the error that was answered; `None`: success.
    pub error: Option<String>,
    /// When it came.
    pub at: Instant,
}

/// A running stand-in; it stops when dropped.
#[derive(Debug)]
pub struct CloudMap {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Aborts the server when dropped.
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    faults: Mutex<Vec<Fault>>,
    calls: Mutex<Vec<Call>>,
    changed: watch::Sender<u64>,
}

/// Looks at the state, for those who answer from it.
#[derive(Clone, Debug)]
pub struct View {
    shared: Arc<Shared>,
}

impl CloudMap {
    /// Starts it on `bind`; operations take `delay` to succeed.
    pub async fn start(bind: SocketAddr, delay: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(delay)),
            faults: Mutex::default(),
            calls: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        let router = Router::new().fallback(call).with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the Cloud Map stand-in stopped");
            }
        });
        Ok(Self { address, shared, _server: tasks })
    }

    /// Returns its endpoint, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a view that stays valid as long as the state is wanted.
    pub fn view(&self) -> View {
        View { shared: Arc::clone(&self.shared) }
    }

    /// Makes a private DNS namespace and a service with A records in it at once, as Terraform would have beforehand.
    pub fn provide_service(&self, namespace: &str, service: &str, ttl: u32) -> String {
        self.provide_service_with(namespace, service, Records::a(ttl))
    }

    /// The same, with any records.
    pub fn provide_service_with(&self, namespace: &str, service: &str, records: Records) -> String {
        self.change(|state| {
            let namespace = state.provide_namespace(namespace, 15);
            state.create_service(&namespace, service, records).unwrap_or_default()
        })
    }

    /// Lets so many calls a second pass from now on and throttles the rest; `None`: all pass.
    pub fn hold_to_pace(&self, per_second: Option<u32>) {
        let pace = per_second.map(|per_second| faults::Pace::new(per_second, Instant::now()));
        self.change(|state| state.pace = pace);
    }

    /// Makes operations take this long from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.change(|state| state.set_delay(delay));
    }

    /// Makes the next `times` operations end in FAIL.
    pub fn fail_operations(&self, times: u32) {
        self.change(|state| state.fail_operations(times));
    }

    /// Answers matching calls with an error, as often as the fault says.
    pub fn inject(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Takes back all injected faults.
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Puts an instance into a service behind everyone's back, as a crashed task leaves one.
    pub fn plant_instance(&self, service: &str, instance: &str, address: &str) {
        self.change(|state| state.plant(service, instance, address));
    }

    /// Returns the ids and addresses of a service's instances.
    pub fn instances(&self, service: &str) -> Vec<(String, String)> {
        lock(&self.shared.state).instances(service, Instant::now())
    }

    /// Returns every call so far.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }

    /// Waits until `condition` holds, looking again at each call and every 50 ms (operations end by time).
    pub async fn wait(
        &self,
        what: &str,
        within: Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<(), TimedOut> {
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            while !condition(self) {
                // A timeout only means: look again.
                drop(tokio::time::timeout(Duration::from_millis(50), changed.changed()).await);
            }
        };
        tokio::time::timeout(within, wait).await.map_err(|_| TimedOut::new(what, within))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut lock(&self.shared.state));
        self.shared.changed.send_modify(|count| *count += 1);
        result
    }
}

impl View {
    /// Returns what Route 53 would know of `name` (lower case, with its trailing dot).
    pub fn dns(&self, name: &str) -> DnsView {
        lock(&self.shared.state).dns(name, Instant::now())
    }
}

/// Serves one call: checks its signature, then faults, then the action.
async fn call(Extract(shared): Extract<Arc<Shared>>, head: Parts, body: Bytes) -> Response {
    let target =
        head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let action = target.strip_prefix("Route53AutoNaming_v20170314.").unwrap_or_default().to_owned();
    let request: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let answer = answer(&shared, &head, &body, &action, &request);
    let error = answer.as_ref().err().map(|error| error.name.clone());
    lock(&shared.calls).push(Call { action, request, error, at: Instant::now() });
    shared.changed.send_modify(|count| *count += 1);
    let json = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    match answer {
        Ok(answer) => (StatusCode::OK, json, answer.to_string()).into_response(),
        Err(error) => {
            let mut body = error.members;
            body["__type"] = json!(error.name);
            body["Message"] = json!(error.message);
            (error.status, json, body.to_string()).into_response()
        }
    }
}

fn answer(
    shared: &Shared,
    head: &Parts,
    body: &[u8],
    action: &str,
    request: &Value,
) -> Result<Value, ApiError> {
    signature::check(head, body)?;
    if let Some(error) = faults::next(&mut lock(&shared.faults), action) {
        return Err(error);
    }
    let mut state = lock(&shared.state);
    let now = Instant::now();
    if let Some(pace) = &mut state.pace {
        pace.pass(now)?;
    }
    api::act(&mut state, action, request, now)
}

/// A test that panicked elsewhere must not hide the state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
