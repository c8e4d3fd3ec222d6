//! `ekidenctl access-key rotate`, `rotation` and `cancel-rotation`.
use std::time::Duration;

use ekiden_proto::admin::v1::{
    CancelKeyRotationRequest, GetKeyRotationRequest, KeyProof, KeyRotation, KeyRotationState,
    KeyRotationWait, KeyRotationWaitReason, RotateAccessKeyRequest,
};
use time::OffsetDateTime;

use super::client;
use crate::{
    commands::incomplete,
    failure::Failure,
    names,
    output::{
        moments::{date_and_age, duration},
        table::{Details, Table},
    },
    session::Session,
    values::Period,
};

/// How often a rotation that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Refusals that a failure tells of.
const TOLD: usize = 5;

pub(super) async fn rotate(
    session: &Session,
    name: String,
    value: String,
    grace: Period,
    wait: bool,
) -> Result<(), Failure> {
    let request = RotateAccessKeyRequest {
        name,
        value,
        grace: Some(grace.to_proto()),
        request_id: session.request_id(),
        validate_only: session.validate_only,
        ..RotateAccessKeyRequest::default()
    };
    let name = request.name.clone();
    let answer =
        session.change(request, async |r| client(session).rotate_access_key(r).await).await?;
    let rotation = answer.rotation.ok_or_else(|| incomplete("rotation"))?;
    match wait && !session.validate_only {
        true => until_preferred(session, name).await,
        false => show(session, &rotation),
    }
}

pub(super) async fn get(session: &Session, name: String, wait: bool) -> Result<(), Failure> {
    match wait {
        true => until_preferred(session, name).await,
        false => show(session, &read(session, &name).await?),
    }
}

pub(super) async fn cancel(session: &Session, name: String) -> Result<(), Failure> {
    let request = CancelKeyRotationRequest {
        name,
        request_id: session.request_id(),
        validate_only: session.validate_only,
    };
    let answer =
        session.change(request, async |r| client(session).cancel_key_rotation(r).await).await?;
    show(session, &answer.rotation.ok_or_else(|| incomplete("rotation"))?)
}

async fn read(session: &Session, name: &str) -> Result<KeyRotation, Failure> {
    let request = GetKeyRotationRequest { name: name.to_owned() };
    let answer = session.call(request, async |r| client(session).get_key_rotation(r).await).await?;
    answer.rotation.ok_or_else(|| incomplete("rotation"))
}

/// Tells of each change until every relay prefers the new value.
async fn until_preferred(session: &Session, name: String) -> Result<(), Failure> {
    let mut told = String::new();
    loop {
        let rotation = read(session, &name).await?;
        let line = progress(&rotation);
        if line != told {
            session.printer.note(&line);
            told = line;
        }
        if rotation.stop_time.is_some() {
            let refused = |wait: &&KeyRotationWait| wait.reason() == KeyRotationWaitReason::Refused;
            let refusals = rotation.waits.iter().filter(refused).take(TOLD).map(sentence).collect();
            return Err(Failure::RotationStopped { name, refusals });
        }
        if is_preferred(rotation.state()) {
            return show(session, &rotation);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_preferred(state: KeyRotationState) -> bool {
    is_over(state) || matches!(state, KeyRotationState::OldDraining | KeyRotationState::OldDisabled)
}

fn progress(rotation: &KeyRotation) -> String {
    let KeyRotation { relays, relays_acknowledged, relays_proven, .. } = rotation;
    let state = state(rotation.state());
    format!(
        "{state}: {relays_acknowledged} of {relays} relays up to date, {relays_proven} with the new value proven"
    )
}

fn state(state: KeyRotationState) -> &'static str {
    match state {
        KeyRotationState::Unspecified => "unknown",
        KeyRotationState::Added => "added",
        KeyRotationState::Distributing => "distributing",
        KeyRotationState::Preferred => "preferred",
        KeyRotationState::OldDraining => "old draining",
        KeyRotationState::OldDisabled => "old disabled",
        KeyRotationState::OldDestroyed => "old destroyed",
        KeyRotationState::Cancelled => "cancelled",
    }
}

/// What the state means for whoever asked.
fn meaning(rotation: &KeyRotation) -> &'static str {
    if rotation.stop_time.is_some() {
        return "a collector refuses the new value; relays go on with the old one. Mend it at the vendor, or go back: `ekidenctl access-key cancel-rotation`";
    }
    match rotation.state() {
        KeyRotationState::Unspecified => "",
        KeyRotationState::Added => "no relay has the new value yet",
        KeyRotationState::Distributing => "relays try the new value on their collectors",
        KeyRotationState::Preferred => "the new value is proven; relays take it into use",
        KeyRotationState::OldDraining => {
            "every relay uses the new value; the old one must stay good at the vendor until the grace is over"
        }
        KeyRotationState::OldDisabled => "relays let go of the old value",
        KeyRotationState::OldDestroyed => {
            "complete: the old value is used nowhere, and may be disabled at the vendor"
        }
        KeyRotationState::Cancelled => "relays use the old value; the new one is destroyed",
    }
}

fn reason(wait: &KeyRotationWait) -> &'static str {
    match wait.reason() {
        KeyRotationWaitReason::Unspecified => "unknown",
        KeyRotationWaitReason::Refused => "refused",
        KeyRotationWaitReason::Unreachable => "unreachable",
        KeyRotationWaitReason::Unproven => "not tried yet",
        KeyRotationWaitReason::Behind => "not up to date",
        KeyRotationWaitReason::Away => "away",
    }
}

