//! OTLP through a relay, from a workload that knows only a DNS name to the vendor.
use std::time::Duration;

use ekiden_proto::admin::v1::{Relay as KnownRelay, RelayState};
use ekiden_tests::{
    harness::{
        Customer,
        customer::{OTLP_PORT, READY, TCP_PORT},
        wait::{self, SAFETY},
    },
    vendor_collector::Behaviour,
    workloads::{
        otlp::{Exporter, marker},
        tcp::Held,
    },
};
use tonic::{Code, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

use super::ways::{TTL, running};

#[tokio::test]
async fn an_export_found_by_dns_arrives_with_its_own_tenants_key() -> anyhow::Result<()> {
    let run = running(1).await?;
    let other = Customer::set_up(&run.world, &run.operator, "globex", TTL).await?;
    let mut others = other.start_relays(&run.world, &run.control_plane, 1).await?;

    for customer in [&run.customer, &other] {
        let relay = run.world.resolver()?.pick(&customer.dns_name, OTLP_PORT).await?;
        for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
            let exporter = Exporter::new(relay)?;
            let exporter =
                encoding.map_or(exporter.clone(), |encoding| exporter.compressed(encoding));
            let names = [marker("span"), marker("metric"), marker("log")];
            exporter.spans(&names[..1]).await?;
            exporter.metrics(&names[1..2]).await?;
            exporter.logs(&names[2..]).await?;
            let received = customer.otlp_vendor.records().received(&customer.key);
            assert!(
                names.iter().all(|name| received.markers.contains(name)),
                "{encoding:?}: {received:?}"
            );
        }
        let received = customer.otlp_vendor.records().received(&customer.key);
        assert_eq!((received.spans, received.metrics, received.log_records), (3, 3, 3));
        assert_eq!(customer.otlp_vendor.records().refused(), 0);
    }

    let status = others[0].terminate(READY).await?;
    assert!(status.success(), "{status}");
    let left = async || {
        let relays = run.operator.relays(&other.fleet).await?;
        Ok(relays.iter().any(|relay| relay.state() == RelayState::Left).then_some(()))
    };
    wait::until("the control plane knows that the relay left", SAFETY, left).await
}

#[tokio::test]
async fn what_the_vendor_answers_reaches_the_workload() -> anyhow::Result<()> {
    let run = running(1).await?;
    let vendor = &run.customer.otlp_vendor;
    let exporter = Exporter::new(run.relays[0].listener(OTLP_PORT))?;

    vendor
        .behave(Behaviour::PartialSuccess { rejected: 2, message: "two were too old".to_owned() });
    assert_eq!(exporter.spans(&[marker("a"), marker("b"), marker("c")]).await?, 2);

    for code in [Code::InvalidArgument, Code::Internal, Code::PermissionDenied] {
        vendor.behave(Behaviour::fail(code));
        let answer = exporter.spans(&[marker("span")]).await;
        assert!(answer.is_err(), "{code:?} was answered with success");
    }
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        vendor.behave(Behaviour::fail_with_retry(code, Duration::from_secs(9)));
        let Err(status) = exporter.spans(&[marker("span")]).await else {
            anyhow::bail!("{code:?} was answered with success");
        };
        let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert_eq!((status.code(), delay), (code, Some(Duration::from_secs(9))), "{status:?}");
    }
    vendor.behave(Behaviour::Serve);
    let last = marker("span");
    exporter.spans(std::slice::from_ref(&last)).await?;
    assert!(vendor.records().markers().contains(&last));
    Ok(())
}

#[tokio::test]
async fn no_export_is_acknowledged_while_the_vendor_is_away_and_all_are_once_it_is_back()
-> anyhow::Result<()> {
    let run = running(1).await?;
    let vendor = &run.customer.otlp_vendor;
    let exporter =
        Exporter::new(run.relays[0].listener(OTLP_PORT))?.timeout(Duration::from_secs(5));
    for behaviour in [Behaviour::Refuse, Behaviour::Reset, Behaviour::WrongCertificate] {
        if matches!(behaviour, Behaviour::WrongCertificate) {
            vendor.cut(false);
        }
        vendor.behave(behaviour.clone());
        let before = vendor.records().total().requests;
        let Err(status) = exporter.spans(&[marker("lost")]).await else {
            anyhow::bail!("{behaviour:?}: acknowledged, though the vendor was away");
        };
        let retryable = [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted];
        assert!(retryable.contains(&status.code()), "{behaviour:?}: {status:?}");
        assert_eq!(vendor.records().total().requests, before);
        vendor.behave(Behaviour::Serve);
        let served = async || Ok(exporter.spans(&[marker("back")]).await.ok());
        wait::until("exports work again", SAFETY, served).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_is_not_ready_before_its_vendor_answers() -> anyhow::Result<()> {
    let run = running(0).await?;
    run.customer.otlp_vendor.behave(Behaviour::Refuse);
    let mut relay = run.start(run.options("early").await?)?;
    relay.listening(OTLP_PORT, READY).await?;
    let runs = |known: &KnownRelay| known.running_revision > 0;
    run.known(&relay, "the settings run", runs).await?;
    let (status, reason) = relay.page("/readyz").await?;
    assert_eq!(status, 503, "{reason}");
    assert_eq!(relay.page("/livez").await?.0, 200);
    assert!(run.world.cloud_map.instances(&run.customer.service).is_empty());
    run.customer.otlp_vendor.behave(Behaviour::Serve);
    relay.ready(READY).await?;
    assert_eq!(run.world.cloud_map.instances(&run.customer.service).len(), 1);
    Ok(())
}

#[tokio::test]
async fn without_its_key_an_otlp_listener_says_try_later_and_the_others_serve() -> anyhow::Result<()>
{
    let run = running(0).await?;
    run.operator.enable_access_key(&run.customer.access_key, false).await?;
    let mut relay = run.start(run.options("keyless").await?)?;
    relay.listening(OTLP_PORT, READY).await?;
    relay.listening(TCP_PORT, READY).await?;
    let exporter = Exporter::new(relay.listener(OTLP_PORT))?;
    let Err(status) = exporter.spans(&[marker("keyless")]).await else {
        anyhow::bail!("an export without a key was acknowledged");
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.get_details_retry_info().is_some(), "no RetryInfo: {status:?}");
    Held::open(relay.listener(TCP_PORT)).await?.close().await?;
    assert_eq!(run.customer.otlp_vendor.records().total().requests, 0);
    run.operator.enable_access_key(&run.customer.access_key, true).await?;
    exporter.until_arrived(&run.customer.otlp_vendor, &run.customer.key).await?;
    relay.ready(READY).await
}
