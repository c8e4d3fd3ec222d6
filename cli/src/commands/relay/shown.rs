//! Relays for people.
use ekiden_proto::{
    admin::v1::{ReceivedHealthReport, Relay, RelayState},
    health::v1::{CollectorHealth, Condition, HealthReport, ListenerHealth},
    relay::v1::SettingsPhase,
};
use time::OffsetDateTime;

use crate::{
    commands::word,
    names,
    output::{
        moments::{age, date, date_and_age, duration},
        plain,
        table::{Details, Table, pad},
    },
};

pub(super) fn table(relays: &[Relay], parent: &str, now: OffsetDateTime) -> String {
    let mut table = Table::new(&[
        "RELAY", "STATE", "PHASE", "REVISION", "KEYS", "ADDRESS", "ZONE", "SEEN", "AGE",
    ]);
    for relay in relays {
        table.row([
            names::short(&relay.name, parent).into_owned(),
            state(relay),
            phase(relay),
            revision(relay),
            relay.secret_version.to_string(),
            relay.address.clone(),
            relay.availability_zone.clone(),
            age(relay.last_seen_time.as_ref(), now),
            age(relay.enroll_time.as_ref(), now),
        ]);
    }
    table.render()
}

fn state(relay: &Relay) -> String {
    if relay.revoke_time.is_some() {
        return "revoked".to_owned();
    }
    word(relay.state().as_str_name(), "RELAY_STATE_")
}

/// What it last said of itself; of one that is gone that is news of the past.
fn phase(relay: &Relay) -> String {
    if relay.state() == RelayState::Left {
        return String::new();
    }
    word(relay.phase().as_str_name(), "RELAY_PHASE_")
}

/// The running revision, and what it is to become: `3`, `3 -> 4`, `3 (4 failed)`.
fn revision(relay: &Relay) -> String {
    let running = relay.running_revision;
    if relay.settings_phase() == SettingsPhase::Failed && relay.attempted_revision != running {
        return format!("{running} ({} failed)", relay.attempted_revision);
    }
    if relay.desired_revision == running || relay.state() == RelayState::Left {
        return running.to_string();
    }
    format!("{running} -> {}", relay.desired_revision)
}

pub(super) fn details(relay: &Relay, now: OffsetDateTime) -> String {
    let violations: Vec<_> =
        relay.violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
    let health = relay.health.clone().unwrap_or_default();
    let mut text = Details::default()
        .with("Name", &relay.name)
        .with("State", state(relay))
        .with("Phase", phase(relay))
        .with("Revision", revision(relay))
        .with("Violations", violations.join("\n"))
        .with("Keys version", relay.secret_version.to_string())
        .with("Address", &relay.address)
        .with("Zone", &relay.availability_zone)
        .with("ECS task", &relay.task_arn)
        .with("Version", &relay.software_version)
        .with("DNS", discovery(&health))
        .with("Enrolled", date_and_age(relay.enroll_time.as_ref(), now))
        .with("Revoked", date_and_age(relay.revoke_time.as_ref(), now))
        .with("Session since", date_and_age(relay.session_time.as_ref(), now))
        .with("Last seen", date_and_age(relay.last_seen_time.as_ref(), now))
        .with("Certificate", date_and_age(relay.certificate_expire_time.as_ref(), now))
        .with("Memory", memory(&health))
        .with("Conditions", conditions(&health.conditions))
        .render();
    if !health.listeners.is_empty() {
        text.push('\n');
        text.push_str(&listeners(&health.listeners));
    }
    if !health.collectors.is_empty() {
        text.push('\n');
        text.push_str(&collectors(&health.collectors));
    }
    text
}

fn discovery(health: &HealthReport) -> String {
    let Some(discovery) = &health.discovery else { return String::new() };
    let registered = if discovery.registered { "registered" } else { "not registered" };
    let in_dns = if discovery.in_dns { "answers in DNS" } else { "not in DNS" };
    let mut text = format!("{registered}, {in_dns}");
    if !discovery.message.is_empty() {
        text.push_str(&format!(": {}", discovery.message));
    }
    text
}

fn memory(health: &HealthReport) -> String {
    health.process.as_ref().map(|p| bytes(p.resident_bytes)).unwrap_or_default()
}

