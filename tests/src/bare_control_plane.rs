//! A control plane that is nothing but the relays' port: it enrolls whoever has its token and says exactly what it is
//! told to, also what a real one never would.
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use ekiden_proto::{
    relay::v1::{
        CertificateBundle, EnrollRequest, EnrollResponse, GetSettingsRequest, GetSettingsResponse,
        Hello, KeyBundle, RenewRequest, RenewResponse, SessionParameters, SessionRequest,
        SessionResponse, SettingsSnapshot, SettingsStatus,
        enroll_request::Proof,
        enrollment_service_server::{EnrollmentService, EnrollmentServiceServer},
        session_request, session_response,
        session_service_server::{SessionService, SessionServiceServer},
    },
    settings::v1::Settings,
};
use futures_util::{Stream, StreamExt as _};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use prost::Message as _;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use crate::{
    certificates::Authority,
    harness::wait::{self, TimedOut},
};

/// Token that enrolls.
pub const TOKEN: &str = "ekr_0123456789abcdef_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Fleet of every relay.
pub const FLEET: &str = "tenants/acme/fleets/main";

/// A running one; it stops when dropped.
#[derive(Debug)]
pub struct BareControlPlane {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Aborts everything when dropped.
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    authority: Authority,
    /// What relays should be told; `None`: nothing yet.
    says: watch::Sender<Says>,
    heard: watch::Sender<Vec<Heard>>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Clone, Debug, Default)]
struct Says {
    snapshot: Option<SettingsSnapshot>,
    keys: Option<KeyBundle>,
}

/// Something a relay said in a session.
#[derive(Clone, Debug)]
pub enum Heard {
    /// It opened a session.
    Hello(Hello),
    /// How settings fare.
    Status(SettingsStatus),
    /// It leaves for good, with this reason.
    Goodbye(String),
    /// Anything else.
    Other,
}

impl BareControlPlane {
    /// Starts it on `bind`, its certificate valid for `names`.
    pub async fn start(bind: SocketAddr, names: &[&str]) -> anyhow::Result<Self> {
        let authority = Authority::new("a bare control plane's authority")?;
        let tls = TlsAcceptor::from(authority.server_config_for_clients_of_its_own(names)?);
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            authority,
            says: watch::Sender::default(),
            heard: watch::Sender::default(),
            tasks: Mutex::default(),
        });
        let port = Port { shared: Arc::clone(&shared) };
        let routes = Routes::new(EnrollmentServiceServer::new(port.clone()))
            .add_service(SessionServiceServer::new(port))
            .prepare();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, routes) = (tls.clone(), routes.clone());
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let http = auto::Builder::new(TokioExecutor::new()).http2_only();
                    let service = TowerToHyperService::new(routes);
                    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                        tracing::debug!(%error, "serving a relay");
                    }
                });
            }
        });
        Ok(Self { address, shared, _server: server })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its root certificate in PEM.
    pub fn ca_pem(&self) -> String {
        self.shared.authority.pem()
    }

    /// Tells every relay to run `settings` as `revision`.
    pub fn say(&self, revision: u64, settings: &Settings) {
        let settings = settings.encode_to_vec();
        let hash = digest(&SHA256, &settings).as_ref().to_vec();
        self.say_exactly(SettingsSnapshot {
            revision,
            hash: hash.into(),
            settings: settings.into(),
            ..SettingsSnapshot::default()
        });
    }

    /// Sends every relay this snapshot, right or wrong.
    pub fn say_exactly(&self, snapshot: SettingsSnapshot) {
        self.shared.says.send_modify(|says| says.snapshot = Some(snapshot));
    }

    /// Sends every relay these keys.
    pub fn give(&self, keys: KeyBundle) {
        self.shared.says.send_modify(|says| says.keys = Some(keys));
    }

    /// Returns everything heard so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.borrow().clone()
    }

    /// Waits until a relay says of an attempted revision what `condition` wants.
    pub async fn status(
        &self,
        what: &str,
        condition: impl Fn(&SettingsStatus) -> bool,
    ) -> Result<SettingsStatus, TimedOut> {
        let mut heard = self.shared.heard.subscribe();
        let find = |heard: &Vec<Heard>| {
            heard.iter().find_map(|one| match one {
                Heard::Status(status) if condition(status) => Some(status.clone()),
                _ => None,
            })
        };
        let wait = async {
            loop {
                if let Some(status) = find(&heard.borrow_and_update()) {
                    return status;
                }
                if heard.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::time::timeout(wait::SAFETY, wait).await.map_err(|_| {
            TimedOut::new(what, wait::SAFETY).with_detail(format!("heard: {:#?}", self.heard()))
        })
    }
}

#[derive(Clone, Debug)]
struct Port {
    shared: Arc<Shared>,
}

impl Port {
    fn certify(&self, csr: &[u8], relay: &str) -> Result<CertificateBundle, Status> {
        let uri = format!("spiffe://ekiden.internal/{relay}");
        let issued = self.shared.authority.certify(csr, &uri);
        let (leaf, root) = issued.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let day = |days: i64| Some(prost_types::Timestamp { seconds: days * 86_400, nanos: 0 });
        // From 2000 to 2100: nothing here tests the passing of time.
        Ok(CertificateBundle {
            chain: vec![leaf],
            trust_roots: vec![root],
            not_before: day(10_957),
            not_after: day(47_482),
            renew_at: day(47_481),
        })
    }
}

#[tonic::async_trait]
impl EnrollmentService for Port {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        let request = request.into_inner();
        if request.proof != Some(Proof::EnrollmentToken(TOKEN.to_owned())) {
            return Err(Status::unauthenticated("another token"));
        }
        let relay = format!("{FLEET}/relays/{}", uuid::Uuid::now_v7());
        let certificate = Some(self.certify(&request.csr, &relay)?);
        Ok(Response::new(EnrollResponse { relay, certificate }))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        Err(Status::unimplemented("certificates here last long enough"))
    }
}

