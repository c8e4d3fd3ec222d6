//! A CA follows another under load, with certificates that last for five seconds.
use std::time::Duration;

use ekiden_tests::{
    harness::{
        CommandLine, RelayOptions,
        customer::{READY, TCP_PORT},
        wait::{self, SAFETY},
    },
    workloads::tcp::Held,
};

use super::{
    loads::Loads,
    ways::{Running, running_with},
};

/// Lives of a certificate that the load goes on for after the rotation.
const AFTER: Duration = Duration::from_secs(12);

/// What each relay counts of its sessions: opened, lost.
async fn sessions(run: &mut Running) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut all = Vec::new();
    for relay in &mut run.relays {
        let opened = relay.figure("sessions_opened_total", &[]).await?;
        all.push((opened, relay.figure("sessions_lost_total", &[]).await?));
    }
    Ok(all)
}

#[tokio::test]
async fn a_ca_follows_another_under_load_and_nobody_notices() -> anyhow::Result<()> {
    let mut run = running_with(6, &[("EKIDEN_RELAY_CERTIFICATE_LIFETIME", "5")]).await?;
    let operator = CommandLine::import(run.world.folder(), &run.control_plane).await?;
    let loads = Loads::start(&run).await?;
    let mut held = Vec::new();
    for relay in &run.relays {
        held.push(Held::open(relay.listener(TCP_PORT)).await?.keep_beating());
    }
    let before = run.control_plane.ca_pem()?;

    let said = operator.run(&["ca", "rotate", "--wait"], "").await?;
    assert!(said.contains("issuing"), "{said}");
    let listed = operator.run(&["ca", "list"], "").await?;
    assert!(listed.contains("retired"), "{listed}");
    wait::until("the file of roots holds the new root alone", SAFETY, async || {
        let roots = run.control_plane.ca_pem()?;
        Ok((roots != before && roots.len() < before.len() * 3 / 2).then_some(()))
    })
    .await?;
    let roots = operator.run(&["ca", "roots"], "").await?;
    assert_eq!(roots.as_bytes(), run.control_plane.ca_pem()?);

    loads.go_on(100).await?;
    tokio::time::sleep(AFTER).await;
    for connection in &mut held {
        connection.passes(20).await?;
    }
    loads.stop(&run, None).await?;
    assert_eq!(sessions(&mut run).await?, vec![(1.0, 0.0); 6]);

    // A task that was given the root of before still finds its control plane, and joins.
    let old = run.world.folder().join("old-ca.pem");
    std::fs::write(&old, &before)?;
    let options: RelayOptions = run.options("pinned").await?;
    let options = options.variable("EKIDEN_CONTROL_PLANE_CA", &old.display().to_string());
    run.start(options)?.ready(READY).await
}
