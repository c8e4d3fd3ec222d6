use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
    task::Poll,
};

use futures_util::{StreamExt, stream};
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tonic::{
    Code, Status,
    body::Body,
    client::Grpc,
    server::NamedService,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt;
use tower::{Service, service_fn};

use super::*;
use crate::test_database::{self, TestDatabase};

const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate authority of a test.
struct Ca(Issuer<'static, KeyPair>, CertificateDer<'static>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self(Issuer::new(params, key), root)
    }

    fn issue(&self, name: &str) -> ServerIdentity {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

fn roots(of: &[&Ca]) -> (watch::Sender<Roots>, watch::Receiver<Roots>) {
    watch::channel(Arc::new(of.iter().map(|ca| ca.1.clone()).collect()))
}

/// Both ports with one strange service on each.
struct World {
    relays: SocketAddr,
    operators: SocketAddr,
    ca: Arc<Ca>,
    server: Server,
    odd: Odd,
    _database: TestDatabase,
}

impl World {
    async fn start() -> Self {
        Self::start_with(Arc::new(Ca::new())).await
    }

    async fn start_with(ca: Arc<Ca>) -> Self {
        let database = test_database::empty().await;
        let odd = Odd::default();
        let ports =
            Ports::bind("127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()).unwrap();
        let (relays, operators) = ports.addresses().unwrap();
        let issuer = Arc::clone(&ca);
        let serving = Serving {
            relays: Routes::new(odd.clone()),
            operators: Routes::new(odd.clone()),
            issue: Box::new(move || Ok(issuer.issue("localhost"))),
            relay_roots: roots(&[&ca]).1,
            relay_renewal_grace: Duration::ZERO,
            operator_plaintext: false,
            database: database.options.clone(),
            metrics: Metrics::new(),
            tracker: TaskTracker::new(),
        };
        let server = Server::start(ports, serving).unwrap();
        Self { relays, operators, ca, server, odd, _database: database }
    }

    async fn operator(&self) -> Channel {
        channel(self.operators, self.tls(None)).await.unwrap()
    }

    fn tls(&self, identity: Option<ServerIdentity>) -> TlsConnector {
        connector(&self.ca, identity)
    }
}

fn connector(ca: &Ca, identity: Option<ServerIdentity>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(ca.1.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn tls_to(at: SocketAddr, tls: TlsConnector) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    tls.connect(name, TcpStream::connect(at).await?).await
}

async fn channel(at: SocketAddr, tls: TlsConnector) -> Result<Channel, tonic::transport::Error> {
    let connect = service_fn(move |_| {
        let tls = tls.clone();
        async move { tls_to(at, tls).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connect).await
}

async fn serving(channel: &Channel) -> ServingStatus {
    let answer = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
    answer.unwrap().into_inner().status()
}

async fn until_serving(channel: &Channel) {
    let watched = HealthClient::new(channel.clone()).watch(HealthCheckRequest::default()).await;
    let mut watched = watched.unwrap().into_inner();
    let served = async {
        while watched.next().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    };
    timeout(PATIENCE, served).await.unwrap();
}

/// Calls one method of [`Odd`]; the messages are those of health checks.
async fn odd(channel: &Channel, method: &'static str) -> Result<(), Status> {
    odd_within(channel, method, None).await
}

async fn odd_within(
    channel: &Channel,
    method: &'static str,
    within: Option<Duration>,
) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    if let Some(within) = within {
        request.set_timeout(within);
    }
    let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let path = http::uri::PathAndQuery::from_static(method);
    grpc.unary(request, path, codec).await.map(drop)
}

/// `/odd/panic` panics, `/odd/forever` never answers, `/odd/hold` waits to be let go, `/odd/who` tells the peer as an error.
#[derive(Clone, Default)]
struct Odd {
    held: Arc<Notify>,
    let_go: Arc<Notify>,
}

impl NamedService for Odd {
    const NAME: &'static str = "odd";
}

impl Service<Request<Body>> for Odd {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let odd = self.clone();
        Box::pin(async move {
            let said = match request.uri().path() {
                "/odd/panic" => panic!("as asked"),
                "/odd/forever" => std::future::pending().await,
                "/odd/hold" => {
                    odd.held.notify_one();
                    odd.let_go.notified().await;
                    "let go".to_owned()
                }
                _ => {
                    let seen = request.extensions();
                    let PeerAddress(from) = seen.get::<PeerAddress>().unwrap();
                    let PeerCertificate(shown) = seen.get::<PeerCertificate>().unwrap();
                    assert_eq!(seen.get::<SocketAddr>(), Some(from));
                    let shown = shown.as_ref().map(|der| der.len());
                    format!("{} {shown:?}", from.ip())
                }
            };
            Ok(Status::from(crate::error::Error::invalid("said", said)).into_http())
        })
    }
}

#[tokio::test]
async fn an_operator_sees_over_tls_that_it_serves_and_that_it_will_stop() {
    let world = World::start().await;
    let channel = world.operator().await;
    until_serving(&channel).await;
    world.server.announce_stop().await;
    assert_eq!(serving(&channel).await, ServingStatus::NotServing);
}

#[tokio::test]
async fn both_versions_of_reflection_list_every_service_of_both_ports() {
    let world = World::start().await;
    let channel = world.operator().await;
    let ask = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
        ..Default::default()
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let answer = client.server_reflection_info(stream::iter([ask])).await.unwrap();
    let answer = answer.into_inner().next().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in
        ["ekiden.admin.v1.TenantService", "ekiden.relay.v1.SessionService", "grpc.health.v1.Health"]
    {
        assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
    }

    let ask = v1alpha::ServerReflectionRequest {
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "ekiden.admin.v1.FleetService".to_owned(),
            ),
        ),
        ..Default::default()
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answer = client.server_reflection_info(stream::iter([ask])).await.unwrap();
    let answer = answer.into_inner().next().await.unwrap().unwrap().message_response.unwrap();
    assert!(matches!(
        answer,
        v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)
    ));
}

#[tokio::test]
async fn a_relay_may_come_without_a_certificate_and_is_known_by_the_one_it_shows() {
    let world = World::start().await;
    let bare = channel(world.relays, world.tls(None)).await.unwrap();
    let said = odd(&bare, "/odd/who").await.unwrap_err();
    assert!(said.message().contains("127.0.0.1 None"), "{said}");

    let identity = world.ca.issue("relay");
    let length = identity.0[0].len();
    let known = channel(world.relays, world.tls(Some(identity))).await.unwrap();
    let said = odd(&known, "/odd/who").await.unwrap_err();
    assert!(said.message().contains(&format!("127.0.0.1 Some({length})")), "{said}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_and_others_are_served() {
    let world = World::start().await;
    let stranger = Ca::new().issue("relay");
    let mut stream = tls_to(world.relays, world.tls(Some(stranger))).await.unwrap();
    // In TLS 1.3 the server's refusal follows the client's last message.
    let refusal = stream.read_u8().await.unwrap_err();
    // An authority of the same name has another key: its signature is what is wrong.
    let refusal = refusal.to_string();
    assert!(refusal.contains("UnknownCA") || refusal.contains("DecryptError"), "{refusal}");

    let bare = channel(world.relays, world.tls(None)).await.unwrap();
    odd(&bare, "/odd/who").await.unwrap_err();
}

#[tokio::test]
async fn garbage_and_silence_on_either_port_disturb_no_one() {
    let world = World::start().await;
    let mut silent = Vec::new();
    for port in [world.relays, world.operators] {
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0x16, 3, 1, 255, 255], b"\xff"]
        {
            let mut stream = TcpStream::connect(port).await.unwrap();
            stream.write_all(garbage).await.unwrap();
            stream.shutdown().await.unwrap();
            // Closed by the server, with an alert or without.
            timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap().ok();
        }
        for _ in 0..20 {
            silent.push(TcpStream::connect(port).await.unwrap());
        }
        // Good TLS, then no HTTP/2.
        let mut stream = tls_to(port, world.tls(None)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap().ok();
    }
    until_serving(&world.operator().await).await;
    let bare = channel(world.relays, world.tls(None)).await.unwrap();
    odd(&bare, "/odd/who").await.unwrap_err();
    drop(silent);
}

#[tokio::test]
async fn each_failed_handshake_has_its_cause() {
    let ca = Arc::new(Ca::new());
    let issuer = Arc::clone(&ca);
    let certificate =
        ServerCertificate::new(Box::new(move || Ok(issuer.issue("localhost")))).unwrap();
    let tls = RelayTls::new(&certificate, roots(&[&ca]).1, Duration::ZERO).unwrap();
    let acceptor = TlsAcceptor::from(Tls::Relays(tls).config());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let refused = async |client: Pin<Box<dyn Future<Output = ()> + Send>>| {
        let client = tokio::task::JoinSet::from_iter([client]);
        let (stream, _) = listener.accept().await.unwrap();
        let error = acceptor.accept(stream).await.map(drop).unwrap_err();
        client.join_all().await;
        handshake::cause(&error)
    };

    let send = |bytes: &'static [u8]| {
        Box::pin(async move {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.ok();
        })
    };
    assert_eq!(refused(send(b"GET / HTTP/1.1\r\n\r\n")).await, "no_tls");
    assert_eq!(
        refused(Box::pin(async move { drop(TcpStream::connect(at).await.unwrap()) })).await,
        "closed"
    );

    let connect = |tls: TlsConnector| {
        Box::pin(async move {
            if let Ok(mut stream) = tls_to(at, tls).await {
                stream.read_to_end(&mut Vec::new()).await.ok();
            }
        })
    };
    assert_eq!(refused(connect(connector(&ca, Some(Ca::new().issue("x"))))).await, "unknown_ca");
    assert_eq!(refused(connect(connector(&Ca::new(), None))).await, "peer_distrusts_us");
}

#[tokio::test]
async fn a_message_of_10_mib_is_refused_with_the_limit() {
    let world = World::start().await;
    let channel = world.operator().await;
    let request = HealthCheckRequest { service: "x".repeat(10 << 20) };
    let refused = HealthClient::new(channel.clone()).check(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert!(refused.message().contains("4194304"), "{refused}");
    until_serving(&channel).await;
}

#[tokio::test]
async fn a_call_that_panics_is_answered_and_its_connection_lives_on() {
    let world = World::start().await;
    let channel = world.operator().await;
    let said = odd(&channel, "/odd/panic").await.unwrap_err();
    assert_eq!(said.code(), Code::Internal);
    assert!(!said.message().contains("as asked"), "{said}");
    assert_eq!(odd(&channel, "/odd/who").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_call_ends_when_its_caller_will_wait_no_longer() {
    let world = World::start().await;
    let channel = world.operator().await;
    let within = Some(Duration::from_millis(300));
    let said = odd_within(&channel, "/odd/forever", within).await.unwrap_err();
    // Whichever of both sides counted faster.
    assert!(matches!(said.code(), Code::DeadlineExceeded | Code::Cancelled), "{said}");
}

#[tokio::test]
async fn an_unknown_method_is_answered_and_names_no_new_series() {
    let world = World::start().await;
    let said = odd(&world.operator().await, "/no.such.Service/Method").await.unwrap_err();
    assert_eq!(said.code(), Code::Unimplemented);
}

#[tokio::test]
async fn more_calls_than_allowed_are_told_when_to_come_back() {
    let world = World::start().await;
    let channel = world.operator().await;
    let many = stream::iter(0..3).map(|_| world.operator());
    let channels: Vec<_> = many.buffer_unordered(3).collect().await;
    let mut held = tokio::task::JoinSet::new();
    for number in 0..256 {
        let channel = channels[number % 3].clone();
        held.spawn(async move { odd(&channel, "/odd/hold").await });
    }
    let refused = async {
        loop {
            let said = odd_within(&channel, "/odd/who", None).await.unwrap_err();
            if said.code() == Code::ResourceExhausted {
                return said;
            }
            tokio::task::yield_now().await;
        }
    };
    let said = timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(said.get_details_error_info().unwrap().reason, "TOO_MANY_CALLS");
    assert!(said.get_details_retry_info().is_some());
    held.abort_all();
}

#[tokio::test]
async fn a_stop_lets_a_call_finish_and_takes_no_new_connection() {
    let world = World::start().await;
    let channel = world.operator().await;
    let odd_service = world.odd.clone();
    let mut calls = tokio::task::JoinSet::new();
    calls.spawn(async move { odd(&channel, "/odd/hold").await });
    timeout(PATIENCE, odd_service.held.notified()).await.unwrap();

    let (relays, tls) = (world.relays, world.tls(None));
    let mut stops = tokio::task::JoinSet::new();
    stops.spawn(world.server.stop(PATIENCE));
    let closed = async { while TcpStream::connect(relays).await.is_ok() {} };
    timeout(PATIENCE, closed).await.unwrap();
    assert!(tls_to(relays, tls).await.is_err());

    odd_service.let_go.notify_one();
    let said = calls.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(said.message().contains("let go"), "{said}");
    timeout(PATIENCE, stops.join_all()).await.unwrap();
}

#[tokio::test]
async fn a_stop_closes_what_does_not_finish() {
    let world = World::start().await;
    let channel = world.operator().await;
    let held = world.odd.clone();
    let mut calls = tokio::task::JoinSet::new();
    calls.spawn(async move { odd(&channel, "/odd/hold").await });
    timeout(PATIENCE, held.held.notified()).await.unwrap();
    timeout(PATIENCE, world.server.stop(Duration::from_millis(100))).await.unwrap();
    let said = calls.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(!said.message().contains("let go"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn the_server_certificate_is_renewed_while_serving() {
    let issued = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&issued);
    let ca = Ca::new();
    let issue = move || match count.fetch_add(1, Ordering::Relaxed) {
        1 => anyhow::bail!("not just now"),
        _ => Ok(ca.issue("localhost")),
    };
    let certificate = ServerCertificate::new(Box::new(issue)).unwrap();
    let cancel = CancellationToken::new();
    let day = Duration::from_secs(24 * 3600);
    let (changed, mut roots) = roots(&[]);
    assert!(timeout(day, certificate.renew(&mut roots, &cancel)).await.is_err());
    // At once; after 8 h, in vain; after 9 h and 17 h.
    assert_eq!(issued.load(Ordering::Relaxed), 4);
    changed.send_replace(Arc::default());
    let soon = Duration::from_secs(1);
    assert!(timeout(soon, certificate.renew(&mut roots, &cancel)).await.is_err());
    assert_eq!(issued.load(Ordering::Relaxed), 5);
}
