//! FleetService.
use std::{collections::BTreeSet, sync::Arc};

use ekiden_proto::{
    admin::v1::{
        CreateFleetRequest, CreateFleetResponse, DeleteFleetRequest, DeleteFleetResponse, Fleet,
        GetFleetRequest, GetFleetResponse, ListFleetsRequest, ListFleetsResponse,
        UpdateFleetRequest, UpdateFleetResponse, fleet_service_server::FleetService,
    },
    settings::v1::{Collector, Settings},
};
use ekiden_settings::check_routes;
use ekiden_telemetry::propagation;
use sqlx::PgConnection;
use tonic::{Request, Response, Status};

use super::{
    call::{Call, display_name, required},
    recompile::recompile,
};
use crate::{
    app::App,
    error::Error,
    etag,
    mask::{Field, Mask, fields, populated},
    names::{CollectorName, FleetName, TenantName, check_id},
    settings::spec,
    store::{
        collectors,
        fleets::{self, FleetRow},
        heads, tenants,
    },
    timestamps::to_proto,
};

const FIELDS: &[Field<Fleet>] = fields!(Fleet:
    display_name,
    listeners,
    discovery, discovery.cloud_map,
    limits, limits.max_connections, limits.max_request_bytes, limits.max_in_flight_bytes,
);

pub(super) struct Fleets {
    app: Arc<App>,
}

impl Fleets {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl FleetService for Fleets {
    async fn create_fleet(
        &self,
        request: Request<CreateFleetRequest>,
    ) -> Result<Response<CreateFleetResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = TenantName::parse("parent", &call.request.parent)?;
        let scope = call.may_change(&parent.tenant)?;
        check_id("fleet_id", &call.request.fleet_id)?;
        let given = call.request.fleet.clone().unwrap_or_default();
        let row = FleetRow {
            tenant_id: parent.tenant.clone(),
            fleet_id: call.request.fleet_id.clone(),
            display_name: given.display_name.clone(),
            spec: checked(&parent.tenant, &given)?,
            revision: 0,
            secret_version: 0,
            version: 1,
            created_at: call.now,
            updated_at: call.now,
        };

        let changed = call.change(&scope, |db| Box::pin(create(db, &call, &row)));
        Ok(changed.await?.into_response())
    }

    async fn get_fleet(
        &self,
        request: Request<GetFleetRequest>,
    ) -> Result<Response<GetFleetResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = FleetName::parse("name", &call.request.name)?;
        let scope = call.may_read(&name.tenant)?;

        let row = fleets::get(&mut *call.read(&scope).await?, &name).await?;
        Ok(Response::new(GetFleetResponse { fleet: Some(to_message(&row)) }))
    }

    async fn list_fleets(
        &self,
        request: Request<ListFleetsRequest>,
    ) -> Result<Response<ListFleetsResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = TenantName::parse_wildcard("parent", &call.request.parent)?;
        let scope = call.visible(&parent.tenant)?;
        let page = call.page::<(String, String)>()?;

        let mut db = call.read(&scope).await?;
        if let Some(tenant) = scope.tenant() {
            tenants::must_exist(&mut db, tenant).await?;
        }
        let rows = fleets::list(&mut db, scope.tenant(), page.after.as_ref(), page.limit()).await?;
        let (rows, next_page_token) =
            call.cut(&page, rows, |row| (row.tenant_id.clone(), row.fleet_id.clone()))?;
        let fleets = rows.iter().map(to_message).collect();
        Ok(Response::new(ListFleetsResponse { fleets, next_page_token }))
    }

    async fn update_fleet(
        &self,
        request: Request<UpdateFleetRequest>,
    ) -> Result<Response<UpdateFleetResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let given = required("fleet", &call.request.fleet)?;
        let name = FleetName::parse("fleet.name", &given.name)?;
        let scope = call.may_change(&name.tenant)?;
        let mask = Mask::read(FIELDS, call.request.update_mask.as_ref(), given)?;

        let changed = call.change(&scope, |db| Box::pin(update(db, &call, &name, given, &mask)));
        Ok(changed.await?.into_response())
    }

    async fn delete_fleet(
        &self,
        request: Request<DeleteFleetRequest>,
    ) -> Result<Response<DeleteFleetResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = FleetName::parse("name", &call.request.name)?;
        let scope = call.may_change(&name.tenant)?;

        let changed = call.change(&scope, |db| Box::pin(delete(db, &call, &name)));
        Ok(changed.await?.into_response())
    }
}

