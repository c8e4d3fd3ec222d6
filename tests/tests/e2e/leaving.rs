//! Who leaves DNS, who is taken out of it, and who stays.
use anyhow::Context;
use ekiden_proto::admin::v1::{DrainRelayRequest, Relay as KnownRelay, RelayState};
use ekiden_tests::{
    cloud_map::CloudMap,
    harness::{
        Relay,
        wait::{self, SAFETY},
    },
};
use rustix::process::Signal;

use super::ways::{HEALS, Running, running, running_with};

fn lists(run: &Running, relay: &Relay) -> bool {
    let listed = run.world.cloud_map.instances(&run.customer.service);
    listed.iter().any(|(task, _)| task == relay.task())
}

#[tokio::test]
async fn the_record_of_a_relay_that_was_killed_is_taken_out_by_its_sibling() -> anyhow::Result<()> {
    let mut run = running(2).await?;
    let mut killed = run.relays.remove(0);
    let listed = |known: &KnownRelay| known.listed_in == [run.customer.service.clone()];
    run.known(&killed, "the control plane knows where it is listed", listed).await?;
    killed.process().kill().await?;
    run.gone_from_dns(&killed).await?;
    assert!(!lists(&run, &killed) && lists(&run, &run.relays[0]));
    let forgotten = |known: &KnownRelay| known.listed_in.is_empty();
    run.known(&killed, "the control plane knows that its record is gone", forgotten).await?;
    Ok(())
}

#[tokio::test]
async fn a_relay_that_lost_its_session_alone_stays_in_dns() -> anyhow::Result<()> {
    let mut run = running(2).await?;
    // Stopped, it is silent to the control plane; the kernel still takes its connections.
    let paused = &mut run.relays[0];
    paused.process().signal(Signal::STOP)?;
    let control_plane = &mut run.control_plane;
    let looked = wait::until("a sibling finds that it answers", HEALS, async || {
        Ok(control_plane.process().log().contains("REAP_OUTCOME_ANSWERS").then_some(()))
    });
    let looked = looked.await;
    run.relays[0].process().signal(Signal::CONT)?;
    looked?;
    let back = |known: &KnownRelay| known.state() == RelayState::Connected;
    run.known(&run.relays[0], "it is back", back).await?;
    assert!(lists(&run, &run.relays[0]));
    Ok(())
}

#[tokio::test]
async fn of_two_relays_that_stop_at_once_one_waits_for_a_sibling() -> anyhow::Result<()> {
    let mut run = running_with(2, &[("EKIDEN_STOP_TIMEOUT", "120")]).await?;
    let mut relays = [run.relays.remove(0), run.relays.remove(0)];
    for relay in &mut relays {
        relay.process().signal(Signal::TERM)?;
    }
    let (cloud_map, service) = (&run.world.cloud_map, &run.customer.service);
    let one_left = |cloud_map: &CloudMap| cloud_map.instances(service).len() == 1;
    cloud_map.wait("one has left", SAFETY, one_left).await?;
    let waits = relays.iter().find(|relay| lists(&run, relay)).context("DNS is empty")?;
    let empty = async {
        cloud_map.wait("nobody is listed", HEALS, |map| map.instances(service).is_empty()).await
    };
    let joins = async {
        let third = run.ready_relay("third").await?;
        run.gone_from_dns(waits).await?;
        anyhow::Ok(third)
    };
    let third = tokio::select! {
        biased;
        found = empty => anyhow::bail!("the name had no address: {found:?}"),
        third = joins => third?,
    };
    assert!(lists(&run, &third));
    Ok(())
}

#[tokio::test]
async fn an_operator_drains_a_relay() -> anyhow::Result<()> {
    let mut run = running(2).await?;
    let mut drained = run.relays.remove(0);
    let known = run.known(&drained, "it is known", |_| true).await?;
    let request = DrainRelayRequest { name: known.name, ..DrainRelayRequest::default() };
    let answer = run.operator.relay_service().drain_relay(request).await?.into_inner();
    assert!(answer.relay.is_some_and(|relay| relay.drain_time.is_some()));
    run.gone_from_dns(&drained).await?;
    let status = drained.process().ended(SAFETY).await?;
    assert!(status.success(), "{status}\n{}", drained.process().tail());
    assert!(drained.process().log().contains(r#""reason":"drained""#));
    let left = |known: &KnownRelay| known.state() == RelayState::Left;
    run.known(&drained, "the control plane knows that it left", left).await?;
    Ok(())
}
