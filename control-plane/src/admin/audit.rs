//! AuditService.
use std::sync::Arc;

use ekiden_proto::admin::v1::{
    ListAuditEventsRequest, ListAuditEventsResponse, ListAuditHeadsRequest, ListAuditHeadsResponse,
    audit_service_server::AuditService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::call::Call;
use crate::{
    app::App,
    audit_log::to_message,
    error::Error,
    names::TenantName,
    store::{audit, tenants},
};

pub(super) struct Audit {
    app: Arc<App>,
}

impl Audit {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = TenantName::parse_wildcard("parent", &call.request.parent)?;
        let scope = call.visible(&parent.tenant)?;
        let page = call.page::<Uuid>()?;

        let mut db = call.read(&scope).await?;
        if let Some(tenant) = scope.tenant() {
            tenants::must_exist(&mut db, tenant).await?;
        }
        let rows = audit::list(&mut db, scope.tenant(), page.after, page.limit())
            .await
            .map_err(Error::from)?;
        let (rows, next_page_token) = call.cut(&page, rows, |row| row.audit_event_id)?;
        let audit_events = rows.into_iter().map(to_message).collect();
        Ok(Response::new(ListAuditEventsResponse { audit_events, next_page_token }))
    }

    async fn list_audit_heads(
        &self,
        request: Request<ListAuditHeadsRequest>,
    ) -> Result<Response<ListAuditHeadsResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = TenantName::parse_wildcard("parent", &call.request.parent)?;
        let scope = call.visible(&parent.tenant)?;
        let page = call.page::<String>()?;

        let mut db = call.read(&scope).await?;
        if let Some(tenant) = scope.tenant() {
            tenants::must_exist(&mut db, tenant).await?;
        }
        let rows = audit::heads(&mut db, scope.tenant(), page.after.as_deref(), page.limit())
            .await
            .map_err(Error::from)?;
        let (rows, next_page_token) = call.cut(&page, rows, |row| row.tenant_id.clone())?;
        let audit_heads = rows.into_iter().map(|row| self.app.audit.head(row)).collect();
        Ok(Response::new(ListAuditHeadsResponse { audit_heads, next_page_token }))
    }
}