fn conditions(conditions: &[Condition]) -> String {
    let line = |c: &Condition| {
        let severity = word(c.severity().as_str_name(), "SEVERITY_");
        format!("{severity} {}: {}", c.reason, c.message)
    };
    conditions.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn listeners(listeners: &[ListenerHealth]) -> String {
    let mut table = Table::new(&[
        "LISTENER",
        "PORT",
        "OPEN",
        "ACCEPTED",
        "REFUSED",
        "IN",
        "OUT",
        "REQUESTS",
        "FAILED",
        "WORKLOADS",
    ]);
    for l in listeners {
        table.row([
            l.name.clone(),
            l.port.to_string(),
            l.connections_open.to_string(),
            l.connections_accepted.to_string(),
            l.connections_refused.to_string(),
            bytes(l.bytes_received),
            bytes(l.bytes_sent),
            l.requests_accepted.to_string(),
            l.requests_failed.to_string(),
            l.workloads_seen.to_string(),
        ]);
    }
    table.render()
}

fn collectors(collectors: &[CollectorHealth]) -> String {
    let mut table =
        Table::new(&["COLLECTOR", "REACHABLE", "ENDPOINT", "DIALS", "FAILED", "CONNECT", "SAYS"]);
    for c in collectors {
        let connect = c.last_connect.as_ref().map(|timings| {
            [("dns", &timings.dns), ("tcp", &timings.tcp), ("tls", &timings.tls)]
                .into_iter()
                .filter_map(|(name, d)| d.as_ref().map(|d| format!("{name} {}", duration(d))))
                .collect::<Vec<_>>()
                .join(", ")
        });
        let says = if c.failure.is_empty() {
            c.message.clone()
        } else {
            format!("{}: {}", c.failure, c.message)
        };
        table.row([
            names::id(&c.name).to_owned(),
            if c.reachable { "yes" } else { "no" }.to_owned(),
            c.endpoint.clone(),
            c.dials.to_string(),
            c.dials_failed.to_string(),
            connect.unwrap_or_default(),
            says,
        ]);
    }
    table.render()
}

pub(super) fn reports(reports: &[ReceivedHealthReport]) -> String {
    let mut table = Table::new(&[
        "RECEIVED",
        "PHASE",
        "OPEN",
        "ACCEPTED",
        "IN",
        "OUT",
        "REQUESTS",
        "FAILED",
        "COLLECTORS",
        "DNS",
        "CONDITIONS",
    ]);
    for received in reports {
        let report = received.report.clone().unwrap_or_default();
        let sum =
            |value: fn(&ListenerHealth) -> u64| report.listeners.iter().map(value).sum::<u64>();
        let reachable = report.collectors.iter().filter(|c| c.reachable).count();
        let reasons: Vec<_> = report.conditions.iter().map(|c| c.reason.as_str()).collect();
        table.row([
            date(received.receive_time.as_ref()),
            word(report.phase().as_str_name(), "RELAY_PHASE_"),
            sum(|l| l.connections_open).to_string(),
            sum(|l| l.connections_accepted).to_string(),
            bytes(sum(|l| l.bytes_received)),
            bytes(sum(|l| l.bytes_sent)),
            sum(|l| l.requests_accepted).to_string(),
            sum(|l| l.requests_failed).to_string(),
            format!("{reachable}/{}", report.collectors.len()),
            report
                .discovery
                .as_ref()
                .map(|d| if d.in_dns { "yes" } else { "no" })
                .unwrap_or_default()
                .to_owned(),
            reasons.join(","),
        ]);
    }
    table.render()
}

/// Columns of `relay watch`; wide enough for what is usual, since what comes later is not known.
const WATCH: [(&str, usize); 6] =
    [("RELAY", 46), ("STATE", 14), ("PHASE", 10), ("REVISION", 14), ("KEYS", 6), ("ADDRESS", 0)];

pub(super) fn watch_header() -> String {
    let cells = WATCH.map(|(title, _)| title.to_owned());
    format!("{:8}  {}", "TIME", watch_cells(&cells))
}

pub(super) fn watch_line(relay: &Relay, parent: &str) -> String {
    let mut line = watch_cells(&[
        names::short(&relay.name, parent).into_owned(),
        state(relay),
        phase(relay),
        revision(relay),
        relay.secret_version.to_string(),
        relay.address.clone(),
    ]);
    if relay.settings_phase() == SettingsPhase::Failed
        && let Some(violation) = relay.violations.first()
    {
        line.push_str(&format!("  {}: {}", violation.field, violation.description));
    }
    plain(&line)
}

fn watch_cells(cells: &[String; WATCH.len()]) -> String {
    let mut line = String::new();
    for (cell, (_, width)) in cells.iter().zip(WATCH) {
        let cell = if cell.is_empty() { "-" } else { cell };
        pad(&mut line, cell, width);
        if !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line.trim_end().to_owned()
}

/// The time of day in UTC.
pub(super) fn clock(now: OffsetDateTime) -> String {
    format!("{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second())
}

/// Bytes in a unit that fits: `512B`, `1.5KiB`, `3.0GiB`.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes}B");
    }
    let mut scaled = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while scaled >= 1_024.0 && unit + 1 < UNITS.len() {
        scaled /= 1_024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    format!("{scaled:.1}{name}")
}