#[tonic::async_trait]
impl SessionService for Port {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<SessionResponse, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut incoming = request.into_inner();
        let (send, outgoing) = mpsc::channel(16);
        let shared = Arc::clone(&self.shared);
        lock(&self.shared.tasks).spawn(async move {
            let mut says = shared.says.subscribe();
            let mut told = (None, 0);
            if send.send(Ok(message(session_response::Message::Parameters(parameters())))).await.is_err() {
                return;
            }
            loop {
                let now = says.borrow_and_update().clone();
                if let Some(keys) = now.keys.filter(|keys| keys.secret_version != told.1) {
                    told.1 = keys.secret_version;
                    let keys = message(session_response::Message::KeyBundle(keys));
                    if send.send(Ok(keys)).await.is_err() {
                        return;
                    }
                }
                if let Some(snapshot) = now.snapshot.filter(|snapshot| Some(snapshot) != told.0.as_ref()) {
                    told.0 = Some(snapshot.clone());
                    let snapshot = message(session_response::Message::Snapshot(snapshot));
                    if send.send(Ok(snapshot)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    changed = says.changed() => if changed.is_err() { return },
                    heard = incoming.next() => match heard {
                        Some(Ok(request)) => shared.heard.send_modify(|all| all.push(hear(request))),
                        _ => return,
                    },
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn get_settings(
        &self,
        _: Request<GetSettingsRequest>,
    ) -> Result<Response<GetSettingsResponse>, Status> {
        let snapshot = self.shared.says.borrow().snapshot.clone();
        Ok(Response::new(GetSettingsResponse { snapshot, secret_version: 0 }))
    }
}

fn hear(request: SessionRequest) -> Heard {
    match request.message {
        Some(session_request::Message::Hello(hello)) => Heard::Hello(hello),
        Some(session_request::Message::SettingsStatus(status)) => Heard::Status(status),
        Some(session_request::Message::Goodbye(goodbye)) => Heard::Goodbye(goodbye.reason),
        _ => Heard::Other,
    }
}

fn message(message: session_response::Message) -> SessionResponse {
    SessionResponse { message: Some(message) }
}

fn parameters() -> SessionParameters {
    let seconds = |seconds: u64| prost_types::Duration::try_from(Duration::from_secs(seconds)).ok();
    SessionParameters {
        session: "the-only-session".to_owned(),
        health_interval: seconds(1),
        heartbeat_interval: seconds(20),
        reconnect_spread: seconds(1),
        server_time: None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
