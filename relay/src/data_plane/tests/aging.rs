//! Connections that are asked to go: for their age, or picked.

use std::{sync::Arc, time::Duration};

use ekiden_settings::Listener;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use tonic::Code;

use super::{
    otlp::{self, export, otlp},
    passing::certificate,
    world::{Relay, Vendor, hears_the_end, listener, says, soon, spawn, tls_collector, until},
};
use crate::listener::CloseCause;

const AGE: Duration = Duration::from_secs(100);
/// No connection's own age is less, and none is more.
const YOUNGEST: Duration = Duration::from_secs(80);
const OLDEST: Duration = Duration::from_secs(120);
/// How far apart the relay's looks are.
const LOOKS: Duration = Duration::from_secs(5);

fn aging(listener: Listener) -> Listener {
    Listener { max_connection_age: Some(AGE), ..listener }
}

/// Lets paused time pass in small steps: it jumps to the next timer at each pause for bytes.
fn in_small_steps() {
    spawn(async {
        loop {
            sleep(Duration::from_millis(2)).await;
        }
    });
}

/// Does something for which bytes have to travel, without time passing meanwhile as fast as it can.
async fn in_real_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::resume();
    let done = what.await;
    tokio::time::pause();
    done
}

/// A relay whose listener `tcp` lets connections grow as old as [`AGE`], with one connection.
async fn aging_relay() -> (Relay, TcpStream, TcpStream) {
    in_small_steps();
    let mut vendor = Vendor::start().await;
    let relay =
        Relay::running(&[aging(listener("tcp", 6443, &vendor.as_collector("vendor")))]).await;
    let mut workload = relay.connect(6443).await;
    let mut at_collector = vendor.accept().await;
    in_real_time(says(&mut workload, b"hello", &mut at_collector)).await;
    (relay, workload, at_collector)
}

/// Waits for the end longer than a test else does.
async fn hears_the_end_within(stream: &mut TcpStream, within: Duration) {
    let read = timeout(within, stream.read(&mut [0; 16])).await.expect("it did not end in time");
    assert_eq!(read.unwrap(), 0, "an end, not bytes");
}

