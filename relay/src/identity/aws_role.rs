//! Proves the AWS role that this task runs under, in two ways, neither of which gives the proof's reader any power in AWS.
//!
//! - A web identity token of `sts:GetWebIdentityToken`, which the control plane verifies by itself. The account must have
//!   outbound identity federation switched on, and the role must be allowed to call it.
//! - The signature of `sts:GetCallerIdentity`, which the control plane sends to STS. It takes no permission and no call.
use std::{sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, SdkConfig, meta::region::RegionProviderChain, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::{Credentials, provider::ProvideCredentials};
use aws_sdk_sts::types::Tag;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use ekiden_proto::relay::v1::{AwsCallerIdentity, AwsWebIdentity, enroll_request::Proof};
use time::{OffsetDateTime, format_description::FormatItem, macros::format_description};
use tokio::sync::OnceCell;

use crate::{aws_error::what_aws_said, error_chain::chain};

/// A call to STS or to where credentials come from, with the SDK's own retries.
const CALL: Duration = Duration::from_secs(10);
const ATTEMPT: Duration = Duration::from_secs(4);
/// Life of a web identity token, seconds: it serves once, within the minute that its challenge counts.
const TOKEN_LIFE: i32 = 60;
/// Request tag that carries the challenge.
const CHALLENGE_TAG: &str = "ekiden-challenge";

const BODY: &[u8] = b"Action=GetCallerIdentity&Version=2011-06-15";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
const AMZ_DATE: &[FormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// A way to prove the role, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A web identity token.
    WebIdentity,
    /// A signed `GetCallerIdentity`.
    CallerIdentity,
}

impl Way {
    /// As metrics and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebIdentity => "aws_web_identity",
            Self::CallerIdentity => "aws_caller_identity",
        }
    }
}

/// What a proof is about.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// Fleet to join.
    pub fleet: String,
    /// The control plane's nonce.
    pub nonce: Vec<u8>,
    /// Audience of the proof.
    pub audience: String,
    /// Digest over all of it, and the key.
    pub digest: String,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum AwsRoleError {
    /// Nothing says which region this is.
    #[error("no AWS region is known: set AWS_REGION")]
    NoRegion,
    /// There are no credentials.
    #[error("there are no credentials of an AWS role: give the task a task role ({0})")]
    NoCredentials(String),
    /// They are somebody's own, not a role's.
    #[error("the AWS credentials are not of a role: only a role's temporary credentials prove one")]
    NotOfARole,
    /// STS gave no token.
    #[error("STS gave no web identity token ({0})")]
    NoToken(String),
    /// The request could not be signed.
    #[error("the request to STS could not be signed ({0})")]
    NotSigned(String),
}

/// The task's role; the AWS SDK is set up at first use.
#[derive(Clone, Debug, Default)]
pub struct AwsRole {
    config: Arc<OnceCell<SdkConfig>>,
}

impl AwsRole {
    /// With this set-up in place of the environment's.
    pub fn with_config(config: SdkConfig) -> Self {
        Self { config: Arc::new(OnceCell::new_with(Some(config))) }
    }

    /// Proves the role for a challenge.
    ///
    /// # Errors
    /// [`AwsRoleError`]: what AWS or the task lacks.
    pub async fn prove(
        &self,
        way: Way,
        challenge: Challenge,
        now: OffsetDateTime,
    ) -> Result<Proof, AwsRoleError> {
        match way {
            Way::WebIdentity => self.web_identity(challenge).await,
            Way::CallerIdentity => self.caller_identity(challenge, now).await,
        }
    }

    async fn config(&self) -> &SdkConfig {
        self.config
            .get_or_init(|| async {
                let timeouts = TimeoutConfig::builder()
                    .operation_timeout(CALL)
                    .operation_attempt_timeout(ATTEMPT)
                    .build();
                aws_config::defaults(BehaviorVersion::v2026_01_12())
                    .region(RegionProviderChain::default_provider())
                    .retry_config(RetryConfig::standard().with_max_attempts(2))
                    .timeout_config(timeouts)
                    .load()
                    .await
            })
            .await
    }

