use std::time::Duration;

use tonic::{Code, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

use super::{Behaviour, Exchange, KeyCheck, VendorCollector};
use crate::{
    harness::wait::SAFETY,
    workloads::{
        otlp::{Exporter, marker},
        tcp::{Held, exchange},
    },
};

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

#[tokio::test]
async fn an_export_without_the_right_key_is_refused_and_counted() -> anyhow::Result<()> {
    let vendor =
        VendorCollector::otlp(ANY.into(), None, KeyCheck::header("api-key", "", &["right"]))
            .await?;
    let exporter = Exporter::new(vendor.address())?;
    let refused = exporter.spans(&[marker("span")]).await;
    assert!(refused.is_err_and(|status| status.code() == Code::Unauthenticated));
    assert_eq!((vendor.records().refused(), vendor.records().total().requests), (1, 0));
    Ok(())
}

#[tokio::test]
async fn traces_metrics_and_logs_are_counted_and_their_names_kept() -> anyhow::Result<()> {
    let vendor = VendorCollector::otlp(ANY.into(), None, KeyCheck::none()).await?;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let exporter = Exporter::new(vendor.address())?.compressed(encoding);
        let names = [marker("one"), marker("two")];
        exporter.spans(&names).await?;
        exporter.metrics(&names[..1]).await?;
        exporter.logs(&names[1..]).await?;
        assert!(names.iter().all(|name| vendor.records().markers().contains(name)));
    }
    let total = vendor.records().total();
    assert_eq!((total.requests, total.spans, total.metrics, total.log_records), (6, 4, 2, 2));
    Ok(())
}

#[tokio::test]
async fn it_answers_errors_partial_success_and_retry_hints_as_told() -> anyhow::Result<()> {
    let vendor = VendorCollector::otlp(ANY.into(), None, KeyCheck::none()).await?;
    let exporter = Exporter::new(vendor.address())?;
    vendor.behave(Behaviour::fail_with_retry(Code::Unavailable, Duration::from_secs(7)));
    let Err(status) = exporter.spans(&[marker("span")]).await else {
        anyhow::bail!("it should fail")
    };
    let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!((status.code(), delay), (Code::Unavailable, Some(Duration::from_secs(7))));
    vendor.behave(Behaviour::PartialSuccess { rejected: 3, message: "too old".to_owned() });
    assert_eq!(exporter.spans(&[marker("span")]).await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_stalled_request_is_answered_when_the_stall_ends() -> anyhow::Result<()> {
    let vendor = VendorCollector::otlp(ANY.into(), None, KeyCheck::none()).await?;
    let exporter = Exporter::new(vendor.address())?;
    exporter.spans(&[marker("span")]).await?;
    vendor.behave(Behaviour::Stall);
    let short = exporter.clone().timeout(Duration::from_millis(50));
    assert!(short.spans(&[marker("span")]).await.is_err());
    let waiting = marker("span");
    let (answer, ()) = tokio::join!(exporter.spans(std::slice::from_ref(&waiting)), async {
        tokio::task::yield_now().await;
        vendor.behave(Behaviour::Serve);
    });
    answer?;
    assert!(vendor.records().markers().contains(&waiting));
    Ok(())
}

#[tokio::test]
async fn refusing_and_resetting_end_connections_and_serving_again_takes_new_ones()
-> anyhow::Result<()> {
    let vendor = VendorCollector::tcp(ANY.into(), None, Exchange::Echo).await?;
    for behaviour in [Behaviour::Refuse, Behaviour::Reset] {
        let mut held = Held::open(vendor.address()).await?;
        vendor.behave(behaviour);
        vendor.records().wait("the connection ends", SAFETY, |records| records.open() == 0).await?;
        assert!(held.beat().await.is_err());
        assert!(Held::open(vendor.address()).await.is_err());
        vendor.behave(Behaviour::Serve);
        let serves = async || Ok(Held::open(vendor.address()).await.ok().map(drop));
        crate::harness::wait::until("the collector serves again", SAFETY, serves).await?;
    }
    Ok(())
}

#[tokio::test]
async fn bytes_both_ways_at_once_arrive_with_equal_hashes() -> anyhow::Result<()> {
    let vendor = VendorCollector::tcp(ANY.into(), None, Exchange::Send(3_000_000)).await?;
    let carried = exchange(vendor.address(), 2_000_000).await?;
    vendor
        .records()
        .wait("the stream ends", SAFETY, |records| records.streams().iter().all(|one| one.ended))
        .await?;
    let streams = vendor.records().streams();
    let stream = streams.first().ok_or_else(|| anyhow::anyhow!("no stream"))?;
    assert_eq!((stream.received, stream.sent), (2_000_000, 3_000_000));
    assert_eq!(stream.received_sha256, Some(carried.sent_sha256));
    assert_eq!(stream.sent_sha256, Some(carried.received_sha256));
    Ok(())
}
