use std::{sync::Arc, time::Duration};

use ekiden_settings::{Limits, Listener};
use tokio::time::Instant;

use super::world::{Relay, Vendor, hears_the_end, listener, says, until};
use crate::listener::CloseCause;

fn up_to(max_connections: u64, listener: Listener) -> Listener {
    Listener { max_connections, ..listener }
}

#[tokio::test]
async fn one_connection_past_a_listeners_limit_is_closed_at_once_and_counted() {
    let mut vendor = Vendor::start().await;
    let collector = vendor.as_collector("vendor");
    let relay = Relay::running(&[up_to(2, listener("tcp", 6443, &collector))]).await;
    let (mut first, _second) = (relay.connect(6443).await, relay.connect(6443).await);
    let (mut at_first, _at_second) = (vendor.accept().await, vendor.accept().await);
    hears_the_end(&mut relay.connect(6443).await).await;
    says(&mut first, b"undisturbed", &mut at_first).await;
    let health = relay.plane.health();
    let health = &health.listeners[0];
    assert_eq!(
        (health.connections_open, health.connections_accepted, health.connections_refused),
        (2, 2, 1)
    );
    assert_eq!((health.closed[0].cause.as_str(), health.closed[0].count), ("limit_listener", 1));

    drop(first);
    drop(at_first);
    let counters = relay.counters("tcp");
    until(|| counters.open() == 1).await;
    let mut third = relay.connect(6443).await;
    says(&mut third, b"room again", &mut vendor.accept().await).await;
}

#[tokio::test]
async fn the_relays_limit_holds_over_all_listeners() {
    let mut vendor = Vendor::start().await;
    let collector = vendor.as_collector("vendor");
    let relay = Relay::start();
    let listeners = [listener("one", 6443, &collector), listener("two", 6666, &collector)];
    relay.apply_with(&listeners, Limits { max_connections: 2, ..Limits::default() }).await.unwrap();
    let _open = (relay.connect(6443).await, relay.connect(6666).await);
    let _accepted = (vendor.accept().await, vendor.accept().await);
    hears_the_end(&mut relay.connect(6443).await).await;
    hears_the_end(&mut relay.connect(6666).await).await;
    assert_eq!(relay.counters("one").count_of(CloseCause::LimitRelay), 1);
    assert_eq!(relay.counters("two").count_of(CloseCause::LimitRelay), 1);
    assert_eq!(relay.plane.connections_open(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_ended_and_one_that_speaks_is_not() {
    let mut vendor = Vendor::start().await;
    let idle_timeout = Duration::from_secs(60);
    let listener =
        Listener { idle_timeout, ..listener("tcp", 6443, &vendor.as_collector("vendor")) };
    let relay = Relay::running(&[listener]).await;
    let mut silent = relay.connect(6443).await;
    let mut at_silent = vendor.accept().await;
    let mut lively = relay.connect(6443).await;
    let mut at_lively = vendor.accept().await;
    let began = Instant::now();
    for _ in 0..5 {
        says(&mut lively, b"I am here", &mut at_lively).await;
        tokio::time::sleep(idle_timeout / 2).await;
    }
    says(&mut at_lively, b"so am I", &mut lively).await;
    assert_eq!(relay.counters("tcp").count_of(CloseCause::IdleTimeout), 1);
    hears_the_end(&mut silent).await;
    hears_the_end(&mut at_silent).await;

    let began_silence = Instant::now();
    assert!(began_silence - began > idle_timeout * 2);
    // The test's own patience is shorter than the silence.
    let mut byte = [0];
    assert_eq!(tokio::io::AsyncReadExt::read(&mut lively, &mut byte).await.unwrap(), 0);
    let silence = began_silence.elapsed();
    assert!((idle_timeout..=idle_timeout + idle_timeout / 10).contains(&silence), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_idle_timeout_also_holds_for_open_connections() {
    let mut vendor = Vendor::start().await;
    let collector = vendor.as_collector("vendor");
    let patient = listener("tcp", 6443, &collector);
    let relay = Relay::running(std::slice::from_ref(&patient)).await;
    let mut workload = relay.connect(6443).await;
    let _collector = vendor.accept().await;
    relay.apply(&[Listener { idle_timeout: Duration::from_secs(5), ..patient }]).await.unwrap();
    hears_the_end(&mut workload).await;
    assert_eq!(relay.counters("tcp").count_of(CloseCause::IdleTimeout), 1);
    drop(Arc::clone(&collector));
}
