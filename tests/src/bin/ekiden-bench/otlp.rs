//! The OTLP listener beside rotel.
use anyhow::{Context, Result};
use ekiden_proto::settings::v1::ListenerProtocol;
use ekiden_tests::{
    bench::{
        measured::Measured,
        otlp, peers,
        relay::{RelayUnderTest, Way},
        report::{Row, median, table},
    },
    harness::{ControlPlane, World},
};
use tokio::task::JoinSet;

use crate::{Arguments, free_port, say, show};

/// Measures requests of 100 and of 10 spans and prints the table.
pub(crate) async fn measure(arguments: &Arguments) -> Result<()> {
    let mut tasks = JoinSet::new();
    let sink = otlp::Sink::start(&mut tasks).await?;
    let world = World::start().await?;
    let control_plane = ControlPlane::start(&world, &[]).await?;
    let ways = [Way { protocol: ListenerProtocol::Otlp, to: sink.address, tls: None }];
    let mut relay = RelayUnderTest::start(&world, &control_plane, "bench", &ways).await?;
    let rotel_port = free_port()?;
    let mut rotel =
        Measured::start(peers::rotel(world.folder(), &arguments.peers, rotel_port, sink.address)?)?;
    rotel.accepts(rotel_port).await.context("starting rotel")?;

    let mut candidates = Vec::new();
    if let (Some(pid), Some(address)) = (relay.pid(), relay.listener(0)) {
        candidates.push((
            "Ekiden relay (acknowledges after the collector)",
            pid,
            address,
            vec![],
            vec![],
        ));
    }
    candidates.push(("rotel (acknowledges before)", rotel.pid(), rotel_port, vec![], vec![]));
    for round in 1..=arguments.rounds {
        for (name, pid, address, hundred, ten) in &mut candidates {
            say(&format!("otlp: round {round} of {}, {name}", arguments.rounds));
            hundred.push(otlp::load(*pid, *address, &sink, 6_400, 100).await?.cpu_per_span);
            ten.push(otlp::load(*pid, *address, &sink, 19_200, 10).await?.cpu_per_span);
        }
    }
    let rows: Vec<Row> = candidates
        .into_iter()
        .map(|(name, _, _, hundred, ten)| {
            let (hundred, ten) = (median(hundred), median(ten));
            Row { name: name.to_owned(), values: vec![Some(hundred), Some(ten)] }
        })
        .collect();
    let mut text =
        table(&["CPU µs per span, requests of 100", "CPU µs per span, requests of 10"], &rows);
    for row in &rows {
        if let [Some(hundred), Some(ten)] = row.values.as_slice() {
            text.push_str(&format!(
                "\n{}: {:.0} spans per CPU-second at 100 a request, {:.0} at 10.\n",
                row.name,
                1e6 / hundred,
                1e6 / ten
            ));
        }
    }
    show(&format!("## OTLP/gRPC traces, uncompressed, nothing lost\n\n{text}"));
    Ok(())
}
