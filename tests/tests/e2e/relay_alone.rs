//! A relay against a control plane that says what a real one never would.
use ekiden_proto::{
    relay::v1::{SettingsPhase, SettingsSnapshot},
    settings::v1::Settings,
};
use ekiden_tests::{
    bare_control_plane::Heard,
    harness::customer::{OTLP_PORT, READY, TCP_PORT},
    workloads::{
        otlp::{Exporter, marker},
        tcp::{Held, exchange},
    },
};
use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::alone::{Alone, DNS_NAME, KEY, keys};

#[tokio::test]
async fn a_relay_enrolls_runs_what_it_is_told_registers_and_forwards() -> anyhow::Result<()> {
    let run = Alone::set_up().await?;
    let mut relay = run.ready_relay("alone").await?;
    let marker = marker("alone");
    Exporter::new(relay.listener(OTLP_PORT))?.spans(std::slice::from_ref(&marker)).await?;
    assert!(run.otlp_vendor.records().has(KEY, &marker));
    let carried = exchange(relay.listener(TCP_PORT), 10_000_000).await?;
    assert_eq!((carried.received, carried.received_sha256), (carried.sent, carried.sent_sha256));
    let addresses = run.world.resolver()?.addresses(DNS_NAME).await?;
    assert_eq!(addresses, [relay.address()]);
    let status = relay.terminate(READY).await?;
    assert!(status.success(), "{status}\n{}", relay.process().tail());
    Ok(())
}

#[tokio::test]
async fn impossible_settings_never_replace_good_ones_and_each_refusal_names_the_field()
-> anyhow::Result<()> {
    let run = Alone::set_up().await?;
    let relay = run.ready_relay("alone").await?;
    let mut held = Held::open(relay.listener(TCP_PORT)).await?;
    let good = &run.settings;
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = good.clone();
        change(&mut settings);
        settings
    };
    let cases = [
        ("listeners[0].port", with(&|settings| settings.listeners[0].port = 70_000)),
        ("listeners[1].port", with(&|settings| settings.listeners[1].port = 0)),
        ("listeners[1].port", with(&|settings| settings.listeners[1].port = u32::from(OTLP_PORT))),
        (
            "listeners[0].collector",
            with(&|settings| settings.listeners[0].collector = "nowhere".to_owned()),
        ),
        (
            "collectors[1].endpoints[0].port",
            with(&|settings| settings.collectors[1].endpoints[0].port = 65_536),
        ),
        ("collectors[0].endpoints", with(&|settings| settings.collectors[0].endpoints.clear())),
        ("fleet", with(&|settings| settings.fleet = "tenants/acme/fleets/other".to_owned())),
    ];
    for (number, (field, settings)) in cases.iter().enumerate() {
        let revision = number as u64 + 2;
        run.control_plane.say(revision, settings);
        let what = format!("revision {revision} is refused for {field}");
        let status = run
            .control_plane
            .status(&what, |status| {
                status.attempted_revision == revision && status.phase() == SettingsPhase::Failed
            })
            .await?;
        assert!(
            status.violations.iter().any(|one| one.field == *field),
            "{field}: {:?}",
            status.violations
        );
        assert_eq!(status.running_revision, 1, "{field}");
        held.beat().await?;
    }
    Exporter::new(relay.listener(OTLP_PORT))?.spans(&[marker("still")]).await?;
    run.control_plane.say(100, good);
    let applied = run.control_plane.status("revision 100 runs", |status| {
        status.running_revision == 100 && status.phase() == SettingsPhase::Applied
    });
    applied.await?;
    held.beat().await
}

#[tokio::test]
async fn a_snapshot_that_was_damaged_on_its_way_or_goes_back_is_not_run() -> anyhow::Result<()> {
    let run = Alone::set_up().await?;
    let relay = run.ready_relay("alone").await?;
    let mut held = Held::open(relay.listener(TCP_PORT)).await?;
    let mut moved = run.settings.clone();
    moved.listeners[1].port = 7_777;
    let damaged = SettingsSnapshot {
        revision: 5,
        hash: vec![7; 32].into(),
        settings: moved.encode_to_vec().into(),
        ..SettingsSnapshot::default()
    };
    run.control_plane.say_exactly(damaged);
    let refused = run.control_plane.status("the damaged snapshot is refused", |status| {
        status.attempted_revision == 5 && status.phase() == SettingsPhase::Failed
    });
    assert_eq!(refused.await?.running_revision, 1);

    // Up to 9, then back to 8 with other content: a relay's revision only goes up.
    run.control_plane.say(9, &run.settings);
    run.control_plane.status("revision 9 runs", |status| status.running_revision == 9).await?;
    run.control_plane.say(8, &moved);
    run.control_plane.say(10, &run.settings);
    run.control_plane.status("revision 10 runs", |status| status.running_revision == 10).await?;
    let went_back = run.control_plane.heard().iter().any(|heard| {
        matches!(heard, Heard::Status(status)
            if status.running_revision == 8)
    });
    assert!(!went_back, "the relay ran an older revision");
    held.beat().await
}

#[tokio::test]
async fn without_its_key_an_otlp_listener_says_try_later_and_the_others_serve() -> anyhow::Result<()>
{
    let run = Alone::set_up().await?;
    run.control_plane.give(keys(2, &[]));
    let mut relay = run.start(run.options("keyless"))?;
    relay.listening(OTLP_PORT, READY).await?;
    relay.listening(TCP_PORT, READY).await?;
    let exporter = Exporter::new(relay.listener(OTLP_PORT))?;
    let Err(status) = exporter.spans(&[marker("keyless")]).await else {
        anyhow::bail!("an export without a key was acknowledged");
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.get_details_retry_info().is_some(), "no RetryInfo: {status:?}");
    Held::open(relay.listener(TCP_PORT)).await?.close().await?;
    assert_eq!(run.otlp_vendor.records().total().requests, 0);
    run.control_plane.give(keys(3, &[KEY]));
    exporter.until_arrived(&run.otlp_vendor, KEY).await?;
    relay.ready(READY).await
}
