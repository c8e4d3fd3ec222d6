//! Raw TCP through a relay.
use axum::{Router, body::Bytes, routing::any};
use ekiden_proto::settings::v1::Endpoint;
use ekiden_tests::{
    harness::{
        customer::{TCP_PORT, endpoint},
        wait::{self, SAFETY},
    },
    vendor_collector::{Behaviour, Exchange, Records, VendorCollector},
    workloads::tcp::{Held, exchange},
};
use tokio::{net::TcpListener, process::Command, task::JoinSet};

use super::alone::{Alone, TCP_HOST};

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_of_random_bytes_both_ways_at_once_arrives_unharmed() -> anyhow::Result<()> {
    const BYTES: u64 = 1 << 30;
    let run = Alone::set_up().await?;
    let relay = run.ready_relay("streams").await?;
    run.tcp_vendor.exchange(Exchange::Send(BYTES));
    let carried = exchange(relay.listener(TCP_PORT), BYTES).await?;
    let finished =
        |records: &Records| records.streams().iter().any(|one| one.ended && one.received == BYTES);
    run.tcp_vendor.records().wait("the vendor's side ends", SAFETY, finished).await?;
    let streams = run.tcp_vendor.records().streams();
    let Some(stream) = streams.iter().find(|one| one.received == BYTES) else {
        anyhow::bail!("{streams:?}")
    };
    assert_eq!((carried.received, stream.sent), (BYTES, BYTES));
    assert_eq!(
        stream.received_sha256,
        Some(carried.sent_sha256),
        "what the workload sent was changed"
    );
    assert_eq!(
        stream.sent_sha256,
        Some(carried.received_sha256),
        "what the vendor sent was changed"
    );
    Ok(())
}

#[tokio::test]
async fn curl_gets_its_own_text_back_through_a_tcp_listener() -> anyhow::Result<()> {
    let run = Alone::set_up().await?;
    let listener = TcpListener::bind(run.world.loopback.any_port()).await?;
    let web = listener.local_addr()?;
    let mut server = JoinSet::new();
    let echo = |body: Bytes| async move { body };
    server.spawn(async move { axum::serve(listener, Router::new().route("/", any(echo))).await });
    // The collector is a web server without TLS.
    let mut settings = run.settings.clone();
    settings.collectors[1].tls = None;
    settings.collectors[1].endpoints = vec![endpoint(&web.ip().to_string(), web.port())];
    run.control_plane.say(2, &settings);
    let relay = run.ready_relay("streams").await?;
    let body = "through the relay and back";
    let url = format!("http://{}/", relay.listener(TCP_PORT));
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--data", body, &url])
        .output()
        .await?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), body, "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_collector_that_dies_is_replaced_by_the_next_in_priority_and_gets_its_place_back()
-> anyhow::Result<()> {
    let run = Alone::set_up().await?;
    let second = run.world.tcp_vendor("second.vendor.test", true, Exchange::Echo).await?;
    let first = &run.tcp_vendor;
    let mut settings = run.settings.clone();
    settings.collectors[1].endpoints = vec![
        endpoint(TCP_HOST, first.address().port()),
        Endpoint { priority: 1, ..endpoint("second.vendor.test", second.address().port()) },
    ];
    run.control_plane.say(2, &settings);
    let running = run.ready_relay("streams").await?;
    let relay = running.listener(TCP_PORT);

    // Each look is a new connection; `to` is the one that should get it.
    let goes_to = async |to: &VendorCollector, what: &str| {
        let look = async || {
            let before = to.records().streams().len();
            let Ok(held) = Held::open(relay).await else { return Ok(None) };
            drop(held);
            Ok((to.records().streams().len() > before).then_some(()))
        };
        wait::until(what, SAFETY, look).await
    };
    goes_to(first, "the first endpoint serves").await?;
    first.behave(Behaviour::Refuse);
    goes_to(&second, "the second endpoint takes over").await?;
    first.behave(Behaviour::Serve);
    goes_to(first, "the first endpoint has its place back").await
}

#[tokio::test]
async fn a_workloads_half_close_reaches_the_vendor_and_the_answer_still_comes_back()
-> anyhow::Result<()> {
    let run = Alone::set_up().await?;
    let relay = run.ready_relay("streams").await?;
    // The echo still answers after the workload stopped sending; a full close would cut the answer off.
    let carried = exchange(relay.listener(TCP_PORT), 5_000_000).await?;
    assert_eq!((carried.received, carried.received_sha256), (carried.sent, carried.sent_sha256));
    Ok(())
}
