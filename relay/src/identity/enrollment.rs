//! The two calls that bring a certificate. Each makes a key of its own and tries once.
use std::{future::Future, sync::Arc, time::Duration};

use ekiden_proto::{
    aws_challenge::challenge,
    relay::v1::{
        CreateChallengeRequest, EnrollRequest, RelayDescription, RenewRequest,
        enroll_request::Proof, enrollment_service_client::EnrollmentServiceClient,
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;
use tracing::Instrument;

use super::{
    Identity, IdentityError, NewKey,
    aws_role::{AwsRole, AwsRoleError, Challenge, Way},
};
use crate::{
    channel::{ChannelError, Dialer},
    clock::Clock,
};

const ANSWER: Duration = Duration::from_secs(15);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrollmentError {
    /// There is no connection.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The control plane answered with an error, or the connection broke.
    #[error("the control plane gave no certificate")]
    Refused(#[source] Box<Status>),
    /// It did not answer.
    #[error("the control plane did not answer in time")]
    Silent,
    /// The task's AWS role cannot be proven.
    #[error("the task's AWS role cannot be proven")]
    Role(#[from] AwsRoleError),
    /// No key could be made.
    #[error("no key could be made")]
    Key(#[from] rcgen::Error),
    /// The answer makes no sense.
    #[error(transparent)]
    Answer(#[from] IdentityError),
}

impl EnrollmentError {
    /// Whether the same attempt will fail again until a person changes something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused(status) => matches!(
                status.code(),
                Code::InvalidArgument
                    | Code::Unauthenticated
                    | Code::PermissionDenied
                    | Code::NotFound
                    | Code::FailedPrecondition
                    | Code::Unimplemented
            ),
            Self::Role(AwsRoleError::NoRegion | AwsRoleError::NotOfARole) => true,
            _ => false,
        }
    }

    /// How long the control plane asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(status) => status.get_details_retry_info()?.retry_delay,
            _ => None,
        }
    }
}

/// Exchanges an enrollment token for an identity with a new relay id.
///
/// # Errors
/// [`EnrollmentError`]; nothing is tried again here.
pub async fn enroll(
    dialer: &Dialer,
    token: &SecretString,
    description: RelayDescription,
) -> Result<Arc<Identity>, EnrollmentError> {
    let span = tracing::info_span!("enroll", method = "enrollment_token");
    async {
        let key = NewKey::generate()?;
        let request = EnrollRequest {
            csr: key.csr.clone(),
            description: Some(description),
            proof: Some(Proof::EnrollmentToken(token.expose_secret().trim().to_owned())),
        };
        let mut client = EnrollmentServiceClient::new(dialer.connect(None).await?.channel);
        let response = answer(client.enroll(request)).await?;
        let bundle = response.certificate.ok_or(IdentityError::Unusable("certificate"))?;
        Ok(Identity::new(&response.relay, bundle, key)?)
    }
    .instrument(span)
    .await
}

/// Exchanges a proof of the task's AWS role for an identity with a new relay id in `fleet`.
///
/// # Errors
/// [`EnrollmentError`]; nothing is tried again here.
pub async fn enroll_by_role(
    dialer: &Dialer,
    role: &AwsRole,
    way: Way,
    fleet: &str,
    description: RelayDescription,
    clock: &Clock,
) -> Result<Arc<Identity>, EnrollmentError> {
    let span = tracing::info_span!("enroll", method = way.name());
    async {
        let key = NewKey::generate()?;
        let public_key = key.public_key_info();
        let mut client = EnrollmentServiceClient::new(dialer.connect(None).await?.channel);
        let request =
            CreateChallengeRequest { fleet: fleet.to_owned(), public_key: public_key.clone() };
        let given = answer(client.create_challenge(request)).await?;
        let tenant = fleet.split("/fleets/").next().unwrap_or_default();
        let digest = challenge(&given.nonce, &public_key, &given.audience, tenant);
        let challenge = Challenge {
            fleet: fleet.to_owned(),
            nonce: given.nonce,
            audience: given.audience,
            digest,
        };
        let proof = role.prove(way, challenge, clock.now()).await?;
        let request = EnrollRequest {
            csr: key.csr.clone(),
            description: Some(description),
            proof: Some(proof),
        };
        let response = answer(client.enroll(request)).await?;
        let bundle = response.certificate.ok_or(IdentityError::Unusable("certificate"))?;
        Ok(Identity::new(&response.relay, bundle, key)?)
    }
    .instrument(span)
    .await
}

/// Exchanges an identity for a fresh one of the same relay, with a new key.
///
/// # Errors
/// [`EnrollmentError`]; nothing is tried again here.
pub async fn renew(dialer: &Dialer, identity: &Identity) -> Result<Arc<Identity>, EnrollmentError> {
    let name = &identity.relay;
    let span = tracing::info_span!(
        "renew certificate", tenant.id = %name.tenant, fleet.id = %name.fleet, relay.id = %name.relay
    );
    async {
        let key = NewKey::generate()?;
        let mut client =
            EnrollmentServiceClient::new(dialer.connect(Some(identity)).await?.channel);
        let response = answer(client.renew(RenewRequest { csr: key.csr.clone() })).await?;
        let bundle = response.certificate.ok_or(IdentityError::Unusable("certificate"))?;
        Ok(Identity::new(&identity.relay.to_string(), bundle, key)?)
    }
    .instrument(span)
    .await
}

async fn answer<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, EnrollmentError> {
    match timeout(ANSWER, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(EnrollmentError::Refused(Box::new(status))),
        Err(_) => Err(EnrollmentError::Silent),
    }
}
