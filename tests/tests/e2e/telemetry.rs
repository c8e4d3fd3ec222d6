//! OTLP through a relay, from a workload that knows only a DNS name to the vendor.
use std::time::Duration;

use ekiden_proto::admin::v1::RelayState;
use ekiden_tests::{
    harness::{
        Customer,
        customer::{OTLP_PORT, READY},
        wait::{self, SAFETY},
    },
    vendor_collector::Behaviour,
    workloads::otlp::{Exporter, marker},
};
use tonic::{Code, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

use super::{
    alone::Alone,
    ways::{TTL, running},
};

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
    let run = Alone::set_up().await?;
    let relay = run.ready_relay("telemetry").await?;
    let vendor = &run.otlp_vendor;
    let exporter = Exporter::new(relay.listener(OTLP_PORT))?;

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
    let run = Alone::set_up().await?;
    let relay = run.ready_relay("telemetry").await?;
    let vendor = &run.otlp_vendor;
    let exporter = Exporter::new(relay.listener(OTLP_PORT))?.timeout(Duration::from_secs(5));
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
    let run = Alone::set_up().await?;
    run.otlp_vendor.behave(Behaviour::Refuse);
    let mut relay = run.start(run.options("early"))?;
    relay.listening(OTLP_PORT, READY).await?;
    run.control_plane.status("the settings run", |status| status.running_revision == 1).await?;
    let (status, reason) = relay.page("/readyz").await?;
    assert_eq!(status, 503, "{reason}");
    assert_eq!(relay.page("/livez").await?.0, 200);
    assert!(run.world.cloud_map.instances(&run.service).is_empty());
    run.otlp_vendor.behave(Behaviour::Serve);
    relay.ready(READY).await?;
    assert_eq!(run.world.cloud_map.instances(&run.service).len(), 1);
    Ok(())
}
