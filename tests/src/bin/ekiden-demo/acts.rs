//! The main job: telemetry with the right key, raw bytes unharmed, and changes that reach every relay.
use std::time::Duration;

use anyhow::Context as _;
use ekiden_proto::admin::v1::{
    KeyRotation, KeyRotationState, KeyRotationWait, KeyRotationWaitReason,
};
use ekiden_tests::{
    harness::{
        Relay,
        customer::{KEY_HEADER, OTLP_PORT, TCP_PORT, endpoint, new_key},
        wait::SAFETY,
    },
    otlp_sink::ReportedSpan,
    vendor_collector::{KeyCheck, VendorCollector},
    workloads::{
        otlp::Exporter,
        tcp::{Held, exchange},
    },
};
use tokio::time::Instant;

use super::{
    show::{Show, bytes},
    stage::{Cast, Stage},
};

/// Random bytes sent through each relay.
const BYTES: u64 = 16 << 20;

/// How long the old key of a rotation drains; a day unless told otherwise, but people watch this.
const GRACE: Duration = Duration::from_secs(1);

/// What the changes showed.
pub(crate) struct Outcome {
    /// Kept, for the relays send there now.
    pub(crate) moved_to: VendorCollector,
    /// Host that the collector moved to.
    pub(crate) host: String,
    /// How long each relay of the first tenant took to use the new host, from the call's answer.
    pub(crate) host_times: Vec<(String, Duration)>,
    /// The same for the new key.
    pub(crate) key_times: Vec<(String, Duration)>,
    /// What a rotation that a vendor refused for a moment showed.
    pub(crate) rotation: Rotation,
    /// Spans of the host change's trace.
    pub(crate) trace: Vec<ReportedSpan>,
    /// Bytes that went through the TCP listeners, each way.
    pub(crate) streamed: u64,
}

/// A rotation with proof.
pub(crate) struct Rotation {
    /// Relays whose vendor refused the new key, with its words.
    pub(crate) refusals: Vec<(String, String)>,
    /// How long it took from the vendor's consent to its end.
    pub(crate) completed: Duration,
}

/// Plays everything; each step fails loudly.
pub(crate) async fn play(stage: &mut Stage, show: &Show) -> anyhow::Result<Outcome> {
    show.heading("The main job");
    show.step(
        "Each tenant's telemetry arrives at its vendor with its own key",
        keys_are_right(stage),
    )
    .await?;
    let relays = stage.casts.iter().map(|cast| cast.relays.len() as u64).sum::<u64>();
    let what = format!(
        "{} of random bytes through each relay's TCP listener and back, hashes equal",
        bytes(BYTES)
    );
    show.step(&what, streams(stage)).await?;

    let mut held = Vec::new();
    for relay in &stage.casts[0].relays {
        held.push(Held::open(relay.listener(TCP_PORT)).await?);
    }
    let host = "otlp-2.acme.vendor.test".to_owned();
    let check = KeyCheck::header(KEY_HEADER, "", &[&stage.casts[0].customer.key]);
    let moved_to = stage.world.otlp_vendor(&host, check).await?;
    let what = format!(
        "The collector moves to {host}: one call, every relay follows, no connection is cut"
    );
    let (host_times, trace_id) =
        show.step(&what, move_host(stage, &host, &moved_to, &mut held)).await?;
    let what = "The vendor's key changes: one call, every relay uses it, no new revision";
    let key_times = show.step(what, change_key(stage, &moved_to, &mut held)).await?;

    let what = "Another key rotates with proof; its vendor refuses the new one: the rotation stops, nobody is cut off";
    let (refusals, old) = show.step(what, begin_rotation(stage)).await?;
    let what = "The vendor accepts: the rotation goes on by itself to its end, and the old key is destroyed";
    let completed = show.step(what, finish_rotation(stage, &old)).await?;
    let rotation = Rotation { refusals, completed };

    let wanted = stage.casts[0].relays.len();
    let what = "One trace shows the change's way from the call to every relay";
    let complete = |spans: &[ReportedSpan]| {
        spans.iter().filter(|span| span.name == "apply settings").count() >= wanted
    };
    let tracing = async {
        Ok(stage
            .world
            .sink
            .wait_for_trace(&trace_id, "each relay's apply is in the trace", SAFETY, complete)
            .await?)
    };
    let trace = show.step(what, tracing).await?;
    show.step("No workload noticed any of it", nothing_failed(stage)).await?;
    let streamed = BYTES * relays;
    Ok(Outcome { moved_to, host, host_times, key_times, rotation, trace, streamed })
}

async fn keys_are_right(stage: &Stage) -> anyhow::Result<()> {
    for cast in &stage.casts {
        let vendor = cast.customer.otlp_vendor.records();
        let received = vendor.received(&cast.customer.key);
        anyhow::ensure!(received.spans > 0, "nothing arrived for {}", cast.customer.tenant);
        anyhow::ensure!(
            vendor.refused() == 0,
            "the vendor of {} refused a key",
            cast.customer.tenant
        );
        for relay in &cast.relays {
            Exporter::new(relay.listener(OTLP_PORT))?
                .until_arrived(&cast.customer.otlp_vendor, &cast.customer.key)
                .await
                .with_context(|| relay.name().to_owned())?;
        }
    }
    Ok(())
}

