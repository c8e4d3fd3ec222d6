use std::{sync::Arc, time::Duration};

use ekiden_settings::{Collector, CollectorProtocol, Limits, Listener, Protocol};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep, sleep_until},
};

use super::world::{Relay, Vendor, collector, hears_the_end, listener, says, soon, until};
use crate::listener::CloseCause;

#[tokio::test]
async fn a_port_that_cannot_be_opened_is_named_and_nothing_changes() {
    let mut vendor = Vendor::start().await;
    let collector = vendor.as_collector("vendor");
    let relay = Relay::running(&[listener("one", 6443, &collector)]).await;
    let mut workload = relay.connect(6443).await;
    let mut at_collector = vendor.accept().await;
    let _taken = tokio::net::TcpListener::bind((relay.ip, 7001)).await.unwrap();

    let wanted = [listener("new", 7000, &collector), listener("taken", 7001, &collector)];
    let violations = relay.apply(&wanted).await.unwrap_err();
    let [violation] = &violations[..] else { panic!("{violations:?}") };
    assert_eq!(violation.field, "listeners[1].port");
    assert!(violation.description.contains("7001"), "{violation}");

    says(&mut workload, b"undisturbed", &mut at_collector).await;
    says(&mut relay.connect(6443).await, b"still open", &mut vendor.accept().await).await;
    assert!(
        TcpStream::connect((relay.ip, 7000)).await.is_err(),
        "what had been opened is closed again"
    );
    assert_eq!(relay.plane.health().listeners.len(), 1);
}

#[tokio::test]
async fn another_collector_gets_new_connections_and_open_ones_stay_where_they_are() {
    let (mut old, mut new) = (Vendor::start().await, Vendor::start().await);
    let other = old.as_collector("other");
    let relay = Relay::running(&[
        listener("agents", 6443, &old.as_collector("vendor")),
        listener("other", 6666, &other),
    ])
    .await;
    let mut before = relay.connect(6443).await;
    let mut at_old = old.accept().await;
    let mut unaffected = relay.connect(6666).await;
    let mut at_other = old.accept().await;

    relay
        .apply(&[
            listener("agents", 6443, &new.as_collector("vendor")),
            listener("other", 6666, &other),
        ])
        .await
        .unwrap();
    let mut after = relay.connect(6443).await;
    says(&mut after, b"new", &mut new.accept().await).await;
    says(&mut before, b"old", &mut at_old).await;
    says(&mut at_old, b"and back", &mut before).await;
    says(&mut unaffected, b"same", &mut at_other).await;
    assert_eq!(relay.plane.health().listeners[0].connections_accepted, 2, "counters go on");
}

#[tokio::test]
async fn equal_settings_keep_what_is_known_of_a_collector() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("one", 6443, &vendor.as_collector("vendor"))]).await;
    says(&mut relay.connect(6443).await, b"word", &mut vendor.accept().await).await;
    relay.apply(&[listener("renamed", 6443, &vendor.as_collector("vendor"))]).await.unwrap();
    let health = relay.plane.health();
    assert_eq!((health.collectors[0].dials, health.collectors[0].reachable), (1, true));
    assert_eq!(health.listeners[0].name, "renamed");
    assert_eq!(health.listeners[0].connections_accepted, 0);
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_listener_that_is_gone_have_thirty_seconds() {
    let mut vendor = Vendor::start().await;
    let collector = vendor.as_collector("vendor");
    let stays = listener("stays", 6666, &collector);
    let goes = listener("goes", 6443, &collector);
    let relay = Relay::running(&[stays.clone(), goes.clone()]).await;
    let counters = relay.counters("goes");
    let mut staying = relay.connect(6666).await;
    let mut at_staying = vendor.accept().await;
    let (mut ends, mut lingers) = (relay.connect(6443).await, relay.connect(6443).await);
    let (mut at_one, mut at_other) = (vendor.accept().await, vendor.accept().await);
    // Which of the collector's connections is whose, the bytes tell.
    ends.write_all(b"e").await.unwrap();
    lingers.write_all(b"l").await.unwrap();
    let mut first = [0];
    tokio::io::AsyncReadExt::read_exact(&mut at_one, &mut first).await.unwrap();
    tokio::io::AsyncReadExt::read_exact(&mut at_other, &mut [0]).await.unwrap();
    let (mut at_ends, mut at_lingers) =
        if first == *b"e" { (at_one, at_other) } else { (at_other, at_one) };

    relay.apply(std::slice::from_ref(&stays)).await.unwrap();
    let gone = Instant::now();
    assert!(TcpStream::connect((relay.ip, 6443)).await.is_err(), "the port is closed");
    says(&mut ends, b"last words", &mut at_ends).await;
    drop(ends);
    hears_the_end(&mut at_ends).await;
    drop(at_ends);
    sleep(Duration::from_secs(29)).await;
    says(&mut lingers, b"still talking", &mut at_lingers).await;
    hears_the_end(&mut lingers).await;
    hears_the_end(&mut at_lingers).await;
    assert_eq!(gone.elapsed().as_secs(), 30);
    until(|| counters.open() == 0).await;
    assert_eq!(counters.count_of(CloseCause::WorkloadClosed), 1);
    assert_eq!(counters.count_of(CloseCause::SettingsRemoved), 1);
    says(&mut staying, b"unaffected", &mut at_staying).await;

    relay.apply(&[stays, goes]).await.unwrap();
    says(&mut relay.connect(6443).await, b"back", &mut vendor.accept().await).await;
    assert_eq!(counters.count_of(CloseCause::SettingsRemoved), 1);
    assert!(
        Arc::ptr_eq(&counters, &relay.counters("goes")),
        "a listener that returns goes on counting"
    );
}

