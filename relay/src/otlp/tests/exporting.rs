//! How the relay treats its collectors.

use std::{future::pending, net::SocketAddr};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::{
    SOON,
    collector::{Behaviour, Collector},
    relay::Relay,
    soon, spawn,
    workload::{self, GRPC, TRACES, details, framed_spans, reason, spans},
};
use crate::collector::ProbeOutcome;

#[tokio::test]
async fn a_collector_that_is_away_means_retry() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let relay = Relay::start(closed).await;
    let mut client = workload::traces(relay.address).await;
    for _ in 0..2 {
        let refused = soon(client.export(spans(1))).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unavailable, "COLLECTOR_UNREACHABLE")
        );
        assert!(details(&refused).retry_info().is_some());
    }
    assert_eq!(relay.collector_health().failure, "dial");
    assert_eq!(relay.in_flight.held(), 0);
}

#[tokio::test]
async fn a_new_collector_takes_new_requests_while_old_ones_end_on_the_old() {
    let old = Collector::start().await;
    let new = Collector::start().await;
    old.behave(Behaviour::Stall);
    let relay = Relay::start(old.address).await;
    let client = workload::traces(relay.address).await;
    let mut first = client.clone();
    let first = spawn(async move { first.export(spans(1)).await });
    old.saw(1).await;
    relay.retarget(new.address);
    soon(client.clone().export(spans(2))).await.unwrap();
    assert_eq!((old.seen().len(), new.seen().len()), (1, 1));
    old.behave(Behaviour::Accept);
    soon(first).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_crowd_of_requests_passes_at_once() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Stall);
    let relay = Relay::start(collector.address).await;
    let mut exports = Vec::new();
    for _ in 0..5 {
        let client = workload::traces(relay.address).await;
        for count in 0..60 {
            let mut client = client.clone();
            exports.push(spawn(async move { client.export(spans(count)).await }));
        }
    }
    collector.saw(300).await;
    collector.behave(Behaviour::Accept);
    for export in exports {
        soon(export).await.unwrap().unwrap();
    }
    assert_eq!(relay.requests().accepted(), 300);
    assert!(
        (2..=4).contains(&relay.collector_health().dials),
        "{}",
        relay.collector_health().dials
    );
}

/// What a bare HTTP/2 collector does with a connection's first request.
#[derive(Clone, Copy)]
enum Bare {
    RefuseStream,
    GoAway,
    Break,
    Silence,
    Answer,
}

/// A collector that treats its connections in that order, then answers.
async fn bare(order: &'static [Bare]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn(async move {
        let mut order = order.iter().copied();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let first = order.next().unwrap_or(Bare::Answer);
            spawn(async move {
                if let Bare::GoAway = first {
                    return go_away(stream).await;
                }
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut unanswered = Vec::new();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    match first {
                        Bare::RefuseStream => respond.send_reset(Reason::REFUSED_STREAM),
                        Bare::Break | Bare::GoAway => return,
                        Bare::Silence => unanswered.push(respond),
                        Bare::Answer => {
                            drop(request);
                            let mut body = respond.send_response(Response::new(()), false).unwrap();
                            body.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
                            let mut trailers = HeaderMap::new();
                            trailers.insert("grpc-status", "0".parse().unwrap());
                            body.send_trailers(trailers).unwrap();
                        }
                    }
                }
            });
        }
    });
    address
}

/// Says, once a request has come, that none will be served; then listens until the relay leaves.
async fn go_away(mut stream: TcpStream) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const NONE_SERVED: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    stream.write_all(&SETTINGS).await.unwrap();
    stream.read_exact(&mut [0; 24]).await.unwrap();
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await.unwrap();
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        if frame[3] == HEADERS {
            break;
        }
    }
    stream.write_all(&NONE_SERVED).await.unwrap();
    drop(stream.read_to_end(&mut Vec::new()).await);
}

#[tokio::test]
async fn a_request_that_surely_was_not_processed_is_sent_once_more() {
    for first in [&[Bare::RefuseStream][..], &[Bare::GoAway]] {
        let relay = Relay::start(bare(first).await).await;
        soon(workload::traces(relay.address).await.export(spans(1))).await.unwrap();
        assert_eq!(relay.collector_health().dials, 2);
    }
    let relay = Relay::start(bare(&[Bare::RefuseStream, Bare::RefuseStream]).await).await;
    let refused = soon(workload::traces(relay.address).await.export(spans(1))).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "COLLECTOR_UNREACHABLE")
    );
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_is_the_workloads_to_retry() {
    let relay = Relay::start(bare(&[Bare::Break]).await).await;
    let mut client = workload::traces(relay.address).await;
    let refused = soon(client.export(spans(1))).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "COLLECTOR_CONNECTION_LOST")
    );
    assert!(details(&refused).retry_info().is_some());
    soon(client.export(spans(1))).await.unwrap();
}

