//! ApiTokenService. A token's text leaves in the answer that makes it and is kept nowhere.
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use ekiden_proto::admin::v1::{
    self as admin, ApiToken, CreateApiTokenRequest, CreateApiTokenResponse, GetApiTokenRequest,
    GetApiTokenResponse, ListApiTokensRequest, ListApiTokensResponse, RevokeApiTokenRequest,
    RevokeApiTokenResponse, api_token_service_server::ApiTokenService,
};
use secrecy::ExposeSecret;
use sqlx::PgConnection;
use time::Duration;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::call::{Call, display_name, expiry, required};
use crate::{
    app::App,
    caller::{Authenticator, Role, actor},
    error::Error,
    mask::{Field, fields, populated},
    names::{ApiTokenName, TenantName, uuid_part},
    store::{
        api_tokens::{self, ApiTokenRow},
        tenants,
    },
    timestamps::to_proto,
    tokens::{self, Kind, Minted},
};

const FIELDS: &[Field<ApiToken>] = fields!(ApiToken: display_name, role, tenant, expire_time);
/// Life of a token for which none was asked.
const USUAL_LIFE: Duration = Duration::days(90);

pub(super) struct ApiTokens {
    app: Arc<App>,
    authenticator: Arc<Authenticator>,
}

impl ApiTokens {
    pub(super) fn new(app: &Arc<App>, authenticator: &Arc<Authenticator>) -> Self {
        Self { app: Arc::clone(app), authenticator: Arc::clone(authenticator) }
    }
}

#[tonic::async_trait]
impl ApiTokenService for ApiTokens {
    async fn create_api_token(
        &self,
        request: Request<CreateApiTokenRequest>,
    ) -> Result<Response<CreateApiTokenResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let scope = call.operator_only()?;
        let given = required("api_token", &call.request.api_token)?;
        display_name("api_token.display_name", &given.display_name)?;
        let (role, tenant_id) = reach(given)?;
        let row = ApiTokenRow {
            api_token_id: Uuid::now_v7(),
            tenant_id,
            role: role.as_str().to_owned(),
            display_name: given.display_name.clone(),
            created_at: call.now,
            expires_at: expiry(
                "api_token.expire_time",
                given.expire_time.as_ref(),
                call.now,
                USUAL_LIFE,
            )?,
            revoked_at: None,
            last_used_at: None,
        };
        let minted = tokens::mint(Kind::Api, row.api_token_id, &SystemRandom::new())?;

        let changed = call.change(&scope, |db| Box::pin(create(db, &call, &row, &minted)));
        let mut changed = changed.await?;
        if changed.fresh {
            changed.response.text = minted.text.expose_secret().to_owned();
        }
        Ok(changed.into_response())
    }

    async fn get_api_token(
        &self,
        request: Request<GetApiTokenRequest>,
    ) -> Result<Response<GetApiTokenResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let scope = call.operator_only()?;
        let name = ApiTokenName::parse("name", &call.request.name)?;

        let row = get(&mut *call.read(&scope).await?, &name).await?;
        Ok(Response::new(GetApiTokenResponse { api_token: Some(to_message(&row)) }))
    }

    async fn list_api_tokens(
        &self,
        request: Request<ListApiTokensRequest>,
    ) -> Result<Response<ListApiTokensResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let scope = call.operator_only()?;
        let page = call.page::<Uuid>()?;

        let mut db = call.read(&scope).await?;
        let rows = api_tokens::list(&mut db, page.after, page.limit()).await?;
        let (rows, next_page_token) = call.cut(&page, rows, |row| row.api_token_id)?;
        let api_tokens = rows.iter().map(to_message).collect();
        Ok(Response::new(ListApiTokensResponse { api_tokens, next_page_token }))
    }

    async fn revoke_api_token(
        &self,
        request: Request<RevokeApiTokenRequest>,
    ) -> Result<Response<RevokeApiTokenResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let scope = call.operator_only()?;
        let name = ApiTokenName::parse("name", &call.request.name)?;
        let id = uuid_part(&call.request.name, &name.api_token)?;

        let changed = call.change(&scope, |db| Box::pin(revoke(db, &call, &name)));
        let changed = changed.await?;
        self.authenticator.forget(id);
        Ok(changed.into_response())
    }
}

