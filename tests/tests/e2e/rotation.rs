//! A key is rotated over fifty relays, one of which has a vendor that refuses the new key.
use std::time::Duration;

use ekiden_proto::{
    admin::v1::{Collector, Fleet, KeyProof, KeyRotation, KeyRotationState, KeyRotationWaitReason},
    settings::v1::{CollectorProtocol, KeyPlacement, ListenerProtocol},
};
use ekiden_tests::{
    harness::{
        Relay, RelayOptions,
        customer::{KEY_HEADER, OTLP_PORT, READY, collector, endpoint, listener, new_key},
        wait::{self, SAFETY},
    },
    vendor_collector::{KeyCheck, VendorCollector},
    workloads::otlp::{Exporter, marker},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ways::{Running, running};

const MANY: u32 = 49;
const GRACE: Duration = Duration::from_secs(2);
/// Of a workload between two exports: fifty of them share the machine with fifty relays.
const PAUSE: Duration = Duration::from_millis(250);

/// A workload at each relay.
struct Workloads {
    stop: CancellationToken,
    tasks: JoinSet<(Vec<String>, Vec<String>)>,
}

impl Workloads {
    fn start(relays: &[Relay]) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for relay in relays {
            let exporter = Exporter::new(relay.listener(OTLP_PORT))?;
            let stop = stop.clone();
            tasks.spawn(async move {
                let (mut acknowledged, mut failed) = (Vec::new(), Vec::new());
                while !stop.is_cancelled() {
                    let span = marker("rotation");
                    match exporter.spans(std::slice::from_ref(&span)).await {
                        Ok(_) => acknowledged.push(span),
                        Err(status) => failed.push(status.to_string()),
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                (acknowledged, failed)
            });
        }
        Ok(Self { stop, tasks })
    }

    /// Names of the spans that were acknowledged; fails if an export was not.
    async fn finish(self) -> Vec<String> {
        self.stop.cancel();
        let (acknowledged, failed): (Vec<_>, Vec<_>) =
            self.tasks.join_all().await.into_iter().unzip();
        let failed: Vec<_> = failed.into_iter().flatten().collect();
        assert!(failed.is_empty(), "{} exports failed, the first: {}", failed.len(), failed[0]);
        acknowledged.into_iter().flatten().collect()
    }
}

/// Makes a fleet without discovery whose relays send to `vendor` with the customer's key, and starts its relays.
async fn fleet(
    run: &Running,
    id: &str,
    host: &str,
    vendor: &VendorCollector,
    relays: u32,
) -> anyhow::Result<Vec<Relay>> {
    let otlp = Collector {
        protocol: CollectorProtocol::OtlpGrpc.into(),
        endpoints: vec![endpoint(host, vendor.address().port())],
        key_placement: Some(KeyPlacement {
            access_key: run.customer.access_key.clone(),
            header: KEY_HEADER.to_owned(),
            prefix: String::new(),
        }),
        ..collector(&run.world)
    };
    let otlp = run.operator.create_collector(&run.customer.tenant, id, otlp).await?;
    let fleet = Fleet {
        listeners: vec![listener("otlp", OTLP_PORT, ListenerProtocol::Otlp, &otlp.name)],
        ..Fleet::default()
    };
    let fleet = run.operator.create_fleet(&run.customer.tenant, id, fleet).await?;
    let token = run.operator.create_enrollment_token(&fleet.name, relays).await?;
    let mut started = Vec::new();
    for number in 1..=relays {
        started.push(run.start(RelayOptions::new(&format!("{id}-{number}"), &token))?);
    }
    for relay in &mut started {
        relay.ready(READY * 2).await?;
    }
    Ok(started)
}

async fn until(
    run: &Running,
    what: &str,
    wanted: impl Fn(&KeyRotation) -> bool,
) -> anyhow::Result<KeyRotation> {
    run.operator.until_rotation(&run.customer.access_key, what, wanted).await
}

#[tokio::test]
async fn a_key_is_rotated_over_fifty_relays_and_the_one_whose_vendor_refuses_it_stops_it()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let (old, new) = (run.customer.key.clone(), new_key("acme"));
    let check = || KeyCheck::header(KEY_HEADER, "", &[&old]);
    let good = run.world.otlp_vendor("many.vendor.test", check()).await?;
    let bad = run.world.otlp_vendor("one.vendor.test", check()).await?;
    let mut relays = fleet(&run, "many", "many.vendor.test", &good, MANY).await?;
    relays.extend(fleet(&run, "one", "one.vendor.test", &bad, 1).await?);
    let workloads = Workloads::start(&relays)?;

    good.records().accept_keys(&[&old, &new]);
    run.operator.rotate_access_key(&run.customer.access_key, &new, GRACE).await?;
    let stopped = until(&run, "the rotation stops with all others proven", |rotation| {
        rotation.stop_time.is_some() && rotation.relays_proven == MANY
    })
    .await?;
    assert_eq!((stopped.state(), stopped.relays), (KeyRotationState::Distributing, MANY + 1));
    let waits = &stopped.waits;
    assert_eq!(waits.len(), 1, "{waits:#?}");
    assert_eq!(waits[0].reason(), KeyRotationWaitReason::Refused);
    assert!(waits[0].relay.contains("/fleets/one/relays/"), "{waits:#?}");
    assert!(waits[0].collector.ends_with("/collectors/one"), "{waits:#?}");
    assert!(waits[0].message.starts_with("Unauthenticated"), "{waits:#?}");
    assert!(stopped.collectors.iter().all(|one| one.proof() == KeyProof::Probed));
    // What its collector refuses it does not use, and telemetry goes on with the old key.
    assert_eq!(good.records().received(&new).spans, 0, "a key that is on trial was used");

    bad.records().accept_keys(&[&old, &new]);
    until(&run, "the old key drains", |rotation| rotation.state() == KeyRotationState::OldDraining)
        .await?;
    // Meanwhile a vendor changes its mind: its relay falls back, for the same requests, and the old key stays.
    bad.records().accept_keys(&[&old]);
    until(&run, "the rotation stops again", |rotation| rotation.stop_time.is_some()).await?;
    bad.records().accept_keys(&[&new]);
    let done = |rotation: &KeyRotation| rotation.state() == KeyRotationState::OldDestroyed;
    until(&run, "the rotation is complete", done).await?;
    good.records().accept_keys(&[&new]);
    let before = good.records().received(&new).spans;
    wait::until("exports go on with the new key alone", SAFETY, async || {
        let more = good.records().received(&new).spans - before;
        Ok((more > u64::from(MANY)).then_some(()))
    })
    .await?;

    let acknowledged = workloads.finish().await;
    let mut arrived = good.records().markers();
    arrived.extend(bad.records().markers());
    let lost: Vec<_> = acknowledged.iter().filter(|span| !arrived.contains(*span)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged spans are lost",
        lost.len(),
        acknowledged.len()
    );
    assert!(good.records().received(&new).spans > 0 && bad.records().received(&new).spans > 0);
    Ok(())
}