#[tokio::test]
async fn a_probe_sees_a_refused_key_before_any_telemetry_does() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    let probe = || async { soon(relay.exporter().probe(Instant::now() + SOON)).await };
    let failure = |outcome: ProbeOutcome| match outcome {
        ProbeOutcome::Failed { failure, .. } => failure,
        ProbeOutcome::Reachable => "",
    };
    assert_eq!(failure(probe().await), "");
    assert_eq!(collector.seen()[0].items, 0);
    for (answer, expected) in [
        (Status::unauthenticated("no"), "auth"),
        (Status::permission_denied("no"), "auth"),
        (Status::invalid_argument("empty"), ""),
        (Status::unimplemented("traces"), ""),
        (Status::unavailable("later"), "response"),
    ] {
        collector.behave(Behaviour::Refuse(answer));
        assert_eq!(failure(probe().await), expected);
    }
    relay.set_key(None);
    assert_eq!(failure(probe().await), "auth");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    relay.set_key(Some("s3cret"));
    relay.retarget(closed);
    assert_eq!(failure(probe().await), "dial");
}

#[tokio::test]
async fn the_workloads_deadline_is_kept_and_passed_on() {
    let collector = Collector::start().await;
    let relay = Relay::start(collector.address).await;
    let with_timeout = |timeout| [GRPC, ("grpc-timeout", timeout)];
    let accepted =
        workload::send(relay.address, TRACES, &with_timeout("30S"), framed_spans(1)).await;
    assert_eq!(accepted.2.code(), Code::Ok);
    let passed_on = collector.seen()[0].metadata.get("grpc-timeout").unwrap().clone();
    let milliseconds: u64 = passed_on.to_str().unwrap().strip_suffix('m').unwrap().parse().unwrap();
    assert!((1..=30_000).contains(&milliseconds), "{milliseconds}");

    let relay = Relay::start(bare(&[Bare::Silence]).await).await;
    let refused =
        workload::send(relay.address, TRACES, &with_timeout("200m"), framed_spans(1)).await;
    assert_eq!(refused.2.code(), Code::DeadlineExceeded);
    assert_eq!(reason(&refused.2), "DEADLINE_PASSED");
    assert_eq!(relay.in_flight.held(), 0);
}

/// Passes bytes on between relay and collector, until it is cut: then what is open hangs, and what is new passes.
struct Line {
    address: SocketAddr,
    cut: watch::Sender<bool>,
    opened: watch::Receiver<usize>,
    _serving: AbortOnDropHandle<()>,
}

impl Line {
    async fn to(collector: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, (count, opened)) = (watch::Sender::new(false), watch::channel(0));
        let cuts = cut.clone();
        let serving = async move {
            let mut lines = JoinSet::new();
            loop {
                let (mut relay, _) = listener.accept().await.unwrap();
                let (mut cut, was_cut) = (cuts.subscribe(), *cuts.borrow());
                let cut = async move { drop(cut.wait_for(|cut| *cut).await) };
                lines.spawn(async move {
                    let mut collector = TcpStream::connect(collector).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut relay, &mut collector) => {}
                        () = cut, if !was_cut => pending().await,
                    }
                });
                count.send_modify(|count| *count += 1);
            }
        };
        let serving = AbortOnDropHandle::new(spawn(serving));
        Self { address, cut, opened, _serving: serving }
    }
}

#[tokio::test]
async fn a_connection_that_fell_silent_takes_no_new_requests() {
    let collector = Collector::start().await;
    let mut line = Line::to(collector.address).await;
    let relay = Relay::start(line.address).await;
    let mut client = workload::traces(relay.address).await;
    soon(client.export(spans(1))).await.unwrap();
    line.cut.send_replace(true);
    let hangs = {
        let mut client = client.clone();
        AbortOnDropHandle::new(spawn(async move { client.export(spans(1)).await }))
    };
    soon(line.opened.wait_for(|opened| *opened == 2)).await.unwrap();
    soon(client.export(spans(1))).await.unwrap();
    assert!(
        !hangs.is_finished(),
        "what was sent on it may have been processed: it is not sent again"
    );
}
