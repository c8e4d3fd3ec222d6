//! Raw TCP through a relay.
use axum::{Router, body::Bytes, routing::any};
use ekiden_proto::{admin::v1::Collector, settings::v1::Endpoint};
use ekiden_tests::{
    harness::{
        customer::{TCP_PORT, endpoint},
        wait::{self, SAFETY},
    },
    vendor_collector::{Behaviour, Exchange, Records, VendorCollector},
    workloads::tcp::{Held, exchange},
};
use tokio::{net::TcpListener, process::Command, task::JoinSet};

use super::ways::running;

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_of_random_bytes_both_ways_at_once_arrives_unharmed() -> anyhow::Result<()> {
    const BYTES: u64 = 1 << 30;
    let run = running(1).await?;
    let (relay, vendor) = (run.relays[0].listener(TCP_PORT), &run.customer.tcp_vendor);
    vendor.exchange(Exchange::Send(BYTES));
    let carried = exchange(relay, BYTES).await?;
    let finished =
        |records: &Records| records.streams().iter().any(|one| one.ended && one.received == BYTES);
    vendor.records().wait("the vendor's side ends", SAFETY, finished).await?;
    let streams = vendor.records().streams();
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
    let run = running(0).await?;
    let address = run.world.loopback.next();
    let listener = TcpListener::bind((address, 0)).await?;
    let port = listener.local_addr()?.port();
    run.world.dns.set_addresses("web.vendor.test.", 1, &[address]);
    let mut server = JoinSet::new();
    let echo = |body: Bytes| async move { body };
    server.spawn(async move { axum::serve(listener, Router::new().route("/", any(echo))).await });
    // The collector becomes a web server without TLS.
    let web = Collector {
        name: run.customer.tcp_collector.clone(),
        endpoints: vec![endpoint("web.vendor.test", port)],
        ..Collector::default()
    };
    run.operator.change_collector(web, &["endpoints", "tls"]).await?;
    let relay = run.ready_relay("streams").await?;
    let body = "through the relay and back";
    let url = format!("http://{}/", relay.listener(TCP_PORT));
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--data", body, &url])
        .kill_on_drop(true)
        .output()
        .await?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), body, "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_collector_that_dies_is_replaced_by_the_next_in_priority_and_gets_its_place_back()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let second = run.world.tcp_vendor("second.vendor.test", true, Exchange::Echo).await?;
    let first = &run.customer.tcp_vendor;
    let endpoints = vec![
        endpoint("tcp.acme.vendor.test", first.address().port()),
        Endpoint { priority: 1, ..endpoint("second.vendor.test", second.address().port()) },
    ];
    run.operator.change_endpoints(&run.customer.tcp_collector, endpoints).await?;
    let ready = run.ready_relay("streams").await?;
    let relay = ready.listener(TCP_PORT);

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
    let run = running(1).await?;
    // The echo still answers after the workload stopped sending; a full close would cut the answer off.
    let carried = exchange(run.relays[0].listener(TCP_PORT), 5_000_000).await?;
    assert_eq!((carried.received, carried.received_sha256), (carried.sent, carried.sent_sha256));
    Ok(())
}
