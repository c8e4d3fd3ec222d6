//! TenantService.
use std::sync::Arc;

use ekiden_proto::admin::v1::{
    CreateTenantRequest, CreateTenantResponse, DeleteTenantRequest, DeleteTenantResponse,
    GetTenantRequest, GetTenantResponse, ListTenantsRequest, ListTenantsResponse,
    PurgeTenantRequest, PurgeTenantResponse, Tenant, UndeleteTenantRequest, UndeleteTenantResponse,
    UpdateTenantRequest, UpdateTenantResponse, tenant_service_server::TenantService,
};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};

use super::call::{Call, display_name, required};
use crate::{
    app::App,
    error::Error,
    etag,
    mask::{Field, Mask, fields, populated},
    names::{TenantName, check_id},
    store::tenants::{self, TenantRow},
    timestamps::to_proto,
};

const FIELDS: &[Field<Tenant>] = fields!(Tenant: display_name);

pub(super) struct Tenants {
    app: Arc<App>,
}

impl Tenants {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let scope = call.operator_only()?;
        check_id("tenant_id", &call.request.tenant_id)?;
        let given = call.request.tenant.clone().unwrap_or_default();
        display_name("tenant.display_name", &given.display_name)?;

        let changed = call.change(&scope, |db| Box::pin(create(db, &call, &given)));
        Ok(changed.await?.into_response())
    }

    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = TenantName::parse("name", &call.request.name)?;
        let scope = call.may_read(&name.tenant)?;

        let row = tenants::get(&mut *call.read(&scope).await?, &name.tenant).await?;
        Ok(Response::new(GetTenantResponse { tenant: Some(to_message(&row)) }))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let page = call.page::<String>()?;

        let scope = call.visible("-")?;
        let mut db = call.read(&scope).await?;
        let rows =
            tenants::list(&mut db, scope.tenant(), page.after.as_deref(), page.limit()).await?;
        let (rows, next_page_token) = call.cut(&page, rows, |row| row.tenant_id.clone())?;
        let tenants = rows.iter().map(to_message).collect();
        Ok(Response::new(ListTenantsResponse { tenants, next_page_token }))
    }

    async fn update_tenant(
        &self,
        request: Request<UpdateTenantRequest>,
    ) -> Result<Response<UpdateTenantResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let given = required("tenant", &call.request.tenant)?;
        let name = TenantName::parse("tenant.name", &given.name)?;
        call.may_read(&name.tenant)?;
        let scope = call.operator_only()?;
        let mask = Mask::read(FIELDS, call.request.update_mask.as_ref(), given)?;

        let changed = call.change(&scope, |db| Box::pin(update(db, &call, &name, given, &mask)));
        Ok(changed.await?.into_response())
    }

    async fn delete_tenant(
        &self,
        request: Request<DeleteTenantRequest>,
    ) -> Result<Response<DeleteTenantResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = TenantName::parse("name", &call.request.name)?;
        call.may_read(&name.tenant)?;
        let scope = call.operator_only()?;

        let changed = call.change(&scope, |db| Box::pin(delete(db, &call, &name)));
        Ok(changed.await?.into_response())
    }

    async fn undelete_tenant(
        &self,
        request: Request<UndeleteTenantRequest>,
    ) -> Result<Response<UndeleteTenantResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = TenantName::parse("name", &call.request.name)?;
        call.may_read(&name.tenant)?;
        let scope = call.operator_only()?;

        let changed = call.change(&scope, |db| Box::pin(undelete(db, &call, &name)));
        Ok(changed.await?.into_response())
    }

    async fn purge_tenant(
        &self,
        request: Request<PurgeTenantRequest>,
    ) -> Result<Response<PurgeTenantResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = TenantName::parse("name", &call.request.name)?;
        call.may_read(&name.tenant)?;
        let scope = call.operator_only()?;

        let changed = call.change(&scope, |db| Box::pin(purge(db, &call, &name)));
        Ok(changed.await?.into_response())
    }
}

