//! What the tests of the data plane are made of.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use ekiden_settings::{
    CheckedSettings, Collector, CollectorProtocol, Endpoint, Host, Limits, Listener, Protocol, Tls,
    Violation,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    counters::ListenerCounters, data_plane::DataPlane, listener::CloseCause, resolver::Resolver,
};

/// A test that waits longer than this for something has failed.
const SOON: Duration = Duration::from_secs(30);

/// Waits for something that must come.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it did not come in time")
}

/// Waits until something holds.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Runs something beside a test; it ends with the test's runtime.
#[expect(clippy::disallowed_methods, reason = "a test's runtime ends its tasks")]
pub(super) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

/// A data plane at an address of its own.
pub(super) struct Relay {
    pub(super) plane: DataPlane,
    pub(super) ip: IpAddr,
    tracker: TaskTracker,
    cancel: DropGuard,
}

impl Relay {
    pub(super) fn start() -> Self {
        // Test processes run side by side: the process is in the address, and which of its relays it is.
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 64 + (NEXT.fetch_add(1, Relaxed) & 127), high, low).into();
        let cancel = CancellationToken::new();
        let resolver = Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
        let tracker = TaskTracker::new();
        let plane = DataPlane::new(resolver, ip, cancel.clone(), tracker.clone());
        Self { plane, ip, tracker, cancel: cancel.drop_guard() }
    }

    /// Starts one that runs settings with these listeners.
    pub(super) async fn running(listeners: &[Listener]) -> Self {
        let relay = Self::start();
        relay.apply(listeners).await.unwrap();
        relay
    }

    /// Ends the process, as far as the data plane is concerned; gives what ran.
    pub(super) fn cancel(self) -> TaskTracker {
        let Self { tracker, cancel, plane: _plane, .. } = self;
        drop(cancel);
        tracker.close();
        tracker
    }

    pub(super) async fn apply(&self, listeners: &[Listener]) -> Result<(), Vec<Violation>> {
        self.apply_with(listeners, Limits::default()).await
    }

    pub(super) async fn apply_with(
        &self,
        listeners: &[Listener],
        limits: Limits,
    ) -> Result<(), Vec<Violation>> {
        let mut collectors: Vec<Arc<Collector>> = Vec::new();
        for listener in listeners {
            if !collectors.contains(&listener.collector) {
                collectors.push(Arc::clone(&listener.collector));
            }
        }
        let settings = CheckedSettings {
            fleet: "tenants/acme/fleets/test".to_owned(),
            listeners: listeners.to_vec(),
            collectors,
            discovery: None,
            limits,
        };
        self.plane.apply(Arc::new(settings)).await
    }

    /// Connects as a workload does.
    pub(super) async fn connect(&self, port: u16) -> TcpStream {
        soon(TcpStream::connect((self.ip, port))).await.unwrap()
    }

    pub(super) fn counters(&self, listener: &str) -> Arc<ListenerCounters> {
        let health = self.plane.health();
        let (_, counters) = health.counters.into_iter().find(|(name, _)| name == listener).unwrap();
        counters
    }

    /// Waits until one connection of a listener ended with a cause.
    pub(super) async fn ended(&self, listener: &str, cause: CloseCause) {
        let counters = self.counters(listener);
        until(|| counters.count_of(cause) > 0 || counters.open() == 0).await;
        let ends = CloseCause::ALL
            .into_iter()
            .filter(|cause| counters.count_of(*cause) > 0)
            .collect::<Vec<_>>();
        assert!(ends.contains(&cause), "{ends:?}");
    }
}

/// A collector that hands out the connections it gets.
pub(super) struct Vendor {
    pub(super) address: SocketAddr,
    connections: mpsc::Receiver<TcpStream>,
}

impl Vendor {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections) = mpsc::channel(100);
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if sender.send(stream).await.is_err() {
                    return;
                }
            }
        });
        Self { address, connections }
    }

    pub(super) async fn accept(&mut self) -> TcpStream {
        soon(self.connections.recv()).await.unwrap()
    }

    /// Connections that came and were not accepted yet.
    pub(super) fn waiting(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn as_collector(&self, name: &str) -> Arc<Collector> {
        Arc::new(collector(name, self.address))
    }
}

pub(super) fn collector(name: &str, address: SocketAddr) -> Collector {
    Collector {
        name: format!("tenants/acme/collectors/{name}"),
        protocol: CollectorProtocol::Tcp,
        endpoints: vec![Endpoint {
            host: Host::Address(address.ip()),
            port: address.port(),
            priority: 0,
        }],
        tls: None,
        key_placement: None,
        proxy: None,
        connect_timeout: Duration::from_secs(2),
    }
}

/// A collector that is reached over TLS and trusted by `roots`.
pub(super) fn tls_collector(
    name: &str,
    address: SocketAddr,
    roots: rustls::RootCertStore,
) -> Collector {
    let tls = Tls {
        server_name: Some("vendor.example".try_into().unwrap()),
        roots: Some(Arc::new(roots)),
        insecure_skip_verify: false,
    };
    Collector { tls: Some(tls), ..collector(name, address) }
}

pub(super) fn listener(name: &str, port: u16, collector: &Arc<Collector>) -> Listener {
    Listener {
        name: name.to_owned(),
        port,
        protocol: Protocol::Tcp,
        collector: Arc::clone(collector),
        max_connections: 100,
        idle_timeout: Duration::from_secs(3600),
        max_connection_age: None,
    }
}

/// Says something one way and hears it at the other end.
pub(super) async fn says(from: &mut TcpStream, what: &[u8], to: &mut TcpStream) {
    soon(from.write_all(what)).await.unwrap();
    let mut heard = vec![0; what.len()];
    soon(to.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, what);
}

/// Hears that the other side has no more to say.
pub(super) async fn hears_the_end(stream: &mut TcpStream) {
    assert_eq!(soon(stream.read(&mut [0; 16])).await.unwrap(), 0, "an end, not bytes");
}
