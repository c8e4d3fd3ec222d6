//! The VPC's resolver on loopback (UDP and TCP): answers from Cloud Map's state as Route 53 does, and from names that
//! the world sets; counts queries, and fails on demand.
//!
//! - [`cache`]: a resolver before it that remembers, as the VPC's own does.
pub mod cache;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Header, HeaderCounts, Metadata, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, SOA, SRV},
    },
};
use hickory_server::{
    net::{runtime::Time, xfer::Protocol},
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server},
    zone_handler::MessageResponseBuilder,
};
use rand::seq::SliceRandom as _;
use tokio::net::{TcpListener, UdpSocket};

use crate::cloud_map::{self, DnsView, Routing};

/// Most records in one answer for a name with several addresses, as Route 53's MULTIVALUE gives.
const MULTIVALUE: usize = 8;
/// Seconds that a missing name outside Cloud Map may be remembered: Route 53's default for private zones.
const NEGATIVE_TTL: u32 = 300;

/// Longest silence on a TCP connection.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most answers in preparation on one.
const TCP_CONNECTIONS: usize = 64;

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing.
    None,
    /// Answers SERVFAIL.
    ServFail,
    /// Does not answer.
    Silent,
    /// Cuts every UDP answer short, so that the client must come by TCP.
    Truncate,
}

/// A running server; it stops when dropped.
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Aborts its loops when dropped.
    _server: Server<Handler>,
}

#[derive(Debug)]
struct Shared {
    cloud_map: cloud_map::View,
    names: Mutex<BTreeMap<String, Static>>,
    failure: Mutex<Failure>,
    queries: Mutex<BTreeMap<(String, RecordType), u64>>,
}

/// Records that the world set for one name.
#[derive(Clone, Debug, Default)]
struct Static {
    ttl: u32,
    addresses: Vec<Ipv4Addr>,
    services: Vec<(u16, String)>,
}

/// What to say to one question.
enum Answer {
    Records(Vec<RData>, u32),
    /// The name exists or not, but there is nothing of this type.
    Nothing {
        code: ResponseCode,
        zone: String,
        negative_ttl: u32,
    },
}

#[derive(Debug)]
struct Handler {
    shared: Arc<Shared>,
}

impl Dns {
    /// Starts it on the same port by UDP and TCP.
    pub async fn start(address: IpAddr, cloud_map: cloud_map::View) -> anyhow::Result<Self> {
        let (udp, tcp) = bind(address).await?;
        let address = udp.local_addr()?;
        let shared = Arc::new(Shared {
            cloud_map,
            names: Mutex::default(),
            failure: Mutex::new(Failure::None),
            queries: Mutex::default(),
        });
        let mut server = Server::new(Handler { shared: Arc::clone(&shared) });
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, TCP_CONNECTIONS);
        Ok(Self { address, shared, _server: server })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the A records of `name` (absolute, with its trailing dot), with their TTL in seconds; none: the name is gone.
    pub fn set_addresses(&self, name: &str, ttl: u32, addresses: &[Ipv4Addr]) {
        let mut names = lock(&self.shared.names);
        let entry = names.entry(name.to_ascii_lowercase()).or_default();
        entry.ttl = ttl;
        entry.addresses = addresses.to_vec();
    }

    /// Sets the SRV records of `name` as ports and targets, equal in priority and weight.
    pub fn set_services(&self, name: &str, ttl: u32, services: &[(u16, &str)]) {
        let mut names = lock(&self.shared.names);
        let entry = names.entry(name.to_ascii_lowercase()).or_default();
        entry.ttl = ttl;
        entry.services =
            services.iter().map(|(port, target)| (*port, (*target).to_owned())).collect();
    }

    /// Makes every answer fail so from now on.
    pub fn fail(&self, failure: Failure) {
        *lock(&self.shared.failure) = failure;
    }

    /// Returns how often `name` was asked for, by type.
    pub fn queries(&self, name: &str, record_type: RecordType) -> u64 {
        let key = (name.to_ascii_lowercase(), record_type);
        lock(&self.shared.queries).get(&key).copied().unwrap_or(0)
    }
}

