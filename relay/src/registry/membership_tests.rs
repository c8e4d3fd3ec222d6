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
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::{
    fake_control_plane::SAFETY,
    registry::{Listed, RegistryError, ServiceKind},
    session::{departure::LeaveVerdict, standing::Standing},
    test_settings::{checked, registered_in, settings},
};

#[path = "membership_tests/leaving.rs"]
mod leaving;

const OWN: [u8; 4] = [10, 0, 1, 17];
const FIRST: (&str, &str) = ("srv-one", "one.telemetry.internal.");
const SECOND: (&str, &str) = ("srv-two", "two.telemetry.internal.");

/// A registry and the DNS that tells of it.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    services: BTreeMap<String, BTreeMap<String, Listed>>,
    failures: VecDeque<RegistryError>,
    calls: Vec<String>,
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn listed(&self, service: &str) -> Vec<Listed> {
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
            let Some(IpAddr::V4(address)) = record.address else { panic!("an A record") };
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
        async move {
            let mut state = self.world.state();
            state.calls.push(format!("register {}", self.service));
            if let Some(failure) = state.failures.pop_front() {
                return Err(failure);
            }
            let listed = state.services.entry(self.service.clone()).or_default();
            listed.insert(record.instance.clone(), Listed::from(record));
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

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, RegistryError>> {
        async { Ok(self.world.listed(&self.service)) }.boxed()
    }

    fn kind(&self) -> BoxFuture<'_, Result<ServiceKind, RegistryError>> {
        async { Err(RegistryError::Unfinished) }.boxed()
    }
}

