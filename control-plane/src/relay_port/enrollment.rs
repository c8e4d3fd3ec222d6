//! EnrollmentService: proofs and requests to certificates.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use ekiden_proto::relay::v1::{
    CertificateBundle, EnrollRequest, EnrollResponse, RelayDescription, RenewRequest,
    RenewResponse, enroll_request::Proof, enrollment_service_server::EnrollmentService,
};
use ekiden_telemetry::propagation;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    app::App,
    audit_log::Event,
    error::Error,
    names::{FleetName, RelayName},
    pki::{CertificateRequest, IssuedCertificate, RelayIdentity},
    store::{
        relays::{self, Certified, TokenToUse},
        scope::{self, Scope},
    },
    timestamps::to_proto,
    tokens::{Kind, Presented},
};

/// Enrollments and renewals at once; sessions have their own limits, so neither starves the other.
const AT_ONCE: usize = 64;

pub(super) struct Enrollment {
    app: Arc<App>,
    at_once: Semaphore,
}

impl Enrollment {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app), at_once: Semaphore::new(AT_ONCE) }
    }

    fn admit(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.at_once.try_acquire().map_err(|_| Error::Exhausted {
            reason: "ENROLLMENTS_IN_FLIGHT",
            description: format!("more than {AT_ONCE} relays enroll or renew at this moment"),
            retry_after: Duration::from_secs(1),
        })
    }

    fn bundle(&self, issued: IssuedCertificate) -> CertificateBundle {
        let half = (issued.not_after - issued.not_before) / 2;
        CertificateBundle {
            chain: vec![issued.certificate.to_vec()],
            trust_roots: self
                .app
                .authority
                .trust_roots()
                .iter()
                .map(|root| root.to_vec())
                .collect(),
            not_before: Some(to_proto(issued.not_before)),
            not_after: Some(to_proto(issued.not_after)),
            renew_at: Some(to_proto(issued.not_before + half)),
        }
    }
}

#[tonic::async_trait]
impl EnrollmentService for Enrollment {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        let _admitted = self.admit()?;
        let peer = peer(&request);
        let request = request.into_inner();
        let Some(Proof::EnrollmentToken(text)) = &request.proof else {
            return Err(Error::invalid("proof", "it must be set: an enrollment token").into());
        };
        let csr = CertificateRequest::read(&request.csr)?;
        let description = described(request.description.unwrap_or_default())?;
        let Some(presented) = Presented::parse(Kind::Enrollment, text) else {
            return Err(unknown().into());
        };

        let now = self.app.clock.now();
        let mut db = self.app.pool.begin(&Scope::Provider).await.map_err(Error::from)?;
        let token = relays::lock_token(&mut db, presented.id).await.map_err(Error::from)?;
        let fleet = admitted(token, &presented, now)?;
        scope::narrow(&mut db, &fleet.tenant).await.map_err(Error::from)?;
        let relay = RelayName {
            tenant: fleet.tenant.clone(),
            fleet: fleet.fleet.clone(),
            relay: Uuid::now_v7().to_string(),
        };
        csr.names_only(None)?;
        let issued = self.issue(&csr, &relay, now)?;
        record(&self.app, &mut db, &fleet, &relay, &presented, &issued, &description, &peer, now)
            .await?;
        db.commit().await.map_err(Error::from)?;

