//! A control plane that says what the real one never would: it enrolls whoever asks and sends snapshots right or wrong.
//! Whatever a sound control plane does is tested with the real one.
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use ekiden_proto::{
    relay::v1::{
        CertificateBundle, CreateChallengeRequest, CreateChallengeResponse, EnrollRequest,
        EnrollResponse, GetSettingsRequest, GetSettingsResponse, RenewRequest, RenewResponse,
        SessionParameters, SessionRequest, SessionResponse, SettingsSnapshot, SettingsStatus,
        enrollment_service_server::{EnrollmentService, EnrollmentServiceServer},
        session_request::Message as Up,
        session_response::Message as Down,
        session_service_server::{SessionService, SessionServiceServer},
    },
    settings::v1::Settings,
};
use futures_util::Stream;
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

/// Fleet of every relay.
pub const FLEET: &str = "tenants/acme/fleets/main";

/// A running one; it stops when dropped.
#[derive(Debug)]
pub struct HostileControlPlane {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Aborts everything when dropped.
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    authority: Authority,
    /// What relays are told, in order; a session begins with the last.
    says: watch::Sender<Vec<SettingsSnapshot>>,
    heard: watch::Sender<Vec<SettingsStatus>>,
}

impl HostileControlPlane {
    /// Starts it on `bind`, its certificate valid for `name`.
    pub async fn start(bind: SocketAddr, name: &str) -> anyhow::Result<Self> {
        let authority = Authority::new("a hostile control plane's authority")?;
        let tls = TlsAcceptor::from(authority.server_config_for_clients_of_its_own(&[name])?);
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            authority,
            says: watch::Sender::default(),
            heard: watch::Sender::default(),
        });
        let port = Port { shared: Arc::clone(&shared), sessions: Arc::default() };
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
        self.shared.says.send_modify(|says| says.push(snapshot));
    }

    /// Returns every status that relays sent.
    pub fn heard(&self) -> Vec<SettingsStatus> {
        self.shared.heard.borrow().clone()
    }

    /// Waits until a relay has sent a status of which `condition` holds.
    pub async fn status(
        &self,
        what: &str,
        condition: impl Fn(&SettingsStatus) -> bool,
    ) -> Result<SettingsStatus, TimedOut> {
        let mut heard = self.shared.heard.subscribe();
        let holds = heard.wait_for(|heard| heard.iter().any(&condition));
        let found = match tokio::time::timeout(wait::SAFETY, holds).await {
            Ok(Ok(heard)) => heard.iter().find(|status| condition(status)).cloned(),
            Ok(Err(_)) | Err(_) => None,
        };
        found.ok_or_else(|| {
            let detail = format!("heard: {:#?}", self.heard());
            TimedOut::new(what, wait::SAFETY).with_detail(detail)
        })
    }
}

#[derive(Clone, Debug)]
struct Port {
    shared: Arc<Shared>,
    /// Aborted when the server, which owns every clone of this, is.
    sessions: Arc<Mutex<JoinSet<()>>>,
}

#[tonic::async_trait]
impl EnrollmentService for Port {
    async fn create_challenge(
        &self,
        _: Request<CreateChallengeRequest>,
    ) -> Result<Response<CreateChallengeResponse>, Status> {
        Err(Status::unimplemented("it takes tokens alone"))
    }

    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        let relay = format!("{FLEET}/relays/{}", uuid::Uuid::now_v7());
        let uri = format!("spiffe://ekiden.internal/{relay}");
        let certified = self.shared.authority.certify(&request.get_ref().csr, &uri);
        let (leaf, root) =
            certified.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let day = |days: i64| Some(prost_types::Timestamp { seconds: days * 86_400, nanos: 0 });
        // From 2000 to 2100: nothing here tests the passing of time.
        let certificate = CertificateBundle {
            chain: vec![leaf],
            trust_roots: vec![root],
            not_before: day(10_957),
            not_after: day(47_482),
            renew_at: day(47_481),
        };
        Ok(Response::new(EnrollResponse { relay, certificate: Some(certificate) }))
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
        let (send, outgoing) = mpsc::channel(16);
        let session = hold(Arc::clone(&self.shared), request.into_inner(), send);
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).spawn(session);
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn get_settings(
        &self,
        _: Request<GetSettingsRequest>,
    ) -> Result<Response<GetSettingsResponse>, Status> {
        Err(Status::unimplemented("settings come in sessions"))
    }
}

async fn hold(
    shared: Arc<Shared>,
    mut incoming: Streaming<SessionRequest>,
    outgoing: mpsc::Sender<Result<SessionResponse, Status>>,
) {
    let mut says = shared.says.subscribe();
    let mut told = says.borrow().len().saturating_sub(1);
    let mut next = Some(Down::Parameters(parameters()));
    loop {
        if let Some(message) = next.take() {
            let message = SessionResponse { message: Some(message) };
            if outgoing.send(Ok(message)).await.is_err() {
                return;
            }
        }
        next = says.borrow_and_update().get(told).cloned().map(Down::Snapshot);
        if next.is_some() {
            told += 1;
            continue;
        }
        tokio::select! {
            changed = says.changed() => if changed.is_err() { return },
            heard = incoming.message() => match heard {
                Ok(Some(SessionRequest { message: Some(Up::SettingsStatus(status)) })) => {
                    shared.heard.send_modify(|all| all.push(status));
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            },
        }
    }
}

fn parameters() -> SessionParameters {
    let seconds = |seconds: u64| prost_types::Duration::try_from(Duration::from_secs(seconds)).ok();
    SessionParameters {
        session: "a-session".to_owned(),
        health_interval: seconds(1),
        heartbeat_interval: seconds(20),
        reconnect_spread: seconds(1),
        server_time: None,
        epoch: 1,
    }
}
