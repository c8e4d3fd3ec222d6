//! A whole control plane for a test: its own database, both real ports, what runs beside the calls, and the first
//! operator's token. [`TestApp::beside`] gives a second replica on the same database.
pub(crate) mod customer;

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use prost::Message;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use secrecy::ExposeSecret;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tower::service_fn;
use uuid::Uuid;

use crate::{
    admin,
    app::{App, ServerSettings},
    bootstrap,
    caller::Logins,
    challenges::Challenges,
    clock::Clock,
    fingerprints::FingerprintKey,
    health::HealthSink,
    https::Https,
    lifecycle,
    metrics::Metrics,
    oidc::KeySets,
    page::PageTokens,
    pki::Authorities,
    relay_port, replicas,
    serve::{Ports, Server, Serving},
    sessions::{HeadsFollower, KeyBundles, LiveSessions},
    sts::{Partition, Sts},
    test_database::{self, TestDatabase},
    vault::{LocalFile, MasterKey, Vault},
};

/// A replica on a database of its test, with both ports open.
pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) relays: SocketAddr,
    /// A connection to the operators' port.
    pub(crate) channel: Channel,
    /// Text of an operator's token.
    pub(crate) token: String,
    pub(crate) database: Arc<TestDatabase>,
    master_keys: MasterKeys,
    https: Https,
    _server: Server,
    background: Mutex<JoinSet<()>>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_at(Clock::system()).await
    }

    /// Starts with another clock than the machine's.
    pub(crate) async fn start_at(clock: Clock) -> Self {
        Self::start_given(clock, settings(), Https::new(RootCertStore::empty(), &[]).unwrap()).await
    }

    /// Starts with this way to services of others.
    pub(crate) async fn start_beside(clock: Clock, https: Https) -> Self {
        Self::start_given(clock, settings(), https).await
    }

    /// Starts with other settings than [`settings`].
    pub(crate) async fn start_with(clock: Clock, settings: ServerSettings) -> Self {
        let https = Https::new(RootCertStore::empty(), &[]).unwrap();
        Self::start_given(clock, settings, https).await
    }

    /// Starts with these master keys.
    pub(crate) async fn start_under(master_keys: MasterKeys) -> Self {
        let https = Https::new(RootCertStore::empty(), &[]).unwrap();
        Self::first(Clock::system(), settings(), https, master_keys).await
    }

    async fn start_given(clock: Clock, settings: ServerSettings, https: Https) -> Self {
        Self::first(clock, settings, https, vec![new_master_key()]).await
    }

    async fn first(
        clock: Clock,
        settings: ServerSettings,
        https: Https,
        master_keys: MasterKeys,
    ) -> Self {
        let database = Arc::new(test_database::fresh().await);
        let vault = vault(&master_keys);
        let audit = bootstrap::audit_log(&database.scoped, &vault, &clock).await.unwrap();
        let token = bootstrap::first_operator_token(&database.scoped, &audit, &clock);
        let token = token.await.unwrap().unwrap();
        let token = token.expose_secret().to_owned();
        Self::replica(database, master_keys, token, clock, settings, https).await
    }

    /// Another replica on the same database.
    pub(crate) async fn beside(&self) -> Self {
        self.beside_under(self.master_keys.clone()).await
    }

    /// Another replica on the same database, with these master keys.
    pub(crate) async fn beside_under(&self, master_keys: MasterKeys) -> Self {
        let database = Arc::clone(&self.database);
        let (clock, settings) = (self.app.clock.clone(), self.app.settings.clone());
        let (token, https) = (self.token.clone(), self.https.clone());
        Self::replica(database, master_keys, token, clock, settings, https).await
    }

    /// Ends what runs beside the calls in good order, and with it the lease.
    pub(crate) fn leave(&self) {
        self.app.cancel.cancel();
    }

    /// Ends what runs beside the calls, as `kill -9` would.
    pub(crate) fn stop(&self) {
        self.background.lock().unwrap().abort_all();
    }

    async fn replica(
        database: Arc<TestDatabase>,
        master_keys: MasterKeys,
        token: String,
        clock: Clock,
        settings: ServerSettings,
        https: Https,
    ) -> Self {
        let vault = vault(&master_keys);
        let app = build(&database, vault, clock, settings, https.clone()).await;
        let any = "127.0.0.1:0".parse().unwrap();
        let ports = Ports::bind(any, any).unwrap();
        let (relays, operators) = ports.addresses().unwrap();
        let issuer = Arc::clone(&app);
        let serving = Serving {
            relays: relay_port::routes(&app),
            operators: admin::routes(&app),
            issue: Box::new(move || {
                let names = &issuer.settings.server_names;
                issuer.authorities.issue_server(names, issuer.clock.now())
            }),
            relay_roots: app.authorities.roots(),
            relay_renewal_grace: app.settings.relay_renewal_grace,
            operator_plaintext: false,
            database: app.pool.options(),
            metrics: app.metrics.clone(),
            tracker: app.tracker.clone(),
        };
        let server = Server::start(ports, serving).unwrap();
        replicas::begin(&app.pool, &app.clock, app.replica, &app.vault.key_ids()).await.unwrap();
        let background = lifecycle::spawn_background(&app);
        let channel = channel(operators, client(&app.authorities.trust_roots(), None));
        Self {
            app,
            relays,
            channel,
            token,
            database,
            master_keys,
            https,
            _server: server,
            background: Mutex::new(background),
        }
    }
}

