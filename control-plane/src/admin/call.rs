//! One call of an admin rpc: who makes it, when, in which trace, and the transaction it runs in.
use std::{fmt::Display, sync::Arc};

use ekiden_proto::admin::v1 as admin;
use ekiden_telemetry::propagation;
use futures_util::future::BoxFuture;
use prost::Message;
use prost_types::Timestamp;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use tonic::{Request, Response};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    app::App,
    audit_log::Event,
    caller::Caller,
    error::Error,
    idempotency::Idempotent,
    store::{
        scope::Scope,
        transaction::{self, Transaction},
    },
    timestamps::from_proto,
};

/// Longest life of a token.
const LONGEST_TOKEN_LIFE: Duration = Duration::days(366);

/// One call.
pub(crate) struct Call<M> {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
    pub(crate) request: M,
    pub(crate) now: OffsetDateTime,
}

/// What a change answers.
pub(crate) struct Changed<R> {
    pub(crate) response: R,
    /// Whether this call made the change: neither a repeat nor a rehearsal.
    pub(crate) fresh: bool,
}

/// A request for a change.
pub(crate) trait Change: Message {
    fn request_id(&self) -> &str;
    fn validate_only(&self) -> bool;
}

impl<M> Call<M> {
    /// Takes a request apart.
    pub(crate) fn open(app: &Arc<App>, request: Request<M>) -> Result<Self, Error> {
        let caller = Caller::from(&request)?;
        Span::current().set_attribute("actor", caller.actor.clone());
        Ok(Self {
            app: Arc::clone(app),
            caller,
            request: request.into_inner(),
            now: app.clock.now(),
        })
    }

    /// Names the tenant in the trace and lets through who may see it.
    pub(crate) fn may_read(&self, tenant: &str) -> Result<Scope, Error> {
        Span::current().set_attribute("tenant.id", tenant.to_owned());
        self.caller.may_read(tenant)?;
        Ok(Scope::Tenant(tenant.to_owned()))
    }

    /// Names the tenant in the trace and lets through who may change things within it.
    pub(crate) fn may_change(&self, tenant: &str) -> Result<Scope, Error> {
        Span::current().set_attribute("tenant.id", tenant.to_owned());
        self.caller.may_change(tenant)?;
        Ok(Scope::Tenant(tenant.to_owned()))
    }

    /// Lets through operators, who may see and change everything.
    pub(crate) fn operator_only(&self) -> Result<Scope, Error> {
        self.caller.operator_only()?;
        Ok(Scope::Provider)
    }

    /// Names the tenant in the trace and gives what to look at for a parent that may be `-`, which stands for all that the
    /// caller may see.
    pub(crate) fn visible(&self, tenant: &str) -> Result<Scope, Error> {
        Span::current().set_attribute("tenant.id", tenant.to_owned());
        Ok(self.caller.visible(tenant)?.map_or(Scope::Provider, Scope::Tenant))
    }

    /// A transaction to read in.
    pub(crate) async fn read(&self, scope: &Scope) -> Result<Transaction<'static>, Error> {
        Ok(self.app.pool.begin(scope).await?)
    }

    /// Records the call's audit event; `changed` are field paths, never values.
    pub(crate) async fn record(
        &self,
        db: &mut PgConnection,
        tenant: Option<&str>,
        resource: &(dyn Display + Sync),
        changed: &[String],
    ) -> Result<(), Error> {
        let event = Event {
            tenant,
            at: self.now,
            actor: &self.caller.actor,
            peer: &self.caller.peer,
            method: &self.caller.method,
            resource: &resource.to_string(),
            changed_fields: changed,
            trace_id: &propagation::trace_id(),
        };
        self.app.audit.record(db, event).await
    }

    /// Waits for the transaction's turn in a tenant's audit log before it is due: for changes that take
    /// away what a relay that enrolls refers to, which it locks after its own turn.
    pub(crate) async fn take_turn(&self, db: &mut PgConnection, tenant: &str) -> Result<(), Error> {
        self.app.audit.take_turn(db, Some(tenant)).await.map(drop)
    }
}

