//! Shows, with figures, whether DNS tells the truth while relays come, go and die.
use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;
use ekiden_tests::{
    dns_proof::{
        Size, Stage,
        acts::{ACTS, bring_to, play},
        report::{HEAD, tell},
    },
    namespaces::Namespaces,
};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

/// What tests that could not run end with.
const NOT_RUN: u8 = 77;
/// Relays in the acts in which one dies or is cut off: a quarter of a fleet is no outage of the control plane's own.
const FOUR: u8 = 4;
/// Of so many relays a zone's three may be lost.
const TEN: u8 = 10;
const BEGIN: &str = "<!-- begin of what `make dns-proof` writes -->\n";
const END: &str = "<!-- end -->\n";

/// Lets relays come, go and die in network namespaces, with real DNS, and counts what workloads notice. Needs root.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Only this act: scale-out, scale-in, rolling, kill, zone, no-control-plane, no-cloud-map or no-collector.
    #[arg(long)]
    act: Vec<String>,
    /// Small and quick: a TTL of 2 s, a stop timeout of 30 s, up to four relays.
    #[arg(long)]
    short: bool,
    /// Write the table into this file, between its markers.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Relays at most.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(5..=20))]
    relays: u8,
    /// Workloads that resolve by TTL.
    #[arg(long, default_value_t = 20)]
    workloads: u32,
    /// Seconds that DNS records live.
    #[arg(long, default_value_t = 10)]
    ttl: u32,
    /// Seconds between SIGTERM and SIGKILL.
    #[arg(long, default_value_t = 120)]
    stop_timeout: u32,
    /// The process whose namespaces this one is in; set by the program itself.
    #[arg(long, hide = true)]
    inside: Option<u32>,
}

impl Arguments {
    fn size(&self) -> Size {
        let (many, ttl, stop_timeout) = match self.short {
            true => (4, 2, 30),
            false => (self.relays, self.ttl, self.stop_timeout),
        };
        Size { few: 2, many, honest: self.workloads, caching: 5, ttl, stop_timeout }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.inside {
        Some(owner) => inside(&arguments, owner).await,
        None => outside(&arguments).await,
    };
    ended.unwrap_or_else(|error| {
        tell(&format!("{error:?}"));
        ExitCode::FAILURE
    })
}

/// Makes the namespaces, lets the same program work inside, and removes them, however it ends.
async fn outside(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        tell("not run: network namespaces need root");
        return Ok(ExitCode::from(NOT_RUN));
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let namespaces = match Namespaces::make(arguments.size().places()) {
        Ok(namespaces) => namespaces,
        Err(error) => {
            tell(&format!("not run: {error:#}"));
            return Ok(ExitCode::from(NOT_RUN));
        }
    };
    let mut worker = Command::new("ip")
        .args(["netns", "exec", &namespaces.world()])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg(format!("--inside={}", std::process::id()))
        .kill_on_drop(true)
        .spawn()
        .context("starting `ip netns exec`")?;
    let status = tokio::select! {
        status = worker.wait() => status?,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    };
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn inside(arguments: &Arguments, owner: u32) -> anyhow::Result<ExitCode> {
    let size = arguments.size();
    let acts: Vec<(&str, bool)> = ACTS
        .into_iter()
        .filter(|(act, _)| match arguments.act.is_empty() {
            true => *act != "zone" || size.many >= TEN,
            false => arguments.act.iter().any(|one| one == act),
        })
        .collect();
    anyhow::ensure!(!acts.is_empty(), "there is no such act: `--help` names them");
    let mut stage = Stage::set(Namespaces::of(owner, size.places()), size).await?;
    let (mut table, mut wrong) = (HEAD.to_owned(), Vec::new());
    for (act, orderly) in acts {
        match act {
            "scale-out" | "rolling" => {}
            "scale-in" => bring_to(&mut stage, size.many).await?,
            "zone" => bring_to(&mut stage, TEN).await?,
            _ => bring_to(&mut stage, FOUR).await?,
        }
        let row = play(&mut stage, act).await?;
        wrong.extend(row.wrong(orderly));
        table.push_str(&row.line());
        table.push('\n');
    }
    writeln!(io::stdout(), "{table}")?;
    if let Some(path) = &arguments.write {
        write(path, &table)?;
    }
    for wrong in &wrong {
        tell(wrong);
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(path: &PathBuf, table: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let (before, rest) = text.split_once(BEGIN).context("the file has no beginning marker")?;
    let (_, after) = rest.split_once(END).context("the file has no end marker")?;
    Ok(fs::write(path, format!("{before}{BEGIN}{table}{END}{after}"))?)
}
