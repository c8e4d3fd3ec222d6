use std::{net::Ipv4Addr, sync::Arc};

use ekiden_settings::RegistrationMode;
use futures_util::{FutureExt, future::BoxFuture};

use super::*;
use crate::{
    registry::{Listed, Record, Registry},
    test_settings::{checked, registered_in, settings},
};

const TASK: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 17));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 9, 9));
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A registry that says one thing of every service; none: nothing at all.
#[derive(Clone)]
struct Says(Option<Arc<dyn Fn() -> Result<ServiceKind, RegistryError> + Send + Sync>>);

impl Registry for Says {
    fn register<'a>(&'a self, _: &'a Record) -> BoxFuture<'a, Result<(), RegistryError>> {
        panic!("looking registers nobody")
    }

    fn deregister<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), RegistryError>> {
        panic!("looking takes nobody out")
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, RegistryError>> {
        panic!("who is there does not matter")
    }

    fn kind(&self) -> BoxFuture<'_, Result<ServiceKind, RegistryError>> {
        match &self.0 {
            Some(says) => std::future::ready(says()).boxed(),
            None => std::future::pending().boxed(),
        }
    }
}

fn fitness(surroundings: Surroundings, says: Says) -> Fitness {
    Fitness { surroundings, registries: Box::new(move |_, _| Arc::new(says.clone())) }
}

fn in_task() -> Surroundings {
    Surroundings {
        stop_timeout: Duration::from_secs(30),
        listens: ANY,
        advertised: None,
        task: Some(TASK),
    }
}

fn at(ttl: u64) -> CloudMap {
    let settings = settings(6667, ([127, 0, 0, 1], 9).into());
    let settings = registered_in(settings, "srv-one", "one.telemetry.internal.");
    let mut at = checked(&settings).discovery.clone().unwrap();
    at.ttl = Duration::from_secs(ttl);
    at
}

fn told(violations: &[Violation]) -> Vec<(&str, &str)> {
    violations.iter().map(|v| (v.field.as_str(), v.description.as_str())).collect()
}

fn of_task(surroundings: Surroundings, ttl: u64) -> Vec<Violation> {
    fitness(surroundings, Says(None)).of_task(&at(ttl))
}

async fn of_services(
    kind: impl Fn() -> Result<ServiceKind, RegistryError> + Send + Sync + 'static,
) -> Vec<Violation> {
    fitness(in_task(), Says(Some(Arc::new(kind)))).of_services(&at(10)).await
}

fn good() -> ServiceKind {
    ServiceKind { records: vec!["A".to_owned()], ttl: Duration::from_secs(10), one_answer: false }
}

#[test]
fn a_ttl_that_the_stop_timeout_cannot_outlive_is_named_with_what_to_do() {
    assert_eq!(of_task(in_task(), 12), []);
    let wrong = of_task(in_task(), 13);
    let [(field, description)] = told(&wrong)[..] else { panic!("{wrong:?}") };
    assert_eq!(field, "discovery.cloud_map.ttl");
    assert!(
        description.contains("12 s or less") && description.contains("33 s or more"),
        "{description}"
    );
    let patient = Surroundings { stop_timeout: Duration::from_secs(33), ..in_task() };
    assert_eq!(of_task(patient, 13), []);
}

#[test]
fn an_address_that_is_not_the_tasks_is_named_with_its_variable() {
    let named = |surroundings, variable: &str| {
        let wrong = of_task(surroundings, 10);
        let [(field, description)] = told(&wrong)[..] else { panic!("{wrong:?}") };
        assert_eq!(field, "discovery.cloud_map");
        assert!(description.contains(variable) && description.contains("10.0."), "{description}");
    };
    named(Surroundings { advertised: Some(OTHER), ..in_task() }, "EKIDEN_ADVERTISE_ADDRESS");
    named(Surroundings { listens: OTHER, ..in_task() }, "EKIDEN_LISTEN_ADDRESS");
    assert_eq!(
        of_task(Surroundings { advertised: Some(TASK), listens: TASK, ..in_task() }, 10),
        []
    );
    // Outside ECS nobody else says where the relay is.
    assert_eq!(of_task(Surroundings { advertised: Some(OTHER), task: None, ..in_task() }, 10), []);
}

#[tokio::test]
async fn a_service_that_does_not_fit_is_named_with_what_it_has() {
    assert_eq!(of_services(|| Ok(good())).await, []);
    type Change = fn(&mut ServiceKind);
    let kinds: [(Change, &str, &str); 4] = [
        (|kind| kind.records = vec!["CNAME".to_owned()], "service_id", "type CNAME"),
        (|kind| kind.records = Vec::new(), "service_id", "no DNS records"),
        (|kind| kind.one_answer = true, "service_id", "MULTIVALUE"),
        (|kind| kind.ttl = Duration::from_secs(60), "ttl", "say 60 s here"),
    ];
    for (change, field, says) in kinds {
        let wrong = of_services(move || {
            let mut kind = good();
            change(&mut kind);
            Ok(kind)
        })
        .await;
        let [(at, description)] = told(&wrong)[..] else { panic!("{says}: {wrong:?}") };
        assert_eq!(at, format!("discovery.cloud_map.{field}"));
        assert!(description.contains(says), "{description}");
    }
}

#[tokio::test]
async fn what_aws_refuses_is_repeated_for_each_service() {
    let missing = "not authorized to perform: servicediscovery:GetService";
    let refuse = move || Err(RegistryError::Refused(missing.to_owned()));
    let mut two = at(10);
    two.cells = vec![Service { id: "srv-two".to_owned(), dns_name: "two.internal.".to_owned() }];
    let wrong = fitness(in_task(), Says(Some(Arc::new(refuse)))).of_services(&two).await;
    let fields: Vec<&str> = wrong.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        ["discovery.cloud_map.service_id", "discovery.cloud_map.cells[0].service_id"]
    );
    assert!(wrong.iter().all(|violation| violation.description.contains(missing)));
}

#[tokio::test(start_paused = true)]
async fn settings_do_not_wait_for_a_registry_that_is_away() {
    assert_eq!(of_services(|| Err(RegistryError::Unavailable("throttled".to_owned()))).await, []);
    assert_eq!(fitness(in_task(), Says(None)).of_services(&at(10)).await, []);
}

#[tokio::test]
async fn where_ecs_registers_its_service_is_its_own_affair() {
    let mut at = at(10);
    at.mode = RegistrationMode::Ecs;
    let none = fitness(in_task(), Says(Some(Arc::new(|| panic!("nobody is asked")))));
    assert_eq!(none.of_services(&at).await, []);
}
