//! What came of it, for a person.
use std::time::Duration;

use ekiden_proto::{admin::v1::Relay, health::v1::RelayPhase};
use ekiden_tests::{
    harness::{process::binary, wait},
    otlp_sink::tree,
};

use super::{
    acts::Outcome,
    show::{Show, bytes, table},
    stage::{Cast, Stage},
};

/// Prints the tables, the times and the trace.
pub(crate) async fn print(stage: &Stage, outcome: &Outcome, show: &Show) -> anyhow::Result<()> {
    let resolver = stage.world.resolver()?;
    let mut tenants =
        vec![cells(&["TENANT", "DNS NAME", "ANSWERS", "VENDOR HAS", "WITH ITS KEY", "REFUSED"])];
    let mut relays = vec![cells(&[
        "RELAY",
        "ZONE",
        "ADDRESS",
        "PHASE",
        "REVISION",
        "KEYS",
        "OTLP REQUESTS",
        "BYTES IN",
        "BYTES OUT",
    ])];
    for (number, cast) in stage.casts.iter().enumerate() {
        let addresses = cast.customer.resolve(&resolver).await;
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut vendors = vec![&cast.customer.otlp_vendor];
        vendors.extend((number == 0).then_some(&outcome.moved_to));
        let total: u64 = vendors.iter().map(|vendor| vendor.records().total().spans).sum();
        let refused: u64 = vendors.iter().map(|vendor| vendor.records().refused()).sum();
        let current: u64 =
            vendors.iter().map(|vendor| vendor.records().received(&cast.customer.key).spans).sum();
        tenants.push(vec![
            short(&cast.customer.tenant).to_owned(),
            cast.customer.dns_name.clone(),
            addresses.join(" "),
            format!("{total} spans"),
            format!("{current} with the current one"),
            refused.to_string(),
        ]);
        for relay in reported(stage, cast).await? {
            relays.push(relay_row(&relay));
        }
    }
    show.heading("What came of it");
    show.line(&table(&tenants));
    show.line(&table(&relays));
    let streamed = bytes(outcome.streamed);
    show.line(&format!(
        "  {streamed} of random bytes went through the TCP listeners and back, unharmed.\n"
    ));
    let times = |times: &[(String, Duration)]| {
        let each = times.iter().map(|(relay, time)| format!("{relay} {} ms", time.as_millis()));
        each.collect::<Vec<_>>().join(", ")
    };
    let mut changes = vec![cells(&["CHANGE", "IN USE BY EACH RELAY, AFTER THE CALL'S ANSWER"])];
    changes.push(vec![format!("collector → {}", outcome.host), times(&outcome.host_times)]);
    changes.push(vec!["new access key".to_owned(), times(&outcome.key_times)]);
    show.line(&table(&changes));
    let mut refusals = vec![cells(&["ROTATION OF GLOBEX'S KEY STOPPED AT", "WHOSE VENDOR SAID"])];
    refusals.extend(
        outcome
            .rotation
            .refusals
            .iter()
            .map(|(relay, words)| vec![short(relay).to_owned(), words.clone()]),
    );
    show.line(&table(&refusals));
    show.line(&format!(
        "  Nobody was cut off, and it was complete {:.1} s after the vendor's consent.\n",
        outcome.rotation.completed.as_secs_f64()
    ));
    show.line("  The way of the collector's change (one trace):");
    for line in tree(&outcome.trace).lines() {
        show.line(&format!("  {line}"));
    }
    Ok(())
}

/// Says what to try while it stays up.
pub(crate) fn what_next(stage: &Stage, show: &Show) {
    let program = binary("ekidenctl").map(|path| path.display().to_string()).unwrap_or_default();
    let relay = stage.casts[0].relays[0].listener(4317);
    show.heading("It stays up until Ctrl-C. Try, in another terminal:");
    show.hint(&format!("export EKIDEN_CONFIG={}", stage.command_line.config().display()));
    show.hint(&format!("alias ekidenctl={program}"));
    show.line("");
    show.hint(
        "ekidenctl relay list --tenant -                     which relays there are, what they run",
    );
    show.hint("ekidenctl relay watch --tenant acme                 the same, live");
    show.hint(
        "ekidenctl access-key rotate vendor --tenant acme    a new key, proven before it is used",
    );
    show.hint("ekidenctl access-key rotation vendor --tenant globex  how a rotation went");
    show.hint("ekidenctl revision list --tenant acme --fleet main  the fleet's settings over time");
    show.hint("ekidenctl audit list --tenant acme                  who changed what");
    show.line("");
    show.hint(&format!(
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://{relay}     send your own telemetry through a relay"
    ));
    show.hint(&format!("tail -f {}/logs/*.log", stage.world.folder().display()));
    let dns = stage.world.dns.address();
    show.hint(&format!("dig @{} -p {} {}", dns.ip(), dns.port(), stage.casts[0].customer.dns_name));
}

/// Returns the relays with health reports that already tell of the streams.
async fn reported(stage: &Stage, cast: &Cast) -> anyhow::Result<Vec<Relay>> {
    let what = format!("the relays of {} have reported their traffic", cast.customer.tenant);
    wait::until(&what, wait::SAFETY, async || {
        let mut relays = Vec::new();
        for relay in stage.operator.relays(&cast.customer.fleet).await? {
            relays.push(stage.operator.relay(&relay.name).await?);
        }
        let told =
            relays.iter().all(|relay| traffic(relay).1 > 0 && relay.phase() == RelayPhase::Serving);
        Ok(told.then_some(relays))
    })
    .await
}

/// Sums up a relay's listeners: OTLP requests, bytes from workloads, bytes to workloads.
fn traffic(relay: &Relay) -> (u64, u64, u64) {
    let listeners = relay.health.iter().flat_map(|health| &health.listeners);
    listeners.fold((0, 0, 0), |(requests, received, sent), one| {
        (requests + one.requests_accepted, received + one.bytes_received, sent + one.bytes_sent)
    })
}

fn relay_row(relay: &Relay) -> Vec<String> {
    let (requests, received, sent) = traffic(relay);
    let phase = relay.phase().as_str_name().trim_start_matches("RELAY_PHASE_").to_lowercase();
    vec![
        relay.name.trim_start_matches("tenants/").replace("/fleets/", "/").replace("/relays/", "/"),
        relay.availability_zone.clone(),
        relay.address.clone(),
        phase,
        relay.running_revision.to_string(),
        format!("v{}", relay.secret_version),
        requests.to_string(),
        bytes(received),
        bytes(sent),
    ]
}

fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn cells(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
