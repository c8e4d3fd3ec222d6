//! A relay that is told to stop leaves without anyone noticing.
use std::{collections::BTreeMap, time::Duration};

use ekiden_proto::admin::v1::{Relay as KnownRelay, RelayState};
use ekiden_tests::{
    harness::{
        customer::{OTLP_PORT, TCP_PORT},
        wait::SAFETY,
    },
    vendor_collector::Behaviour,
    workloads::{
        load::{Kind, Load},
        otlp::{Exporter, marker},
    },
};
use rustix::process::Signal;

use super::ways::running;

/// ECS's stop timeout in these tests, and a little: a relay that takes longer would be killed.
const STOPS: Duration = Duration::from_secs(31);

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_honour_ttls_notice_nothing_of_a_relay_that_stops() -> anyhow::Result<()> {
    let mut run = running(3).await?;
    let mut leaving = run.relays.remove(0);
    let (dns, name) = (run.world.dns.address(), run.customer.dns_name.clone());
    let loads = [
        Load::start(Kind::Export, 3, dns, &name, OTLP_PORT)?,
        Load::start(Kind::ExportAnew, 2, dns, &name, OTLP_PORT)?,
        Load::start(Kind::Tcp, 3, dns, &name, TCP_PORT)?,
    ];
    for load in &loads {
        load.acknowledged_more(30, SAFETY).await?;
    }
    leaving.process().signal(Signal::TERM)?;
    run.gone_from_dns(&leaving).await?;
    // Out of DNS, but not out of the clients' memory: it must still take connections and be alive.
    assert_eq!(leaving.page("/livez").await?.0, 200);
    assert_eq!(leaving.page("/readyz").await?.0, 503);
    leaving.listening(TCP_PORT, SAFETY).await?;
    let status = leaving.process().ended(STOPS).await?;
    assert!(status.success(), "{status}\n{}", leaving.process().tail());
    for load in &loads {
        load.acknowledged_more(30, SAFETY).await?;
    }
    for load in loads {
        let report = load.stop().await;
        assert_eq!(report.failures, BTreeMap::new());
        let arrived = run.customer.otlp_vendor.records().markers();
        assert!(report.markers.is_subset(&arrived), "an acknowledged export is lost");
    }
    let left = |known: &KnownRelay| known.state() == RelayState::Left;
    run.known(&leaving, "the control plane knows that the relay left", left).await?;
    for staying in &run.relays {
        let stays = |known: &KnownRelay| known.state() == RelayState::Connected;
        run.known(staying, "the others are still connected", stays).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_request_in_flight_when_the_relay_is_told_to_stop_is_answered() -> anyhow::Result<()> {
    // Two, so that one may leave: the last record of a service stays.
    let mut run = running(2).await?;
    let mut relay = run.relays.remove(0);
    let exporter = Exporter::new(relay.listener(OTLP_PORT))?;
    exporter.spans(&[marker("warm")]).await?;
    run.customer.otlp_vendor.behave(Behaviour::Stall);
    let waiting = marker("in-flight");
    let stop = async {
        relay.process().signal(Signal::TERM)?;
        run.gone_from_dns(&relay).await?;
        run.customer.otlp_vendor.behave(Behaviour::Serve);
        relay.process().ended(STOPS).await
    };
    let (answer, status) = tokio::join!(exporter.spans(std::slice::from_ref(&waiting)), stop);
    answer?;
    assert!(run.customer.otlp_vendor.records().markers().contains(&waiting));
    assert!(status?.success());
    Ok(())
}
