//! The live state of one collector, and how it is dialled.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ekiden_proto::health::v1::CollectorHealth;
use ekiden_settings::{Collector, CollectorProtocol, Endpoint, Host, Tls};
use futures_util::future::join_all;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    CollectorCounters, ConnectTimings, DialError, OwnListeners, ProbeOutcome, Stream, Use, proxy,
    quarantine::Quarantine,
    race::{Won, race},
    tls,
};
use crate::resolver::{Resolver, shuffle};

/// All addresses of a collector together get this long: a workload that waits longer has given up.
const LONGEST: Duration = Duration::from_secs(20);
/// A probe ends TLS politely, but does not wait for it.
const FAREWELL: Duration = Duration::from_millis(500);
/// NAT gateways and load balancers forget silent connections after 350 s.
pub(crate) const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// One collector: dials it, and knows how that went.
pub struct CollectorPool {
    settings: Arc<Collector>,
    resolver: Resolver,
    own_listeners: OwnListeners,
    tls: Option<TlsConnector>,
    tls_to_proxy: Option<TlsConnector>,
    quarantine: Mutex<Quarantine>,
    counters: Arc<CollectorCounters>,
}

/// A connection to a collector.
#[derive(Debug)]
pub struct Dialled {
    pub stream: Stream,
    pub endpoint: Endpoint,
    pub timings: ConnectTimings,
}

/// One address that an endpoint has.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    endpoint: &'a Endpoint,
    address: SocketAddr,
    dns: Duration,
}

impl CollectorPool {
    /// Makes ready to dial; the counters may come from the same collector with other settings.
    pub fn new(
        settings: Arc<Collector>,
        resolver: Resolver,
        own_listeners: OwnListeners,
        counters: Arc<CollectorCounters>,
    ) -> Result<Self, rustls::Error> {
        let tls =
            settings.tls.as_ref().map(|tls| tls::connector(tls, settings.protocol)).transpose()?;
        let to_proxy = settings.proxy.as_ref().and_then(|proxy| proxy.tls.as_ref());
        let tls_to_proxy =
            to_proxy.map(|tls| tls::connector(tls, CollectorProtocol::Tcp)).transpose()?;
        let quarantine = Mutex::default();
        Ok(Self { settings, resolver, own_listeners, tls, tls_to_proxy, quarantine, counters })
    }

    pub fn settings(&self) -> &Arc<Collector> {
        &self.settings
    }

    /// Connects to the endpoints of the lowest priority that answer, TLS included.
    pub async fn dial(&self) -> Result<Dialled, DialError> {
        let dialled = match timeout(LONGEST, self.dial_by_priority()).await {
            Ok(dialled) => dialled,
            Err(_) => Err(DialError::GaveUp { after: LONGEST }),
        };
        match &dialled {
            Ok(dialled) => self.counters.dialled(dialled),
            Err(error) => self.counters.dial_failed(error),
        }
        dialled
    }

    /// Asks whether the collector can be reached, by dialling it.
    pub async fn probe(&self) -> ProbeOutcome {
        match self.dial().await {
            Ok(Dialled { mut stream, .. }) => {
                // Whether the farewell arrives changes nothing.
                drop(timeout(FAREWELL, stream.shutdown()).await);
                ProbeOutcome::Reachable
            }
            Err(error) => ProbeOutcome::from(&error),
        }
    }

    /// Notes what the use of a connection told.
    pub fn report_use(&self, outcome: Use<'_>) {
        self.counters.used(outcome);
    }

    /// Whether the last probe or use succeeded.
    pub fn reachable(&self) -> bool {
        self.counters.reachable()
    }

    /// What health reports of it.
    pub fn health(&self) -> CollectorHealth {
        self.counters.health(&self.settings.name)
    }