async fn create(
    db: &mut PgConnection,
    call: &Call<CreateApiTokenRequest>,
    row: &ApiTokenRow,
    minted: &Minted,
) -> Result<CreateApiTokenResponse, Error> {
    if let Some(tenant) = &row.tenant_id {
        tenants::lock(db, tenant).await.map_err(|error| match error {
            Error::NotFound { resource } => {
                Error::invalid("api_token.tenant", format!("{resource} does not exist"))
            }
            error => error,
        })?;
    }
    api_tokens::insert(db, row, &minted.secret_hash).await?;
    let message = to_message(row);
    let name = actor(row.api_token_id);
    call.record(db, row.tenant_id.as_deref(), &name, &populated(FIELDS, &message)).await?;
    Ok(CreateApiTokenResponse { api_token: Some(message), text: String::new() })
}

async fn revoke(
    db: &mut PgConnection,
    call: &Call<RevokeApiTokenRequest>,
    name: &ApiTokenName,
) -> Result<RevokeApiTokenResponse, Error> {
    let row = get(db, name).await?;
    let ended = api_tokens::revoke(db, row.api_token_id, call.now).await?;
    let changed = if ended { vec!["revoke_time".to_owned()] } else { Vec::new() };
    call.record(db, row.tenant_id.as_deref(), &actor(row.api_token_id), &changed).await?;
    let row = get(db, name).await?;
    Ok(RevokeApiTokenResponse { api_token: Some(to_message(&row)) })
}

async fn get(db: &mut PgConnection, name: &ApiTokenName) -> Result<ApiTokenRow, Error> {
    let text = name.to_string();
    let id = uuid_part(&text, &name.api_token)?;
    api_tokens::find(db, id).await?.ok_or_else(|| Error::not_found(text))
}

/// What a token may do, and where.
fn reach(given: &ApiToken) -> Result<(Role, Option<String>), Error> {
    let tenant = match given.tenant.as_str() {
        "" => None,
        tenant => Some(TenantName::parse("api_token.tenant", tenant)?.tenant),
    };
    let role = match admin::Role::try_from(given.role) {
        Ok(admin::Role::Operator) => Role::Operator,
        Ok(admin::Role::TenantAdmin) => Role::TenantAdmin,
        Ok(admin::Role::Viewer) => Role::Viewer,
        Ok(admin::Role::Unspecified) | Err(_) => {
            return Err(Error::invalid(
                "api_token.role",
                "it must be ROLE_OPERATOR, ROLE_TENANT_ADMIN or ROLE_VIEWER",
            ));
        }
    };
    match (role, &tenant) {
        (Role::Operator, Some(_)) => Err(Error::invalid(
            "api_token.tenant",
            "it must be empty for ROLE_OPERATOR, which has all tenants",
        )),
        (Role::TenantAdmin, None) => {
            Err(Error::invalid("api_token.tenant", "it must be set for ROLE_TENANT_ADMIN"))
        }
        (Role::Operator, None) | (Role::TenantAdmin, Some(_)) | (Role::Viewer, _) => {
            Ok((role, tenant))
        }
    }
}

fn to_message(row: &ApiTokenRow) -> ApiToken {
    let role = match Role::parse(&row.role) {
        Some(Role::Operator) => admin::Role::Operator,
        Some(Role::TenantAdmin) => admin::Role::TenantAdmin,
        Some(Role::Viewer) => admin::Role::Viewer,
        None => admin::Role::Unspecified,
    };
    ApiToken {
        name: actor(row.api_token_id),
        display_name: row.display_name.clone(),
        role: role.into(),
        tenant: row.tenant_id.as_ref().map_or_else(String::new, |t| format!("tenants/{t}")),
        expire_time: Some(to_proto(row.expires_at)),
        create_time: Some(to_proto(row.created_at)),
        revoke_time: row.revoked_at.map(to_proto),
        last_use_time: row.last_used_at.map(to_proto),
    }
}