async fn streams(stage: &Stage) -> anyhow::Result<()> {
    for relay in stage.casts.iter().flat_map(|cast| &cast.relays) {
        let carried = exchange(relay.listener(TCP_PORT), BYTES)
            .await
            .with_context(|| relay.name().to_owned())?;
        let same =
            carried.received == carried.sent && carried.received_sha256 == carried.sent_sha256;
        anyhow::ensure!(same, "{} did not return what it was given: {carried:?}", relay.name());
    }
    Ok(())
}

async fn move_host(
    stage: &Stage,
    host: &str,
    vendor: &VendorCollector,
    held: &mut [Held],
) -> anyhow::Result<(Vec<(String, Duration)>, String)> {
    let cast = &stage.casts[0];
    let (operator, trace_id) = stage.operator.traced()?;
    let endpoints = vec![endpoint(host, vendor.address().port())];
    operator.change_endpoints(&cast.customer.otlp_collector, endpoints).await?;
    let times = followed(cast, vendor, &cast.customer.key).await?;
    for held in held {
        held.beat().await?;
    }
    Ok((times, trace_id))
}

async fn change_key(
    stage: &mut Stage,
    vendor: &VendorCollector,
    held: &mut [Held],
) -> anyhow::Result<Vec<(String, Duration)>> {
    let cast = &mut stage.casts[0];
    let key = new_key("acme");
    // As vendors do: both keys count until the old one is withdrawn.
    vendor.records().accept_keys(&[&cast.customer.key, &key]);
    let revision = stage
        .operator
        .relays(&cast.customer.fleet)
        .await?
        .first()
        .map(|relay| relay.desired_revision);
    stage.operator.change_access_key(&cast.customer.access_key, &key).await?;
    let times = followed(cast, vendor, &key).await?;
    vendor.records().accept_keys(&[&key]);
    let after = stage
        .operator
        .relays(&cast.customer.fleet)
        .await?
        .first()
        .map(|relay| relay.desired_revision);
    anyhow::ensure!(revision == after, "the key change made a revision");
    for held in held {
        held.beat().await?;
    }
    cast.customer.key = key;
    Ok(times)
}

/// Rotates the last tenant's key while its vendor does not know the new one; gives who was refused, with which words, and the
/// old key.
async fn begin_rotation(stage: &mut Stage) -> anyhow::Result<(Vec<(String, String)>, String)> {
    let cast = stage.casts.last_mut().context("no tenant")?;
    let key = new_key("globex");
    let name = &cast.customer.access_key;
    let relays = cast.relays.len();
    stage.operator.rotate_access_key(name, &key, GRACE).await?;
    let stopped = stage.operator.until_rotation(name, "every relay was refused", |rotation| {
        let refused = |wait: &&KeyRotationWait| wait.reason() == KeyRotationWaitReason::Refused;
        rotation.stop_time.is_some() && rotation.waits.iter().filter(refused).count() == relays
    });
    let waits = stopped.await?.waits;
    let old = std::mem::replace(&mut cast.customer.key, key);
    Ok((waits.into_iter().map(|wait| (wait.relay, wait.message)).collect(), old))
}

async fn finish_rotation(stage: &Stage, old: &str) -> anyhow::Result<Duration> {
    let cast = stage.casts.last().context("no tenant")?;
    let (name, begun) = (&cast.customer.access_key, Instant::now());
    let vendor = cast.customer.otlp_vendor.records();
    vendor.accept_keys(&[old, &cast.customer.key]);
    let done = |rotation: &KeyRotation| rotation.state() == KeyRotationState::OldDestroyed;
    stage.operator.until_rotation(name, "the rotation is complete", done).await?;
    let took = begun.elapsed();
    vendor.accept_keys(&[&cast.customer.key]);
    followed(cast, &cast.customer.otlp_vendor, &cast.customer.key).await?;
    Ok(took)
}

/// Measures, through each relay at once, when the first export arrives at `vendor` under `key`.
async fn followed(
    cast: &Cast,
    vendor: &VendorCollector,
    key: &str,
) -> anyhow::Result<Vec<(String, Duration)>> {
    let each = cast.relays.iter().map(async |relay: &Relay| {
        let exporter = Exporter::new(relay.listener(OTLP_PORT))?;
        let time =
            exporter.until_arrived(vendor, key).await.with_context(|| relay.name().to_owned())?;
        anyhow::Ok((relay.name().to_owned(), time))
    });
    futures_util::future::try_join_all(each).await
}

async fn nothing_failed(stage: &Stage) -> anyhow::Result<()> {
    for cast in &stage.casts {
        cast.load.acknowledged_more(20, SAFETY).await?;
        let report = cast.load.report();
        anyhow::ensure!(
            report.failures.is_empty(),
            "{}: {:?}",
            cast.customer.tenant,
            report.failures
        );
    }
    Ok(())
}
