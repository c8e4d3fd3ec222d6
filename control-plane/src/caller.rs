//! Who calls: from a bearer token to a [`Caller`], what a caller may do, and how fast.
use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, header::AUTHORIZATION};
use tonic::{Request, Status, body::Body, server::NamedService};
use tower::Service;
use uuid::Uuid;

use crate::{error::Error, serve::PeerAddress};

mod authenticator;
mod logins;
mod pace;
mod role_rules;

pub use authenticator::Authenticator;
pub use logins::{LoginSettings, Logins};
pub use role_rules::RoleRules;

/// What a caller may do, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Everything, in all tenants.
    Operator,
    /// Everything within one tenant, but tenants and API tokens themselves.
    TenantAdmin,
    /// Reading.
    Viewer,
}

impl Role {
    /// As the database writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::TenantAdmin => "tenant-admin",
            Self::Viewer => "viewer",
        }
    }

    /// Reads what [`Role::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Operator, Self::TenantAdmin, Self::Viewer].into_iter().find(|r| r.as_str() == text)
    }
}

/// Who makes a call; in the extensions of every request to an admin service.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `apiTokens/{id}`, or `oidc/{host of the issuer}/{subject}`.
    pub actor: String,
    /// What it may do.
    pub role: Role,
    /// Tenant that its credential is bound to; none: all of them.
    pub tenant: Option<String>,
    /// Address it calls from.
    pub peer: String,
    /// Full method that it calls, e.g. `/ekiden.admin.v1.FleetService/UpdateFleet`.
    pub method: String,
}

impl Caller {
    /// The caller of a request.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when no credential was checked on the way here.
    pub fn from<T>(request: &Request<T>) -> Result<Self, Error> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or(Error::Unauthenticated { reason: "TOKEN_MISSING", description: MISSING })
    }

    /// Lets through who may see this tenant; `-` stands for all that the caller may see.
    ///
    /// # Errors
    /// [`Error::NotFound`]: another tenant does not exist for this caller.
    pub fn may_read(&self, tenant: &str) -> Result<(), Error> {
        match &self.tenant {
            Some(own) if own != tenant && tenant != "-" => {
                Err(Error::not_found(format!("tenants/{tenant}")))
            }
            _ => Ok(()),
        }
    }

    /// Lets through who may change things within this tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant, else [`Error::Forbidden`] for a viewer.
    pub fn may_change(&self, tenant: &str) -> Result<(), Error> {
        self.may_read(tenant)?;
        match self.role {
            Role::Operator | Role::TenantAdmin => Ok(()),
            Role::Viewer => Err(Error::Forbidden {
                reason: "ROLE_CANNOT_CHANGE",
                description: format!(
                    "{} only reads: this call takes a token with role tenant-admin or operator",
                    self.actor
                ),
            }),
        }
    }

    /// Lets through operators.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn operator_only(&self) -> Result<(), Error> {
        match self.role {
            Role::Operator => Ok(()),
            Role::TenantAdmin | Role::Viewer => Err(Error::Forbidden {
                reason: "ROLE_NOT_OPERATOR",
                description: format!(
                    "{} has role {}: this call takes a token with role operator",
                    self.actor,
                    self.role.as_str()
                ),
            }),
        }
    }

    /// Turns the tenant of a parent, which may be `-`, into the one tenant to look at; none: all of them.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant.
    pub fn visible(&self, tenant: &str) -> Result<Option<String>, Error> {
        self.may_read(tenant)?;
        Ok(if tenant == "-" { self.tenant.clone() } else { Some(tenant.to_owned()) })
    }
}

const MISSING: &str = "no token: pass one as gRPC metadata `authorization: Bearer …`, an API token (`ekidenctl api-token create` makes them) or, where the control plane takes logins, a JWT of its OIDC issuer";

/// A service that only authenticated callers reach; each finds its [`Caller`] in the request's extensions.
#[derive(Clone)]
pub struct Authenticated<S> {
    authenticator: Arc<Authenticator>,
    inner: S,
}

impl<S> Authenticated<S> {
    /// Puts `authenticator` before `inner`.
    pub fn new(authenticator: &Arc<Authenticator>, inner: S) -> Self {
        Self { authenticator: Arc::clone(authenticator), inner }
    }
}

impl<S: NamedService> NamedService for Authenticated<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Authenticated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let authenticator = Arc::clone(&self.authenticator);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            match identify(&authenticator, &head).await {
                Ok(caller) => {
                    head.extensions.insert(caller);
                    ready.call(http::Request::from_parts(head, body)).await
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

async fn identify(
    authenticator: &Authenticator,
    head: &http::request::Parts,
) -> Result<Caller, Error> {
    let peer = head.extensions.get::<PeerAddress>().map(|peer| peer.0);
    let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let principal = authenticator.authenticate(bearer(&head.headers)?, from).await?;
    Ok(Caller {
        actor: principal.actor,
        role: principal.role,
        tenant: principal.tenant,
        peer: peer.map_or_else(String::new, |peer| peer.to_string()),
        method: head.uri.path().to_owned(),
    })
}

/// Name of an API token as audit events carry it.
pub fn actor(api_token: Uuid) -> String {
    format!("apiTokens/{api_token}")
}

fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let value = headers
        .get(AUTHORIZATION)
        .ok_or(Error::Unauthenticated { reason: "TOKEN_MISSING", description: MISSING })?;
    let text = value.to_str().unwrap_or_default();
    match text.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => Ok(token.trim()),
        _ => Err(Error::Unauthenticated {
            reason: "TOKEN_MALFORMED",
            description: "the authorization metadata is not of the form `Bearer …`",
        }),
    }
}
