//! Changes reach every relay, quickly, without harm, and can be followed.
use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use ekiden_tests::{
    harness::{
        customer::{KEY_HEADER, OTLP_PORT, endpoint, new_key},
        wait::{self, SAFETY},
    },
    otlp_sink::ReportedSpan,
    vendor_collector::{KeyCheck, VendorCollector},
    workloads::otlp::Exporter,
};

use super::{
    bystander::Bystander,
    ways::{Running, running},
};

/// Relays of the fleet that changes.
const RELAYS: usize = 3;

/// Returns how long it took until an export through each relay arrived at `vendor` under `key`.
async fn arrives_through_all(
    run: &Running,
    vendor: &VendorCollector,
    key: &str,
) -> anyhow::Result<Duration> {
    let each = run.relays.iter().map(async |relay| {
        let exporter = Exporter::new(relay.listener(OTLP_PORT))?;
        let arrived = exporter.until_arrived(vendor, key).await;
        arrived.with_context(|| format!("through {}", relay.name()))
    });
    let times = futures_util::future::try_join_all(each).await?;
    Ok(times.into_iter().max().unwrap_or_default())
}

/// Whether `span` is below one whose name ends so, by however many steps.
fn is_below(spans: &[ReportedSpan], span: &ReportedSpan, above: &str) -> bool {
    let parent = |of: &&ReportedSpan| {
        spans.iter().find(|span| !of.parent.is_empty() && span.span_id == of.parent)
    };
    // No trace here is as deep; one that runs in a circle is none.
    std::iter::successors(Some(span), parent).take(32).any(|span| span.name.ends_with(above))
}

/// Waits until the call's trace holds, below each of `above`, the span called `apply` of each relay.
async fn each_relay_is_in_the_trace(
    run: &Running,
    trace_id: &str,
    above: &[&str],
    apply: &str,
) -> anyhow::Result<()> {
    let what = format!("the trace holds each relay's `{apply}` below {above:?}");
    let whole = |spans: &[ReportedSpan]| {
        let applies = spans.iter().filter(|span| span.name == apply);
        let below = applies.filter(|span| above.iter().all(|above| is_below(spans, span, above)));
        let relays: BTreeSet<&str> = below.map(|span| span.instance.as_str()).collect();
        relays.len() == RELAYS
    };
    run.world.sink.wait_for_trace(trace_id, &what, SAFETY, whole).await?;
    Ok(())
}

/// The machine may be busy with other tests: two of three changes must be quick.
fn mostly_within_a_second(mut times: [Duration; 3]) {
    times.sort();
    assert!(
        times[1] < Duration::from_secs(1),
        "from the call's answer to the last relay: {times:?}"
    );
}

#[tokio::test]
async fn a_new_collector_host_is_used_by_every_relay_within_a_second_and_cuts_nothing_else()
-> anyhow::Result<()> {
    let run = running(RELAYS as u32).await?;
    let mut bystander = Bystander::start(&run).await?;
    let mut times = [Duration::ZERO; 3];
    let mut vendors = Vec::new();
    for (number, time) in times.iter_mut().enumerate() {
        let host = format!("moved-{number}.vendor.test");
        let check = KeyCheck::header(KEY_HEADER, "", &[&run.customer.key]);
        let vendor = run.world.otlp_vendor(&host, check).await?;
        let (operator, trace_id) = run.operator.traced()?;
        let endpoints = vec![endpoint(&host, vendor.address().port())];
        operator.change_endpoints(&run.customer.otlp_collector, endpoints).await?;
        *time = arrives_through_all(&run, &vendor, &run.customer.key).await?;
        bystander.passes().await?;
        let above = ["/UpdateCollector", "commit revision", "push settings"];
        each_relay_is_in_the_trace(&run, &trace_id, &above, "apply settings").await?;
        vendors.push(vendor);
    }
    mostly_within_a_second(times);
    Ok(())
}

#[tokio::test]
async fn a_new_key_is_used_by_every_relay_within_a_second_and_makes_no_revision()
-> anyhow::Result<()> {
    let run = running(RELAYS as u32).await?;
    let before = run.operator.relays(&run.customer.fleet).await?;
    let mut bystander = Bystander::start(&run).await?;
    let mut times = [Duration::ZERO; 3];
    let mut old = run.customer.key.clone();
    for time in &mut times {
        let key = new_key("acme");
        // As vendors do: both keys count until the old one is withdrawn.
        run.customer.otlp_vendor.records().accept_keys(&[&old, &key]);
        let (operator, trace_id) = run.operator.traced()?;
        operator.change_access_key(&run.customer.access_key, &key).await?;
        *time = arrives_through_all(&run, &run.customer.otlp_vendor, &key).await?;
        run.customer.otlp_vendor.records().accept_keys(&[&key]);
        bystander.passes().await?;
        each_relay_is_in_the_trace(
            &run,
            &trace_id,
            &["/UpdateAccessKey", "push keys"],
            "apply keys",
        )
        .await?;
        old = key;
    }
    mostly_within_a_second(times);
    let after = run.operator.relays(&run.customer.fleet).await?;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.desired_revision, after.desired_revision, "a key change made a revision");
    }
    let known = async || {
        let relays = run.operator.relays(&run.customer.fleet).await?;
        let all = relays
            .iter()
            .zip(&before)
            .all(|(now, before)| now.secret_version == before.secret_version + 3);
        Ok(all.then_some(()))
    };
    wait::until("the control plane knows that each relay holds the third new key", SAFETY, known)
        .await
}
