//! An issuer on a loopback port, over real TLS, that publishes what a test tells it and counts who asks.
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Algorithm, Claims, Expected, Issuer, KeySets, LEEWAY, OidcError,
    test_tokens::{AUDIENCE, ISSUED, keys},
    verify,
};
use crate::{clock::Clock, https::Https};

/// A host beside `localhost` under which the same server answers.
pub(crate) const OTHER_HOST: &str = "keys.test";
/// Every algorithm there is.
pub(crate) const ALL: &[Algorithm] = &[Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384];

/// The issuer and what its verifier has.
pub(crate) struct TestIssuer {
    pub(crate) issuer: Issuer,
    pub(crate) published: Arc<Mutex<Published>>,
    /// How often each document was asked for, in words of the path.
    pub(crate) asked: watch::Receiver<Vec<String>>,
    /// Answers wait until it says true.
    pub(crate) open: watch::Sender<bool>,
    pub(crate) address: SocketAddr,
    /// What its certificate is trusted by.
    pub(crate) root: CertificateDer<'static>,
    now: Arc<AtomicI64>,
    _serving: JoinSet<()>,
}

/// What the issuer answers.
pub(crate) struct Published {
    /// The discovery document.
    pub(crate) discovery: Reply,
    /// The key set.
    pub(crate) key_set: Reply,
}

/// An HTTP answer; none hangs up.
pub(crate) type Reply = Option<(u16, Vec<u8>)>;

/// A good answer.
pub(crate) fn ok(document: &Value) -> Reply {
    Some((200, document.to_string().into_bytes()))
}

impl TestIssuer {
    pub(crate) async fn start() -> Self {
        Self::start_as("localhost", |port| format!("https://localhost:{port}")).await
    }

    /// One that is reached under this host's name only by who is led to [`TestIssuer::address`].
    pub(crate) async fn start_at(host: &str) -> Self {
        Self::start_as(host, |_| format!("https://{host}")).await
    }

    async fn start_as(host: &str, url: impl FnOnce(u16) -> String) -> Self {
        let names = vec![host.to_owned(), OTHER_HOST.to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = url(address.port());
        let published = Arc::new(Mutex::new(Published::good(&url)));
        let ((heard, asked), (open, opened)) = (watch::channel(Vec::new()), watch::channel(true));
        let mut serving = JoinSet::new();
        let (tls, published_there) = (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&published));
        serving.spawn(async move {
            let (heard, mut connections) = (Arc::new(heard), JoinSet::new());
            while let Ok((tcp, _)) = listener.accept().await {
                let (tls, heard, opened) = (tls.clone(), Arc::clone(&heard), opened.clone());
                let published = Arc::clone(&published_there);
                connections.spawn(async move { serve(tcp, tls, &heard, opened, &published).await });
            }
        });
        Self {
            issuer: Issuer::new(&url, None).unwrap(),
            published,
            asked,
            open,
            address,
            root: cert.der().clone(),
            now: Arc::new(AtomicI64::new(ISSUED)),
            _serving: serving,
        }
    }

    /// A verifier's keys, none of them fetched yet.
    pub(crate) fn sets(&self) -> KeySets {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let hosts = ["localhost", OTHER_HOST].map(|host| (host.to_owned(), self.address));
        let now = Arc::clone(&self.now);
        let clock = Clock::from_fn(move || at(now.load(Ordering::SeqCst)));
        KeySets::new(Https::new(roots, &hosts).unwrap(), clock)
    }

    /// The port, for other URLs of the same server.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Lets time pass for the verifier.
    pub(crate) fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Changes what is published.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Published)) {
        change(&mut self.published.lock().unwrap());
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.asked.borrow().len()
    }

    /// What good tokens are held against; the time of tokens stands still while that of keys passes.
    pub(crate) fn expected(&self) -> Expected<'_> {
        Expected {
            issuer: &self.issuer,
            audience: AUDIENCE,
            algorithms: ALL,
            now: at(ISSUED),
            leeway: LEEWAY,
            longest_life: Duration::from_secs(3600),
            needs_jti: true,
        }
    }

    /// Verifies a token.
    pub(crate) async fn verify(&self, sets: &KeySets, token: &str) -> Result<Claims, OidcError> {
        verify(sets, token, &self.expected()).await
    }
}

impl Published {
    /// What an issuer should publish.
    pub(crate) fn good(url: &str) -> Self {
        let jwks_uri = format!("{url}/.well-known/jwks.json");
        Self {
            discovery: ok(
                &json!({ "issuer": url, "jwks_uri": jwks_uri, "claims_supported": ["sub"] }),
            ),
            key_set: ok(&keys().set()),
        }
    }
}

/// A time by its seconds since 1970.
pub(crate) fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

async fn serve(
    tcp: TcpStream,
    tls: TlsAcceptor,
    heard: &watch::Sender<Vec<String>>,
    mut opened: watch::Receiver<bool>,
    published: &Mutex<Published>,
) {
    let Ok(mut stream) = tls.accept(tcp).await else { return };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let path = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().to_owned();
    heard.send_modify(|asked| asked.push(path.clone()));
    if opened.wait_for(|open| *open).await.is_err() {
        return;
    }
    let reply = {
        let published = published.lock().unwrap();
        match path.ends_with("/openid-configuration") {
            true => published.discovery.clone(),
            false => published.key_set.clone(),
        }
    };
    let Some((status, body)) = reply else { return };
    // Whoever follows redirects finds a good document at the end of this one.
    let head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-length: {}\r\nlocation: /elsewhere\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // A client that has read enough hangs up.
    let answer = [head.into_bytes(), body].concat();
    if stream.write_all(&answer).await.is_ok() {
        stream.shutdown().await.ok();
    }
}
