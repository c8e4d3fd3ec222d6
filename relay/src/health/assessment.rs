//! From facts to a judgement: where the relay is in its life, and what is wrong with it. Pure.
use std::{collections::HashMap, sync::Arc, time::Duration};

use ekiden_proto::{
    health::v1::{CollectorHealth, Condition, ProcessHealth, RelayPhase, Severity},
    relay::v1::SettingsPhase,
};
use ekiden_settings::CheckedSettings;
use prost_types::Timestamp;
use time::OffsetDateTime;

use crate::{
    clock::to_timestamp,
    collector::Keys,
    health::Told,
    registry::membership::Registration,
    session::{View, standing::Running},
};

const MOST_CONDITIONS: usize = 32;
const LONGEST_MESSAGE: usize = 512;
/// A clock that is off by more makes certificates and reports doubtful.
const CLOCK_SKEW: time::Duration = time::Duration::seconds(60);
/// Failures in a row before an unreachable control plane is worth a word.
const UNREACHABLE_AFTER: u32 = 3;

/// Everything that a judgement rests on.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) now: OffsetDateTime,
    pub(super) draining: bool,
    pub(super) settings: Option<Arc<CheckedSettings>>,
    pub(super) keys: Arc<Keys>,
    pub(super) running: Running,
    pub(super) collectors: Vec<CollectorHealth>,
    pub(super) registration: Registration,
    pub(super) session: View,
    pub(super) enrollment: String,
    pub(super) told: Told,
    pub(super) certificate_ends: Option<OffsetDateTime>,
    pub(super) renew_at: Option<OffsetDateTime>,
    pub(super) process: ProcessHealth,
    pub(super) open_files_limit: Option<u64>,
}

/// The judgement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessment {
    /// Where the relay is in its life.
    pub phase: RelayPhase,
    /// Whether what arrives at its listeners would reach the collectors.
    pub delivers: bool,
    /// Whether workloads should be led here.
    pub ready: bool,
    /// What is wrong or noteworthy, most serious first.
    pub conditions: Vec<Condition>,
}

/// What a judgement remembers of those before.
#[derive(Debug, Default)]
pub(super) struct Memory {
    since: HashMap<(&'static str, String), Timestamp>,
    served: bool,
}

/// One thing found wrong.
struct Finding {
    reason: &'static str,
    severity: Severity,
    /// What it is about, to tell two of one reason apart.
    subject: String,
    message: String,
}

impl Assessment {
    /// Whether a health report is due: something other than a message changed.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let key = |assessment: &Self| -> Vec<(String, i32)> {
            assessment
                .conditions
                .iter()
                .map(|condition| (condition.reason.clone(), condition.severity))
                .collect()
        };
        (self.phase, self.delivers, self.ready) != (other.phase, other.delivers, other.ready)
            || key(self) != key(other)
    }
}

/// Judges.
pub(super) fn assess(facts: &Facts, memory: &mut Memory) -> Assessment {
    let mut findings = Vec::new();
    let delivers = delivery(facts, &mut findings);
    control_plane(facts, &mut findings);
    environment(facts, &mut findings);
    registration(facts, &mut findings);
    machine(facts, &mut findings);

    let listed = !facts.registration.wanted || facts.registration.in_dns();
    let ready = delivers && listed && !facts.draining;
    memory.served |= ready;
    let wrong = findings
        .iter()
        .any(|finding| finding.severity >= Severity::Warning && finding.reason != UNVERIFIED);
    let phase = match (facts.draining, facts.settings.is_some(), ready, memory.served) {
        (true, ..) => RelayPhase::Draining,
        (_, false, ..) => RelayPhase::Starting,
        (_, _, true, _) if !wrong => RelayPhase::Serving,
        (_, _, true, _) | (_, _, false, true) => RelayPhase::Degraded,
        (_, _, false, false) => RelayPhase::Joining,
    };
    Assessment { phase, delivers, ready, conditions: memory.conditions(findings, facts.now) }
}

/// A vendor's lab may be used without a certificate check; the relay serves it and says so.
const UNVERIFIED: &str = "COLLECTOR_UNVERIFIED";

