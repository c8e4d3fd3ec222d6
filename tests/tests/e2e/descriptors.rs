//! A relay that has no file descriptor left.
use anyhow::Context as _;
use ekiden_tests::{
    harness::{
        customer::{OTLP_PORT, TCP_PORT},
        wait::{self, SAFETY},
    },
    workloads::{
        otlp::{Exporter, marker},
        tcp::exchange,
    },
};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::net::TcpStream;

use super::ways::running;

/// Bytes of one exchange.
const SOME: u64 = 64 << 10;

#[tokio::test]
async fn a_relay_at_its_descriptor_limit_pauses_accepting_and_stops_nothing_else()
-> anyhow::Result<()> {
    let mut run = running(1).await?;
    let relay = &mut run.relays[0];
    let exporter = Exporter::new(relay.listener(OTLP_PORT))?;
    exporter.spans(&[marker("before")]).await?;

    let pid = i32::try_from(relay.process().id().context("it has ended")?)?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    let pid = Pid::from_raw(pid);
    let few = Rlimit { current: Some(open + 8), ..getrlimit(Resource::Nofile) };
    let before = prlimit(pid, Resource::Nofile, few)?;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(TcpStream::connect(relay.listener(TCP_PORT)).await?);
    }
    // What is open works on.
    for _ in 0..5 {
        exporter.spans(&[marker("meanwhile")]).await?;
    }

    drop(held);
    wait::until("it accepts again", SAFETY, async || {
        Ok(exchange(run.relays[0].listener(TCP_PORT), SOME).await.ok())
    })
    .await?;
    prlimit(pid, Resource::Nofile, before)?;
    run.relays[0].figure_reaches("listener_accept_pauses_total", &[], 1.0).await
}
