//! The resolver against a real DNS server on loopback.

use std::sync::MutexGuard;

use hickory_resolver::proto::{
    op::{Header, HeaderCounts, Metadata, ResponseCode},
    rr::{
        Record, RecordType,
        rdata::{A, SOA, SRV},
    },
};
use hickory_server::{
    net::{runtime::Time, xfer::Protocol},
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server},
    zone_handler::MessageResponseBuilder,
};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

const NAME: &str = "ingest.vendor.example";
/// What Route 53's private zones allow "no such name" to be remembered, in seconds.
const SOA_MINIMUM: u32 = 300;
/// A test that waits longer than this for something has failed.
const SOON: Duration = Duration::from_secs(30);

#[derive(Clone)]
enum Behaviour {
    Addresses {
        ttl: u32,
        last: Vec<u8>,
    },
    Services(Vec<(u16, u16, &'static str)>),
    NoSuchName,
    ServFail,
    Silent,
    /// Answers by UDP do not fit; by TCP they do.
    Truncated {
        last: u8,
    },
}

/// A DNS server that says the same of every name, and remembers what it was asked.
struct Dns {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _server: Server<Handler>,
}

struct State {
    behaviour: Behaviour,
    asked: Vec<(String, RecordType)>,
}

struct Handler(Arc<Mutex<State>>);

impl Dns {
    async fn start(behaviour: Behaviour) -> Self {
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let address = socket.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { behaviour, asked: Vec::new() }));
        let mut server = Server::new(Handler(Arc::clone(&state)));
        server.register_socket(socket);
        server.register_listener(listener, SOON, 16);
        Self { address, state, _server: server }
    }

    fn resolver(&self) -> Resolver {
        Resolver::new(&[self.address]).unwrap()
    }

