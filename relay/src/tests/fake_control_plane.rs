//! A control plane for tests: real TLS, real gRPC, and whatever the test wants it to say.
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ekiden_proto::aws_challenge::challenge;
use ekiden_proto::relay::v1::{
    CertificateBundle, CreateChallengeRequest, CreateChallengeResponse, EnrollRequest,
    EnrollResponse, GetSettingsRequest, GetSettingsResponse, Hello, RelayDescription, RenewRequest,
    RenewResponse, SessionParameters, SessionRequest, SessionResponse,
    enroll_request::Proof,
    enrollment_service_server::{EnrollmentService, EnrollmentServiceServer},
    session_request::Message as Said,
    session_response::Message as Say,
    session_service_server::{SessionService, SessionServiceServer},
};
use ekiden_settings::Host;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use secrecy::SecretString;
use time::OffsetDateTime;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{
        Server,
        server::{TcpConnectInfo, TlsConnectInfo},
    },
};

use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

use crate::{
    channel::{Dialer, Trust},
    clock::to_timestamp,
    environment::ControlPlane,
    identity::{Identity, aws_role::Way, enrollment},
    resolver::Resolver,
};

/// No test waits longer for anything.
pub(crate) const SAFETY: Duration = Duration::from_secs(30);
pub(crate) const FLEET: &str = "tenants/acme/fleets/tokyo";
pub(crate) const TOKEN: &str = "ekr_01_right";

const NONCE: &[u8] = b"nonce-of-one-minute";
const AUDIENCE: &str = "spiffe://ekiden.test";

/// SubjectPublicKeyInfo of a certificate request.
fn public_key(csr: &[u8]) -> Vec<u8> {
    let (_, csr) = X509CertificationRequest::from_der(csr).unwrap();
    csr.certification_request_info.subject_pki.raw.to_vec()
}

/// A CA.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    fn server(&self) -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::from([127, 0, 0, 1])));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()))
    }

    pub(crate) fn bundle(
        &self,
        csr: &[u8],
        lifetime: Duration,
        renew_in: Duration,
    ) -> CertificateBundle {
        let mut csr =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
                .unwrap();
        let now = OffsetDateTime::now_utc();
        csr.params.not_before = now - Duration::from_secs(60);
        csr.params.not_after = now + lifetime;
        csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = csr.signed_by(&self.0).unwrap();
        CertificateBundle {
            chain: vec![leaf.der().to_vec()],
            trust_roots: vec![self.root().to_vec()],
            not_before: Some(to_timestamp(now)),
            not_after: Some(to_timestamp(now + lifetime)),
            renew_at: Some(to_timestamp(now + renew_in)),
        }
    }
}

/// A session as the control plane sees it.
pub(crate) struct Opened {
    pub(crate) hello: Hello,
    inbound: Streaming<SessionRequest>,
    outbound: mpsc::Sender<Result<SessionResponse, Status>>,
}

impl Opened {
    pub(crate) async fn say(&self, message: Say) {
        self.outbound.send(Ok(SessionResponse { message: Some(message) })).await.unwrap();
    }

    /// The next message that `wanted` picks; none at the end of the stream.
    pub(crate) async fn hear<T>(&mut self, wanted: impl Fn(Said) -> Option<T>) -> Option<T> {
        let hearing = async {
            while let Ok(Some(request)) = self.inbound.message().await {
                if let Some(found) = request.message.and_then(&wanted) {
                    return Some(found);
                }
            }
            None
        };
        timeout(SAFETY, hearing).await.expect("the relay says it within the safety timeout")
    }

    pub(crate) async fn until_over(&mut self) {
        assert!(self.hear(|_| None::<()>).await.is_none());
    }
}

/// What the control plane does; a test changes it at any time.
pub(crate) struct Behaviour {
    pub(crate) parameters: SessionParameters,
    pub(crate) refuse_sessions: Option<Status>,
    pub(crate) life: Duration,
    pub(crate) renew_in: Duration,
    /// The way by which AWS roles are admitted.
    pub(crate) admits: Option<Way>,
}

struct Inner {
    authority: Arc<Authority>,
    behaviour: Mutex<Behaviour>,
    enrollments: AtomicU32,
    renewals: AtomicU32,
    sessions: mpsc::Sender<Opened>,
}

/// A running control plane.
pub(crate) struct FakeControlPlane {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Arc<Authority>,
    inner: Arc<Inner>,
    sessions: mpsc::Receiver<Opened>,
    _serving: AbortOnDropHandle<()>,
}

impl FakeControlPlane {
    pub(crate) async fn start() -> Self {
        Self::start_with(Arc::new(Authority::new())).await
    }

