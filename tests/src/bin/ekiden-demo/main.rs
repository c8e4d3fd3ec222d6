//! Shows the whole of Ekiden at work on this machine: the real binaries, a private Postgres, and loopback stand-ins for
//! AWS and the vendor. Ends clean on Ctrl-C.
//!
//! - `show`: what a person sees.
//! - `stage`: who plays: control plane, customers, relays, workloads.
//! - `acts`: the main job, step by step.
//! - `summary`: what came of it.
mod acts;
mod show;
mod stage;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use self::{show::Show, stage::Stage};

/// Shows Ekiden at work: tenants, relays that configure and register themselves, telemetry with the right key, and
/// changes that reach every relay within a second.
#[derive(Debug, Parser)]
struct Arguments {
    /// End after the summary; the exit code says whether every step worked.
    #[arg(long)]
    once: bool,
    /// Relays of the first tenant.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=8))]
    relays: u32,
    /// Seconds that the relays' DNS records live.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    ttl: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let show = Show::new();
    match run(&arguments, &show).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show.failed(&error);
            ExitCode::FAILURE
        }
    }
}

/// Everything up to the end of the world; whatever returns early drops the stage, and with it every process and file.
async fn run(arguments: &Arguments, show: &Show) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut stopped = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let play = async {
        let mut stage = Stage::set(arguments.relays, arguments.ttl, show).await?;
        let outcome = acts::play(&mut stage, show).await?;
        summary::print(&stage, &outcome, show).await?;
        anyhow::Ok((stage, outcome))
    };
    // The outcome holds the vendor that the relays send to by now.
    let (stage, _outcome) = tokio::select! {
        () = stopped() => anyhow::bail!("stopped before the end; everything started has been ended"),
        stage = play => stage?,
    };
    if !arguments.once {
        summary::what_next(&stage, show);
        stopped().await;
        show.line("");
    }
    let folder = stage.folder();
    tokio::select! {
        () = stopped() => show.line("At once, then."),
        ended = stage.end(show) => ended?,
    }
    if folder.join("keep").exists() {
        show.line(&format!("Kept, as EKIDEN_KEEP_WORLD asks: {}", folder.display()));
    } else {
        anyhow::ensure!(!folder.exists(), "{} was left behind", folder.display());
        show.line("Nothing is left behind.");
    }
    Ok(())
}
