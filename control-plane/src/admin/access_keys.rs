//! AccessKeyService. Values are sealed before the transaction that keeps them, and never returned.
use std::sync::Arc;

use ekiden_proto::admin::v1::{
    AccessKey, CancelKeyRotationRequest, CancelKeyRotationResponse, CreateAccessKeyRequest,
    CreateAccessKeyResponse, DeleteAccessKeyRequest, DeleteAccessKeyResponse, GetAccessKeyRequest,
    GetAccessKeyResponse, GetKeyRotationRequest, GetKeyRotationResponse, ListAccessKeysRequest,
    ListAccessKeysResponse, RotateAccessKeyRequest, RotateAccessKeyResponse,
    UpdateAccessKeyRequest, UpdateAccessKeyResponse, access_key_service_server::AccessKeyService,
};
use ekiden_telemetry::propagation;
use sqlx::PgConnection;
use tonic::{Request, Response, Status};

use self::sealing::{OVERTAKEN, SEALING_TRIES, SealedValue};
use super::call::{Call, Changed, display_name, required};
use crate::{
    app::App,
    error::Error,
    etag,
    mask::{Field, Mask, fields, populated},
    names::{AccessKeyName, TenantName, check_id},
    store::{
        access_keys::{self, AccessKeyRow},
        heads,
        scope::Scope,
        tenants,
    },
    timestamps::to_proto,
};

mod rotation;
mod sealing;

const FIELDS: &[Field<AccessKey>] = fields!(AccessKey:
    display_name, value, enabled, metadata, agent_limit, agent_reservation,
);

/// More agents than any vendor lets in by one key.
const MOST_AGENTS: i32 = 1_000_000;

pub(super) struct AccessKeys {
    app: Arc<App>,
}

impl AccessKeys {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl AccessKeyService for AccessKeys {
    async fn create_access_key(
        &self,
        request: Request<CreateAccessKeyRequest>,
    ) -> Result<Response<CreateAccessKeyResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = TenantName::parse("parent", &call.request.parent)?;
        let scope = call.may_change(&parent.tenant)?;
        check_id("access_key_id", &call.request.access_key_id)?;
        let given = required("access_key", &call.request.access_key)?;
        check(given)?;
        let access_key = call.request.access_key_id.clone();
        let name = AccessKeyName { tenant: parent.tenant, access_key };
        let value = SealedValue::seal(&self.app, &name, 1, &given.value).await?;

        let changed = call.change(&scope, |db| Box::pin(create(db, &call, &name, given, &value)));
        Ok(changed.await?.into_response())
    }

    async fn get_access_key(
        &self,
        request: Request<GetAccessKeyRequest>,
    ) -> Result<Response<GetAccessKeyResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = AccessKeyName::parse("name", &call.request.name)?;
        let scope = call.may_read(&name.tenant)?;

        let row = access_keys::get(&mut *call.read(&scope).await?, &name).await?;
        Ok(Response::new(GetAccessKeyResponse { access_key: Some(to_message(&row)) }))
    }

    async fn list_access_keys(
        &self,
        request: Request<ListAccessKeysRequest>,
    ) -> Result<Response<ListAccessKeysResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = TenantName::parse_wildcard("parent", &call.request.parent)?;
        let scope = call.visible(&parent.tenant)?;
        let page = call.page::<(String, String)>()?;

        let mut db = call.read(&scope).await?;
        if let Some(tenant) = scope.tenant() {
            tenants::must_exist(&mut db, tenant).await?;
        }
        let rows =
            access_keys::list(&mut db, scope.tenant(), page.after.as_ref(), page.limit()).await?;
        let (rows, next_page_token) =
            call.cut(&page, rows, |row| (row.tenant_id.clone(), row.access_key_id.clone()))?;
        let access_keys = rows.iter().map(to_message).collect();
        Ok(Response::new(ListAccessKeysResponse { access_keys, next_page_token }))
    }

    async fn update_access_key(
        &self,
        request: Request<UpdateAccessKeyRequest>,
    ) -> Result<Response<UpdateAccessKeyResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let given = required("access_key", &call.request.access_key)?;
        let name = AccessKeyName::parse("access_key.name", &given.name)?;
        let scope = call.may_change(&name.tenant)?;
        let mask = Mask::read(FIELDS, call.request.update_mask.as_ref(), given)?;
        check_masked(given, &mask)?;

        let mut tries = 1;
        loop {
            match self.seal_and_update(&call, &scope, &name, given, &mask).await {
                Err(error) if error.reason() == OVERTAKEN && tries < SEALING_TRIES => tries += 1,
                outcome => return Ok(outcome?.into_response()),
            }
        }
    }

    async fn delete_access_key(
        &self,
        request: Request<DeleteAccessKeyRequest>,
    ) -> Result<Response<DeleteAccessKeyResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = AccessKeyName::parse("name", &call.request.name)?;
        let scope = call.may_change(&name.tenant)?;

        let changed = call.change(&scope, |db| Box::pin(delete(db, &call, &name)));
        Ok(changed.await?.into_response())
    }

    async fn rotate_access_key(
        &self,
        request: Request<RotateAccessKeyRequest>,
    ) -> Result<Response<RotateAccessKeyResponse>, Status> {
        rotation::rotate(Call::open(&self.app, request)?).await
    }

    async fn get_key_rotation(
        &self,
        request: Request<GetKeyRotationRequest>,
    ) -> Result<Response<GetKeyRotationResponse>, Status> {
        rotation::get(Call::open(&self.app, request)?).await
    }

    async fn cancel_key_rotation(
        &self,
        request: Request<CancelKeyRotationRequest>,
    ) -> Result<Response<CancelKeyRotationResponse>, Status> {
        rotation::cancel(Call::open(&self.app, request)?).await
    }
}