#[tokio::test]
async fn a_port_that_speaks_another_protocol_keeps_its_socket_and_its_open_connections() {
    let mut vendor = Vendor::start().await;
    let raw = listener("main", 4317, &vendor.as_collector("vendor"));
    let speaks =
        Collector { protocol: CollectorProtocol::OtlpGrpc, ..collector("otlp", vendor.address) };
    let otlp = Listener { protocol: Protocol::Otlp, ..listener("main", 4317, &Arc::new(speaks)) };
    let relay = Relay::running(std::slice::from_ref(&raw)).await;
    let mut before = relay.connect(4317).await;
    let mut at_collector = vendor.accept().await;

    relay.apply(&[otlp]).await.unwrap();
    says(&mut before, b"raw bytes", &mut at_collector).await;
    let mut not_http2 = relay.connect(4317).await;
    not_http2.write_all(b"GET / HTTP/1.1\r\n\r\n      ").await.unwrap();
    relay.ended("main", CloseCause::ProtocolError).await;
    let mut waiting = relay.connect(4317).await;
    let counters = relay.counters("main");
    until(|| counters.open() == 2).await;

    relay.apply(&[raw]).await.unwrap();
    hears_the_end(&mut waiting).await;
    assert_eq!(counters.count_of(CloseCause::SettingsRemoved), 1);
    says(&mut relay.connect(4317).await, b"raw again", &mut vendor.accept().await).await;
    says(&mut before, b"all along", &mut at_collector).await;
}

#[tokio::test]
async fn a_listener_that_moves_to_another_port_keeps_its_connections() {
    let mut vendor = Vendor::start().await;
    let collector = vendor.as_collector("vendor");
    let relay =
        Relay::running(&[listener("one", 6443, &collector), listener("two", 6444, &collector)])
            .await;
    let mut workload = relay.connect(6443).await;
    let mut at_collector = vendor.accept().await;
    relay
        .apply(&[listener("one", 6444, &collector), listener("two", 6445, &collector)])
        .await
        .unwrap();
    says(&mut workload, b"moved", &mut at_collector).await;
    says(&mut relay.connect(6444).await, b"here now", &mut vendor.accept().await).await;
    assert!(TcpStream::connect((relay.ip, 6443)).await.is_err());
    assert_eq!(relay.counters("one").count_of(CloseCause::SettingsRemoved), 0);
    assert_eq!(relay.plane.health().listeners[0].connections_accepted, 2);
}

