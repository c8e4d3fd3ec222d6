//! Dialling real sockets on loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ekiden_proto::relay::v1::{KeyBundle, KeyMaterial, KeyUse};
use ekiden_settings::{Collector, CollectorProtocol, Endpoint, Host};
use secrecy::ExposeSecret;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};

use super::*;
use crate::resolver::Resolver;

fn pool(endpoints: &[(SocketAddr, u32)]) -> CollectorPool {
    let endpoints = endpoints.iter().map(|(address, priority)| Endpoint {
        host: Host::Address(address.ip()),
        port: address.port(),
        priority: *priority,
    });
    let settings = Collector {
        name: "tenants/acme/collectors/vendor".to_owned(),
        protocol: CollectorProtocol::Tcp,
        endpoints: endpoints.collect(),
        tls: None,
        key_placement: None,
        proxy: None,
        connect_timeout: Duration::from_secs(2),
    };
    let resolver = Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
    CollectorPool::new(Arc::new(settings), resolver, OwnListeners::default(), Arc::default())
        .unwrap()
}

async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn refusing() -> SocketAddr {
    listening().await.1
}

/// An address that answers nothing, as one whose machine has vanished: its queue of connections is full.
async fn black_hole() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        held.push(stream);
        assert!(held.len() < 100, "the queue never fills");
    }
    (address, (listener, held))
}

async fn reached(pool: &CollectorPool) -> SocketAddr {
    pool.dial().await.unwrap().stream.peer_addr().unwrap()
}

#[tokio::test]
async fn the_lowest_priority_that_answers_is_used_and_the_best_again_once_it_is_back() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (first, (_second, second)) = (gone.local_addr().unwrap(), listening().await);
    let pool = pool(&[(first, 0), (second, 10)]);
    assert_eq!(reached(&pool).await, first);
    drop(gone);
    assert_eq!(reached(&pool).await, second);
    let health = pool.health();
    assert_eq!((health.dials, health.dials_failed, health.reachable), (2, 1, true));
    assert_eq!(health.endpoint, second.to_string());

    let _back = TcpListener::bind(first).await.unwrap();
    assert_eq!(reached(&pool).await, second, "in quarantine");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    assert_eq!(reached(&pool).await, first, "back");
    assert_eq!(pool.health().dials_failed, 1);
}

#[tokio::test]
async fn equal_priorities_share_the_load() {
    let ((_one, one), (_other, other)) = (listening().await, listening().await);
    let pool = pool(&[(one, 5), (other, 5)]);
    let mut counts = [0, 0];
    for _ in 0..60 {
        counts[usize::from(reached(&pool).await == other)] += 1;
    }
    assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
}

#[tokio::test]
async fn when_every_address_is_in_quarantine_they_are_tried_all_the_same() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let pool = pool(&[(address, 0)]);
    assert_eq!(pool.dial().await.unwrap_err().kind(), "dial_refused");
    let _back = TcpListener::bind(address).await.unwrap();
    assert_eq!(reached(&pool).await, address);
}

#[tokio::test]
async fn a_vanished_address_costs_the_connect_timeout_and_then_nothing() {
    let (hole, _held) = black_hole().await;
    let (_backup, backup) = listening().await;
    let pool = pool(&[(hole, 0), (backup, 1)]);
    let began = Instant::now();
    assert_eq!(reached(&pool).await, backup);
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(reached(&pool).await, backup);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_vanished_address_is_overtaken_by_its_equal_and_left_alone() {
    let (hole, _held) = black_hole().await;
    let (_alive, alive) = listening().await;
    let pool = pool(&[(hole, 0), (alive, 0)]);
    let mut slow = 0;
    for _ in 0..40 {
        let began = Instant::now();
        assert_eq!(reached(&pool).await, alive);
        assert!(began.elapsed() < Duration::from_secs(2), "not the whole timeout");
        slow += u32::from(began.elapsed() >= race::HEDGE_AFTER);
    }
    assert!(slow <= 1, "{slow} dials waited for the vanished address");
}

#[tokio::test]
async fn what_went_wrong_has_a_name() {
    let (hole, _held) = black_hole().await;
    let error = pool(&[(hole, 0)]).dial().await.unwrap_err();
    assert_eq!((error.kind(), error.failure()), ("dial_timeout", "dial"));
    let error = pool(&[(refusing().await, 0)]).dial().await.unwrap_err();
    assert_eq!((error.kind(), error.failure()), ("dial_refused", "dial"));

    let nowhere =
        Endpoint { host: Host::Name("nowhere.invalid".to_owned()), port: 443, priority: 0 };
    let unnamed = pool(&[]);
    let settings = Collector { endpoints: vec![nowhere], ..(**unnamed.settings()).clone() };
    let resolver = Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
    let unnamed =
        CollectorPool::new(Arc::new(settings), resolver, OwnListeners::default(), Arc::default())
            .unwrap();
    let error = unnamed.dial().await.unwrap_err();
    assert_eq!((error.kind(), error.failure()), ("dns", "dns"));
    let health = unnamed.health();
    assert_eq!((health.reachable, health.failure.as_str()), (false, "dns"));
    assert!(health.message.contains("nowhere.invalid"), "{}", health.message);
}

#[tokio::test]
async fn a_connection_does_not_make_a_refused_key_good() {
    let (_listener, address) = listening().await;
    let pool = pool(&[(address, 0)]);
    assert!(!pool.reachable(), "nothing is known yet");
    pool.report_use(Use::KeyRefused);
    pool.dial().await.unwrap();
    let health = pool.health();
    assert_eq!(
        (health.reachable, health.failure.as_str(), health.key_refusals),
        (false, "auth", 1)
    );
    pool.report_use(Use::Answered);
    assert!(pool.reachable());
    pool.report_use(Use::Failed { failure: "response", message: &"x".repeat(1000) });
    assert_eq!(pool.health().message.len(), 512);
}

#[test]
fn keys_are_found_by_name_and_never_shown() {
    let key = |version, value: &str| KeyMaterial {
        access_key: "tenants/acme/accessKeys/vendor".to_owned(),
        version,
        value: value.into(),
        r#use: KeyUse::Preferred.into(),
    };
    let keys = Keys::from_bundle(KeyBundle {
        secret_version: 7,
        keys: vec![key(3, "s3cret")],
        ..Default::default()
    });
    let found = keys.get("tenants/acme/accessKeys/vendor").unwrap();
    assert_eq!(
        (keys.secret_version(), found.version(), found.value().expose_secret()),
        (7, 3, &b"s3cret"[..])
    );
    assert!(keys.get("tenants/acme/accessKeys/other").is_none());
    let shown = format!("{keys:?} {found:?}");
    assert!(shown.contains("accessKeys/vendor") && !shown.contains("s3cret"), "{shown}");
}
