//! AuditService.
use std::sync::Arc;

use ekiden_proto::admin::v1::{
    AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse, audit_service_server::AuditService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::call::Call;
use crate::{
    app::App,
    names::TenantName,
    store::{
        audit::{self, AuditEventRow},
        tenants,
    },
    timestamps::to_proto,
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
        let rows = match scope.tenant() {
            None => audit::list_all(&mut db, page.after, page.limit()).await?,
            Some(tenant) => {
                tenants::must_exist(&mut db, tenant).await?;
                audit::list(&mut db, tenant, page.after, page.limit()).await?
            }
        };
        let (rows, next_page_token) = call.cut(&page, rows, |row| row.audit_event_id)?;
        let audit_events = rows.into_iter().map(to_message).collect();
        Ok(Response::new(ListAuditEventsResponse { audit_events, next_page_token }))
    }
}

fn to_message(row: AuditEventRow) -> AuditEvent {
    let id = row.audit_event_id;
    AuditEvent {
        name: match row.tenant_id {
            Some(tenant) => format!("tenants/{tenant}/auditEvents/{id}"),
            None => format!("auditEvents/{id}"),
        },
        create_time: Some(to_proto(row.created_at)),
        actor: row.actor,
        peer: row.peer,
        method: row.method,
        resource: row.resource,
        changed_fields: row.changed_fields,
        trace_id: row.trace_id,
    }
}
