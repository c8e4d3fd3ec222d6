use std::sync::Mutex;

use futures_util::{FutureExt, future::BoxFuture};
use tokio::net::TcpListener;

use super::*;
use crate::registry::{Record, RegistryError, ServiceKind};

/// A service that holds these records; it refuses to deregister where told so.
struct Service {
    listed: Mutex<Vec<Listed>>,
    refuses: bool,
}

impl Registry for Service {
    fn register<'a>(&'a self, _: &'a Record) -> BoxFuture<'a, Result<(), RegistryError>> {
        async { panic!("nobody registers here") }.boxed()
    }

    fn deregister<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), RegistryError>> {
        async move {
            match self.refuses {
                true => Err(RegistryError::Refused("no rights".to_owned())),
                false => {
                    self.listed.lock().unwrap().retain(|one| one.instance != instance);
                    Ok(())
                }
            }
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, RegistryError>> {
        async { Ok(self.listed.lock().unwrap().clone()) }.boxed()
    }

    fn kind(&self) -> BoxFuture<'_, Result<ServiceKind, RegistryError>> {
        async { panic!("nobody asks this here") }.boxed()
    }
}

/// The record of a relay in session 3, on this machine.
fn record(relay: &str, port: u16) -> Listed {
    Listed {
        instance: format!("task-of-{relay}"),
        address: Some([127, 0, 0, 1].into()),
        port,
        relay: relay.to_owned(),
        epoch: 3,
        ..Listed::default()
    }
}

fn gone(relay: &str, epoch: u64) -> GoneRelay {
    GoneRelay { relay: relay.to_owned(), epoch }
}

/// A port that nobody listens on: it was just given back.
async fn closed() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Looks at each relay that is asked about; gives the outcomes, and whose records are left.
async fn reap(
    listed: &[Listed],
    refuses: bool,
    asked: &[GoneRelay],
) -> (Vec<ReapOutcome>, Vec<String>) {
    let service = Service { listed: Mutex::new(listed.to_vec()), refuses };
    let mut outcomes = Vec::new();
    for gone in asked {
        for record in listed.iter().filter(|record| record.relay == gone.relay) {
            outcomes.push(of_record(&service, listed, record, gone, asked).await.0);
        }
    }
    let left = service.listed.into_inner().unwrap();
    (outcomes, left.into_iter().map(|record| record.relay).collect())
}

#[tokio::test]
async fn the_record_of_a_relay_that_is_gone_and_does_not_answer_is_taken_out() {
    let port = closed().await;
    let listed = [record("dead", port), record("sibling", port)];
    let (outcomes, left) = reap(&listed, false, &[gone("dead", 3)]).await;
    assert_eq!((outcomes, left), (vec![ReapOutcome::Gone], vec!["sibling".to_owned()]));
}

#[tokio::test]
async fn one_that_answers_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let elsewhere = Listed { address: Some([127, 0, 0, 2].into()), ..record("sibling", port) };
    let listed = [record("silent", port), elsewhere];
    let (outcomes, left) = reap(&listed, false, &[gone("silent", 3)]).await;
    assert_eq!((outcomes, left.len()), (vec![ReapOutcome::Answers], 2));
}

#[tokio::test]
async fn an_address_that_is_a_siblings_by_now_protects_no_record_of_the_dead() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let listed = [record("dead", port), record("successor", port)];
    let (outcomes, left) = reap(&listed, false, &[gone("dead", 3)]).await;
    assert_eq!((outcomes, left), (vec![ReapOutcome::Gone], vec!["successor".to_owned()]));
}

#[tokio::test]
async fn a_relay_that_came_back_in_a_later_session_is_never_taken_out() {
    let port = closed().await;
    let listed = [record("back", port), record("sibling", port)];
    let (outcomes, left) = reap(&listed, false, &[gone("back", 2)]).await;
    assert_eq!((outcomes, left.len()), (vec![ReapOutcome::Returned], 2));
}

#[tokio::test]
async fn the_last_record_stays_also_when_all_that_are_listed_are_gone() {
    let port = closed().await;
    let listed = [record("one", port), record("other", port)];
    let asked = [gone("one", 3), gone("other", 3)];
    let (outcomes, left) = reap(&listed, false, &asked).await;
    assert_eq!((outcomes, left.len()), (vec![ReapOutcome::Last; 2], 2));
}

#[tokio::test]
async fn what_could_not_be_taken_out_is_told() {
    let port = closed().await;
    let listed = [record("dead", port), record("sibling", port)];
    let (outcomes, left) = reap(&listed, true, &[gone("dead", 3)]).await;
    assert_eq!((outcomes, left.len()), (vec![ReapOutcome::Failed], 2));
}