impl AccessKeys {
    /// Seals a new value for the version that would follow the current one, then updates if that is still so.
    async fn seal_and_update(
        &self,
        call: &Call<UpdateAccessKeyRequest>,
        scope: &Scope,
        name: &AccessKeyName,
        given: &AccessKey,
        mask: &Mask<AccessKey>,
    ) -> Result<Changed<UpdateAccessKeyResponse>, Error> {
        let mut value = None;
        if mask.has("value") {
            let seen = access_keys::get(&mut *call.read(scope).await?, name).await?;
            let next = seen.last_version + 1;
            value = Some(SealedValue::seal(&self.app, name, next, &given.value).await?);
        }
        call.change(scope, |db| Box::pin(update(db, call, name, given, mask, value.as_ref()))).await
    }
}

async fn create(
    db: &mut PgConnection,
    call: &Call<CreateAccessKeyRequest>,
    name: &AccessKeyName,
    given: &AccessKey,
    value: &SealedValue,
) -> Result<CreateAccessKeyResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let row = AccessKeyRow {
        tenant_id: name.tenant.clone(),
        access_key_id: name.access_key.clone(),
        display_name: given.display_name.clone(),
        metadata: given.metadata.clone(),
        agent_limit: agents("access_key.agent_limit", given.agent_limit)?,
        agent_reservation: agents("access_key.agent_reservation", given.agent_reservation)?,
        current_version: value.version,
        last_version: value.version,
        fingerprint: value.fingerprint.clone(),
        version: 1,
        created_at: call.now,
        updated_at: call.now,
        disabled_at: (given.enabled == Some(false)).then_some(call.now),
    };
    if !access_keys::insert(db, &row).await? {
        return Err(Error::AlreadyExists { resource: name.to_string() });
    }
    access_keys::insert_version(db, &row, &value.sealed).await?;
    call.record(db, Some(&name.tenant), name, &populated(FIELDS, given)).await?;
    Ok(CreateAccessKeyResponse { access_key: Some(to_message(&row)) })
}

async fn update(
    db: &mut PgConnection,
    call: &Call<UpdateAccessKeyRequest>,
    name: &AccessKeyName,
    given: &AccessKey,
    mask: &Mask<AccessKey>,
    value: Option<&SealedValue>,
) -> Result<UpdateAccessKeyResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let mut row = access_keys::get(db, name).await?;
    let before = to_message(&row);
    etag::check(&given.etag, &before.etag, name)?;
    let mut after = before.clone();
    mask.apply(given, &mut after);
    // Left out of a mask that names it, `enabled` means what it means at creation.
    let enabled = *after.enabled.get_or_insert(true);
    let changed = mask.changed(&before, &after);
    if !changed.is_empty() {
        let was_enabled = row.disabled_at.is_none();
        check_agents(&after)?;
        row.display_name = after.display_name;
        row.metadata = after.metadata;
        row.agent_limit = agents("access_key.agent_limit", after.agent_limit)?;
        row.agent_reservation = agents("access_key.agent_reservation", after.agent_reservation)?;
        row.disabled_at = if enabled { None } else { row.disabled_at.or(Some(call.now)) };
        row.version += 1;
        row.updated_at = call.now;
        if let Some(value) = value {
            sealing::must_follow(row.last_version, value)?;
            rotation::none_may_be_under_way(db, name).await?;
            // Nobody is given it any more.
            access_keys::delete_version(db, name, row.current_version).await?;
            (row.current_version, row.last_version) = (value.version, value.version);
            row.fingerprint.clone_from(&value.fingerprint);
            access_keys::insert_version(db, &row, &value.sealed).await?;
        }
        access_keys::update(db, &row).await?;
        if was_enabled != enabled || (enabled && value.is_some()) {
            let (traceparent, _) = propagation::current_traceparent();
            heads::bump_secrets(db, &name.tenant, &name.access_key, &traceparent, call.now).await?;
        }
    }
    call.record(db, Some(&name.tenant), name, &changed).await?;
    Ok(UpdateAccessKeyResponse { access_key: Some(to_message(&row)) })
}