    pub(crate) async fn start_with(authority: Arc<Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, sessions) = mpsc::channel(16);
        let hour = |seconds| prost_types::Duration { seconds, nanos: 0 };
        let inner = Arc::new(Inner {
            authority: Arc::clone(&authority),
            behaviour: Mutex::new(Behaviour {
                parameters: SessionParameters {
                    session: "session-1".to_owned(),
                    health_interval: Some(hour(3600)),
                    heartbeat_interval: Some(hour(20)),
                    reconnect_spread: None,
                    server_time: Some(to_timestamp(OffsetDateTime::now_utc())),
                    epoch: 1,
                },
                refuse_sessions: None,
                life: Duration::from_secs(3600),
                renew_in: Duration::from_secs(1800),
                admits: None,
            }),
            enrollments: AtomicU32::new(0),
            renewals: AtomicU32::new(0),
            sessions: opened,
        });
        let serving = serve(listener, tls(&authority), Arc::clone(&inner));
        let _serving = AbortOnDropHandle::new(tokio::runtime::Handle::current().spawn(serving));
        Self { address, authority, inner, sessions, _serving }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.inner.behaviour.lock().unwrap());
    }

    pub(crate) fn enrollments(&self) -> u32 {
        self.inner.enrollments.load(Ordering::SeqCst)
    }

    pub(crate) fn renewals(&self) -> u32 {
        self.inner.renewals.load(Ordering::SeqCst)
    }

    pub(crate) async fn next_session(&mut self) -> Opened {
        timeout(SAFETY, self.sessions.recv())
            .await
            .expect("a session within the safety timeout")
            .unwrap()
    }

    pub(crate) fn dialer(&self) -> Dialer {
        let target = ControlPlane::Host {
            host: Host::Address(self.address.ip()),
            port: self.address.port(),
        };
        let resolver = Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
        Dialer::new(target, None, Trust::new(&[self.authority.root()]), resolver).unwrap()
    }

    pub(crate) async fn enroll(&self) -> Arc<Identity> {
        enrollment::enroll(&self.dialer(), &SecretString::from(TOKEN), RelayDescription::default())
            .await
            .unwrap()
    }
}

fn tls(authority: &Authority) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
    let (certificate, key) = authority.server();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, inner: Arc<Inner>) {
    let (accepted, incoming) = mpsc::channel::<std::io::Result<TlsStream<TcpStream>>>(16);
    let accepting = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A handshake that fails is the test's wish.
            if let Ok(stream) = tls.accept(stream).await
                && accepted.send(Ok(stream)).await.is_err()
            {
                return;
            }
        }
    };
    let serving = Server::builder()
        .add_service(EnrollmentServiceServer::from_arc(Arc::clone(&inner)))
        .add_service(SessionServiceServer::from_arc(inner))
        .serve_with_incoming(ReceiverStream::new(incoming));
    tokio::select! {
        () = accepting => {}
        served = serving => served.unwrap(),
    }
}

#[tonic::async_trait]
impl EnrollmentService for Inner {
    async fn create_challenge(
        &self,
        request: Request<CreateChallengeRequest>,
    ) -> Result<Response<CreateChallengeResponse>, Status> {
        assert_eq!(request.get_ref().fleet, FLEET);
        Ok(Response::new(CreateChallengeResponse {
            nonce: NONCE.to_vec(),
            expire_time: None,
            audience: AUDIENCE.to_owned(),
        }))
    }

    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        let request = request.into_inner();
        let number = self.enrollments.fetch_add(1, Ordering::SeqCst) + 1;
        let (life, renew_in, admits) = {
            let behaviour = self.behaviour.lock().unwrap();
            (behaviour.life, behaviour.renew_in, behaviour.admits)
        };
        match request.proof {
            Some(Proof::EnrollmentToken(token)) if token == TOKEN => {}
            Some(Proof::AwsWebIdentity(proof)) if admits == Some(Way::WebIdentity) => {
                let digest = challenge(NONCE, &public_key(&request.csr), AUDIENCE, "tenants/acme");
                assert_eq!((proof.fleet.as_str(), proof.nonce.as_slice()), (FLEET, NONCE));
                assert_eq!(proof.token, format!("token-for-{digest}"));
            }
            Some(Proof::AwsCallerIdentity(proof)) if admits == Some(Way::CallerIdentity) => {
                assert_eq!((proof.fleet.as_str(), proof.nonce.as_slice()), (FLEET, NONCE));
                assert_eq!((proof.region.as_str(), proof.amz_date.len()), ("ap-northeast-1", 16));
                assert_eq!(proof.signature.len(), 64);
            }
            Some(Proof::AwsWebIdentity(_) | Proof::AwsCallerIdentity(_)) => {
                return Err(Status::permission_denied("no rule of the fleet admits the role"));
            }
            _ => return Err(Status::unauthenticated("the enrollment token is not known")),
        }
        Ok(Response::new(EnrollResponse {
            relay: format!("{FLEET}/relays/relay-{number}"),
            certificate: Some(self.authority.bundle(&request.csr, life, renew_in)),
        }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        certificate(&request)?;
        self.renewals.fetch_add(1, Ordering::SeqCst);
        let (hour, half) = (Duration::from_secs(3600), Duration::from_secs(1800));
        Ok(Response::new(RenewResponse {
            certificate: Some(self.authority.bundle(&request.into_inner().csr, hour, half)),
        }))
    }
}

#[tonic::async_trait]
impl SessionService for Inner {
    type SessionStream = ReceiverStream<Result<SessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        certificate(&request)?;
        let (parameters, refusal) = {
            let behaviour = self.behaviour.lock().unwrap();
            (behaviour.parameters.clone(), behaviour.refuse_sessions.clone())
        };
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let mut inbound = request.into_inner();
        let Some(Said::Hello(hello)) = inbound.message().await?.and_then(|request| request.message)
        else {
            return Err(Status::invalid_argument("Hello comes first"));
        };
        let (outbound, responses) = mpsc::channel(16);
        let parameters = SessionResponse { message: Some(Say::Parameters(parameters)) };
        outbound.send(Ok(parameters)).await.map_err(|_| Status::cancelled("gone"))?;
        self.sessions
            .send(Opened { hello, inbound, outbound })
            .await
            .map_err(|_| Status::cancelled("gone"))?;
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    async fn get_settings(
        &self,
        _: Request<GetSettingsRequest>,
    ) -> Result<Response<GetSettingsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

fn certificate<T>(request: &Request<T>) -> Result<Arc<Vec<CertificateDer<'static>>>, Status> {
    let connection = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let certificates = connection.and_then(TlsConnectInfo::peer_certs);
    certificates.ok_or_else(|| Status::unauthenticated("a client certificate is needed"))
}
