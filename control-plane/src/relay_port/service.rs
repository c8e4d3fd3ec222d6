//! SessionService: opens sessions, and answers what one would be sent first.
use std::sync::Arc;

use ekiden_proto::relay::v1::{
    GetSettingsRequest, GetSettingsResponse, SessionRequest, SessionResponse,
    session_service_server::SessionService,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    enrollment::{peer, refusal},
    session,
};
use crate::{app::App, error::Error, pki::RelayIdentity, store::relays};

/// Messages to a relay that wait for it to read; what matters is the latest head, so few do.
const WAITING: usize = 4;

pub(super) struct Sessions {
    app: Arc<App>,
}

impl Sessions {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }

    fn relay<T>(&self, request: &Request<T>) -> Result<RelayIdentity, Error> {
        RelayIdentity::of(request, self.app.authorities.trust_domain(), self.app.clock.now())
    }
}

#[tonic::async_trait]
impl SessionService for Sessions {
    type SessionStream = ReceiverStream<Result<SessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let identity = self.relay(&request)?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let app = Arc::clone(&self.app);
        let peer = peer(&request);
        self.app.tracker.spawn(session::hold(app, identity, peer, request.into_inner(), sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get_settings(
        &self,
        request: Request<GetSettingsRequest>,
    ) -> Result<Response<GetSettingsResponse>, Status> {
        let identity = self.relay(&request)?;
        let fleet = identity.fleet();
        let mut db = self.app.pool.begin(&identity.scope()).await.map_err(Error::from)?;
        let known = relays::is_known(&mut db, &fleet, identity.id, &identity.serial);
        if !known.await.map_err(Error::from)? {
            return Err(refusal(&mut db, identity.id).await?.into());
        }
        drop(db);
        let head = self.app.heads.follow(&self.app.pool, &fleet).await.map_err(Error::from)?;
        let head = head.borrow().clone().ok_or_else(|| Error::not_found(&fleet))?;
        Ok(Response::new(GetSettingsResponse {
            snapshot: Some(head.snapshot.clone()),
            secret_version: head.secret_version,
        }))
    }
}
