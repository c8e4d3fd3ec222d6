//! The TCP listener beside HAProxy, nginx and Envoy.
use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use ekiden_proto::settings::v1::{ListenerProtocol, Tls};
use ekiden_tests::{
    bench::{
        measured::{Measured, resident_bytes},
        peers,
        relay::{RelayUnderTest, Way},
        report::{Row, median, table},
        tcp,
    },
    harness::{ControlPlane, World},
};
use tokio::task::JoinSet;

use crate::{Arguments, free_port, say, show};

/// A proxy and what it was measured at.
struct Candidate {
    name: &'static str,
    pid: u32,
    sink: SocketAddr,
    echo: SocketAddr,
    /// MiB, before the first connection.
    start: f64,
    /// KiB a connection.
    idle: f64,
    bulk: Vec<f64>,
    messages: Vec<f64>,
    connections: Vec<f64>,
}

/// Measures each proxy in each round, in turn, and prints the table; `tls`: toward the backend.
pub(crate) async fn measure(arguments: &Arguments, tls: bool) -> Result<()> {
    let mut tasks = JoinSet::new();
    let world = World::start().await?;
    let root = world.folder().join("bench-root.pem");
    fs::write(&root, world.authority.pem())?;
    let server = tls.then(|| tcp::without_resumption(&world.authority)).transpose()?;
    let backend = tcp::Backend::start(&mut tasks, server).await?;
    let control_plane = ControlPlane::start(&world, &[]).await?;

    let client = tls.then(|| Tls {
        server_name: tcp::NAME.to_owned(),
        ca_certificates_pem: world.authority.pem(),
        ..Tls::default()
    });
    let ways = [backend.sink, backend.echo].map(|to| Way {
        protocol: ListenerProtocol::Tcp,
        to,
        tls: client.clone(),
    });
    let mut relay = RelayUnderTest::start(&world, &control_plane, "bench", &ways).await?;
    let mut candidates = Vec::new();
    if let (Some(pid), Some(sink), Some(echo)) = (relay.pid(), relay.listener(0), relay.listener(1))
    {
        candidates.push(candidate("Ekiden relay", pid, sink, echo)?);
    }
    let mut processes = Vec::new();
    for name in ["HAProxy", "HAProxy, splice", "nginx stream", "Envoy"] {
        if tls && name == "HAProxy, splice" {
            continue;
        }
        let (sink, echo) = (free_port()?, free_port()?);
        let forwards = [
            peers::Forward { from: sink, to: backend.sink },
            peers::Forward { from: echo, to: backend.echo },
        ];
        let root = tls.then_some(root.as_path());
        let mut process = start(name, world.folder(), arguments, &forwards, root)?;
        process.accepts(echo).await.with_context(|| format!("starting {name}"))?;
        candidates.push(candidate(name, process.pid(), sink, echo)?);
        processes.push(process);
    }
    // Memory first, while nobody has grown by other work.
    for c in &mut candidates {
        c.idle = tcp::idle_memory(c.pid, c.echo, 2000).await.context(c.name)? / 1024.0;
        say(&format!("{}: {:.1} KiB an idle connection", c.name, c.idle));
    }
    for round in 1..=arguments.rounds {
        for c in &mut candidates {
            let bytes = arguments.gigabytes * 1_000_000_000;
            let bulk = tcp::bulk(c.pid, c.sink, 4, bytes).await.context(c.name)?;
            let message = tcp::messages(c.pid, c.echo, 64, 200_000).await.context(c.name)?;
            let connection = tcp::short_connections(c.pid, c.echo, 10_000).await.context(c.name)?;
            say(&format!(
                "round {round} of {}: {}: {:.2} CPU-s/GB ({:.2} GB/s), {message:.1} µs a message, {connection:.1} µs a connection",
                arguments.rounds, c.name, bulk.cpu_per_gb, bulk.gb_per_second,
            ));
            c.bulk.push(bulk.cpu_per_gb);
            c.messages.push(message);
            c.connections.push(connection);
        }
    }
    let rows: Vec<Row> = candidates.into_iter().map(Candidate::row).collect();
    let columns = [
        "CPU-s per GB (4 connections)",
        "CPU µs per 200 B message (64)",
        "CPU µs per connection",
        "KiB per idle connection",
        "MiB at start",
    ];
    let title = if tls {
        "TCP in, TLS 1.3 out (AES-128-GCM, X25519, a full handshake each)"
    } else {
        "TCP, plain in and out"
    };
    show(&format!("## {title}\n\n{}", table(&columns, &rows)));
    Ok(())
}

fn start(
    name: &str,
    folder: &Path,
    arguments: &Arguments,
    forwards: &[peers::Forward],
    tls: Option<&Path>,
) -> Result<Measured> {
    let folder = folder.join(name.replace([' ', ','], "-"));
    fs::create_dir_all(&folder)?;
    let told = peers::Told { folder: &folder, forwards, tls };
    Measured::start(match name {
        "HAProxy" => peers::haproxy(told, false)?,
        "HAProxy, splice" => peers::haproxy(told, true)?,
        "nginx stream" => peers::nginx(told)?,
        _ => peers::envoy(told, &arguments.peers)?,
    })
}

fn candidate(
    name: &'static str,
    pid: u32,
    sink: SocketAddr,
    echo: SocketAddr,
) -> Result<Candidate> {
    let start = resident_bytes(pid)? as f64 / f64::from(1 << 20);
    let (bulk, messages, connections) = (vec![], vec![], vec![]);
    Ok(Candidate { name, pid, sink, echo, start, idle: 0.0, bulk, messages, connections })
}

impl Candidate {
    fn row(self) -> Row {
        let medians = [self.bulk, self.messages, self.connections].map(median);
        let values = medians.into_iter().chain([self.idle, self.start]).map(Some).collect();
        Row { name: self.name.to_owned(), values }
    }
}
