//! The rpcs around rotations: begin, look, go back. The steps between are [`crate::key_rotations`]' own.
use std::time::Duration;

use ekiden_proto::admin::v1::{
    CancelKeyRotationRequest, CancelKeyRotationResponse, GetKeyRotationRequest,
    GetKeyRotationResponse, KeyProof, KeyRotation, KeyRotationCollector, KeyRotationState,
    KeyRotationWait, RotateAccessKeyRequest, RotateAccessKeyResponse,
};
use ekiden_telemetry::propagation;
use sqlx::PgConnection;
use tonic::{Response, Status};

use super::{
    check_value,
    sealing::{self, OVERTAKEN, SEALING_TRIES, SealedValue},
    to_message,
};
use crate::{
    admin::call::{Call, Changed},
    app::App,
    error::Error,
    etag,
    key_rotations::{
        RotationState,
        progress::{Facts, Progress, Wait},
        standing,
    },
    names::AccessKeyName,
    store::{
        access_keys, heads,
        key_rotations::{self, RotationRow},
        scope::Scope,
        tenants,
    },
    timestamps::to_proto,
};

const USUAL_GRACE: Duration = Duration::from_secs(24 * 3600);
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Waits that an answer tells of.
const TOLD: usize = 100;

pub(super) async fn rotate(
    call: Call<RotateAccessKeyRequest>,
) -> Result<Response<RotateAccessKeyResponse>, Status> {
    let name = AccessKeyName::parse("name", &call.request.name)?;
    let scope = call.may_change(&name.tenant)?;
    check_value("value", &call.request.value)?;
    let grace = grace(&call.request)?;
    let mut tries = 1;
    loop {
        match seal_and_begin(&call, &scope, &name, grace).await {
            Err(error) if error.reason() == OVERTAKEN && tries < SEALING_TRIES => tries += 1,
            outcome => return Ok(outcome?.into_response()),
        }
    }
}

pub(super) async fn get(
    call: Call<GetKeyRotationRequest>,
) -> Result<Response<GetKeyRotationResponse>, Status> {
    let name = AccessKeyName::parse("name", &call.request.name)?;
    let scope = call.may_read(&name.tenant)?;
    let mut db = call.read(&scope).await?;
    access_keys::get(&mut db, &name).await?;
    let rotation = Some(message(&call.app, &mut db, &name).await?);
    Ok(Response::new(GetKeyRotationResponse { rotation }))
}

pub(super) async fn cancel(
    call: Call<CancelKeyRotationRequest>,
) -> Result<Response<CancelKeyRotationResponse>, Status> {
    let name = AccessKeyName::parse("name", &call.request.name)?;
    let scope = call.may_change(&name.tenant)?;
    let changed = call.change(&scope, |db| Box::pin(go_back(db, &call, &name)));
    Ok(changed.await?.into_response())
}

/// Refuses what would disturb a rotation.
pub(super) async fn none_may_be_under_way(
    db: &mut PgConnection,
    name: &AccessKeyName,
) -> Result<(), Error> {
    let Some(last) = key_rotations::last(db, name).await? else { return Ok(()) };
    if RotationState::parse(&last.state)?.is_over() {
        return Ok(());
    }
    Err(Error::Precondition {
        reason: "ACCESS_KEY_ROTATING",
        subject: name.to_string(),
        description: format!(
            "{name} is being rotated ({}): wait until that is over, or cancel it (ekidenctl access-key cancel-rotation {})",
            last.state, name.access_key
        ),
    })
}

fn grace(request: &RotateAccessKeyRequest) -> Result<Duration, Error> {
    let Some(asked) = request.grace else { return Ok(USUAL_GRACE) };
    let grace = Duration::try_from(asked).ok().filter(|grace| *grace <= LONGEST_GRACE);
    grace.ok_or_else(|| Error::invalid("grace", "it must be 0 s to 30 days"))
}

async fn seal_and_begin(
    call: &Call<RotateAccessKeyRequest>,
    scope: &Scope,
    name: &AccessKeyName,
    grace: Duration,
) -> Result<Changed<RotateAccessKeyResponse>, Error> {
    let seen = access_keys::get(&mut *call.read(scope).await?, name).await?;
    let version = seen.last_version + 1;
    let value = SealedValue::seal(&call.app, name, version, &call.request.value).await?;
    call.change(scope, |db| Box::pin(begin(db, call, name, grace, &value))).await
}

