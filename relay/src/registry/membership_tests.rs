use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard},
};

use futures_util::{FutureExt, future::BoxFuture};
use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record as DnsRecord, rdata::A},
};
use tokio::{net::UdpSocket, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::{
    fake_control_plane::SAFETY,
    registry::RegistryError,
    session::standing::Standing,
    test_settings::{checked, registered_in, settings},
};

const OWN: [u8; 4] = [10, 0, 1, 17];
const FIRST: (&str, &str) = ("srv-one", "one.telemetry.internal.");
const SECOND: (&str, &str) = ("srv-two", "two.telemetry.internal.");

/// A registry and the DNS that tells of it.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    services: BTreeMap<String, BTreeMap<String, Record>>,
    failures: VecDeque<RegistryError>,
    calls: Vec<String>,
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn listed(&self, service: &str) -> Vec<Record> {
        self.state()
            .services
            .get(service)
            .map(|listed| listed.values().cloned().collect())
            .unwrap_or_default()
    }

    async fn serve_dns(self) -> (SocketAddrOf, AbortOnDropHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let serving = async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let answer = self.answer(query).to_vec().unwrap();
                socket.send_to(&answer, from).await.unwrap();
            }
        };
        (address, AbortOnDropHandle::new(tokio::runtime::Handle::current().spawn(serving)))
    }

    fn answer(&self, query: Message) -> Message {
        let asked = query.queries.first().unwrap().name().clone();
        let service =
            [FIRST, SECOND].into_iter().find(|(_, name)| asked.to_ascii() == *name).unwrap().0;
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.queries = query.queries;
        for record in self.listed(service) {
            let IpAddr::V4(address) = record.address else { panic!("an A record") };
            answer.add_answer(DnsRecord::from_rdata(asked.clone(), 10, RData::A(A(address))));
        }
        if answer.answers.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer
    }
}

type SocketAddrOf = std::net::SocketAddr;

struct Scripted {
    world: World,
    service: String,
}

impl Registry for Scripted {
    fn register<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), RegistryError>> {
        async {
            let mut state = self.world.state();
            state.calls.push(format!("register {}", self.service));
            if let Some(failure) = state.failures.pop_front() {
                return Err(failure);
            }
            let listed = state.services.entry(self.service.clone()).or_default();
            listed.insert(record.instance.clone(), record.clone());
            Ok(())
        }
        .boxed()
    }

    fn deregister<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), RegistryError>> {
        async move {
            let mut state = self.world.state();
            state.calls.push(format!("deregister {}", self.service));
            if let Some(failure) = state.failures.pop_front() {
                return Err(failure);
            }
            state.services.entry(self.service.clone()).or_default().remove(instance);
            Ok(())
        }
        .boxed()
    }
}

/// A membership with everything that moves it in the test's hands.
struct Stage {
    world: World,
    settings: watch::Sender<Option<Arc<CheckedSettings>>>,
    delivers: watch::Sender<bool>,
    state: watch::Receiver<Registration>,
    membership: Membership,
    _identity: watch::Sender<Option<Arc<Identity>>>,
    _standing: Standing,
    _dns: AbortOnDropHandle<()>,
}

impl Stage {
    async fn new(address: Option<IpAddr>) -> Self {
        let world = World::default();
        let (dns, serving) = world.clone().serve_dns().await;
        let at = |(service, name)| {
            checked(&registered_in(settings(6667, ([127, 0, 0, 1], 9).into()), service, name))
        };
        let settings = watch::Sender::new(Some(at(FIRST)));
        let (delivers, identity) = (watch::Sender::new(true), watch::Sender::new(None));
        let (state, standing) =
            (watch::Sender::new(Registration::default()), Standing::new(Clock::system()));
        let inputs = Inputs {
            settings: settings.subscribe(),
            identity: identity.subscribe(),
            delivers: delivers.subscribe(),
            running: standing.running(),
        };
        let place = Place {
            address,
            zone: Some("ap-northeast-1a".to_owned()),
            task: Some("0a1b".to_owned()),
        };
        let registry = world.clone();
        let registries: Registries = Box::new(move |at| {
            Box::new(Scripted { world: registry.clone(), service: at.service_id.clone() })
        });
        let subscribed = state.subscribe();
        let resolver = Resolver::new(&[dns]).unwrap();
        let membership =
            Membership::new(inputs, place, registries, resolver, Clock::system(), state);
        Self {
            world,
            settings,
            delivers,
            state: subscribed,
            membership,
            _identity: identity,
            _standing: standing,
            _dns: serving,
        }
    }

    async fn own() -> Self {
        Self::new(Some(IpAddr::from(OWN))).await
    }

