//! Sudden deaths under load: nothing acknowledged is lost, and everything heals without hands.
use std::{os::unix::fs::PermissionsExt as _, path::Path};

use ekiden_proto::admin::v1::{GetTenantRequest, RelayState};
use ekiden_tests::{
    harness::{
        customer::{OTLP_PORT, READY, TCP_PORT},
        wait::{self, SAFETY},
    },
    workloads::{
        otlp::{Exporter, marker},
        tcp::Held,
    },
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    loads::Loads,
    ways::{HEALS, running},
};

#[tokio::test]
async fn a_killed_postgres_comes_back_and_no_workload_notices() -> anyhow::Result<()> {
    let mut run = running(2).await?;
    let loads = Loads::start(&run).await?;
    let killed = run.control_plane.postgres()?;
    let mut made = Vec::new();
    for number in 0..50 {
        if number == 5 {
            run.control_plane.kill_postgres()?;
        }
        match run.operator.create_tenant(&format!("made-{number}")).await {
            Ok(tenant) => made.push(tenant.name),
            Err(status) if number >= 5 => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                break;
            }
            Err(status) => return Err(status.into()),
        }
    }
    loads.go_on(200).await?;
    run.a_change_reaches_every_relay().await?;
    assert_ne!(run.control_plane.postgres()?, killed);
    for name in made {
        run.operator.tenants().get_tenant(GetTenantRequest { name }).await?;
    }
    loads.go_on(50).await?;
    loads.stop(&run, None).await
}

#[tokio::test]
async fn a_killed_control_plane_stops_no_traffic_and_relays_find_its_successor_elsewhere()
-> anyhow::Result<()> {
    let mut run = running(2).await?;
    let mut held = Held::open(run.relays[0].listener(TCP_PORT)).await?.keep_beating();
    let loads = Loads::start(&run).await?;
    run.control_plane.process().kill().await?;
    loads.go_on(200).await?;
    run.control_plane.replace(&run.world).await?;
    run.operator = run.control_plane.operator()?;
    let back = async || {
        let relays = run.operator.relays(&run.customer.fleet).await.unwrap_or_default();
        let connected =
            relays.iter().filter(|relay| relay.state() == RelayState::Connected).count();
        Ok((connected == 2).then_some(relays))
    };
    let relays = wait::until("both relays have a session again", HEALS, back).await?;
    assert_eq!(relays.len(), 2, "a relay came back under another name");
    run.a_change_reaches_every_relay().await?;
    held.passes(2).await?;
    loads.stop(&run, None).await
}

#[tokio::test]
async fn a_killed_relay_loses_no_acknowledged_export_and_serves_again_once_restarted()
-> anyhow::Result<()> {
    let mut run = running(3).await?;
    let loads = Loads::start(&run).await?;
    run.relays[0].process().kill().await?;
    loads.go_on(100).await?;
    run.relays[0].restart()?;
    run.relays[0].ready(READY).await?;
    run.customer.in_dns(&run.world, &run.relays).await?;
    let instances = run.world.cloud_map.instances(&run.customer.service).len();
    assert_eq!(instances, 3, "it registered as another instance");

    let revived = run.relays[0].listener(OTLP_PORT);
    let through_it = || loads.exports.report().by_relay.get(&revived).copied().unwrap_or(0);
    let before = through_it();
    let used = async || Ok((through_it() > before).then_some(()));
    wait::until("workloads use the relay again", HEALS, used).await?;
    run.a_change_reaches_every_relay().await?;
    loads.stop(&run, Some(run.relays[0].address())).await
}

#[tokio::test]
async fn without_a_control_plane_a_relay_starts_from_its_last_good_settings_but_has_no_keys()
-> anyhow::Result<()> {
    let mut run = running(1).await?;
    run.control_plane.process().kill().await?;
    run.relays[0].process().kill().await?;
    run.relays[0].restart()?;
    run.relays[0].listening(TCP_PORT, READY).await?;
    let tcp = run.relays[0].listener(TCP_PORT);
    let serves = async || Ok(Held::open(tcp).await.ok());
    wait::until("the TCP listener serves without a control plane", SAFETY, serves)
        .await?
        .beat()
        .await?;

    run.relays[0].listening(OTLP_PORT, READY).await?;
    let exporter = Exporter::new(run.relays[0].listener(OTLP_PORT))?;
    let Err(status) = exporter.spans(&[marker("keyless")]).await else {
        anyhow::bail!("an export was acknowledged without a key");
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.get_details_retry_info().is_some(), "no RetryInfo: {status:?}");
    only_the_owner_may_read(run.relays[0].state())?;

    run.control_plane.restart().await?;
    let exports = async || Ok(exporter.spans(&[marker("keyed")]).await.ok());
    wait::until("exports work again", HEALS, exports).await?;
    Ok(())
}

fn only_the_owner_may_read(state: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(state)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        // endpoints.json is there to be read by others.
        if metadata.is_file() && entry.file_name() != "endpoints.json" {
            assert_eq!(
                metadata.permissions().mode() & 0o077,
                0,
                "{} is open to others",
                entry.path().display()
            );
        }
    }
    Ok(())
}
