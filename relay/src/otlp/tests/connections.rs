//! How workloads' connections begin and end.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    collector::{Behaviour, Collector},
    relay::Relay,
    soon, spawn,
    workload::{self, spans},
};
use crate::listener::CloseCause;

#[tokio::test]
async fn what_is_not_http2_is_closed_with_its_cause() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    let preface_then_noise = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0xff; 100]].concat();
    let says: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"PRI * HTTP/2.0\r\n\r\nXX",
        &preface_then_noise,
    ];
    for said in says {
        let mut stream = TcpStream::connect(relay.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        // HTTP/2 may say goodbye; a reset is an end too.
        drop(soon(stream.read_to_end(&mut Vec::new())).await);
    }
    relay.closed(&[CloseCause::ProtocolError; 4]).await;
    soon(workload::traces(relay.address).await.export(spans(1))).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_is_no_error() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    drop(TcpStream::connect(relay.address).await.unwrap());
    relay.closed(&[CloseCause::WorkloadClosed]).await;
    let mut client = workload::traces(relay.address).await;
    soon(client.export(spans(1))).await.unwrap();
    drop(client);
    relay.closed(&[CloseCause::WorkloadClosed; 2]).await;
}

#[tokio::test]
async fn draining_finishes_requests_and_takes_no_new_ones() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Stall);
    let relay = Relay::start(collector.address).await;
    let mut client = workload::traces(relay.address).await;
    let export = spawn(async move { client.export(spans(4)).await });
    collector.saw(1).await;
    relay.drain.cancel();
    collector.behave(Behaviour::Accept);
    soon(export).await.unwrap().unwrap();
    relay.closed(&[CloseCause::Drained]).await;
    assert_eq!(relay.requests().accepted(), 1);
}

#[tokio::test]
async fn a_connection_without_requests_ends_after_the_idle_timeout() {
    let collector = Collector::start().await;
    let relay =
        Relay::start_impatient(collector.address, std::time::Duration::from_millis(200)).await;
    let mut client = workload::traces(relay.address).await;
    soon(client.export(spans(1))).await.unwrap();
    relay.closed(&[CloseCause::IdleTimeout]).await;
    soon(client.export(spans(1))).await.unwrap();
}

#[tokio::test]
async fn requests_of_a_workload_that_is_gone_are_let_go() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Stall);
    let relay = Relay::start(collector.address).await;
    let mut client = workload::traces(relay.address).await;
    let export = spawn(async move { client.export(spans(4)).await });
    collector.saw(1).await;
    export.abort();
    relay.tracker.close();
    relay.exporter().close();
    soon(relay.tracker.wait()).await;
    assert_eq!(relay.in_flight.held(), 0);
}