impl<M: Change> Call<M> {
    /// Makes a change of what `scope` sees in one transaction named after the method: all of it or nothing. A repeat under
    /// the same request id gets the earlier answer, and `validate_only` does everything but the commit.
    pub(crate) async fn change<'env, R: Message + Default>(
        &'env self,
        scope: &Scope,
        body: impl for<'t> Fn(&'t mut Transaction<'env>) -> BoxFuture<'t, Result<R, Error>> + Sync,
    ) -> Result<Changed<R>, Error> {
        let request = self.request.encode_to_vec();
        let id = Idempotent::read(self.request.request_id(), &request, &self.app.fingerprints)?;
        let id = id.as_ref().filter(|_| !self.request.validate_only());
        transaction::retry(&self.caller.method, || self.change_once(scope, id, &body)).await
    }

    async fn change_once<'env, R: Message + Default>(
        &'env self,
        scope: &Scope,
        id: Option<&Idempotent>,
        body: &(impl for<'t> Fn(&'t mut Transaction<'env>) -> BoxFuture<'t, Result<R, Error>> + Sync),
    ) -> Result<Changed<R>, Error> {
        let mut db: Transaction<'env> = self.app.pool.begin(scope).await?;
        if let Some(id) = id
            && let Some(answer) = id.claim(&mut db, &self.caller, self.now).await?
        {
            let response = R::decode(answer.as_slice()).map_err(|e| Error::Internal(e.into()))?;
            return Ok(Changed { response, fresh: false });
        }
        let response = body(&mut db).await?;
        if self.request.validate_only() {
            db.rollback().await?;
            return Ok(Changed { response, fresh: false });
        }
        if let Some(id) = id {
            id.keep(&mut db, &self.caller, &response.encode_to_vec()).await?;
        }
        db.commit().await?;
        Ok(Changed { response, fresh: true })
    }
}

impl<R> Changed<R> {
    /// The answer as it goes out.
    pub(crate) fn into_response(self) -> Response<R> {
        Response::new(self.response)
    }
}

/// The message that a call must carry.
pub(crate) fn required<'a, M>(field: &'static str, message: &'a Option<M>) -> Result<&'a M, Error> {
    message.as_ref().ok_or_else(|| Error::invalid(field, "it must be set"))
}

/// Checks a name for people.
pub(crate) fn display_name(field: &'static str, name: &str) -> Result<(), Error> {
    if name.chars().count() > 200 {
        return Err(Error::invalid(field, "it is longer than 200 characters"));
    }
    if name.contains(char::is_control) {
        return Err(Error::invalid(field, "it holds a control character"));
    }
    Ok(())
}

/// When a token ends: as asked for, else after its usual life.
pub(crate) fn expiry(
    field: &'static str,
    asked: Option<&Timestamp>,
    now: OffsetDateTime,
    usual: Duration,
) -> Result<OffsetDateTime, Error> {
    let Some(asked) = asked else { return Ok(now + usual) };
    let at = from_proto(field, asked)?;
    if at <= now {
        return Err(Error::invalid(field, "it has passed"));
    }
    if at > now + LONGEST_TOKEN_LIFE {
        return Err(Error::invalid(field, "it is more than 366 days ahead"));
    }
    Ok(at)
}

macro_rules! changes {
    ($($request:ident),+ $(,)?) => {$(
        impl Change for admin::$request {
            fn request_id(&self) -> &str {
                &self.request_id
            }

            fn validate_only(&self) -> bool {
                self.validate_only
            }
        }
    )+};
}

changes!(
    CreateTenantRequest,
    UpdateTenantRequest,
    DeleteTenantRequest,
    UndeleteTenantRequest,
    PurgeTenantRequest,
    CreateAccessKeyRequest,
    UpdateAccessKeyRequest,
    DeleteAccessKeyRequest,
    RotateAccessKeyRequest,
    CancelKeyRotationRequest,
    CreateCollectorRequest,
    UpdateCollectorRequest,
    DeleteCollectorRequest,
    CreateFleetRequest,
    UpdateFleetRequest,
    DeleteFleetRequest,
    CreateEnrollmentRuleRequest,
    DeleteEnrollmentRuleRequest,
    CreateEnrollmentTokenRequest,
    RevokeEnrollmentTokenRequest,
    RevokeRelayRequest,
    DrainRelayRequest,
    CreateApiTokenRequest,
    RevokeApiTokenRequest,
    RotateCertificateAuthorityRequest,
    RetireCertificateAuthorityRequest,
);
