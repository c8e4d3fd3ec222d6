//! CertificateAuthorityService. The steps of a rotation are [`crate::pki::rotation`]'s own.
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use ekiden_proto::admin::v1::{
    CertificateAuthority, CertificateAuthorityState, ListCertificateAuthoritiesRequest,
    ListCertificateAuthoritiesResponse, RetireCertificateAuthorityRequest,
    RetireCertificateAuthorityResponse, RotateCertificateAuthorityRequest,
    RotateCertificateAuthorityResponse,
    certificate_authority_service_server::CertificateAuthorityService,
};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::call::Call;
use crate::{
    app::App,
    error::Error,
    names::{CertificateAuthorityName, uuid_part},
    pki::rotation,
    store::certificate_authorities::{self, CertificateAuthorityRow},
    timestamps::to_proto,
};

/// Relays that an answer names.
const TOLD: i64 = 100;

pub(super) struct CertificateAuthorities {
    app: Arc<App>,
}

impl CertificateAuthorities {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl CertificateAuthorityService for CertificateAuthorities {
    async fn list_certificate_authorities(
        &self,
        request: Request<ListCertificateAuthoritiesRequest>,
    ) -> Result<Response<ListCertificateAuthoritiesResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let scope = call.operator_only()?;
        let page = call.page::<Uuid>()?;

        let mut db = call.read(&scope).await?;
        let all = certificate_authorities::all(&mut db).await.map_err(Error::from)?;
        let rows = all.iter().rev().filter(|row| {
            page.after.as_ref().is_none_or(|after| row.certificate_authority_id < *after)
        });
        let (rows, next_page_token) =
            call.cut(&page, rows.collect(), |row| row.certificate_authority_id)?;
        let mut certificate_authorities = Vec::with_capacity(rows.len());
        for row in rows {
            certificate_authorities.push(message(&self.app, &mut db, &all, row).await?);
        }
        Ok(Response::new(ListCertificateAuthoritiesResponse {
            certificate_authorities,
            next_page_token,
        }))
    }

    async fn rotate_certificate_authority(
        &self,
        request: Request<RotateCertificateAuthorityRequest>,
    ) -> Result<Response<RotateCertificateAuthorityResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let scope = call.operator_only()?;

        let changed = call.change(&scope, |db| Box::pin(rotate(db, &call)));
        Ok(changed.await?.into_response())
    }

    async fn retire_certificate_authority(
        &self,
        request: Request<RetireCertificateAuthorityRequest>,
    ) -> Result<Response<RetireCertificateAuthorityResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let scope = call.operator_only()?;
        let name = CertificateAuthorityName::parse("name", &call.request.name)?;
        let id = uuid_part(&call.request.name, &name.certificate_authority)?;

        let changed = call.change(&scope, |db| Box::pin(retire(db, &call, id)));
        Ok(changed.await?.into_response())
    }
}

async fn rotate(
    db: &mut PgConnection,
    call: &Call<RotateCertificateAuthorityRequest>,
) -> Result<RotateCertificateAuthorityResponse, Error> {
    let staged = rotation::stage(&call.app, db, call.now).await?;
    let name = rotation::name(staged.certificate_authority_id);
    call.record(db, None, &name, &[]).await?;
    let certificate_authority = Some(reread(call, db, &staged).await?);
    Ok(RotateCertificateAuthorityResponse { certificate_authority })
}

async fn retire(
    db: &mut PgConnection,
    call: &Call<RetireCertificateAuthorityRequest>,
    id: Uuid,
) -> Result<RetireCertificateAuthorityResponse, Error> {
    let retired = rotation::retire(db, id, call.now).await?;
    call.record(db, None, &rotation::name(id), &["state".to_owned()]).await?;
    let certificate_authority = Some(reread(call, db, &retired).await?);
    Ok(RetireCertificateAuthorityResponse { certificate_authority })
}

async fn reread<M>(
    call: &Call<M>,
    db: &mut PgConnection,
    row: &CertificateAuthorityRow,
) -> Result<CertificateAuthority, Error> {
    let all = certificate_authorities::all(db).await?;
    message(&call.app, db, &all, row).await
}

async fn message(
    app: &App,
    db: &mut PgConnection,
    all: &[CertificateAuthorityRow],
    row: &CertificateAuthorityRow,
) -> Result<CertificateAuthority, Error> {
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    let waits = rotation::waits(app, db, all, row).await?;
    let state = state(&row.state);
    let waiting_relays = match state {
        CertificateAuthorityState::Retiring => {
            let held = rotation::held(app, row.certificate_authority_id, app.clock.now());
            certificate_authorities::holders(db, held, TOLD).await?
        }
        _ => Vec::new(),
    };
    Ok(CertificateAuthority {
        name: rotation::name(row.certificate_authority_id),
        state: state.into(),
        state_time: Some(to_proto(row.state_at)),
        fingerprint: fingerprint(&row.certificate),
        certificate: row.certificate.clone(),
        create_time: Some(to_proto(row.created_at)),
        expire_time: Some(to_proto(row.not_after)),
        relays: count(waits.relays),
        waiting_relays,
        waiting_replicas: count(waits.replicas),
    })
}

fn fingerprint(certificate: &[u8]) -> String {
    digest(&SHA256, certificate).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn state(name: &str) -> CertificateAuthorityState {
    match name {
        "staged" => CertificateAuthorityState::Staged,
        "issuing" => CertificateAuthorityState::Issuing,
        "retiring" => CertificateAuthorityState::Retiring,
        "retired" => CertificateAuthorityState::Retired,
        _ => CertificateAuthorityState::Unspecified,
    }
}
