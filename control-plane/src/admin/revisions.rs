//! RevisionService.
use std::sync::Arc;

use ekiden_proto::{
    admin::v1::{
        GetRevisionRequest, GetRevisionResponse, ListRevisionsRequest, ListRevisionsResponse,
        Revision, revision_service_server::RevisionService,
    },
    settings::v1::Settings,
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::call::Call;
use crate::{
    app::App,
    error::Error,
    names::{FleetName, RevisionName},
    store::{
        fleets,
        revisions::{self, RevisionRow},
    },
    timestamps::to_proto,
};

pub(super) struct Revisions {
    app: Arc<App>,
}

impl Revisions {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl RevisionService for Revisions {
    async fn get_revision(
        &self,
        request: Request<GetRevisionRequest>,
    ) -> Result<Response<GetRevisionResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = RevisionName::parse("name", &call.request.name)?;
        let scope = call.may_read(&name.tenant)?;
        let not_found = || Error::not_found(&name);
        // What is no number in its shortest form names no revision.
        let number: i64 = name.revision.parse().map_err(|_| not_found())?;
        if number.to_string() != name.revision {
            return Err(not_found().into());
        }

        let fleet = FleetName { tenant: name.tenant.clone(), fleet: name.fleet.clone() };
        let found = revisions::find(&mut *call.read(&scope).await?, &fleet, number).await?;
        let (row, settings) = found.ok_or_else(not_found)?;
        let settings =
            Settings::decode(settings.as_slice()).map_err(|e| Error::Internal(e.into()))?;
        let revision = Revision { settings: Some(settings), ..to_message(&fleet, &row) };
        Ok(Response::new(GetRevisionResponse { revision: Some(revision) }))
    }

    async fn list_revisions(
        &self,
        request: Request<ListRevisionsRequest>,
    ) -> Result<Response<ListRevisionsResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let fleet = FleetName::parse("parent", &call.request.parent)?;
        let scope = call.may_read(&fleet.tenant)?;
        let page = call.page::<i64>()?;

        let mut db = call.read(&scope).await?;
        fleets::get(&mut db, &fleet).await?;
        let rows = revisions::list(&mut db, &fleet, page.after, page.limit()).await?;
        let (rows, next_page_token) = call.cut(&page, rows, |row| row.revision)?;
        let revisions = rows.iter().map(|row| to_message(&fleet, row)).collect();
        Ok(Response::new(ListRevisionsResponse { revisions, next_page_token }))
    }
}

fn to_message(fleet: &FleetName, row: &RevisionRow) -> Revision {
    Revision {
        name: format!("{fleet}/revisions/{}", row.revision),
        revision: row.revision.unsigned_abs(),
        hash: row.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        settings: None,
        actor: row.actor.clone(),
        trace_id: trace_id(&row.traceparent).to_owned(),
        create_time: Some(to_proto(row.created_at)),
    }
}

/// The trace id in a traceparent, `00-{trace id}-{span id}-{flags}` (W3C Trace Context); empty when there is none.
fn trace_id(traceparent: &str) -> &str {
    traceparent.split('-').nth(1).unwrap_or_default()
}
