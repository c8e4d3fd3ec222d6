//! CollectorService.
use std::sync::Arc;

use ekiden_proto::{
    admin::v1::{
        Collector, CreateCollectorRequest, CreateCollectorResponse, DeleteCollectorRequest,
        DeleteCollectorResponse, GetCollectorRequest, GetCollectorResponse,
        ListCollectorPresetsRequest, ListCollectorPresetsResponse, ListCollectorsRequest,
        ListCollectorsResponse, UpdateCollectorRequest, UpdateCollectorResponse,
        collector_service_server::CollectorService,
    },
    settings::v1 as settings,
};
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
    names::{AccessKeyName, CollectorName, TenantName, check_id},
    presets,
    settings::spec,
    store::{
        access_keys,
        collectors::{self, CollectorRow},
        fleets, heads, tenants,
    },
    timestamps::to_proto,
};

const FIELDS: &[Field<Collector>] = fields!(Collector:
    display_name,
    protocol,
    endpoints,
    tls, tls.server_name, tls.ca_certificates_pem, tls.insecure_skip_verify,
    key_placement, key_placement.access_key, key_placement.header, key_placement.prefix,
    connect_timeout,
);

pub(super) struct Collectors {
    app: Arc<App>,
}

impl Collectors {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl CollectorService for Collectors {
    async fn create_collector(
        &self,
        request: Request<CreateCollectorRequest>,
    ) -> Result<Response<CreateCollectorResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = TenantName::parse("parent", &call.request.parent)?;
        let scope = call.may_change(&parent.tenant)?;
        check_id("collector_id", &call.request.collector_id)?;
        let mut given = required("collector", &call.request.collector)?.clone();
        presets::fill(&mut given)?;
        let row = CollectorRow {
            tenant_id: parent.tenant.clone(),
            collector_id: call.request.collector_id.clone(),
            display_name: given.display_name.clone(),
            preset: given.preset.clone(),
            spec: checked(&parent.tenant, &given)?,
            access_key_id: access_key(&given)?,
            version: 1,
            created_at: call.now,
            updated_at: call.now,
        };

        let changed = call.change(&scope, |db| Box::pin(create(db, &call, &row)));
        Ok(changed.await?.into_response())
    }

    async fn get_collector(
        &self,
        request: Request<GetCollectorRequest>,
    ) -> Result<Response<GetCollectorResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = CollectorName::parse("name", &call.request.name)?;
        let scope = call.may_read(&name.tenant)?;

        let row = collectors::get(&mut *call.read(&scope).await?, &name).await?;
        Ok(Response::new(GetCollectorResponse { collector: Some(to_message(&row)) }))
    }

    async fn list_collectors(
        &self,
        request: Request<ListCollectorsRequest>,
    ) -> Result<Response<ListCollectorsResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = TenantName::parse_wildcard("parent", &call.request.parent)?;
        let scope = call.visible(&parent.tenant)?;
        let page = call.page::<(String, String)>()?;

        let mut db = call.read(&scope).await?;
        if let Some(tenant) = scope.tenant() {
            tenants::must_exist(&mut db, tenant).await?;
        }
        let rows =
            collectors::list(&mut db, scope.tenant(), page.after.as_ref(), page.limit()).await?;
        let (rows, next_page_token) =
            call.cut(&page, rows, |row| (row.tenant_id.clone(), row.collector_id.clone()))?;
        let collectors = rows.iter().map(to_message).collect();
        Ok(Response::new(ListCollectorsResponse { collectors, next_page_token }))
    }

    async fn update_collector(
        &self,
        request: Request<UpdateCollectorRequest>,
    ) -> Result<Response<UpdateCollectorResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let given = required("collector", &call.request.collector)?;
        let name = CollectorName::parse("collector.name", &given.name)?;
        let scope = call.may_change(&name.tenant)?;
        let mask = Mask::read(FIELDS, call.request.update_mask.as_ref(), given)?;

        let changed = call.change(&scope, |db| Box::pin(update(db, &call, &name, given, &mask)));
        Ok(changed.await?.into_response())
    }

    async fn delete_collector(
        &self,
        request: Request<DeleteCollectorRequest>,
    ) -> Result<Response<DeleteCollectorResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = CollectorName::parse("name", &call.request.name)?;
        let scope = call.may_change(&name.tenant)?;

        let changed = call.change(&scope, |db| Box::pin(delete(db, &call, &name)));
        Ok(changed.await?.into_response())
    }

    async fn list_collector_presets(
        &self,
        request: Request<ListCollectorPresetsRequest>,
    ) -> Result<Response<ListCollectorPresetsResponse>, Status> {
        Call::open(&self.app, request)?;
        Ok(Response::new(ListCollectorPresetsResponse { presets: presets::all() }))
    }
}