fn delivery(facts: &Facts, findings: &mut Vec<Finding>) -> bool {
    let Some(settings) = &facts.settings else { return false };
    let mut delivers = true;
    for collector in &settings.collectors {
        let used =
            settings.listeners.iter().any(|listener| listener.collector.name == collector.name);
        if !used {
            continue;
        }
        let mut find = |reason, severity, message: String| {
            findings.push(Finding { reason, severity, subject: collector.name.clone(), message });
        };
        let key = collector.key_placement.as_ref().map(|placement| &placement.access_key);
        let missing = key.filter(|key| facts.keys.get(key).is_none());
        if let Some(key) = missing {
            // The first keys come a moment after the session. Later a missing key is missing everywhere, and other
            // listeners serve on: no reason to leave DNS.
            delivers &= facts.keys.secret_version() != 0 || facts.session.parameters.is_none();
            find(
                "ACCESS_KEY_MISSING",
                Severity::Critical,
                format!(
                    "{key} is not here, so what is sent to {} is refused with UNAVAILABLE. Keys come with the control \
                     plane: see whether a session is open, and whether the key is enabled.",
                    collector.name
                ),
            );
        }
        if collector.tls.as_ref().is_some_and(|tls| tls.insecure_skip_verify) {
            let message = format!(
                "The certificate of {} goes unchecked. Use this for a lab only.",
                collector.name
            );
            find(UNVERIFIED, Severity::Warning, message);
        }
        let Some(health) = facts.collectors.iter().find(|health| health.name == collector.name)
        else {
            continue;
        };
        match health.failure.as_str() {
            "" if health.reachable => {}
            "" => delivers = false,
            "auth" if missing.is_some() => {}
            "auth" => find(
                "ACCESS_KEY_REFUSED",
                Severity::Critical,
                format!(
                    "{} refuses the access key: {}. Set the right key in the control plane.",
                    health.name, health.message
                ),
            ),
            "response" => find(
                "COLLECTOR_FAILING",
                Severity::Critical,
                format!(
                    "{} does not answer as it should: {}. See the vendor's status.",
                    health.name, health.message
                ),
            ),
            failure => {
                delivers = false;
                find(
                    "COLLECTOR_UNREACHABLE",
                    Severity::Critical,
                    format!(
                        "{} cannot be reached ({failure}): {}. Check its endpoints, and the way out of this network.",
                        health.name, health.message
                    ),
                );
            }
        }
    }
    delivers
}

fn control_plane(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut find = |reason, severity, message: String| {
        findings.push(Finding { reason, severity, subject: String::new(), message });
    };
    if !facts.enrollment.is_empty() {
        find(
            "IDENTITY_TROUBLE",
            Severity::Warning,
            format!("The relay's certificate: {}", facts.enrollment),
        );
    }
    let session = &facts.session;
    if session.parameters.is_none() && session.failures >= UNREACHABLE_AFTER {
        let message = format!(
            "No session with the control plane: {}. What runs goes on; changes and keys do not arrive.",
            session.message
        );
        find("CONTROL_PLANE_UNREACHABLE", Severity::Warning, message);
    }
    if facts.settings.is_some() && !facts.runs_environment() && session.opened == 0 {
        let message = format!(
            "Revision {} runs, as it was saved; the control plane was not heard yet.",
            facts.running.revision
        );
        find("SETTINGS_FROM_DISK", Severity::Info, message);
    }
    if let Some(attempt) =
        facts.running.attempt.as_ref().filter(|attempt| attempt.phase == SettingsPhase::Failed)
    {
        let violations: Vec<String> = attempt
            .violations
            .iter()
            .map(|violation| format!("{}: {}", violation.field, violation.description))
            .collect();
        let message = format!(
            "Revision {} does not run, revision {} still does: {}.",
            attempt.revision,
            facts.running.revision,
            violations.join("; ")
        );
        find("SETTINGS_REJECTED", Severity::Warning, message);
    }
    if let (Some(renew_at), Some(ends)) = (facts.renew_at, facts.certificate_ends)
        && facts.now > renew_at + (ends - renew_at) / 2
    {
        let message = format!(
            "The relay's certificate ends at {ends} and is not renewed yet. Is the control plane reachable?"
        );
        find("CERTIFICATE_ENDS_SOON", Severity::Warning, message);
    }
    if let Some(ahead) = session.parameters.as_ref().and_then(|parameters| parameters.clock_ahead)
        && ahead.abs() > CLOCK_SKEW
    {
        let seconds = ahead.whole_seconds();
        find(
            "CLOCK_SKEW",
            Severity::Warning,
            format!("The clock is {seconds} s ahead of the control plane's. Set it right."),
        );
    }
}