#[tokio::test(start_paused = true)]
async fn an_old_quiet_connection_is_asked_to_go_and_its_last_words_arrive() {
    let (relay, mut workload, mut at_collector) = aging_relay().await;
    let began = Instant::now();
    sleep(YOUNGEST - LOOKS).await;
    in_real_time(says(&mut at_collector, b"not yet", &mut workload)).await;
    hears_the_end_within(&mut workload, OLDEST).await;
    let age = began.elapsed();
    assert!((YOUNGEST - LOOKS..=OLDEST + LOOKS).contains(&age), "{age:?}");

    // The other half is open: what the workload still has to say arrives, and so does its end.
    tokio::time::resume();
    says(&mut workload, b"last words", &mut at_collector).await;
    says(&mut workload, b"and some more", &mut at_collector).await;
    assert_eq!(relay.counters("tcp").open(), 1);
    workload.shutdown().await.unwrap();
    hears_the_end(&mut at_collector).await;
    at_collector.write_all(b"nobody is there to hear this").await.unwrap();
    at_collector.shutdown().await.unwrap();
    relay.ended("tcp", CloseCause::MaxAge).await;
    let health = relay.plane.health();
    let closed = &health.listeners[0].closed;
    assert_eq!(
        closed.iter().map(|it| (it.cause.as_str(), it.count)).collect::<Vec<_>>(),
        [("max_age", 1)]
    );
    // A reset would show at either side.
    assert_eq!(workload.read(&mut [0; 16]).await.unwrap(), 0);
    assert_eq!(at_collector.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn over_tls_the_collector_hears_the_workloads_own_end_and_none_that_is_cut() {
    in_small_steps();
    let mut vendor = Vendor::start().await;
    let (acceptor, roots) = certificate();
    let collector = Arc::new(tls_collector("vendor", vendor.address, roots));
    let relay = Relay::running(&[aging(listener("tcp", 6443, &collector))]).await;
    let mut workload = relay.connect(6443).await;
    let accepting = acceptor.accept(vendor.accept().await);
    let mut at_collector = in_real_time(soon(accepting)).await.unwrap();
    hears_the_end_within(&mut workload, OLDEST + LOOKS).await;
    tokio::time::resume();
    workload.write_all(b"last words").await.unwrap();
    workload.shutdown().await.unwrap();
    let mut heard = Vec::new();
    // An end of TCP without one of TLS would be an error here.
    soon(at_collector.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"last words");
    at_collector.shutdown().await.unwrap();
    relay.ended("tcp", CloseCause::MaxAge).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_never_quiet_goes_a_quarter_of_its_age_later_and_loses_nothing() {
    let (relay, mut workload, mut at_collector) = aging_relay().await;
    let began = Instant::now();
    loop {
        in_real_time(says(&mut workload, b"on and on", &mut at_collector)).await;
        let pause = Duration::from_millis(300);
        if let Ok(read) = timeout(pause, workload.read(&mut [0; 16])).await {
            assert_eq!(read.unwrap(), 0, "an end, not bytes");
            break;
        }
    }
    let (age, latest) = (began.elapsed(), OLDEST.mul_f64(1.25) + LOOKS);
    assert!((YOUNGEST.mul_f64(1.25) - LOOKS..=latest).contains(&age), "{age:?}");
    in_real_time(says(&mut workload, b"and the last", &mut at_collector)).await;
    drop((workload, at_collector));
    relay.ended("tcp", CloseCause::MaxAge).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_talks_stays_until_it_pauses() {
    let (_relay, mut workload, mut at_collector) = aging_relay().await;
    let began = Instant::now();
    // Whatever its own age is, its patience is not over.
    while began.elapsed() < YOUNGEST.mul_f64(1.25) - LOOKS {
        in_real_time(says(&mut workload, b"busy", &mut at_collector)).await;
        sleep(Duration::from_millis(300)).await;
    }
    hears_the_end_within(&mut workload, OLDEST + LOOKS - began.elapsed()).await;
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_does_not_heed_it_is_ended_after_ten_seconds() {
    let (relay, mut workload, mut at_collector) = aging_relay().await;
    hears_the_end_within(&mut workload, OLDEST + LOOKS).await;
    let asked = Instant::now();
    hears_the_end_within(&mut at_collector, OLDEST).await;
    let farewell = asked.elapsed();
    let ten = Duration::from_secs(10);
    assert!((ten - LOOKS..=ten + LOOKS).contains(&farewell), "{farewell:?}");
    relay.ended("tcp", CloseCause::MaxAge).await;
}

#[tokio::test(start_paused = true)]
async fn an_age_that_is_set_or_taken_back_holds_for_open_connections() {
    let mut vendor = Vendor::start().await;
    let ageless = listener("tcp", 6443, &vendor.as_collector("vendor"));
    let relay = Relay::running(std::slice::from_ref(&ageless)).await;
    let mut workload = relay.connect(6443).await;
    let mut at_collector = vendor.accept().await;
    relay.apply(&[aging(ageless.clone())]).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    relay.apply(std::slice::from_ref(&ageless)).await.unwrap();
    sleep(OLDEST * 2).await;
    in_real_time(says(&mut workload, b"old and well", &mut at_collector)).await;
    relay.apply(&[aging(ageless)]).await.unwrap();
    hears_the_end_within(&mut workload, LOOKS).await;
}

#[tokio::test]
async fn an_old_connection_of_otlp_finishes_its_requests_and_its_workload_comes_back() {
    let (_vendor, address) = otlp::Vendor::start().await;
    let max_connection_age = Some(Duration::from_secs(1));
    let relay = Relay::running(&[Listener { max_connection_age, ..otlp(address) }]).await;
    relay.plane.set_keys(otlp::key(1, "good"));
    let mut workload = otlp::workload(&relay).await;
    let counters = relay.counters("otlp");
    // Requests all the while. One that a client was about to send is its own to send again: OTLP lists CANCELLED among
    // the codes to retry.
    let (mut answered, mut unsent) = (0, 0);
    soon(async {
        while counters.count_of(CloseCause::MaxAge) < 2 {
            match export(&mut workload).await {
                Ok(()) => answered += 1,
                Err(Code::Cancelled) => unsent += 1,
                Err(code) => panic!("{code:?}"),
            }
        }
    })
    .await;
    export(&mut workload).await.unwrap();
    assert!(unsent <= 2, "{unsent} of {answered}");
    let health = counters.health("otlp", 4317, Instant::now());
    assert!(health.connections_accepted >= 3, "{health:?}");
    assert_eq!((health.requests_accepted, health.requests_failed), (answered + 1, 0));
    let closed = health.closed.iter().map(|it| it.cause.as_str()).collect::<Vec<_>>();
    assert_eq!(closed, ["max_age"]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_are_picked_to_go_one_after_the_other_where_listeners_allow_it() {
    in_small_steps();
    let mut vendor = Vendor::start().await;
    let collector = vendor.as_collector("vendor");
    let long = Listener {
        max_connection_age: Some(Duration::from_secs(86_400)),
        ..listener("tcp", 6443, &collector)
    };
    let relay = Relay::running(&[long, listener("ageless", 6444, &collector)]).await;
    let mut kept = relay.connect(6444).await;
    let mut at_kept = vendor.accept().await;
    let mut open = Vec::new();
    for _ in 0..10 {
        sleep(Duration::from_millis(10)).await;
        let mut workload = relay.connect(6443).await;
        let mut at_collector = vendor.accept().await;
        in_real_time(says(&mut workload, b"hello", &mut at_collector)).await;
        open.push((workload, at_collector));
    }
    sleep(Duration::from_secs(5)).await;
    let within = Duration::from_secs(40);
    let began = Instant::now();
    assert_eq!(relay.plane.shed(4, within, || 0.5), 4);
    assert_eq!(relay.plane.shed(4, within, || 0.5), 0, "those four go already");
    let rest = open.split_off(4);
    let mut ends = Vec::new();
    for (mut workload, at_collector) in open {
        hears_the_end_within(&mut workload, within).await;
        ends.push(began.elapsed().as_secs());
        drop((workload, at_collector));
    }
    assert_eq!(ends, [5, 15, 25, 35]);
    let counters = relay.counters("tcp");
    until(|| counters.count_of(CloseCause::Shed) == 4).await;
    sleep(within).await;
    for (mut workload, mut at_collector) in rest {
        in_real_time(says(&mut workload, b"I stay", &mut at_collector)).await;
    }
    in_real_time(says(&mut kept, b"so do I", &mut at_kept)).await;

    until(|| counters.open() == 0).await;
    assert_eq!(relay.plane.shed(1, within, || 0.5), 0, "there is none that may go");
    assert_eq!(relay.plane.connections_open(), 1);
}