    fn now(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    fn asked(&self) -> usize {
        self.state().asked.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[tonic::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut to: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let info = request.request_info().unwrap();
        let name = Name::from(info.query.name());
        let behaviour = {
            let mut state = self.0.lock().unwrap();
            state.asked.push((name.to_string(), info.query.query_type()));
            state.behaviour.clone()
        };
        let (mut answers, mut authority) = (Vec::new(), Vec::new());
        match behaviour {
            Behaviour::Addresses { ttl, last } => answers.extend(last.into_iter().map(|last| {
                Record::from_rdata(name.clone(), ttl, RData::A(A::new(192, 0, 2, last)))
            })),
            Behaviour::Services(services) => {
                answers.extend(services.into_iter().map(|(priority, port, target)| {
                    let target = Name::from_ascii(target).unwrap();
                    Record::from_rdata(
                        name.clone(),
                        5,
                        RData::SRV(SRV::new(priority, 1, port, target)),
                    )
                }))
            }
            Behaviour::NoSuchName => {
                metadata.response_code = ResponseCode::NXDomain;
                let zone = Name::from_ascii("example.").unwrap();
                let soa = SOA::new(zone.clone(), zone.clone(), 1, 7200, 900, 86400, SOA_MINIMUM);
                authority.push(Record::from_rdata(zone, SOA_MINIMUM, RData::SOA(soa)));
            }
            Behaviour::Truncated { .. } if request.protocol() == Protocol::Udp => {
                metadata.truncation = true
            }
            Behaviour::Truncated { last } => {
                answers.push(Record::from_rdata(
                    name.clone(),
                    5,
                    RData::A(A::new(192, 0, 2, last)),
                ));
            }
            Behaviour::ServFail => metadata.response_code = ResponseCode::ServFail,
            Behaviour::Silent => {
                return ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
            }
        }
        let builder = MessageResponseBuilder::new(&request.queries, request.edns.as_ref());
        let response =
            builder.build(metadata, answers.iter(), [].iter(), authority.iter(), [].iter());
        to.send_response(response).await.unwrap()
    }
}

fn addresses(ttl: u32, last: &[u8]) -> Behaviour {
    Behaviour::Addresses { ttl, last: last.to_vec() }
}

fn found(last: &[u8]) -> Result<Vec<IpAddr>, ResolveError> {
    Ok(last.iter().map(|last| Ipv4Addr::new(192, 0, 2, *last).into()).collect())
}

async fn ask(resolver: &Resolver) -> Result<Vec<IpAddr>, ResolveError> {
    resolver.addresses(&Host::Name(NAME.to_owned())).await
}

/// Asks until the answer is this; gives how long that took.
async fn becomes(resolver: &Resolver, wanted: Result<Vec<IpAddr>, ResolveError>) -> Duration {
    let began = Instant::now();
    while ask(resolver).await != wanted {
        assert!(began.elapsed() < SOON, "it did not become {wanted:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_name_is_asked_for_once_a_ttl_absolutely_and_for_a_records_only() {
    let dns = Dns::start(addresses(1, &[1, 2])).await;
    let resolver = dns.resolver();
    for _ in 0..10 {
        assert_eq!(ask(&resolver).await, found(&[1, 2]));
    }
    assert_eq!(dns.state().asked, [(format!("{NAME}."), RecordType::A)]);
    dns.now(addresses(1, &[3]));
    becomes(&resolver, found(&[3])).await;
}

#[tokio::test]
async fn a_ttl_of_zero_is_not_a_query_for_every_connection() {
    let dns = Dns::start(addresses(0, &[1])).await;
    let resolver = dns.resolver();
    ask(&resolver).await.unwrap();
    ask(&resolver).await.unwrap();
    assert_eq!(dns.asked(), 1);
}

#[tokio::test]
async fn a_ttl_of_a_day_is_believed_for_a_minute() {
    let dns = Dns::start(addresses(86_400, &[1])).await;
    let resolver = dns.resolver();
    let known_until = resolver.0.cached.lookup_ip(NAME).await.unwrap().valid_until();
    let left = known_until.saturating_duration_since(std::time::Instant::now());
    assert!(left > POSITIVE_MAX_TTL / 2 && left <= POSITIVE_MAX_TTL, "{left:?}");
}

#[tokio::test]
async fn no_such_name_is_believed_for_seconds_whatever_the_zone_says() {
    let dns = Dns::start(Behaviour::NoSuchName).await;
    let resolver = dns.resolver();
    assert_eq!(ask(&resolver).await, Err(ResolveError::NoSuchName { name: NAME.to_owned() }));
    ask(&resolver).await.unwrap_err();
    assert_eq!(dns.asked(), 1, "but it is believed");
    dns.now(addresses(5, &[1]));
    let took = becomes(&resolver, found(&[1])).await;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test]
async fn the_last_good_answer_serves_on_when_dns_fails() {
    for failure in [Behaviour::ServFail, Behaviour::Silent] {
        let dns = Dns::start(addresses(1, &[1, 2])).await;
        let resolver = dns.resolver();
        ask(&resolver).await.unwrap();
        dns.now(failure);
        let asked = dns.asked();
        while dns.asked() == asked {
            assert_eq!(ask(&resolver).await, found(&[1, 2]));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(ask(&resolver).await, found(&[1, 2]));
        dns.now(addresses(1, &[3]));
        becomes(&resolver, found(&[3])).await;
    }
}

#[tokio::test]
async fn a_name_that_goes_away_is_believed_gone_at_the_second_denial() {
    let dns = Dns::start(addresses(1, &[1])).await;
    let resolver = dns.resolver();
    ask(&resolver).await.unwrap();
    dns.now(Behaviour::NoSuchName);
    becomes(&resolver, Err(ResolveError::NoSuchName { name: NAME.to_owned() })).await;
    assert_eq!(dns.asked(), 3, "the answer, the first denial, the second");
}

#[tokio::test]
async fn asking_dns_itself_takes_nothing_from_memory() {
    let dns = Dns::start(addresses(60, &[1])).await;
    let resolver = dns.resolver();
    ask(&resolver).await.unwrap();
    assert_eq!(
        resolver.addresses_from_dns(&format!("{NAME}.")).await,
        Ok(vec![Ipv4Addr::new(192, 0, 2, 1)])
    );
    dns.now(Behaviour::NoSuchName);
    for _ in 0..2 {
        let denied = resolver.addresses_from_dns(NAME).await.unwrap_err();
        assert_eq!(denied, ResolveError::NoSuchName { name: NAME.to_owned() });
    }
    dns.now(addresses(60, &[2]));
    assert_eq!(resolver.addresses_from_dns(NAME).await, Ok(vec![Ipv4Addr::new(192, 0, 2, 2)]));
    assert_eq!(dns.asked(), 5);
    assert_eq!(ask(&resolver).await, found(&[1]), "and leaves nothing there");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_fetched_by_tcp() {
    let dns = Dns::start(Behaviour::Truncated { last: 9 }).await;
    assert_eq!(ask(&dns.resolver()).await, found(&[9]));
}

#[tokio::test]
async fn services_come_by_priority() {
    let dns =
        Dns::start(Behaviour::Services(vec![(20, 8444, "b.example."), (10, 8443, "A.example.")]))
            .await;
    let services = dns.resolver().services("_relays._tcp.example").await.unwrap();
    let services =
        services.iter().map(|service| (service.host.to_string(), service.port)).collect::<Vec<_>>();
    assert_eq!(services, [("a.example".to_owned(), 8443), ("b.example".to_owned(), 8444)]);
    assert_eq!(dns.state().asked, [("_relays._tcp.example.".to_owned(), RecordType::SRV)]);
}

#[tokio::test]
async fn addresses_and_localhost_need_no_dns() {
    let dns = Dns::start(Behaviour::Silent).await;
    let resolver = dns.resolver();
    let literal = "198.51.100.7".parse().unwrap();
    assert_eq!(resolver.addresses(&Host::Address(literal)).await, Ok(vec![literal]));
    let localhost = resolver.addresses(&Host::Name("localhost".to_owned())).await;
    assert_eq!(localhost, Ok(vec![Ipv4Addr::LOCALHOST.into()]));
    assert_eq!(dns.asked(), 0);
}

#[tokio::test]
async fn what_is_no_name_is_told_without_asking() {
    let dns = Dns::start(Behaviour::Silent).await;
    let name = "a".repeat(64);
    assert_eq!(
        dns.resolver().addresses_from_dns(&name).await,
        Err(ResolveError::NotAName { name })
    );
    assert_eq!(dns.asked(), 0);
}

#[test]
fn shuffling_brings_every_address_to_the_front_about_equally_often() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut first = [0; 8];
    for _ in 0..8000 {
        let mut addresses = [0, 1, 2, 3, 4, 5, 6, 7];
        shuffle(&mut addresses, &mut random);
        first[addresses[0]] += 1;
    }
    assert!(first.iter().all(|count| (800..1200).contains(count)), "{first:?}");
}
