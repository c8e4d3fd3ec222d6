//! `make bench`: Ekiden beside its peers, in one run, as ratios.
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use ekiden_proto::settings::v1::ListenerProtocol;
use ekiden_tests::{
    bench::{
        measured::Measured,
        otlp, peers,
        relay::{RelayUnderTest, Way},
        report::{Row, median, table},
        sessions, tcp,
    },
    harness::{ControlPlane, World},
};
use tokio::task::JoinSet;

/// Measures Ekiden beside HAProxy, nginx, Envoy and rotel on this machine and prints tables in Markdown.
///
/// Every figure is CPU or memory per unit of work of the process under measurement (user and system, children
/// included), the median of interleaved rounds; the ratio in brackets is to Ekiden, so above 1 means the peer costs more.
#[derive(Parser)]
struct Arguments {
    /// Parts to run; all when none is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds; each measures every candidate once, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Bytes of one bulk run, in 10⁹.
    #[arg(long, default_value_t = 4)]
    gigabytes: u64,
    /// Simulated relays for the control plane's part.
    #[arg(long, default_value_t = 1000)]
    relays: usize,
    /// Folder of the peers from PyPI.
    #[arg(long, default_value = ".venv-peers")]
    peers: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// TCP listener beside HAProxy, nginx and Envoy.
    Tcp,
    /// OTLP listener beside rotel.
    Otlp,
    /// Commit to applied, and server memory a session.
    Sessions,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let chosen = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if chosen(Part::Tcp) {
        tcp_part(&arguments).await.context("TCP")?;
    }
    if chosen(Part::Otlp) {
        otlp_part(&arguments).await.context("OTLP")?;
    }
    if chosen(Part::Sessions) {
        say("control plane: simulated relays");
        let figures =
            sessions::measure(arguments.relays, arguments.rounds).await.context("sessions")?;
        show(&format!(
            "## Control plane, {} simulated relays over mTLS\n\n{figures}",
            arguments.relays
        ));
    }
    Ok(())
}

/// A candidate of the TCP part and what it was measured at.
struct Candidate {
    name: &'static str,
    pid: u32,
    sink: SocketAddr,
    echo: SocketAddr,
    bulk: Vec<f64>,
    messages: Vec<f64>,
    connections: Vec<f64>,
    idle: Option<f64>,
}

async fn tcp_part(arguments: &Arguments) -> Result<()> {
    let mut tasks = JoinSet::new();
    let backend = tcp::Backend::start(&mut tasks).await?;
    let world = World::start().await?;
    let control_plane = ControlPlane::start(&world, &[]).await?;
    let ways = [
        Way { protocol: ListenerProtocol::Tcp, to: backend.sink },
        Way { protocol: ListenerProtocol::Tcp, to: backend.echo },
    ];
    let mut relay = RelayUnderTest::start(&world, &control_plane, "bench", &ways).await?;
    let mut candidates = Vec::new();
    let mut processes = Vec::new();
    if let (Some(pid), Some(sink), Some(echo)) = (relay.pid(), relay.listener(0), relay.listener(1))
    {
        candidates.push(candidate("Ekiden relay", pid, sink, echo));
    }
    for name in ["HAProxy", "HAProxy, splice", "nginx stream", "Envoy"] {
        let folder = world.folder().join(name.replace([' ', ','], "-"));
        std::fs::create_dir_all(&folder)?;
        let (sink, echo) = (free_port()?, free_port()?);
        let forwards = [
            peers::Forward { from: sink, to: backend.sink },
            peers::Forward { from: echo, to: backend.echo },
        ];
        let command = match name {
            "HAProxy" => peers::haproxy(&folder, &forwards, false)?,
            "HAProxy, splice" => peers::haproxy(&folder, &forwards, true)?,
            "nginx stream" => peers::nginx(&folder, &forwards)?,
            _ => peers::envoy(&folder, &arguments.peers, &forwards)?,
        };
        let mut process = Measured::start(command)?;
        process.accepts(echo).await.with_context(|| format!("starting {name}"))?;
        candidates.push(candidate(name, process.pid(), sink, echo));
        processes.push(process);
    }
    // Memory first, while nobody has grown by other work.
    for c in &mut candidates {
        say(&format!("tcp: idle connections, {}", c.name));
        c.idle = Some(tcp::idle_memory(c.pid, c.echo, 2000).await? / 1024.0);
    }
    for round in 1..=arguments.rounds {
        for c in &mut candidates {
            say(&format!("tcp: round {round} of {}, {}", arguments.rounds, c.name));
            c.bulk.push(
                tcp::bulk(c.pid, c.sink, 4, arguments.gigabytes * 1_000_000_000).await?.cpu_per_gb,
            );
            c.messages.push(tcp::messages(c.pid, c.echo, 64, 200_000).await?);
            c.connections.push(tcp::short_connections(c.pid, c.echo, 10_000).await?);
        }
    }
    let rows: Vec<Row> = candidates
        .into_iter()
        .map(|c| Row {
            name: c.name.to_owned(),
            values: vec![
                Some(median(c.bulk)),
                Some(median(c.messages)),
                Some(median(c.connections)),
                c.idle,
            ],
        })
        .collect();
    let columns = [
        "CPU-s per GB (4 connections)",
        "CPU µs per 200 B message (64)",
        "CPU µs per connection",
        "KiB per idle connection",
    ];
    show(&format!("## TCP, plain in and out\n\n{}", table(&columns, &rows)));
    Ok(())
}

fn candidate(name: &'static str, pid: u32, sink: SocketAddr, echo: SocketAddr) -> Candidate {
    Candidate {
        name,
        pid,
        sink,
        echo,
        bulk: vec![],
        messages: vec![],
        connections: vec![],
        idle: None,
    }
}

async fn otlp_part(arguments: &Arguments) -> Result<()> {
    let mut tasks = JoinSet::new();
    let sink = otlp::Sink::start(&mut tasks).await?;
    let world = World::start().await?;
    let control_plane = ControlPlane::start(&world, &[]).await?;
    let ways = [Way { protocol: ListenerProtocol::Otlp, to: sink.address }];
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

/// A port that was free a moment ago; peers take none from the kernel themselves.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[expect(clippy::print_stderr, reason = "progress for the person who waits")]
fn say(what: &str) {
    eprintln!("bench: {what}");
}

#[expect(clippy::print_stdout, reason = "the tables are what the program is for")]
fn show(table: &str) {
    println!("{table}");
}