async fn begin(
    db: &mut PgConnection,
    call: &Call<RotateAccessKeyRequest>,
    name: &AccessKeyName,
    grace: Duration,
    value: &SealedValue,
) -> Result<RotateAccessKeyResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let mut key = access_keys::get(db, name).await?;
    etag::check(&call.request.etag, &to_message(&key).etag, name)?;
    if key.disabled_at.is_some() {
        return Err(Error::Precondition {
            reason: "ACCESS_KEY_DISABLED",
            subject: name.to_string(),
            description: format!(
                "{name} is disabled, so no relay could prove a new version: enable it first, or set its value by an update"
            ),
        });
    }
    none_may_be_under_way(db, name).await?;
    sealing::must_follow(key.last_version, value)?;
    if key.fingerprint == value.fingerprint {
        return Err(Error::invalid("value", "it is the value that is in use already"));
    }
    let row = RotationRow {
        tenant_id: name.tenant.clone(),
        access_key_id: name.access_key.clone(),
        new_version: value.version,
        old_version: key.current_version,
        new_fingerprint: value.fingerprint.clone(),
        old_fingerprint: key.fingerprint.clone(),
        state: RotationState::Added.name().to_owned(),
        grace_seconds: i64::try_from(grace.as_secs()).unwrap_or(i64::MAX),
        started_at: call.now,
        state_at: call.now,
        stopped_at: None,
        traceparent: propagation::current_traceparent().0,
    };
    key.last_version = value.version;
    key.version += 1;
    key.updated_at = call.now;
    access_keys::update(db, &key).await?;
    access_keys::insert_version(db, &key, &value.sealed).await?;
    if !key_rotations::insert(db, &row).await? {
        return Err(Error::Internal(anyhow::anyhow!("a rotation began in spite of the lock")));
    }
    call.record(db, Some(&name.tenant), name, &["value".to_owned()]).await?;
    Ok(RotateAccessKeyResponse { rotation: Some(message(&call.app, db, name).await?) })
}

async fn go_back(
    db: &mut PgConnection,
    call: &Call<CancelKeyRotationRequest>,
    name: &AccessKeyName,
) -> Result<CancelKeyRotationResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let mut key = access_keys::get(db, name).await?;
    let Some(mut row) = key_rotations::last(db, name).await? else {
        return Err(never(name));
    };
    let state = RotationState::parse(&row.state)?;
    if !state.can_go_back() {
        return Err(Error::Precondition {
            reason: "KEY_ROTATION_PAST_CANCELLING",
            subject: name.to_string(),
            description: format!(
                "the rotation of {name} is {}: rotate to the value that you want instead",
                row.state
            ),
        });
    }
    key.current_version = row.old_version;
    key.fingerprint.clone_from(&row.old_fingerprint);
    key.version += 1;
    key.updated_at = call.now;
    access_keys::update(db, &key).await?;
    access_keys::delete_version(db, name, row.new_version).await?;
    RotationState::Cancelled.name().clone_into(&mut row.state);
    row.state_at = call.now;
    row.stopped_at = None;
    key_rotations::update(db, &row).await?;
    let (traceparent, _) = propagation::current_traceparent();
    heads::bump_secrets(db, &name.tenant, &name.access_key, &traceparent, call.now).await?;
    call.record(db, Some(&name.tenant), name, &["value".to_owned()]).await?;
    Ok(CancelKeyRotationResponse { rotation: Some(message(&call.app, db, name).await?) })
}

fn never(name: &AccessKeyName) -> Error {
    Error::not_found(format!("a rotation of {name}"))
}

async fn message(
    app: &App,
    db: &mut PgConnection,
    name: &AccessKeyName,
) -> Result<KeyRotation, Error> {
    let (row, facts, progress) = standing(app, db, name).await?.ok_or_else(|| never(name))?;
    Ok(to_rotation(name, row, &facts, &progress))
}

fn to_rotation(
    name: &AccessKeyName,
    row: RotationRow,
    facts: &Facts,
    progress: &Progress,
) -> KeyRotation {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let collector = |id: &str| format!("tenants/{}/collectors/{id}", name.tenant);
    let over = facts.state.is_over();
    let wait = |wait: &Wait| KeyRotationWait {
        relay: format!("tenants/{}/fleets/{}/relays/{}", name.tenant, wait.fleet_id, wait.relay_id),
        reason: wait.reason.into(),
        collector: if wait.collector_id.is_empty() {
            String::new()
        } else {
            collector(&wait.collector_id)
        },
        message: wait.message.clone(),
        observe_time: wait.at.map(to_proto),
    };
    let proof = |answers| if answers { KeyProof::Probed } else { KeyProof::Observed };
    KeyRotation {
        access_key: name.to_string(),
        state: KeyRotationState::from(facts.state).into(),
        stop_time: row.stopped_at.map(to_proto),
        old_version: row.old_version.unsigned_abs(),
        new_version: row.new_version.unsigned_abs(),
        old_fingerprint: row.old_fingerprint,
        new_fingerprint: row.new_fingerprint,
        grace: prost_types::Duration::try_from(facts.grace.unsigned_abs()).ok(),
        start_time: Some(to_proto(row.started_at)),
        state_time: Some(to_proto(row.state_at)),
        relays: if over { 0 } else { count(facts.relays.len()) },
        relays_acknowledged: if over { 0 } else { count(progress.acknowledged) },
        relays_proven: if over { 0 } else { count(progress.proven) },
        collectors: facts
            .consents()
            .into_iter()
            .map(|(id, answers)| KeyRotationCollector {
                collector: collector(id),
                proof: proof(answers).into(),
            })
            .collect(),
        waits: progress.waits.iter().take(TOLD).map(wait).collect(),
    }
}