fn sentence(wait: &KeyRotationWait) -> String {
    format!("{} at {}: {}", wait.relay, wait.collector, wait.message)
}

fn show(session: &Session, rotation: &KeyRotation) -> Result<(), Failure> {
    session.printer.message(rotation, || text(rotation, session.printer.now))
}

fn text(rotation: &KeyRotation, now: OffsetDateTime) -> String {
    let collectors = rotation.collectors.iter().map(|collector| {
        let proof = match collector.proof() {
            KeyProof::Probed => "probed",
            KeyProof::Observed => "observed: raw TCP, where workloads carry the key",
            KeyProof::Unspecified => "unknown",
        };
        format!("{} ({proof})", collector.collector)
    });
    let collectors: Vec<_> = collectors.collect();
    let mut text = Details::default()
        .with("Access key", &rotation.access_key)
        .with("State", state(rotation.state()))
        .with("Meaning", meaning(rotation))
        .with("Stopped", date_and_age(rotation.stop_time.as_ref(), now))
        .with("Old version", version(rotation.old_version, &rotation.old_fingerprint))
        .with("New version", version(rotation.new_version, &rotation.new_fingerprint))
        .with("Relays", relays(rotation))
        .with("Collectors", collectors.join("\n"))
        .with("Grace", rotation.grace.as_ref().map(duration).unwrap_or_default())
        .with("Started", date_and_age(rotation.start_time.as_ref(), now))
        .with("In this state", date_and_age(rotation.state_time.as_ref(), now))
        .render();
    if !rotation.waits.is_empty() {
        let mut waits = Table::new(&["WAITS FOR", "WHY", "COLLECTOR", "ANSWER", "WHEN"]);
        let tenant = rotation.access_key.split("/accessKeys/").next().unwrap_or_default();
        for wait in &rotation.waits {
            waits.row([
                names::short(&wait.relay, tenant).into_owned(),
                reason(wait).to_owned(),
                names::short(&wait.collector, tenant).into_owned(),
                wait.message.clone(),
                date_and_age(wait.observe_time.as_ref(), now),
            ]);
        }
        text.push('\n');
        text.push_str(&waits.render());
    }
    text
}

fn relays(rotation: &KeyRotation) -> String {
    let KeyRotation { relays, relays_acknowledged, relays_proven, .. } = rotation;
    match is_over(rotation.state()) {
        true => String::new(),
        false => format!("{relays}, {relays_acknowledged} up to date, {relays_proven} proven"),
    }
}

fn is_over(state: KeyRotationState) -> bool {
    matches!(state, KeyRotationState::OldDestroyed | KeyRotationState::Cancelled)
}

fn version(number: u64, fingerprint: &str) -> String {
    format!("{number} (fingerprint {fingerprint})")
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