/// A membership with everything that moves it in the test's hands.
struct Stage {
    world: World,
    settings: watch::Sender<Option<Arc<CheckedSettings>>>,
    delivers: watch::Sender<bool>,
    state: watch::Receiver<Registration>,
    assignment: watch::Sender<Assignment>,
    departure: Departure,
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
        let assignment = watch::Sender::new(Assignment::default());
        let departure = Departure::default();
        let inputs = Inputs {
            assignment: assignment.subscribe(),
            settings: settings.subscribe(),
            identity: identity.subscribe(),
            delivers: delivers.subscribe(),
            running: standing.running(),
            departure: departure.clone(),
        };
        let place = Place {
            address,
            zone: Some("ap-northeast-1a".to_owned()),
            task: Some("0a1b".to_owned()),
        };
        let registry = world.clone();
        let registries: Registries = Box::new(move |_, service| {
            Arc::new(Scripted { world: registry.clone(), service: service.id.clone() })
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
            assignment,
            departure,
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
    let state = stage.until(Registration::in_dns).await;
    assert!(state.registered() && state.verified_at().is_some(), "{state:?}");
    let [record] = &*stage.world.listed(FIRST.0) else { panic!("one record") };
    assert_eq!((record.instance.as_str(), record.port), ("0a1b", 6667));
    assert_eq!(record.address, Some(IpAddr::V4(Ipv4Addr::from(OWN))));
    assert_eq!(record.zone.as_deref(), Some("ap-northeast-1a"));
}

#[tokio::test]
async fn a_relay_that_does_not_deliver_is_not_listed() {
    let mut stage = Stage::own().await;
    stage.delivers.send_replace(false);
    assert!(!stage.until(|state| state.wanted).await.registered());
    stage.delivers.send_replace(true);
    stage.until(Registration::in_dns).await;
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
    let told = stage.until(|state| !state.message().is_empty()).await;
    assert!(told.message().contains("ThrottlingException"), "{}", told.message());
    let state = stage.until(Registration::in_dns).await;
    assert_eq!(state.message(), "");
    assert_eq!(stage.world.state().calls, ["register srv-one", "register srv-one"]);
}

#[tokio::test]
async fn a_relay_without_an_address_says_what_to_set() {
    let mut stage = Stage::new(None).await;
    let state = stage.until(|state| !state.message().is_empty()).await;
    assert!(state.message().contains("EKIDEN_ADVERTISE_ADDRESS"), "{}", state.message());
    assert!(stage.world.state().calls.is_empty());
}

#[tokio::test]
async fn another_service_is_joined_before_the_old_one_is_left() {
    let mut stage = Stage::own().await;
    stage.until(Registration::in_dns).await;
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

/// Settings with cells beside the fleet's own service.
fn with_cells(cells: &[(&str, &str)]) -> Option<Arc<CheckedSettings>> {
    let mut settings = registered_in(settings(6667, ([127, 0, 0, 1], 9).into()), FIRST.0, FIRST.1);
    let cloud_map = settings.discovery.as_mut().unwrap().cloud_map.as_mut().unwrap();
    cloud_map.cells = cells
        .iter()
        .map(|(service, name)| ekiden_proto::settings::v1::Cell {
            service_id: (*service).to_owned(),
            dns_name: (*name).to_owned(),
        })
        .collect();
    Some(checked(&settings))
}

#[tokio::test]
async fn a_relay_is_in_its_own_service_and_in_the_cell_that_it_is_placed_in() {
    let mut stage = Stage::own().await;
    stage.settings.send_replace(with_cells(&[SECOND]));
    stage.until(Registration::in_dns).await;
    assert!(stage.world.listed(SECOND.0).is_empty());
    stage.assignment.send_replace(Assignment { epoch: 4, cells: vec![SECOND.0.to_owned()] });
    let state = stage.until(|state| state.current().len() == 2 && state.in_dns()).await;
    assert_eq!(state.services[1].dns_name, SECOND.1);
    for (service, _) in [FIRST, SECOND] {
        let [record] = &*stage.world.listed(service) else { panic!("one record in {service}") };
        assert_eq!(record.epoch, 4, "{service}");
    }
    stage.assignment.send_replace(Assignment { epoch: 4, cells: Vec::new() });
    stage.until(|state| state.services.len() == 1).await;
    assert!(stage.world.listed(SECOND.0).is_empty());
    assert_eq!(stage.world.listed(FIRST.0).len(), 1);
}

#[tokio::test]
async fn a_record_that_someone_changed_is_put_right() {
    let mut stage = Stage::own().await;
    stage.until(Registration::in_dns).await;
    for listed in stage.world.state().services.get_mut(FIRST.0).unwrap().values_mut() {
        listed.port = 1;
    }
    // A new session compares at once; else the timer does.
    stage.assignment.send_replace(Assignment { epoch: 2, cells: Vec::new() });
    let world = stage.world.clone();
    let right = async {
        while world.listed(FIRST.0)[0].port != 6667 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = stage.membership.run(|| 0.0) => {}
        done = timeout(SAFETY, right) => done.unwrap(),
    }
}

#[tokio::test]
async fn an_instance_of_another_task_is_left_alone_and_told() {
    let mut stage = Stage::own().await;
    let other = Listed {
        instance: "0a1b".to_owned(),
        address: Some(IpAddr::from([10, 0, 9, 9])),
        relay: "another".to_owned(),
        ..Listed::default()
    };
    stage
        .world
        .state()
        .services
        .entry(FIRST.0.to_owned())
        .or_default()
        .insert("0a1b".to_owned(), other);
    let told = stage.until(|state| !state.message().is_empty()).await;
    assert!(told.message().contains("two tasks must not have one id"), "{}", told.message());
    assert!(stage.world.state().calls.is_empty());
}

#[tokio::test]
async fn a_record_that_is_right_already_is_not_made_again() {
    let mut stage = Stage::own().await;
    let own = Listed {
        instance: "0a1b".to_owned(),
        address: Some(OWN.into()),
        port: 6667,
        zone: Some("ap-northeast-1a".to_owned()),
        ..Listed::default()
    };
    stage
        .world
        .state()
        .services
        .entry(FIRST.0.to_owned())
        .or_default()
        .insert("0a1b".to_owned(), own);
    stage.until(Registration::in_dns).await;
    assert!(stage.world.state().calls.is_empty());
}

#[tokio::test]
async fn another_ttl_leaves_the_record_where_it_is() {
    let mut stage = Stage::own().await;
    stage.until(Registration::in_dns).await;
    let mut settings = registered_in(settings(6667, ([127, 0, 0, 1], 9).into()), FIRST.0, FIRST.1);
    settings.discovery.as_mut().unwrap().cloud_map.as_mut().unwrap().ttl =
        Some(prost_types::Duration { seconds: 20, nanos: 0 });
    stage.settings.send_replace(Some(checked(&settings)));
    let longer = |state: &Registration| state.services[0].ttl == Duration::from_secs(20);
    stage.until(longer).await;
    tokio::select! {
        () = stage.membership.run(|| 0.0) => {}
        () = sleep(Duration::from_millis(200)) => {}
    }
    assert_eq!(stage.world.state().calls, ["register srv-one"]);
    assert_eq!(stage.world.listed(FIRST.0).len(), 1);
}
