//! A relay's OTLP listener on loopback, with all that the rest of a relay would give it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use ekiden_proto::{
    health::v1::CollectorHealth,
    relay::v1::{KeyBundle, KeyMaterial},
};
use ekiden_settings::{Collector, CollectorProtocol, Endpoint, Host, KeyPlacement, Tls};
use http::HeaderName;
use rustls::RootCertStore;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    collector::{CollectorCounters, CollectorPool, Keys, OwnListeners},
    counters::ListenerCounters,
    listener::CloseCause,
    otlp::{Exporter, InFlight, OtlpListener, OtlpSettings, RequestCounters},
    resolver::Resolver,
};

/// Largest request that a test's relay takes, in bytes.
pub(super) const MAX_REQUEST: usize = 1 << 20;
const KEY: &str = "tenants/acme/accessKeys/vendor";

pub(super) struct Relay {
    pub(super) address: SocketAddr,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) drain: CancellationToken,
    pub(super) tracker: TaskTracker,
    listener: Arc<OtlpListener>,
    counters: Arc<ListenerCounters>,
    keys: watch::Sender<Arc<Keys>>,
    causes: watch::Sender<Vec<CloseCause>>,
    idle_timeout: Duration,
    collector: Mutex<(Arc<CollectorPool>, Arc<Exporter>)>,
    _stop: DropGuard,
}

impl Relay {
    /// Starts one that sends to a plain collector with the key `s3cret` in the header `api-key`, after `Key `.
    pub(super) async fn start(collector: SocketAddr) -> Self {
        Self::start_with(collector, super::SOON * 10, None).await
    }

    /// Starts one whose idle connections end after that long.
    pub(super) async fn start_impatient(collector: SocketAddr, idle_timeout: Duration) -> Self {
        Self::start_with(collector, idle_timeout, None).await
    }

    /// Starts one that speaks TLS with its collector.
    pub(super) async fn start_trusting(collector: SocketAddr, roots: RootCertStore) -> Self {
        let tls =
            Tls { server_name: None, roots: Some(Arc::new(roots)), insecure_skip_verify: false };
        Self::start_with(collector, super::SOON * 10, Some(tls)).await
    }

    async fn start_with(collector: SocketAddr, idle_timeout: Duration, tls: Option<Tls>) -> Self {
        let accepting = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = accepting.local_addr().unwrap();
        let keys = watch::Sender::new(keys(Some("s3cret")));
        let tracker = TaskTracker::new();
        let (pool, exporter) = reach(collector, tls, &keys, &tracker);
        let in_flight = InFlight::new(64 << 20);
        let counters = Arc::new(ListenerCounters::default());
        let listener = Arc::new(OtlpListener::new(
            "otlp",
            Arc::clone(&exporter),
            Arc::clone(&in_flight),
            settings(idle_timeout),
            Arc::clone(&counters),
            tracker.clone(),
        ));
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let causes = watch::Sender::default();
        super::spawn(stop.clone().run_until_cancelled_owned(accept(
            accepting,
            Arc::clone(&listener),
            drain.clone(),
            causes.clone(),
        )));
        Self {
            address,
            in_flight,
            drain,
            tracker,
            listener,
            counters,
            keys,
            causes,
            idle_timeout,
            collector: Mutex::new((pool, exporter)),
            _stop: stop.drop_guard(),
        }
    }

    pub(super) fn set_key(&self, key: Option<&str>) {
        self.keys.send_replace(keys(key));
    }

    /// Gives the listener another collector.
    pub(super) fn retarget(&self, collector: SocketAddr) {
        let (pool, exporter) = reach(collector, None, &self.keys, &self.tracker);
        self.listener.retarget(Arc::clone(&exporter), settings(self.idle_timeout));
        *self.collector.lock().unwrap() = (pool, exporter);
    }

    pub(super) fn exporter(&self) -> Arc<Exporter> {
        Arc::clone(&self.collector.lock().unwrap().1)
    }

    pub(super) fn collector_health(&self) -> CollectorHealth {
        self.collector.lock().unwrap().0.health()
    }

    pub(super) fn requests(&self) -> Arc<RequestCounters> {
        self.counters.requests()
    }

    /// Waits until connections have ended with these causes.
    pub(super) async fn closed(&self, expected: &[CloseCause]) {
        let mut causes = self.causes.subscribe();
        let causes =
            super::soon(causes.wait_for(|causes| causes.len() >= expected.len())).await.unwrap();
        assert_eq!(*causes, expected);
    }
}

async fn accept(
    accepting: TcpListener,
    listener: Arc<OtlpListener>,
    drain: CancellationToken,
    causes: watch::Sender<Vec<CloseCause>>,
) {
    loop {
        let (stream, peer) = accepting.accept().await.unwrap();
        let (listener, drain, causes) = (Arc::clone(&listener), drain.clone(), causes.clone());
        super::spawn(async move {
            let cause = listener.serve_connection(stream, peer, drain).await;
            causes.send_modify(|causes| causes.push(cause));
        });
    }
}

fn settings(idle_timeout: Duration) -> OtlpSettings {
    OtlpSettings { max_request_bytes: MAX_REQUEST, idle_timeout }
}

fn keys(key: Option<&str>) -> Arc<Keys> {
    let material = |key: &str| KeyMaterial {
        access_key: KEY.to_owned(),
        version: 1,
        value: key.as_bytes().to_vec(),
        ..KeyMaterial::default()
    };
    Arc::new(Keys::from_bundle(KeyBundle {
        secret_version: 1,
        keys: key.map(material).into_iter().collect(),
        traceparent: String::new(),
    }))
}

fn reach(
    collector: SocketAddr,
    tls: Option<Tls>,
    keys: &watch::Sender<Arc<Keys>>,
    tracker: &TaskTracker,
) -> (Arc<CollectorPool>, Arc<Exporter>) {
    let settings = Collector {
        name: "tenants/acme/collectors/vendor".to_owned(),
        protocol: CollectorProtocol::OtlpGrpc,
        endpoints: vec![Endpoint {
            host: Host::Address(collector.ip()),
            port: collector.port(),
            priority: 0,
        }],
        tls,
        key_placement: Some(KeyPlacement {
            access_key: KEY.to_owned(),
            header: HeaderName::from_static("api-key"),
            prefix: "Key ".to_owned(),
        }),
        proxy: None,
        connect_timeout: Duration::from_secs(2),
    };
    let resolver = Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
    let counters = Arc::new(CollectorCounters::default());
    let pool = CollectorPool::new(Arc::new(settings), resolver, OwnListeners::default(), counters)
        .unwrap();
    let pool = Arc::new(pool);
    let (keys, trials) = (keys.subscribe(), Arc::default());
    let exporter = Exporter::new(Arc::clone(&pool), keys, trials, tracker.clone());
    (pool, exporter)
}