#[tokio::test(start_paused = true)]
async fn a_port_under_another_name_keeps_its_connections_until_the_port_is_gone() {
    let mut vendor = Vendor::start().await;
    let collector = vendor.as_collector("vendor");
    let relay = Relay::running(&[listener("environment", 6667, &collector)]).await;
    let counters = relay.counters("environment");
    let mut workload = relay.connect(6667).await;
    let mut at_collector = vendor.accept().await;
    for name in ["fleet", "fleet-renamed"] {
        relay.apply(&[listener(name, 6667, &collector)]).await.unwrap();
        sleep(Duration::from_secs(31)).await;
        says(&mut workload, b"undisturbed", &mut at_collector).await;
        says(&mut relay.connect(6667).await, b"new", &mut vendor.accept().await).await;
    }
    let idle = Duration::from_secs(20);
    let strict = Listener { idle_timeout: idle, ..listener("fleet-renamed", 6667, &collector) };
    relay.apply(std::slice::from_ref(&strict)).await.unwrap();
    hears_the_end(&mut workload).await;
    relay.apply(&[]).await.unwrap();
    until(|| counters.open() == 0).await;
    assert_eq!(counters.count_of(CloseCause::IdleTimeout), 1, "it follows its port's settings");

    relay.apply(&[listener("environment", 6667, &collector)]).await.unwrap();
    let mut workload = relay.connect(6667).await;
    let mut at_collector = vendor.accept().await;
    relay.apply(&[listener("fleet", 6667, &collector)]).await.unwrap();
    says(&mut workload, b"undisturbed", &mut at_collector).await;
    relay.apply(&[]).await.unwrap();
    let gone = Instant::now();
    sleep(Duration::from_secs(29)).await;
    says(&mut workload, b"still talking", &mut at_collector).await;
    hears_the_end(&mut workload).await;
    assert_eq!(gone.elapsed().as_secs(), 30);
    until(|| counters.count_of(CloseCause::SettingsRemoved) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn leaving_waits_for_connections_and_ends_the_rest_at_the_deadline() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("tcp", 6443, &vendor.as_collector("vendor"))]).await;
    let counters = relay.counters("tcp");
    let (mut ends, mut stays) = (relay.connect(6443).await, relay.connect(6443).await);
    let accepted = (vendor.accept().await, vendor.accept().await);
    let began = Instant::now();
    let finish = relay.plane.finish(began + Duration::from_secs(40), || 0.5);
    let life = async {
        sleep(Duration::from_secs(5)).await;
        assert!(TcpStream::connect((relay.ip, 6443)).await.is_err(), "nothing new is taken");
        ends.shutdown().await.unwrap();
        sleep(Duration::from_secs(30)).await;
        hears_the_end(&mut stays).await;
    };
    tokio::join!(finish, life);
    assert_eq!(began.elapsed().as_secs(), 40);
    assert_eq!(relay.plane.connections_open(), 0);
    assert_eq!(counters.count_of(CloseCause::Drained), 2, "a half-closed one was still open");
    drop(accepted);
    let limits = Limits::default();
    assert!(relay.apply_with(&[], limits).await.is_err(), "a relay that leaves takes no settings");
}

#[tokio::test(start_paused = true)]
async fn from_half_time_on_connections_are_ended_evenly() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("tcp", 6443, &vendor.as_collector("vendor"))]).await;
    let mut workloads = Vec::new();
    for _ in 0..8 {
        workloads.push((relay.connect(6443).await, vendor.accept().await));
    }
    let began = Instant::now();
    let finish = relay.plane.finish(began + Duration::from_secs(40), || 0.5);
    let life = async {
        let mut open = Vec::new();
        for at in [19, 25, 30, 35] {
            sleep_until(began + Duration::from_millis(at * 1000 + 300)).await;
            open.push(relay.plane.connections_open());
        }
        open
    };
    let ((), open) = tokio::join!(finish, life);
    assert_eq!(open, [8, 6, 4, 2]);
}

#[tokio::test(start_paused = true)]
async fn leaving_takes_no_longer_than_the_connections_do() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("tcp", 6443, &vendor.as_collector("vendor"))]).await;
    let mut workload = relay.connect(6443).await;
    let mut at_collector = vendor.accept().await;
    let began = Instant::now();
    let life = async {
        says(&mut workload, b"last", &mut at_collector).await;
        drop((workload, at_collector));
    };
    tokio::join!(relay.plane.finish(began + Duration::from_secs(600), || 0.5), life);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test]
async fn when_the_process_ends_nothing_of_the_data_plane_is_left() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("tcp", 6443, &vendor.as_collector("vendor"))]).await;
    let mut workload = relay.connect(6443).await;
    let _collector = vendor.accept().await;
    let tracker = relay.cancel();
    hears_the_end(&mut workload).await;
    soon(tracker.wait()).await;
}

#[tokio::test]
async fn a_probe_tells_which_collector_answers() {
    let vendor = Vendor::start().await;
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listeners = [
        listener("one", 6443, &vendor.as_collector("a")),
        listener("two", 6444, &Arc::new(collector("b", refusing))),
    ];
    let relay = Relay::running(&listeners).await;
    let outcomes = relay.plane.probe().await;
    let failures = outcomes.iter().map(|(name, outcome)| match outcome {
        crate::collector::ProbeOutcome::Reachable => (name.as_str(), "none"),
        crate::collector::ProbeOutcome::Failed { failure, .. } => (name.as_str(), *failure),
    });
    let expected = [("tenants/acme/collectors/a", "none"), ("tenants/acme/collectors/b", "dial")];
    assert_eq!(failures.collect::<Vec<_>>(), expected);
}