/// Master keys, the one to seal with first.
pub(crate) type MasterKeys = Vec<Arc<dyn MasterKey>>;

/// A master key that no other test has.
pub(crate) fn new_master_key() -> Arc<dyn MasterKey> {
    let folder = tempfile::tempdir().unwrap();
    Arc::new(LocalFile::load_or_create(&folder.path().join("master.key")).unwrap())
}

fn vault(master_keys: &[Arc<dyn MasterKey>]) -> Vault {
    let (first, others) = master_keys.split_first().unwrap();
    Vault::with_others(Arc::clone(first), others.to_vec())
}

/// What most tests start with; nobody in them is too fast.
pub(crate) fn settings() -> ServerSettings {
    ServerSettings {
        server_names: vec!["localhost".to_owned()],
        trust_domain: "ekiden.internal".to_owned(),
        relay_certificate_lifetime: Duration::from_secs(3600),
        relay_renewal_grace: Duration::from_secs(3 * 3600),
        health_interval: Duration::from_secs(10),
        heartbeat_interval: Duration::from_secs(20),
        balance_interval: Duration::from_secs(60),
        logins: None,
        calls_per_second: NonZeroU32::new(100_000).unwrap(),
        attempts_per_second: NonZeroU32::new(100_000).unwrap(),
    }
}

async fn build(
    database: &TestDatabase,
    vault: Vault,
    clock: Clock,
    settings: ServerSettings,
    https: Https,
) -> Arc<App> {
    let pool = database.scoped.clone();
    let page_tokens = bootstrap::server_key(&pool, &vault, &clock, "page_tokens").await.unwrap();
    let fingerprints = bootstrap::server_key(&pool, &vault, &clock, "fingerprints").await.unwrap();
    let challenges = bootstrap::server_key(&pool, &vault, &clock, "challenges").await.unwrap();
    let audit = bootstrap::audit_log(&pool, &vault, &clock).await.unwrap();
    let authorities =
        Authorities::load_or_create(&pool, &vault, &clock, "ekiden.internal").await.unwrap();
    let logins = settings.logins.clone();
    let logins = logins.map(|logins| Arc::new(Logins::new(logins, clock.clone()).unwrap()));
    let metrics = Metrics::new();
    Arc::new(App {
        pool,
        direct: database.options.clone(),
        clock: clock.clone(),
        vault,
        page_tokens: PageTokens::new(page_tokens),
        fingerprints: FingerprintKey::new(&fingerprints),
        audit,
        challenges: Challenges::new(&challenges),
        recent_rules: relay_port::recent_rules::RecentRules::default(),
        key_sets: KeySets::new(https.clone(), clock.clone()),
        sts: Sts::new(https, clock.clone(), &[Partition::Aws]),
        logins,
        authorities,
        heads: HeadsFollower::default(),
        live: LiveSessions::default(),
        key_bundles: KeyBundles::default(),
        health: HealthSink::new(metrics.clone()),
        metrics,
        replica: Uuid::now_v7(),
        settings,
        cancel: CancellationToken::new(),
        tracker: TaskTracker::new(),
    })
}

/// TLS that trusts `roots` and shows `identity`, where given.
pub(crate) fn client(
    roots: &[CertificateDer<'static>],
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> TlsConnector {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store);
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// A port of this machine as `localhost`; connects when first used.
pub(crate) fn channel(at: SocketAddr, tls: TlsConnector) -> Channel {
    let connect = service_fn(move |_| {
        let tls = tls.clone();
        async move {
            let name = ServerName::try_from("localhost").unwrap();
            tls.connect(name, TcpStream::connect(at).await?).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect)
}

/// Calls a unary rpc by its path, with a token where given.
pub(crate) async fn call<Req, Resp>(
    channel: &Channel,
    token: Option<&str>,
    path: &str,
    message: Req,
) -> Result<Resp, Status>
where
    Req: Message + 'static,
    Resp: Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Req, Resp>::default();
    let answer = grpc.unary(authorized(token, message), path.parse().unwrap(), codec).await;
    answer.map(tonic::Response::into_inner)
}

/// Calls an rpc that answers with a stream.
pub(crate) async fn watch<Req, Resp>(
    channel: &Channel,
    token: Option<&str>,
    path: &str,
    message: Req,
) -> Result<Streaming<Resp>, Status>
where
    Req: Message + 'static,
    Resp: Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Req, Resp>::default();
    let request = authorized(token, message);
    let answer = grpc.server_streaming(request, path.parse().unwrap(), codec).await;
    answer.map(tonic::Response::into_inner)
}

fn authorized<Req>(token: Option<&str>, message: Req) -> Request<Req> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}