async fn create(
    db: &mut PgConnection,
    call: &Call<CreateCollectorRequest>,
    row: &CollectorRow,
) -> Result<CreateCollectorResponse, Error> {
    tenants::lock(db, &row.tenant_id).await?;
    access_key_must_exist(db, row).await?;
    let name = row.name();
    if !collectors::insert(db, row).await? {
        return Err(Error::AlreadyExists { resource: name.to_string() });
    }
    let message = to_message(row);
    call.record(db, Some(&name.tenant), &name, &populated(FIELDS, &message)).await?;
    Ok(CreateCollectorResponse { collector: Some(message) })
}

async fn update(
    db: &mut PgConnection,
    call: &Call<UpdateCollectorRequest>,
    name: &CollectorName,
    given: &Collector,
    mask: &Mask<Collector>,
) -> Result<UpdateCollectorResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let mut row = collectors::get(db, name).await?;
    let before = to_message(&row);
    etag::check(&given.etag, &before.etag, name)?;
    if !given.preset.is_empty() && given.preset != row.preset {
        return Err(Error::invalid(
            "collector.preset",
            "it counts at creation only and cannot be changed",
        ));
    }
    let mut after = before.clone();
    mask.apply(given, &mut after);
    let changed = mask.changed(&before, &after);
    if !changed.is_empty() {
        let key_before = row.access_key_id.take();
        row.spec = checked(&name.tenant, &after)?;
        row.access_key_id = access_key(&after)?;
        row.display_name = after.display_name;
        row.version += 1;
        row.updated_at = call.now;
        access_key_must_exist(db, &row).await?;
        collectors::update(db, &row).await?;
        for fleet in fleets::using(db, name).await? {
            recompile(db, call, &fleet).await?;
            if row.access_key_id != key_before {
                let (traceparent, _) = propagation::current_traceparent();
                heads::bump_fleet_secrets(db, &fleet.name(), &traceparent, call.now).await?;
            }
        }
    }
    call.record(db, Some(&name.tenant), name, &changed).await?;
    Ok(UpdateCollectorResponse { collector: Some(to_message(&row)) })
}

async fn delete(
    db: &mut PgConnection,
    call: &Call<DeleteCollectorRequest>,
    name: &CollectorName,
) -> Result<DeleteCollectorResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let row = collectors::get(db, name).await?;
    etag::check(&call.request.etag, &to_message(&row).etag, name)?;
    if let Some(fleet) = fleets::using(db, name).await?.first() {
        return Err(Error::Precondition {
            reason: "COLLECTOR_IN_USE",
            subject: name.to_string(),
            description: format!("a listener of {} names {name}: change that first", fleet.name()),
        });
    }
    collectors::delete(db, name).await?;
    call.record(db, Some(&name.tenant), name, &[]).await?;
    Ok(DeleteCollectorResponse {})
}

/// What relays get of a collector, checked.
fn checked(tenant: &str, given: &Collector) -> Result<settings::Collector, Error> {
    display_name("collector.display_name", &given.display_name)?;
    spec::of_collector(tenant, given).map_err(Error::Invalid)
}

/// Id of the access key that a collector takes.
fn access_key(given: &Collector) -> Result<Option<String>, Error> {
    let Some(placement) = &given.key_placement else { return Ok(None) };
    let name = AccessKeyName::parse("collector.key_placement.access_key", &placement.access_key)?;
    Ok(Some(name.access_key))
}

async fn access_key_must_exist(db: &mut PgConnection, row: &CollectorRow) -> Result<(), Error> {
    let Some(access_key) = row.access_key_id.clone() else { return Ok(()) };
    let name = AccessKeyName { tenant: row.tenant_id.clone(), access_key };
    match access_keys::get(db, &name).await {
        Ok(_) => Ok(()),
        Err(Error::NotFound { .. }) => Err(Error::invalid(
            "collector.key_placement.access_key",
            format!("{name} does not exist: make it first"),
        )),
        Err(error) => Err(error),
    }
}

fn to_message(row: &CollectorRow) -> Collector {
    let name = row.name();
    Collector {
        etag: etag::of(&name, row.created_at, row.version),
        name: name.to_string(),
        display_name: row.display_name.clone(),
        preset: row.preset.clone(),
        protocol: row.spec.protocol,
        endpoints: row.spec.endpoints.clone(),
        tls: row.spec.tls.clone(),
        key_placement: row.spec.key_placement.clone(),
        connect_timeout: row.spec.connect_timeout,
        create_time: Some(to_proto(row.created_at)),
        update_time: Some(to_proto(row.updated_at)),
    }
}