    async fn web_identity(&self, challenge: Challenge) -> Result<Proof, AwsRoleError> {
        let config = self.config().await;
        config.region().ok_or(AwsRoleError::NoRegion)?;
        let no_token = |error: String| AwsRoleError::NoToken(error);
        let tag = Tag::builder().key(CHALLENGE_TAG).value(&challenge.digest).build();
        let answer = aws_sdk_sts::Client::new(config)
            .get_web_identity_token()
            .audience(&challenge.audience)
            .signing_algorithm("ES384")
            .duration_seconds(TOKEN_LIFE)
            .tags(tag.map_err(|error| no_token(error.to_string()))?)
            .send()
            .await
            .map_err(|error| no_token(what_aws_said(&error)))?;
        let token = answer.web_identity_token.ok_or_else(|| no_token("it is empty".to_owned()))?;
        let Challenge { fleet, nonce, .. } = challenge;
        Ok(Proof::AwsWebIdentity(AwsWebIdentity { fleet, nonce, token }))
    }

    async fn caller_identity(
        &self,
        challenge: Challenge,
        now: OffsetDateTime,
    ) -> Result<Proof, AwsRoleError> {
        let config = self.config().await;
        let region = config.region().ok_or(AwsRoleError::NoRegion)?.to_string();
        let none = |why: &str| AwsRoleError::NoCredentials(why.to_owned());
        let provider = config.credentials_provider().ok_or_else(|| none("none are configured"))?;
        let credentials =
            provider.provide_credentials().await.map_err(|error| none(&chain(&error)))?;
        let session_token = credentials.session_token().ok_or(AwsRoleError::NotOfARole)?.to_owned();
        let signature = signed(&credentials, &region, &challenge, now)?;
        let amz_date =
            now.format(AMZ_DATE).map_err(|error| AwsRoleError::NotSigned(error.to_string()))?;
        Ok(Proof::AwsCallerIdentity(AwsCallerIdentity {
            fleet: challenge.fleet,
            nonce: challenge.nonce,
            region,
            amz_date,
            access_key_id: credentials.access_key_id().to_owned(),
            session_token,
            signature,
        }))
    }
}

/// Signs `GetCallerIdentity` exactly as the contract of `AwsCallerIdentity` says.
fn signed(
    credentials: &Credentials,
    region: &str,
    challenge: &Challenge,
    now: OffsetDateTime,
) -> Result<String, AwsRoleError> {
    let not_signed = |error: String| AwsRoleError::NotSigned(error);
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::Headers;
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(now.into())
        .settings(settings)
        .build()
        .map_err(|error| not_signed(error.to_string()))?
        .into();
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let headers = [
        ("content-type", CONTENT_TYPE),
        ("x-ekiden-audience", &challenge.audience),
        ("x-ekiden-challenge", &challenge.digest),
    ];
    let request = SignableRequest::new(
        "POST",
        format!("https://sts.{region}.{domain}/"),
        headers.into_iter(),
        SignableBody::Bytes(BODY),
    );
    let request = request.map_err(|error| not_signed(error.to_string()))?;
    let output = sign(request, &parameters).map_err(|error| not_signed(error.to_string()))?;
    Ok(output.signature().to_owned())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// Computed by botocore 1.44.5's `SigV4Auth` for this request, key and token.
    #[test]
    fn a_caller_identity_is_signed_as_botocore_does() {
        let credentials = Credentials::new(
            "ASIAEKIDENGOODRELAY1",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            Some(
                "IQoJb3JpZ2luX2VjEKIDEN//////////wEaDmFwLW5vcnRoZWFzdC0xIkcwRQ+GOOD/token=="
                    .to_owned(),
            ),
            None,
            "test",
        );
        let challenge = Challenge {
            fleet: "tenants/acme/fleets/tokyo".to_owned(),
            nonce: b"nonce-of-one-minute".to_vec(),
            audience: "https://ekiden.example:8443".to_owned(),
            digest: "ResgbIXDR1YWcfWTXbSJUixL4L6T5yhYLjxtbCfGNSk".to_owned(),
        };
        let now = datetime!(2026-11-23 12:00:00 UTC);
        assert_eq!(
            signed(&credentials, "ap-northeast-1", &challenge, now).unwrap(),
            "75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f4"
        );
    }
}
