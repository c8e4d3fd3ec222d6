//! EnrollmentService: proofs and requests to certificates.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use ekiden_proto::relay::v1::{
    CertificateBundle, CreateChallengeRequest, CreateChallengeResponse, EnrollRequest,
    EnrollResponse, RelayDescription, RenewRequest, RenewResponse, enroll_request::Proof,
    enrollment_service_server::EnrollmentService,
};
use ekiden_telemetry::propagation;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::aws_proof::{self, Proven};
use crate::{
    app::App,
    audit_log::{Event, Turn},
    error::Error,
    names::{FleetName, RelayName},
    pki::{CertificateRequest, IssuedCertificate, RelayIdentity},
    store::{
        relays::{self, Admission, Certified, TokenToUse},
        scope::{self, Scope},
    },
    timestamps::to_proto,
    tokens::{Kind, Presented},
};

/// Enrollments and renewals at once; sessions have their own limits, so neither starves the other.
const AT_ONCE: usize = 64;
/// Proofs of AWS identity under check at once, beside those: they wait for STS and issuers, and nothing else may.
const PROOFS_AT_ONCE: usize = 256;
/// Longest SubjectPublicKeyInfo, bytes; one of P-256 has 91.
const LONGEST_PUBLIC_KEY: usize = 512;

pub(super) struct Enrollment {
    app: Arc<App>,
    at_once: Semaphore,
    proofs: Semaphore,
}

impl Enrollment {
    pub(super) fn new(app: &Arc<App>) -> Self {
        let (at_once, proofs) = (Semaphore::new(AT_ONCE), Semaphore::new(PROOFS_AT_ONCE));
        Self { app: Arc::clone(app), at_once, proofs }
    }

    fn admit(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.at_once.try_acquire().map_err(|_| Error::Exhausted {
            reason: "ENROLLMENTS_IN_FLIGHT",
            description: format!("more than {AT_ONCE} relays enroll or renew at this moment"),
            retry_after: Duration::from_secs(1),
        })
    }

    fn admit_proof(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.proofs.try_acquire().map_err(|_| Error::Exhausted {
            reason: "PROOFS_IN_FLIGHT",
            description: format!(
                "more than {PROOFS_AT_ONCE} relays prove their AWS role at this moment"
            ),
            retry_after: Duration::from_secs(1),
        })
    }

    fn bundle(&self, issued: IssuedCertificate) -> CertificateBundle {
        let roots = self.app.authorities.trust_roots();
        CertificateBundle {
            chain: vec![issued.certificate.to_vec()],
            trust_roots: roots.iter().map(|root| root.to_vec()).collect(),
            not_before: Some(to_proto(issued.not_before)),
            not_after: Some(to_proto(issued.not_after)),
            renew_at: Some(to_proto(issued.renew_at)),
        }
    }
}

#[tonic::async_trait]
impl EnrollmentService for Enrollment {
    async fn create_challenge(
        &self,
        request: Request<CreateChallengeRequest>,
    ) -> Result<Response<CreateChallengeResponse>, Status> {
        let request = request.into_inner();
        let fleet = FleetName::parse("fleet", &request.fleet)?;
        if request.public_key.is_empty() || request.public_key.len() > LONGEST_PUBLIC_KEY {
            let what = "it must be a SubjectPublicKeyInfo in DER of at most 512 bytes";
            return Err(Error::invalid("public_key", what).into());
        }
        let now = self.app.clock.now();
        let nonce = self.app.challenges.issue(&fleet, &request.public_key, now)?;
        Ok(Response::new(CreateChallengeResponse {
            nonce: nonce.bytes,
            expire_time: Some(to_proto(nonce.expires_at)),
            audience: aws_proof::audience(&self.app),
        }))
    }

    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollResponse>, Status> {
        let peer = peer(&request);
        let request = request.into_inner();
        let _admitted = match &request.proof {
            Some(Proof::AwsWebIdentity(_) | Proof::AwsCallerIdentity(_)) => self.admit_proof()?,
            Some(Proof::EnrollmentToken(_)) | None => self.admit()?,
        };
        let csr = CertificateRequest::read(&request.csr)?;
        csr.names_only(None)?;
        let description = described(request.description.unwrap_or_default())?;
        let now = self.app.clock.now();
        let joining = Joining { csr: &csr, description: &description, peer: &peer, now };
        let (fleet, relay, issued) = match &request.proof {
            Some(Proof::EnrollmentToken(text)) => self.by_token(joining, text).await?,
            Some(Proof::AwsWebIdentity(proof)) => {
                let (fleet, proven) =
                    aws_proof::by_web_identity(&self.app, &csr, proof, now).await?;
                self.by_aws(joining, fleet, proven).await?
            }
            Some(Proof::AwsCallerIdentity(proof)) => {
                let (fleet, proven) =
                    aws_proof::by_caller_identity(&self.app, &csr, proof, now).await?;
                self.by_aws(joining, fleet, proven).await?
            }
            None => {
                let what = "it must be set: an enrollment token, or a proof of AWS identity";
                return Err(Error::invalid("proof", what).into());
            }
        };

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
        let identity = RelayIdentity::even_ended(&request, self.app.authorities.trust_domain())?;
        let csr = CertificateRequest::read(&request.get_ref().csr)?;
        csr.names_only(Some(&self.app.authorities.spiffe_id(&identity.name)))?;

        let now = self.app.clock.now();
        let issued = self.issue(&csr, &identity.name, now)?;
        let certified = certified(&issued);
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

/// A relay that wants to join.
#[derive(Clone, Copy)]
struct Joining<'a> {
    csr: &'a CertificateRequest,
    description: &'a RelayDescription,
    peer: &'a str,
    now: OffsetDateTime,
}

/// A relay that is about to be known.
struct NewRelay {
    id: Uuid,
    relay: RelayName,
    issued: IssuedCertificate,
}

type Joined = (FleetName, RelayName, IssuedCertificate);

impl Enrollment {
    async fn by_token(&self, joining: Joining<'_>, text: &str) -> Result<Joined, Error> {
        let presented = Presented::parse(Kind::Enrollment, text).ok_or_else(unknown)?;
        let mut db = self.app.pool.begin(&Scope::Provider).await?;
        let token = relays::token(&mut db, presented.id).await?;
        let fleet = admitted(token, &presented, joining.now)?;
        scope::narrow(&mut db, &fleet.tenant).await?;
        let actor = format!("{fleet}/enrollmentTokens/{}", presented.id);
        let admission = Admission::Token(presented.id);
        let certified = self.certify(joining, &fleet)?;
        let turn = self.app.audit.take_turn(&mut db, Some(&fleet.tenant)).await?;
        // An update that looks again: others used the token while this one waited for its turn.
        if !relays::use_token(&mut db, presented.id, joining.now).await? {
            let token = relays::token(&mut db, presented.id).await?;
            admitted(token, &presented, joining.now)?;
            return Err(unknown());
        }
        let kept = self.keep(turn, &mut db, joining, &certified, &admission, &actor).await?;
        kept.then_some(()).ok_or_else(unknown)?;
        db.commit().await?;
        Ok((fleet, certified.relay, certified.issued))
    }

