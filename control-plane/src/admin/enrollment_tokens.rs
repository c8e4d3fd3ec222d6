//! EnrollmentTokenService. A token's text leaves in the answer that makes it and is kept nowhere.
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use ekiden_proto::admin::v1::{
    CreateEnrollmentTokenRequest, CreateEnrollmentTokenResponse, EnrollmentToken,
    GetEnrollmentTokenRequest, GetEnrollmentTokenResponse, ListEnrollmentTokensRequest,
    ListEnrollmentTokensResponse, RevokeEnrollmentTokenRequest, RevokeEnrollmentTokenResponse,
    enrollment_token_service_server::EnrollmentTokenService,
};
use secrecy::ExposeSecret;
use sqlx::PgConnection;
use time::Duration;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::call::{Call, display_name, expiry};
use crate::{
    app::App,
    error::Error,
    mask::{Field, fields, populated},
    names::{EnrollmentTokenName, FleetName, uuid_part},
    store::{
        enrollment_tokens::{self, EnrollmentTokenRow},
        fleets, relays, tenants,
    },
    timestamps::to_proto,
    tokens::{self, Kind, Minted},
};

const FIELDS: &[Field<EnrollmentToken>] =
    fields!(EnrollmentToken: display_name, max_uses, expire_time);
/// Most enrollments that one token may allow.
const MOST_USES: i32 = 1_000_000;
/// Life of a token for which none was asked.
const USUAL_LIFE: Duration = Duration::hours(1);

pub(super) struct EnrollmentTokens {
    app: Arc<App>,
}

impl EnrollmentTokens {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl EnrollmentTokenService for EnrollmentTokens {
    async fn create_enrollment_token(
        &self,
        request: Request<CreateEnrollmentTokenRequest>,
    ) -> Result<Response<CreateEnrollmentTokenResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let fleet = FleetName::parse("parent", &call.request.parent)?;
        let scope = call.may_change(&fleet.tenant)?;
        let given = call.request.enrollment_token.clone().unwrap_or_default();
        display_name("enrollment_token.display_name", &given.display_name)?;
        let row = EnrollmentTokenRow {
            enrollment_token_id: Uuid::now_v7(),
            tenant_id: fleet.tenant.clone(),
            fleet_id: fleet.fleet.clone(),
            display_name: given.display_name.clone(),
            max_uses: max_uses(given.max_uses)?,
            uses: 0,
            created_at: call.now,
            expires_at: expiry(
                "enrollment_token.expire_time",
                given.expire_time.as_ref(),
                call.now,
                USUAL_LIFE,
            )?,
            revoked_at: None,
        };
        let minted = tokens::mint(Kind::Enrollment, row.enrollment_token_id, &SystemRandom::new())?;

        let changed = call.change(&scope, |db| Box::pin(create(db, &call, &row, &given, &minted)));
        let mut changed = changed.await?;
        if changed.fresh {
            changed.response.text = minted.text.expose_secret().to_owned();
        }
        Ok(changed.into_response())
    }

    async fn get_enrollment_token(
        &self,
        request: Request<GetEnrollmentTokenRequest>,
    ) -> Result<Response<GetEnrollmentTokenResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = EnrollmentTokenName::parse("name", &call.request.name)?;
        let scope = call.may_read(&name.tenant)?;