async fn purge(
    db: &mut PgConnection,
    call: &Call<PurgeTenantRequest>,
    name: &TenantName,
) -> Result<PurgeTenantResponse, Error> {
    if tenants::lock_deleted(db, &name.tenant).await?.is_none() {
        tenants::must_exist(db, &name.tenant).await?;
        return Err(Error::Precondition {
            reason: "TENANT_NOT_DELETED",
            subject: name.to_string(),
            description: format!(
                "{name} is not deleted: delete it first, while it can be brought back"
            ),
        });
    }
    tenants::purge(db, &name.tenant).await?;
    call.record(db, Some(&name.tenant), name, &[]).await?;
    Ok(PurgeTenantResponse {})
}

async fn create(
    db: &mut PgConnection,
    call: &Call<CreateTenantRequest>,
    given: &Tenant,
) -> Result<CreateTenantResponse, Error> {
    let row = TenantRow {
        tenant_id: call.request.tenant_id.clone(),
        display_name: given.display_name.clone(),
        version: 1,
        created_at: call.now,
        updated_at: call.now,
        deleted_at: None,
    };
    let name = name(&row);
    if !tenants::insert(db, &row).await? {
        return Err(Error::AlreadyExists { resource: name.to_string() });
    }
    call.record(db, Some(&row.tenant_id), &name, &populated(FIELDS, given)).await?;
    Ok(CreateTenantResponse { tenant: Some(to_message(&row)) })
}

async fn update(
    db: &mut PgConnection,
    call: &Call<UpdateTenantRequest>,
    name: &TenantName,
    given: &Tenant,
    mask: &Mask<Tenant>,
) -> Result<UpdateTenantResponse, Error> {
    let mut row = tenants::lock(db, &name.tenant).await?;
    let before = to_message(&row);
    etag::check(&given.etag, &before.etag, name)?;
    let mut after = before.clone();
    mask.apply(given, &mut after);
    display_name("tenant.display_name", &after.display_name)?;
    let changed = mask.changed(&before, &after);
    if !changed.is_empty() {
        row.display_name = after.display_name;
        row.version += 1;
        row.updated_at = call.now;
        tenants::update(db, &row).await?;
    }
    call.record(db, Some(&name.tenant), name, &changed).await?;
    Ok(UpdateTenantResponse { tenant: Some(to_message(&row)) })
}

async fn delete(
    db: &mut PgConnection,
    call: &Call<DeleteTenantRequest>,
    name: &TenantName,
) -> Result<DeleteTenantResponse, Error> {
    let mut row = tenants::lock(db, &name.tenant).await?;
    etag::check(&call.request.etag, &to_message(&row).etag, name)?;
    if tenants::has_fleets(db, &name.tenant).await? {
        return Err(Error::Precondition {
            reason: "TENANT_HAS_FLEETS",
            subject: name.to_string(),
            description: format!("{name} has fleets: delete them first"),
        });
    }
    row.deleted_at = Some(call.now);
    row.version += 1;
    row.updated_at = call.now;
    tenants::update(db, &row).await?;
    call.record(db, Some(&name.tenant), name, &[]).await?;
    Ok(DeleteTenantResponse {})
}

async fn undelete(
    db: &mut PgConnection,
    call: &Call<UndeleteTenantRequest>,
    name: &TenantName,
) -> Result<UndeleteTenantResponse, Error> {
    let Some(mut row) = tenants::lock_deleted(db, &name.tenant).await? else {
        tenants::must_exist(db, &name.tenant).await?;
        return Err(Error::AlreadyExists { resource: name.to_string() });
    };
    row.deleted_at = None;
    row.version += 1;
    row.updated_at = call.now;
    tenants::update(db, &row).await?;
    call.record(db, Some(&name.tenant), name, &[]).await?;
    Ok(UndeleteTenantResponse { tenant: Some(to_message(&row)) })
}

fn name(row: &TenantRow) -> TenantName {
    TenantName { tenant: row.tenant_id.clone() }
}

fn to_message(row: &TenantRow) -> Tenant {
    let name = name(row);
    Tenant {
        etag: etag::of(&name, row.created_at, row.version),
        name: name.to_string(),
        display_name: row.display_name.clone(),
        create_time: Some(to_proto(row.created_at)),
        update_time: Some(to_proto(row.updated_at)),
        delete_time: row.deleted_at.map(to_proto),
    }
}