    async fn by_aws(
        &self,
        joining: Joining<'_>,
        fleet: FleetName,
        proven: Proven,
    ) -> Result<Joined, Error> {
        // It waits rather than waste the proof, of which there are so many at most.
        let admitted = self.at_once.acquire().await;
        let _admitted = admitted.map_err(|closed| Error::Internal(closed.into()))?;
        let mut db = self.app.pool.begin(&Scope::Tenant(fleet.tenant.clone())).await?;
        proven.use_up(&mut db, joining.now).await?;
        let certified = self.certify(joining, &fleet)?;
        let turn = self.app.audit.take_turn(&mut db, Some(&fleet.tenant)).await?;
        let actor = match &proven.admission {
            Admission::Rule { aws_role_arn, .. } => aws_role_arn.clone(),
            Admission::Token(token) => token.to_string(),
        };
        let kept = self.keep(turn, &mut db, joining, &certified, &proven.admission, &actor).await?;
        kept.then_some(()).ok_or_else(|| aws_proof::not_admitted("any"))?;
        db.commit().await?;
        Ok((fleet, certified.relay, certified.issued))
    }

    /// Names a relay and issues its certificate.
    fn certify(&self, joining: Joining<'_>, fleet: &FleetName) -> Result<NewRelay, Error> {
        let id = Uuid::now_v7();
        let relay = RelayName {
            tenant: fleet.tenant.clone(),
            fleet: fleet.fleet.clone(),
            relay: id.to_string(),
        };
        let issued = self.issue(joining.csr, &relay, joining.now)?;
        Ok(NewRelay { id, relay, issued })
    }

    /// Remembers a relay, and in the audit log that it joined; false: its fleet, or its rule, was deleted meanwhile.
    ///
    /// Only with the turn in the audit log: relays of one token, fleet and tenant that meet at those rows as well cost Postgres
    /// more than all the rest.
    async fn keep(
        &self,
        turn: Turn,
        db: &mut PgConnection,
        joining: Joining<'_>,
        new: &NewRelay,
        admission: &Admission,
        actor: &str,
    ) -> Result<bool, Error> {
        let Joining { description, peer, now, .. } = joining;
        let (fleet, certified) = (new.relay.fleet(), certified(&new.issued));
        if !relays::insert(db, &fleet, new.id, admission, certified, description, now).await? {
            return Ok(false);
        }
        let event = Event {
            tenant: Some(&fleet.tenant),
            at: now,
            actor,
            peer,
            method: "/ekiden.relay.v1.EnrollmentService/Enroll",
            resource: &new.relay.to_string(),
            changed_fields: &[],
            trace_id: &propagation::trace_id(),
        };
        self.app.audit.record_in(turn, db, event).await?;
        Ok(true)
    }

    fn issue(
        &self,
        csr: &CertificateRequest,
        relay: &RelayName,
        now: OffsetDateTime,
    ) -> Result<IssuedCertificate, Error> {
        let lifetime = self.app.settings.relay_certificate_lifetime;
        self.app.authorities.issue_relay(csr, relay, lifetime, now).map_err(Error::Internal)
    }
}

fn certified(issued: &IssuedCertificate) -> Certified<'_> {
    let IssuedCertificate { authority, serial, not_after, .. } = issued;
    Certified { authority: *authority, serial, expires_at: *not_after }
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
