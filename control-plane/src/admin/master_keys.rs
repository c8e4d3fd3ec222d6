//! MasterKeyService. Secrets move by themselves: [`crate::vault::rewrapping`].
use std::{collections::BTreeMap, sync::Arc};

use ekiden_proto::admin::v1::{
    ListMasterKeysRequest, ListMasterKeysResponse, MasterKey,
    master_key_service_server::MasterKeyService,
};
use tonic::{Request, Response, Status};

use super::call::Call;
use crate::{
    app::App,
    error::Error,
    store::{replicas, sealed_values},
};

pub(super) struct MasterKeys {
    app: Arc<App>,
}

impl MasterKeys {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl MasterKeyService for MasterKeys {
    async fn list_master_keys(
        &self,
        request: Request<ListMasterKeysRequest>,
    ) -> Result<Response<ListMasterKeysResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let scope = call.operator_only()?;

        let mut db = call.read(&scope).await?;
        let counts = sealed_values::count(&mut db).await.map_err(Error::from)?;
        let held = replicas::master_keys(&mut db, call.now).await.map_err(Error::from)?;
        let mut keys = BTreeMap::<String, MasterKey>::new();
        let mut key = |id: &str, change: &dyn Fn(&mut MasterKey)| {
            let new = || MasterKey { id: id.to_owned(), ..MasterKey::default() };
            change(keys.entry(id.to_owned()).or_insert_with(new));
        };
        for row in &counts {
            key(&row.master_key_id, &|key| key.secrets = row.count.unsigned_abs());
        }
        for ids in &held {
            ids.iter().for_each(|id| key(id, &|key| key.holding_replicas += 1));
            ids.iter().take(1).for_each(|id| key(id, &|key| key.preferring_replicas += 1));
        }
        Ok(Response::new(ListMasterKeysResponse {
            master_keys: keys.into_values().collect(),
            replicas: u32::try_from(held.len()).unwrap_or(u32::MAX),
        }))
    }
}
