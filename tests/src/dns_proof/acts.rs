//! What happens to the relays, one act after the other.
use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{
    Stage,
    report::{Row, tell},
};
use crate::{harness::Relay, namespaces};

/// How long a partition lasts.
const PARTITION: Duration = Duration::from_secs(30);

/// An act: its name for the command line, whether it is orderly.
pub const ACTS: [(&str, bool); 8] = [
    ("scale-out", true),
    ("scale-in", true),
    ("rolling", true),
    ("kill", false),
    ("zone", false),
    ("no-control-plane", true),
    ("no-cloud-map", true),
    ("no-collector", false),
];

/// Relays that a zone holds of ten: as many as may vanish together without being taken for a fault of the control plane's.
const ZONE: usize = 3;

/// Plays an act.
pub async fn play(stage: &mut Stage, act: &str) -> anyhow::Result<Row> {
    let (few, many) = (stage.size.few, stage.size.many);
    match act {
        "scale-out" => {
            let name = format!("{few} relays become {many}");
            stage
                .measure(&name, async |stage| {
                    let event = Instant::now();
                    stage.start(many - few).await?;
                    Ok(event)
                })
                .await
        }
        "scale-in" => {
            let name = format!("{many} relays become {few}, all told at once");
            stage
                .measure(&name, async |stage| {
                    let leaving = stage.relays.split_off(few.into());
                    leave(stage, leaving).await
                })
                .await
        }
        "rolling" => {
            let name = format!("each of {few} relays is replaced, the new one first");
            stage
                .measure(&name, async |stage| {
                    let mut event = Instant::now();
                    for _ in 0..few {
                        stage.start(1).await?;
                        stage.settled().await?;
                        let old = vec![stage.relays.remove(0)];
                        event = leave(stage, old).await?;
                    }
                    Ok(event)
                })
                .await
        }
        "kill" => {
            stage
                .measure("one of four dies, its address a black hole", async |stage| {
                    let mut dead = stage.relays.pop().context("there is no relay")?;
                    let namespace = stage.namespace(dead.address())?;
                    stage.expect_all();
                    let event = Instant::now();
                    namespaces::cut_cable(&namespace)?;
                    dead.process().kill().await?;
                    Ok(event)
                })
                .await
        }
        "zone" => {
            stage
                .measure("a zone's three of ten die at once", async |stage| {
                    let mut dead = stage.relays.split_off(stage.relays.len() - ZONE);
                    let namespaces: Result<Vec<_>, _> =
                        dead.iter().map(|relay| stage.namespace(relay.address())).collect();
                    stage.expect_all();
                    let event = Instant::now();
                    for namespace in namespaces? {
                        namespaces::cut_cable(&namespace)?;
                    }
                    for relay in &mut dead {
                        relay.process().kill().await?;
                    }
                    Ok(event)
                })
                .await
        }
        "no-control-plane" => {
            let port = stage.control_plane.relays().port();
            partition(stage, "one is cut off from the control plane", &[port], &[], false).await
        }
        "no-cloud-map" => {
            let url = stage.world.cloud_map.url();
            let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
            let port = port.context("Cloud Map has no port")?;
            partition(stage, "one is cut off from Cloud Map", &[port], &[], false).await
        }
        "no-collector" => {
            let vendors = [&stage.customer.otlp_vendor, &stage.customer.tcp_vendor];
            let vendors = vendors.map(|vendor| match vendor.address().ip() {
                std::net::IpAddr::V4(address) => address,
                std::net::IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            });
            partition(stage, "one is cut off from its collectors", &[], &vendors, true).await
        }
        other => anyhow::bail!("there is no act {other:?}"),
    }
}

/// Brings the fleet to so many relays, unmeasured.
pub async fn bring_to(stage: &mut Stage, count: u8) -> anyhow::Result<()> {
    let there = u8::try_from(stage.relays.len())?;
    if there < count {
        stage.start(count - there).await?;
    }
    stage.settled().await
}

/// Stops relays as ECS does and waits for their ends; gives when they were told.
async fn leave(stage: &mut Stage, mut leaving: Vec<Relay>) -> anyhow::Result<Instant> {
    stage.expect_all();
    let event = Instant::now();
    for relay in &mut leaving {
        relay.process().signal(Signal::TERM)?;
    }
    for relay in &mut leaving {
        let within = Duration::from_secs(u64::from(stage.size.stop_timeout) + 5);
        let status = relay.process().ended(within).await?;
        let (name, log) = (relay.name().to_owned(), relay.process().tail());
        anyhow::ensure!(status.success(), "{name}: {status}\n{log}");
    }
    Ok(event)
}

/// Cuts one relay off for a while and heals it; `leaves`: it is to leave DNS meanwhile, and to come back.
async fn partition(
    stage: &mut Stage,
    name: &str,
    ports: &[u16],
    addresses: &[Ipv4Addr],
    leaves: bool,
) -> anyhow::Result<Row> {
    stage
        .measure(name, async |stage| {
            let cut = stage.relays.first().context("there is no relay")?.address();
            let namespace = stage.namespace(cut)?;
            let all: BTreeSet<Ipv4Addr> = stage.relays.iter().map(Relay::address).collect();
            if leaves {
                let others = all.iter().copied().filter(|address| *address != cut).collect();
                stage.expect(&others);
            }
            let event = Instant::now();
            namespaces::cut_off(&namespace, ports, addresses)?;
            let settled = stage.settled().await;
            let left = stage.observer.seen().true_since;
            sleep(PARTITION.saturating_sub(event.elapsed())).await;
            namespaces::heal(&namespace)?;
            settled?;
            let healed = Instant::now();
            if leaves {
                stage.expect(&all);
                stage.settled().await?;
                let left = left.map_or(0.0, |at| at.saturating_duration_since(event).as_secs_f64());
                let back = healed.elapsed().as_secs_f64();
                tell(&format!(
                    "it left DNS after {left:.1} s and was back {back:.1} s after it healed"
                ));
            }
            Ok(if leaves { healed } else { event })
        })
        .await
}