    /// Runs the membership until its registration is as wanted.
    async fn until(&mut self, wanted: impl FnMut(&Registration) -> bool) -> Registration {
        let mut state = self.state.clone();
        tokio::select! {
            () = self.membership.run(|| 0.0) => panic!("it does not end by itself"),
            found = timeout(SAFETY, state.wait_for(wanted)) => found.unwrap().unwrap().clone(),
        }
    }
}

fn moved_to((service, name): (&str, &str)) -> Option<Arc<CheckedSettings>> {
    Some(checked(&registered_in(settings(6667, ([127, 0, 0, 1], 9).into()), service, name)))
}

#[tokio::test]
async fn a_relay_that_delivers_is_listed_and_seen_in_dns() {
    let mut stage = Stage::own().await;
    let state = stage.until(|state| state.in_dns).await;
    assert!(state.registered && state.wanted && state.verified_at.is_some(), "{state:?}");
    let [record] = &*stage.world.listed(FIRST.0) else { panic!("one record") };
    assert_eq!((record.instance.as_str(), record.port), ("0a1b", 6667));
    assert_eq!(record.address, IpAddr::V4(Ipv4Addr::from(OWN)));
    assert_eq!(record.zone.as_deref(), Some("ap-northeast-1a"));
}

#[tokio::test]
async fn a_relay_that_does_not_deliver_is_not_listed() {
    let mut stage = Stage::own().await;
    stage.delivers.send_replace(false);
    assert!(!stage.until(|state| state.wanted).await.registered);
    stage.delivers.send_replace(true);
    stage.until(|state| state.in_dns).await;
    assert_eq!(stage.world.state().calls, ["register srv-one"]);
}

#[tokio::test]
async fn a_registry_in_trouble_is_asked_again_and_the_trouble_told() {
    let mut stage = Stage::own().await;
    stage
        .world
        .state()
        .failures
        .push_back(RegistryError::Unavailable("ThrottlingException".to_owned()));
    let told = stage.until(|state| !state.message.is_empty()).await;
    assert!(told.message.contains("ThrottlingException"), "{}", told.message);
    let state = stage.until(|state| state.in_dns).await;
    assert_eq!(state.message, "");
    assert_eq!(stage.world.state().calls, ["register srv-one", "register srv-one"]);
}

#[tokio::test]
async fn a_relay_without_an_address_says_what_to_set() {
    let mut stage = Stage::new(None).await;
    let state = stage.until(|state| !state.message.is_empty()).await;
    assert!(state.message.contains("EKIDEN_ADVERTISE_ADDRESS"), "{}", state.message);
    assert!(stage.world.state().calls.is_empty());
}

#[tokio::test]
async fn another_service_is_joined_before_the_old_one_is_left() {
    let mut stage = Stage::own().await;
    stage.until(|state| state.in_dns).await;
    stage.settings.send_replace(moved_to(SECOND));
    let world = stage.world.clone();
    let moved = async {
        while world.state().calls.len() < 3 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = stage.membership.run(|| 0.0) => {}
        done = timeout(SAFETY, moved) => done.unwrap(),
    }
    assert_eq!(
        stage.world.state().calls,
        ["register srv-one", "register srv-two", "deregister srv-one"]
    );
    assert_eq!((stage.world.listed(FIRST.0).len(), stage.world.listed(SECOND.0).len()), (0, 1));
}

#[tokio::test]
async fn leaving_ends_when_dns_no_longer_answers_however_often_it_takes() {
    let mut stage = Stage::own().await;
    assert_eq!(stage.membership.ttl(), None);
    stage.until(|state| state.in_dns).await;
    assert_eq!(stage.membership.ttl(), Some(Duration::from_secs(10)));
    stage.world.state().failures.push_back(RegistryError::Unfinished);
    timeout(SAFETY, stage.membership.leave()).await.unwrap();
    assert!(stage.world.listed(FIRST.0).is_empty());
    assert_eq!(
        stage.world.state().calls,
        ["register srv-one", "deregister srv-one", "deregister srv-one"]
    );
    let state = stage.state.borrow().clone();
    assert!(!state.registered && !state.in_dns);
}

#[tokio::test]
async fn a_relay_told_to_leave_in_the_middle_of_registering_is_taken_off_the_list() {
    let mut stage = Stage::own().await;
    let world = stage.world.clone();
    let called = async {
        while world.state().calls.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = stage.membership.run(|| 0.0) => {}
        () = called => {}
    }
    timeout(SAFETY, stage.membership.leave()).await.unwrap();
    assert!(stage.world.listed(FIRST.0).is_empty());
}