        let row = get(&mut *call.read(&scope).await?, &name).await?;
        Ok(Response::new(GetEnrollmentTokenResponse { enrollment_token: Some(to_message(&row)) }))
    }

    async fn list_enrollment_tokens(
        &self,
        request: Request<ListEnrollmentTokensRequest>,
    ) -> Result<Response<ListEnrollmentTokensResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let fleet = FleetName::parse("parent", &call.request.parent)?;
        let scope = call.may_read(&fleet.tenant)?;
        let page = call.page::<Uuid>()?;

        let mut db = call.read(&scope).await?;
        fleets::get(&mut db, &fleet).await?;
        let rows = enrollment_tokens::list(&mut db, &fleet, page.after, page.limit()).await?;
        let (rows, next_page_token) = call.cut(&page, rows, |row| row.enrollment_token_id)?;
        let enrollment_tokens = rows.iter().map(to_message).collect();
        Ok(Response::new(ListEnrollmentTokensResponse { enrollment_tokens, next_page_token }))
    }

    async fn revoke_enrollment_token(
        &self,
        request: Request<RevokeEnrollmentTokenRequest>,
    ) -> Result<Response<RevokeEnrollmentTokenResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = EnrollmentTokenName::parse("name", &call.request.name)?;
        let scope = call.may_change(&name.tenant)?;

        let changed = call.change(&scope, |db| Box::pin(revoke(db, &call, &name)));
        Ok(changed.await?.into_response())
    }
}

async fn create(
    db: &mut PgConnection,
    call: &Call<CreateEnrollmentTokenRequest>,
    row: &EnrollmentTokenRow,
    given: &EnrollmentToken,
    minted: &Minted,
) -> Result<CreateEnrollmentTokenResponse, Error> {
    tenants::lock(db, &row.tenant_id).await?;
    let fleet = FleetName { tenant: row.tenant_id.clone(), fleet: row.fleet_id.clone() };
    fleets::get(db, &fleet).await?;
    enrollment_tokens::insert(db, row, &minted.secret_hash).await?;
    call.record(db, Some(&row.tenant_id), &row.name(), &populated(FIELDS, given)).await?;
    let enrollment_token = Some(to_message(row));
    Ok(CreateEnrollmentTokenResponse { enrollment_token, text: String::new() })
}

async fn revoke(
    db: &mut PgConnection,
    call: &Call<RevokeEnrollmentTokenRequest>,
    name: &EnrollmentTokenName,
) -> Result<RevokeEnrollmentTokenResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    let id = get(db, name).await?.enrollment_token_id;
    call.take_turn(db, &name.tenant).await?;
    let ended = enrollment_tokens::revoke(db, id, call.now).await?;
    let mut changed = if ended { vec!["revoke_time".to_owned()] } else { Vec::new() };
    let mut revoked_relays = 0;
    if call.request.revoke_relays {
        revoked_relays = relays::revoke_by_token(db, &name.tenant, id, call.now).await?;
        changed.push("relays.revoke_time".to_owned());
    }
    call.record(db, Some(&name.tenant), name, &changed).await?;
    let enrollment_token = Some(to_message(&get(db, name).await?));
    Ok(RevokeEnrollmentTokenResponse { enrollment_token, revoked_relays })
}

async fn get(
    db: &mut PgConnection,
    name: &EnrollmentTokenName,
) -> Result<EnrollmentTokenRow, Error> {
    let text = name.to_string();
    let id = uuid_part(&text, &name.enrollment_token)?;
    let fleet = FleetName { tenant: name.tenant.clone(), fleet: name.fleet.clone() };
    enrollment_tokens::find(db, &fleet, id).await?.ok_or_else(|| Error::not_found(text))
}

fn max_uses(given: u32) -> Result<i32, Error> {
    if given == 0 {
        return Ok(1);
    }
    i32::try_from(given).ok().filter(|uses| *uses <= MOST_USES).ok_or_else(|| {
        Error::invalid("enrollment_token.max_uses", "it must be at most 1,000,000; 0 means 1")
    })
}

fn to_message(row: &EnrollmentTokenRow) -> EnrollmentToken {
    EnrollmentToken {
        name: row.name().to_string(),
        display_name: row.display_name.clone(),
        max_uses: row.max_uses.unsigned_abs(),
        uses: row.uses.unsigned_abs(),
        expire_time: Some(to_proto(row.expires_at)),
        create_time: Some(to_proto(row.created_at)),
        revoke_time: row.revoked_at.map(to_proto),
    }
}