/// Finds a port that is free by both protocols.
async fn bind(address: IpAddr) -> anyhow::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        let udp = UdpSocket::bind((address, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(_) if tries < 20 => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

#[tonic::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let none = ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
        let Ok(info) = request.request_info() else { return none };
        let name = Name::from(info.query.name());
        let key = (name.to_ascii().to_ascii_lowercase(), info.query.query_type());
        *lock(&self.shared.queries).entry(key.clone()).or_default() += 1;

        let failure = *lock(&self.shared.failure);
        let mut answers = Vec::new();
        let mut authority = Vec::new();
        match failure {
            Failure::Silent => return none,
            Failure::ServFail => metadata.response_code = ResponseCode::ServFail,
            Failure::Truncate if request.protocol() == Protocol::Udp => metadata.truncation = true,
            Failure::None | Failure::Truncate => match self.shared.answer(&key.0, key.1) {
                Answer::Records(data, ttl) => {
                    answers = data
                        .into_iter()
                        .map(|data| Record::from_rdata(name.clone(), ttl, data))
                        .collect();
                }
                Answer::Nothing { code, zone, negative_ttl } => {
                    metadata.response_code = code;
                    authority.extend(soa(&zone, negative_ttl));
                }
            },
        }
        let builder = MessageResponseBuilder::new(&request.queries, request.edns.as_ref());
        let response =
            builder.build(metadata, answers.iter(), [].iter(), authority.iter(), [].iter());
        match response_handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "sending a DNS answer");
                none
            }
        }
    }
}

impl Shared {
    fn answer(&self, name: &str, record_type: RecordType) -> Answer {
        if let Some(entry) = lock(&self.names).get(name) {
            return entry.answer(record_type);
        }
        match self.cloud_map.dns(name) {
            DnsView::NotOurs => Answer::Nothing {
                code: ResponseCode::NXDomain,
                zone: ".".to_owned(),
                negative_ttl: NEGATIVE_TTL,
            },
            DnsView::Missing { zone, negative_ttl } => {
                Answer::Nothing { code: ResponseCode::NXDomain, zone, negative_ttl }
            }
            DnsView::Addresses { zone, negative_ttl, ttl, routing, mut addresses } => {
                if record_type != RecordType::A {
                    return Answer::Nothing { code: ResponseCode::NoError, zone, negative_ttl };
                }
                addresses.shuffle(&mut rand::rng());
                addresses.truncate(match routing {
                    Routing::Multivalue => MULTIVALUE,
                    Routing::Weighted => 1,
                });
                Answer::Records(addresses.into_iter().map(|one| RData::A(A(one))).collect(), ttl)
            }
        }
    }
}

impl Static {
    fn answer(&self, record_type: RecordType) -> Answer {
        let data: Vec<RData> = match record_type {
            RecordType::A => self.addresses.iter().map(|one| RData::A(A(*one))).collect(),
            RecordType::SRV => {
                let records = self.services.iter().filter_map(|(port, target)| {
                    Some(RData::SRV(SRV::new(1, 1, *port, Name::from_ascii(target).ok()?)))
                });
                records.collect()
            }
            _ => Vec::new(),
        };
        if !data.is_empty() {
            return Answer::Records(data, self.ttl);
        }
        let exists = !self.addresses.is_empty() || !self.services.is_empty();
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        Answer::Nothing { code, zone: ".".to_owned(), negative_ttl: NEGATIVE_TTL }
    }
}

/// Builds a zone's SOA record; `None` when the name is no DNS name.
fn soa(zone: &str, minimum: u32) -> Option<Record> {
    let zone = Name::from_ascii(zone).ok()?;
    let server = Name::from_ascii("ns-0.awsdns-00.com.").ok()?;
    let mailbox = Name::from_ascii("awsdns-hostmaster.amazon.com.").ok()?;
    let soa = SOA::new(server, mailbox, 1, 7200, 900, 1_209_600, minimum);
    Some(Record::from_rdata(zone, minimum, RData::SOA(soa)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
