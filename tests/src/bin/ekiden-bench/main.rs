//! `make bench`: Ekiden beside its peers, in one run, as ratios.
//!
//! - `tcp`: plain and TLS out, beside HAProxy, nginx and Envoy. `otlp`: beside rotel. Simulated relays are the library's.

mod otlp;
mod tcp;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use ekiden_tests::bench::{identity, sessions};

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
    /// TCP listener beside HAProxy, nginx and Envoy, plain on both sides.
    Tcp,
    /// The same with TLS toward the collector.
    Tls,
    /// OTLP listener beside rotel.
    Otlp,
    /// Commit to applied, and server memory a session.
    Sessions,
    /// Enrollments and renewals a second.
    Identity,
}

impl Part {
    fn has_peers(self) -> bool {
        match self {
            Self::Tcp | Self::Tls | Self::Otlp => true,
            Self::Sessions | Self::Identity => false,
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.parts.is_empty() {
        arguments.parts = Part::value_variants().to_vec();
    }
    if arguments.parts.iter().any(|part| part.has_peers()) {
        // Peers run in folders of their own, and a part that cannot be measured should be known before the first one is.
        arguments.peers = std::fs::canonicalize(&arguments.peers).with_context(|| {
            format!("no peers in {}: run `make bench`", arguments.peers.display())
        })?;
    }
    let chosen = |part| arguments.parts.contains(&part);
    if chosen(Part::Tcp) {
        tcp::measure(&arguments, false).await.context("TCP")?;
    }
    if chosen(Part::Tls) {
        tcp::measure(&arguments, true).await.context("TLS")?;
    }
    if chosen(Part::Otlp) {
        otlp::measure(&arguments).await.context("OTLP")?;
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
    if chosen(Part::Identity) {
        say("control plane: enrollments and renewals");
        let figures =
            identity::measure(arguments.relays, arguments.rounds).await.context("identity")?;
        show(&format!("## Certificates\n\n{figures}"));
    }
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