    async fn dial_by_priority(&self) -> Result<Dialled, DialError> {
        let mut skipped = Vec::new();
        let mut last = None;
        for tier in self.settings.endpoints.chunk_by(|one, other| one.priority == other.priority) {
            let (mut candidates, error) = self.candidates(tier, &mut skipped).await;
            last = error.or(last);
            match self.dial_tier(&mut candidates).await {
                Some(Ok(dialled)) => return Ok(dialled),
                Some(Err(error)) => last = Some(error),
                None => {}
            }
        }
        match self.dial_tier(&mut skipped.into()).await.or(last.map(Err)) {
            Some(dialled) => dialled,
            None => Err(DialError::GaveUp { after: Duration::ZERO }),
        }
    }

    /// Resolves a tier's endpoints; addresses in quarantine go to `skipped`.
    async fn candidates<'a>(
        &self,
        tier: &'a [Endpoint],
        skipped: &mut Vec<Candidate<'a>>,
    ) -> (VecDeque<Candidate<'a>>, Option<DialError>) {
        let resolved = tier.iter().map(|endpoint| async move {
            let begun = Instant::now();
            let (host, _) = self.dialled(endpoint);
            let addresses = self.resolver.addresses(host).await;
            (endpoint, addresses, begun.elapsed())
        });
        let mut candidates = Vec::new();
        let mut last = None;
        for (endpoint, addresses, dns) in join_all(resolved).await {
            match addresses {
                Ok(addresses) => candidates.extend(addresses.into_iter().map(|ip| {
                    let address = SocketAddr::new(ip, self.dialled(endpoint).1);
                    Candidate { endpoint, address, dns }
                })),
                Err(error) => last = Some(DialError::Dns(error)),
            }
        }
        shuffle(&mut candidates, &mut rand::rng());
        let now = Instant::now();
        let mut quarantine = self.quarantine();
        let (mut admitted, mut rest) = (VecDeque::new(), Vec::new());
        for candidate in candidates {
            if self.own_listeners.contains(candidate.address) {
                last = Some(DialError::Loop { address: candidate.address });
            } else if quarantine.admits(candidate.address, now, self.settings.connect_timeout) {
                admitted.push_back(candidate);
            } else {
                rest.push(candidate);
            }
        }
        skipped.append(&mut rest);
        (admitted, last)
    }

    /// What TCP is opened to: the endpoint, or the proxy that leads to it.
    fn dialled<'a>(&'a self, endpoint: &'a Endpoint) -> (&'a Host, u16) {
        match &self.settings.proxy {
            None => (&endpoint.host, endpoint.port),
            Some(proxy) => (&proxy.host, proxy.port),
        }
    }

    /// Dials candidates of one priority until one has answered.
    async fn dial_tier(
        &self,
        candidates: &mut VecDeque<Candidate<'_>>,
    ) -> Option<Result<Dialled, DialError>> {
        let mut last = None;
        loop {
            let Some(raced) = race(candidates, |candidate| self.connect(candidate)).await else {
                return last.map(Err);
            };
            let Won { value: (tcp, candidate, took), overtaken } = match raced {
                Ok(won) => won,
                Err(error) => return Some(Err(error)),
            };
            for candidate in overtaken {
                self.quarantine().failed(candidate.address, Instant::now());
            }
            match self.finish(tcp, candidate, took).await {
                Ok(dialled) => {
                    self.quarantine().reached(candidate.address);
                    return Some(Ok(dialled));
                }
                Err(error) => {
                    self.failed(candidate.address, &error);
                    last = Some(error);
                }
            }
        }
    }

    async fn connect<'a>(
        &self,
        candidate: Candidate<'a>,
    ) -> Result<(TcpStream, Candidate<'a>, Duration), DialError> {
        let address = candidate.address;
        let begun = Instant::now();
        let after = self.settings.connect_timeout;
        let connected = match timeout(after, connect(address)).await {
            Ok(connected) => connected,
            Err(_) => Err(DialError::Timeout { address, after }),
        };
        match connected {
            Ok(stream) => Ok((stream, candidate, begun.elapsed())),
            Err(error) => {
                self.failed(address, &error);
                Err(error)
            }
        }
    }

    /// Adds the proxy's tunnel, and TLS where the collector wants it; all of it shares the time that an attempt may take.
    async fn finish(
        &self,
        tcp: TcpStream,
        candidate: Candidate<'_>,
        took: Duration,
    ) -> Result<Dialled, DialError> {
        let Candidate { endpoint, address, dns } = candidate;
        let after = self.settings.connect_timeout;
        let left = after.saturating_sub(took);
        match timeout(left, self.secure(tcp, endpoint, address)).await {
            Ok(secured) => {
                let (stream, tls) = secured?;
                let timings = ConnectTimings { dns, tcp: took, tls };
                Ok(Dialled { stream, endpoint: endpoint.clone(), timings })
            }
            Err(_) => Err(DialError::Timeout { address, after }),
        }
    }

    /// Gives how long TLS with the collector took, too.
    async fn secure(
        &self,
        tcp: TcpStream,
        endpoint: &Endpoint,
        address: SocketAddr,
    ) -> Result<(Stream, Option<Duration>), DialError> {
        let failed = |source| DialError::Tls { address, source: Arc::new(source) };
        let mut stream = Stream::Plain(tcp);
        if let Some(proxy) = &self.settings.proxy {
            if let (Some(connector), Some(tls)) = (&self.tls_to_proxy, &proxy.tls) {
                let name = server_name(tls, &proxy.host).map_err(failed)?;
                stream = encrypt(connector, name, stream).await.map_err(failed)?;
            }
            let tunnelled = proxy::tunnel(&mut stream, endpoint, proxy.authorization.as_ref());
            tunnelled
                .await
                .map_err(|source| DialError::Proxy { address, source: Arc::new(source) })?;
        }
        let (Some(connector), Some(tls)) = (&self.tls, &self.settings.tls) else {
            return Ok((stream, None));
        };
        let name = server_name(tls, &endpoint.host).map_err(failed)?;
        let begun = Instant::now();
        let stream = encrypt(connector, name, stream).await.map_err(failed)?;
        Ok((stream, Some(begun.elapsed())))
    }

    fn failed(&self, address: SocketAddr, error: &DialError) {
        self.counters.attempt_failed();
        // What the relay lacks is not the address's fault.
        if !matches!(error, DialError::Exhausted { .. }) {
            self.quarantine().failed(address, Instant::now());
        }
        tracing::debug!(
            collector.id = self.settings.name, server.address = %address, cause = error.kind(), %error,
            "an address of a collector could not be reached"
        );
    }

    fn quarantine(&self) -> MutexGuard<'_, Quarantine> {
        self.quarantine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for CollectorPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CollectorPool").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn server_name(tls: &Tls, host: &Host) -> io::Result<ServerName<'static>> {
    match &tls.server_name {
        Some(name) => Ok(name.clone()),
        None => ServerName::try_from(host.to_string()).map_err(io::Error::other),
    }
}

async fn encrypt(
    connector: &TlsConnector,
    name: ServerName<'static>,
    stream: Stream,
) -> io::Result<Stream> {
    Ok(match stream {
        Stream::Plain(tcp) => Stream::Tls(Box::new(connector.connect(name, tcp).await?)),
        Stream::Tls(tls) => Stream::TlsInTls(Box::new(connector.connect(name, *tls).await?)),
        Stream::TlsInTls(_) => return Err(io::Error::other("two layers of TLS are enough")),
    })
}

async fn connect(address: SocketAddr) -> Result<TcpStream, DialError> {
    let socket = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        SockRef::from(&socket).set_tcp_keepalive(&KEEPALIVE)?;
        Ok(socket)
    };
    let socket: TcpSocket =
        socket().map_err(|source| DialError::Exhausted { address, source: Arc::new(source) })?;
    socket.connect(address).await.map_err(|error| DialError::from_connect(address, error))
}