        tracing::info!(
            tenant.id = fleet.tenant,
            fleet.id = fleet.fleet,
            relay.id = relay.relay,
            "A relay enrolled"
        );
        Ok(Response::new(EnrollResponse {
            relay: relay.to_string(),
            certificate: Some(self.bundle(issued)),
        }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let _admitted = self.admit()?;
        let identity = RelayIdentity::even_ended(&request, self.app.authority.trust_domain())?;
        let csr = CertificateRequest::read(&request.get_ref().csr)?;
        csr.names_only(Some(&self.app.authority.spiffe_id(&identity.name)))?;

        let now = self.app.clock.now();
        let issued = self.issue(&csr, &identity.name, now)?;
        let certified = Certified { serial: &issued.serial, expires_at: issued.not_after };
        let fleet = identity.fleet();
        let mut db = self.app.pool.begin(&identity.scope()).await.map_err(Error::from)?;
        let known = relays::renew(&mut db, &fleet, identity.id, &identity.serial, certified);
        if !known.await.map_err(Error::from)? {
            return Err(refusal(&mut db, identity.id).await?.into());
        }
        db.commit().await.map_err(Error::from)?;
        Ok(Response::new(RenewResponse { certificate: Some(self.bundle(issued)) }))
    }
}

impl Enrollment {
    fn issue(
        &self,
        csr: &CertificateRequest,
        relay: &RelayName,
        now: OffsetDateTime,
    ) -> Result<IssuedCertificate, Error> {
        let lifetime = self.app.settings.relay_certificate_lifetime;
        self.app.authority.issue_relay(csr, relay, lifetime, now).map_err(Error::Internal)
    }
}

/// The fleet that a token lets into; each refusal has a reason of its own.
fn admitted(
    token: Option<TokenToUse>,
    presented: &Presented,
    now: OffsetDateTime,
) -> Result<FleetName, Error> {
    let Some(token) = token.filter(|t| presented.matches(&t.secret_hash)) else {
        return Err(unknown());
    };
    let refuse = |reason, description| Err(Error::Unauthenticated { reason, description });
    if token.revoked_at.is_some() {
        return refuse(
            "ENROLLMENT_TOKEN_REVOKED",
            "the enrollment token was revoked: make another with `ekidenctl enrollment-token create`",
        );
    }
    if token.expires_at <= now {
        return refuse(
            "ENROLLMENT_TOKEN_EXPIRED",
            "the enrollment token has expired: make another with `ekidenctl enrollment-token create`",
        );
    }
    if token.uses >= token.max_uses {
        return refuse(
            "ENROLLMENT_TOKEN_USED_UP",
            "the enrollment token has been used as often as it allows: make another with `ekidenctl enrollment-token create --max-uses`",
        );
    }
    Ok(FleetName { tenant: token.tenant_id, fleet: token.fleet_id })
}

#[expect(clippy::too_many_arguments, reason = "one row and one event, each named once")]
async fn record(
    app: &App,
    db: &mut PgConnection,
    fleet: &FleetName,
    relay: &RelayName,
    token: &Presented,
    issued: &IssuedCertificate,
    description: &RelayDescription,
    peer: &str,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let certified = Certified { serial: &issued.serial, expires_at: issued.not_after };
    let id = Uuid::try_parse(&relay.relay).unwrap_or_default();
    relays::use_token(db, token.id).await?;
    relays::insert(db, fleet, id, token.id, certified, description, now).await?;
    let event = Event {
        tenant: Some(&fleet.tenant),
        at: now,
        actor: &format!("{fleet}/enrollmentTokens/{}", token.id),
        peer,
        method: "/ekiden.relay.v1.EnrollmentService/Enroll",
        resource: &relay.to_string(),
        changed_fields: &[],
        trace_id: &propagation::trace_id(),
    };
    app.audit.record(db, event).await
}

/// Labels of bounded length without control characters.
pub(super) fn described(description: RelayDescription) -> Result<RelayDescription, Error> {
    let labels = [
        ("description.software_version", &description.software_version),
        ("description.address", &description.address),
        ("description.availability_zone", &description.availability_zone),
        ("description.task_arn", &description.task_arn),
        ("description.hostname", &description.hostname),
    ];
    for (field, label) in labels {
        if label.len() > 2048 || label.contains(char::is_control) {
            return Err(Error::invalid(
                field,
                "it must be at most 2,048 bytes without control characters",
            ));
        }
    }
    Ok(description)
}

fn unknown() -> Error {
    Error::Unauthenticated {
        reason: "ENROLLMENT_TOKEN_UNKNOWN",
        description: "the enrollment token is not known here: was it copied whole, and made at this control plane?",
    }
}

/// Address of a caller.
pub(super) fn peer<T>(request: &Request<T>) -> String {
    request.extensions().get::<SocketAddr>().map_or_else(String::new, ToString::to_string)
}

/// Why a relay that showed a good certificate gets nothing.
pub(super) async fn refusal(db: &mut PgConnection, id: Uuid) -> Result<Error, Error> {
    Ok(if relays::is_revoked(db, id).await? { revoked() } else { not_known() })
}

pub(super) fn revoked() -> Error {
    Error::Unauthenticated {
        reason: "RELAY_REVOKED",
        description: "the relay was revoked: its certificate gets nothing any more",
    }
}

pub(super) fn not_known() -> Error {
    Error::Unauthenticated {
        reason: "RELAY_UNKNOWN",
        description: "the relay, its fleet or its certificate is not known any more: enroll anew",
    }
}