/// Says what runs of the environment, and what of it has no effect, until the control plane's settings run.
fn environment(facts: &Facts, findings: &mut Vec<Finding>) {
    let runs = facts.runs_environment();
    if !runs && facts.settings.is_some() {
        return;
    }
    if runs {
        let until = match facts.told.control_plane {
            true => "until the control plane was heard",
            false => "and there is no control plane",
        };
        findings.push(Finding {
            reason: "SETTINGS_FROM_ENVIRONMENT",
            severity: Severity::Info,
            subject: String::new(),
            message: format!("The relay runs what its environment variables say, {until}."),
        });
    }
    findings.extend(facts.told.notices.iter().map(|notice| Finding {
        reason: "VARIABLE_WITHOUT_EFFECT",
        severity: if notice.serious { Severity::Warning } else { Severity::Info },
        subject: notice.name.clone(),
        message: format!("{}: {}.", notice.name, notice.description),
    }));
}

fn registration(facts: &Facts, findings: &mut Vec<Finding>) {
    let registration = &facts.registration;
    if !registration.wanted || facts.draining {
        return;
    }
    let mut find = |reason, message: String| {
        findings.push(Finding {
            reason,
            severity: Severity::Warning,
            subject: String::new(),
            message,
        });
    };
    if !registration.message().is_empty() {
        find("REGISTRATION_TROUBLE", format!("Service discovery: {}.", registration.message()));
    } else if let Some(service) = registration.current().iter().find(|one| one.dns_differs) {
        find(
            "DNS_DIFFERS",
            format!(
                "The relay is registered in {}, but {} has not answered with it for longer than twice its TTL of {} s. Look at the \
                 name's zone and at what the VPC's resolver says.",
                service.id,
                service.dns_name,
                service.ttl.as_secs()
            ),
        );
    } else if registration.registered() && !registration.in_dns() {
        find(
            "NOT_IN_DNS",
            "The relay is registered, but DNS does not answer with it yet.".to_owned(),
        );
    }
}

fn machine(facts: &Facts, findings: &mut Vec<Finding>) {
    let open = facts.process.open_files;
    if let Some(limit) = facts.open_files_limit.filter(|limit| open * 10 >= limit * 9) {
        let message = format!(
            "{open} files are open of {limit} allowed. Raise nofile in the task definition."
        );
        findings.push(Finding {
            reason: "OPEN_FILES_HIGH",
            severity: Severity::Warning,
            subject: String::new(),
            message,
        });
    }
}

impl Facts {
    /// Whether the settings that run are those of the environment.
    fn runs_environment(&self) -> bool {
        let both = self.settings.as_ref().zip(self.told.bootstrap.as_ref());
        both.is_some_and(|(runs, told)| Arc::ptr_eq(runs, told))
    }
}

impl Memory {
    fn conditions(&mut self, mut findings: Vec<Finding>, now: OffsetDateTime) -> Vec<Condition> {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings.truncate(MOST_CONDITIONS);
        let before = std::mem::take(&mut self.since);
        findings
            .into_iter()
            .map(|finding| {
                let key = (finding.reason, finding.subject);
                let since = before.get(&key).copied().unwrap_or_else(|| to_timestamp(now));
                self.since.insert(key, since);
                Condition {
                    reason: finding.reason.to_owned(),
                    severity: finding.severity.into(),
                    message: finding.message.chars().take(LONGEST_MESSAGE).collect(),
                    since: Some(since),
                }
            })
            .collect()
    }
}

/// How often a judgement is made.
pub(super) const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "assessment_tests.rs"]
mod tests;