async fn create(
    db: &mut PgConnection,
    call: &Call<CreateFleetRequest>,
    row: &FleetRow,
) -> Result<CreateFleetResponse, Error> {
    tenants::lock(db, &row.tenant_id).await?;
    let name = row.name();
    if !fleets::insert(db, row).await? {
        return Err(Error::AlreadyExists { resource: name.to_string() });
    }
    set_collectors(db, row).await?;
    recompile(db, call, row).await?;
    let message = to_message(&fleets::get(db, &name).await?);
    call.record(db, Some(&name.tenant), &name, &populated(FIELDS, &message)).await?;
    Ok(CreateFleetResponse { fleet: Some(message) })
}

async fn update(
    db: &mut PgConnection,
    call: &Call<UpdateFleetRequest>,
    name: &FleetName,
    given: &Fleet,
    mask: &Mask<Fleet>,
) -> Result<UpdateFleetResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let mut row = fleets::get(db, name).await?;
    let before = to_message(&row);
    etag::check(&given.etag, &before.etag, name)?;
    let mut after = before.clone();
    mask.apply(given, &mut after);
    let changed = mask.changed(&before, &after);
    if !changed.is_empty() {
        row.spec = checked(&name.tenant, &after)?;
        row.display_name = after.display_name;
        row.version += 1;
        row.updated_at = call.now;
        fleets::update(db, &row).await?;
        let keys_before = fleets::access_keys(db, name).await?;
        set_collectors(db, &row).await?;
        recompile(db, call, &row).await?;
        if fleets::access_keys(db, name).await? != keys_before {
            let (traceparent, _) = propagation::current_traceparent();
            heads::bump_fleet_secrets(db, name, &traceparent, call.now).await?;
        }
        row = fleets::get(db, name).await?;
    }
    call.record(db, Some(&name.tenant), name, &changed).await?;
    Ok(UpdateFleetResponse { fleet: Some(to_message(&row)) })
}

async fn delete(
    db: &mut PgConnection,
    call: &Call<DeleteFleetRequest>,
    name: &FleetName,
) -> Result<DeleteFleetResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let row = fleets::get(db, name).await?;
    etag::check(&call.request.etag, &to_message(&row).etag, name)?;
    let connected = fleets::connected_relays(db, name, call.now).await?;
    if connected > 0 {
        return Err(Error::Precondition {
            reason: "FLEET_HAS_RELAYS",
            subject: name.to_string(),
            description: format!("{connected} relays of {name} are connected: stop them first"),
        });
    }
    call.take_turn(db, &name.tenant).await?;
    fleets::delete(db, name).await?;
    heads::notify(db, name).await?;
    call.record(db, Some(&name.tenant), name, &[]).await?;
    Ok(DeleteFleetResponse {})
}

/// What a fleet itself says of its settings, checked.
fn checked(tenant: &str, given: &Fleet) -> Result<Settings, Error> {
    display_name("fleet.display_name", &given.display_name)?;
    spec::of_fleet(tenant, given).map_err(Error::Invalid)
}

/// Keeps which collectors the listeners name, once each exists and speaks what its listeners need.
async fn set_collectors(db: &mut PgConnection, row: &FleetRow) -> Result<(), Error> {
    let named: Result<BTreeSet<_>, Error> = row
        .spec
        .listeners
        .iter()
        .map(|l| Ok(CollectorName::parse("fleet.listeners", &l.collector)?.collector))
        .collect();
    let named: Vec<_> = named?.into_iter().collect();
    let found = collectors::with_ids(db, &row.tenant_id, &named).await?;
    let found: Vec<_> =
        found.into_iter().map(|c| Collector { name: c.name().to_string(), ..c.spec }).collect();
    let violations = check_routes("fleet", &row.spec.listeners, &found);
    if !violations.is_empty() {
        return Err(Error::Invalid(violations));
    }
    fleets::set_collectors(db, &row.name(), &named).await
}

fn to_message(row: &FleetRow) -> Fleet {
    let name = row.name();
    Fleet {
        etag: etag::of(&name, row.created_at, row.version),
        name: name.to_string(),
        display_name: row.display_name.clone(),
        listeners: row.spec.listeners.clone(),
        discovery: row.spec.discovery.clone(),
        limits: row.spec.limits,
        desired_revision: row.revision.unsigned_abs(),
        secret_version: row.secret_version.unsigned_abs(),
        create_time: Some(to_proto(row.created_at)),
        update_time: Some(to_proto(row.updated_at)),
    }
}