async fn delete(
    db: &mut PgConnection,
    call: &Call<DeleteAccessKeyRequest>,
    name: &AccessKeyName,
) -> Result<DeleteAccessKeyResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let row = access_keys::get(db, name).await?;
    etag::check(&call.request.etag, &to_message(&row).etag, name)?;
    if row.disabled_at.is_none() {
        return Err(Error::Precondition {
            reason: "ACCESS_KEY_ENABLED",
            subject: name.to_string(),
            description: format!("{name} is enabled: disable it first"),
        });
    }
    if let Some(collector) = access_keys::used_by(db, name).await? {
        return Err(Error::Precondition {
            reason: "ACCESS_KEY_IN_USE",
            subject: name.to_string(),
            description: format!(
                "{name} is used by tenants/{}/collectors/{collector}: give that another key first",
                name.tenant
            ),
        });
    }
    access_keys::delete(db, name).await?;
    call.record(db, Some(&name.tenant), name, &[]).await?;
    Ok(DeleteAccessKeyResponse {})
}

fn check(given: &AccessKey) -> Result<(), Error> {
    check_value("access_key.value", &given.value)?;
    display_name("access_key.display_name", &given.display_name)?;
    check_agents(given)?;
    check_metadata(given)
}

/// A number of agents as it is stored.
fn agents(field: &'static str, count: u32) -> Result<i32, Error> {
    let wrong = || Error::invalid(field, "it must be at most 1,000,000");
    i32::try_from(count).ok().filter(|count| *count <= MOST_AGENTS).ok_or_else(wrong)
}

fn check_agents(key: &AccessKey) -> Result<(), Error> {
    if key.agent_limit > 0 && key.agent_reservation > key.agent_limit {
        let what = "it is above agent_limit: the vendor cannot reserve more agents than it lets in";
        return Err(Error::invalid("access_key.agent_reservation", what));
    }
    Ok(())
}

fn check_masked(given: &AccessKey, mask: &Mask<AccessKey>) -> Result<(), Error> {
    if mask.has("value") {
        check_value("access_key.value", &given.value)?;
    }
    display_name("access_key.display_name", &given.display_name)?;
    check_metadata(given)
}

fn check_value(field: &'static str, value: &str) -> Result<(), Error> {
    if (1..=8192).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::invalid(field, "it must be 1 to 8,192 characters of visible ASCII, no spaces"))
}

fn check_metadata(given: &AccessKey) -> Result<(), Error> {
    const FIELD: &str = "access_key.metadata";
    if given.metadata.len() > 32 {
        return Err(Error::invalid(FIELD, "it has more than 32 labels"));
    }
    for (key, value) in &given.metadata {
        let text =
            |text: &str, most| text.chars().count() <= most && !text.contains(char::is_control);
        if key.is_empty() || !text(key, 63) || !text(value, 255) {
            return Err(Error::invalid(
                FIELD,
                "a label's name must be 1 to 63 characters and its value at most 255, none of them control characters",
            ));
        }
    }
    Ok(())
}

fn to_message(row: &AccessKeyRow) -> AccessKey {
    let name = row.name();
    AccessKey {
        etag: etag::of(&name, row.created_at, row.version),
        name: name.to_string(),
        display_name: row.display_name.clone(),
        value: String::new(),
        enabled: Some(row.disabled_at.is_none()),
        metadata: row.metadata.clone(),
        agent_limit: row.agent_limit.unsigned_abs(),
        agent_reservation: row.agent_reservation.unsigned_abs(),
        version: row.current_version.unsigned_abs(),
        fingerprint: row.fingerprint.clone(),
        create_time: Some(to_proto(row.created_at)),
        update_time: Some(to_proto(row.updated_at)),
        disable_time: row.disabled_at.map(to_proto),
    }
}
