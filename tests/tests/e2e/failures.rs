//! Sudden deaths under load: nothing acknowledged is lost, and everything heals without hands.
use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use ekiden_proto::admin::v1::{GetTenantRequest, RelayState};
use ekiden_tests::{
    harness::{
        customer::{OTLP_PORT, READY, TCP_PORT, new_key},
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
    ways::{Running, running},
};

/// How long healing may take: a restart of Postgres, backoffs, and a busy machine.
const HEALS: Duration = Duration::from_secs(90);

/// Changes the key and waits until each relay uses the new one; shows that the whole way from operator to relay works.
async fn a_change_still_reaches_every_relay(run: &mut Running) -> anyhow::Result<()> {
    let key = new_key("acme");
    run.customer.otlp_vendor.records().accept_keys(&[&run.customer.key, &key]);
    let (operator, access_key) = (&run.operator, &run.customer.access_key);
    let changed = async || Ok(operator.change_access_key(access_key, &key).await.ok());
    wait::until("the control plane takes a change", HEALS, changed).await?;
    for relay in &run.relays {
        let exporter = Exporter::new(relay.listener(OTLP_PORT))?;
        let uses = async || Ok(exporter.until_arrived(&run.customer.otlp_vendor, &key).await.ok());
        wait::until(&format!("{} uses the new key", relay.name()), HEALS, uses).await?;
    }
    run.customer.key = key;
    Ok(())
}

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
    a_change_still_reaches_every_relay(&mut run).await?;
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
    a_change_still_reaches_every_relay(&mut run).await?;
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
    a_change_still_reaches_every_relay(&mut run).await?;
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
