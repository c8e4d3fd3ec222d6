//! A master key in AWS KMS. It never leaves KMS: data keys go there to be wrapped, with the place of their value as
//! encryption context, so that CloudTrail says what each use was for and KMS itself refuses another place.
use std::time::Duration;

use aws_config::{
    BehaviorVersion, meta::region::RegionProviderChain, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_kms::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
};
use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{MasterKey, VaultError};

/// Key of the encryption context under which a value's place is told.
const PLACE: &str = "ekiden:place";
/// The place of what is wrapped and opened once at start, to learn what is wrong then and not at night.
const TRIAL: &str = "start of a control plane process";
/// How long one attempt may take, and all of a call.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(2);
const CALL_WITHIN: Duration = Duration::from_secs(5);
/// Calls at once; more wait. KMS takes thousands a second from an account, which others share.
const AT_ONCE: usize = 32;

/// A key in AWS KMS.
pub struct Kms {
    client: Client,
    arn: String,
    id: String,
    at_once: Semaphore,
}

/// Why KMS did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// It does not answer, or has too much to do.
    #[error("AWS KMS does not answer ({action}): {message}")]
    Away {
        /// The IAM action.
        action: &'static str,
        /// What happened.
        message: String,
    },
    /// It refuses.
    #[error("AWS KMS refuses {action}: {message}")]
    Refused {
        /// The IAM action; what the task's role must allow on the key.
        action: &'static str,
        /// What it says.
        message: String,
    },
    /// It answers without what was asked for.
    #[error("AWS KMS answered {action} without a {what}")]
    Incomplete {
        /// The IAM action.
        action: &'static str,
        /// What is missing.
        what: &'static str,
    },
}

impl Kms {
    /// Opens `key`, an id, ARN or alias, with the credentials and in the region of the environment; wraps and unwraps once.
    ///
    /// # Errors
    /// [`VaultError::Kms`]: the action that was refused, or what keeps it from answering.
    pub async fn open(key: &str) -> Result<Self, VaultError> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_WITHIN)
            .operation_timeout(CALL_WITHIN);
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(RegionProviderChain::default_provider())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts.build())
            .load()
            .await;
        let (client, at_once) = (Client::new(&config), Semaphore::new(AT_ONCE));
        let mut kms = Self { client, arn: key.to_owned(), id: String::new(), at_once };
        let trial = [7; 32];
        let (wrapped, arn) = kms.encrypt(TRIAL, &trial).await?;
        // An alias may lead to another key tomorrow.
        kms.id = format!("kms/{arn}");
        kms.arn = arn;
        let opened = kms.unwrap(TRIAL, &wrapped).await?;
        if *opened != trial {
            return Err(VaultError::Altered { place: TRIAL.to_owned() });
        }
        Ok(kms)
    }

    async fn encrypt(&self, place: &str, data_key: &[u8]) -> Result<(Vec<u8>, String), VaultError> {
        const ACTION: &str = "kms:Encrypt";
        let _turn = self.at_once.acquire().await;
        let request = self.client.encrypt().key_id(&self.arn).plaintext(Blob::new(data_key));
        let answer = request.encryption_context(PLACE, place).send().await;
        let answer = answer.map_err(|error| failed(ACTION, error))?;
        let missing = |what| KmsError::Incomplete { action: ACTION, what };
        let wrapped = answer.ciphertext_blob.ok_or_else(|| missing("ciphertext"))?;
        Ok((wrapped.into_inner(), answer.key_id.ok_or_else(|| missing("key id"))?))
    }
}

impl MasterKey for Kms {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap<'a>(
        &'a self,
        place: &'a str,
        data_key: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, VaultError>> {
        async move { Ok(self.encrypt(place, data_key).await?.0) }.boxed()
    }

    fn unwrap<'a>(
        &'a self,
        place: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, VaultError>> {
        async move {
            const ACTION: &str = "kms:Decrypt";
            let _turn = self.at_once.acquire().await;
            let request = self.client.decrypt().key_id(&self.arn);
            let request = request.ciphertext_blob(Blob::new(wrapped));
            let answer = request.encryption_context(PLACE, place).send().await;
            let answer = match answer {
                Err(SdkError::ServiceError(refusal))
                    if refusal.err().is_invalid_ciphertext_exception() =>
                {
                    return Err(VaultError::Altered { place: place.to_owned() });
                }
                answer => answer.map_err(|error| failed(ACTION, error))?,
            };
            let plaintext = answer.plaintext;
            let plaintext =
                plaintext.ok_or(KmsError::Incomplete { action: ACTION, what: "plaintext" })?;
            Ok(Zeroizing::new(plaintext.into_inner()))
        }
        .boxed()
    }
}

fn failed<E>(action: &'static str, error: SdkError<E>) -> VaultError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let SdkError::ServiceError(refusal) = &error else {
        // By `Display` alone: an answer that cannot be read may hold a data key.
        let message = format!("{:#}", anyhow::Error::new(error));
        return KmsError::Away { action, message }.into();
    };
    let code = refusal.err().code().unwrap_or_default();
    let message = format!("{code}: {}", refusal.err().message().unwrap_or_default());
    // Of the key itself: disabled or to be deleted is a person's doing, unavailable is not.
    let passes = ["Throttling", "Internal", "Timeout", "Unavailable", "LimitExceeded"];
    let is_away =
        refusal.raw().status().is_server_error() || passes.iter().any(|part| code.contains(part));
    match is_away {
        true => KmsError::Away { action, message }.into(),
        false => KmsError::Refused { action, message }.into(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::{config::http::HttpResponse, operation::decrypt::DecryptError};

    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_told_without_what_it_holds() {
        let raw = HttpResponse::new(200.try_into().unwrap(), "the-data-key".into());
        let error = SdkError::<DecryptError>::response_error("no JSON", raw);
        let told = format!("{0} {0:?}", failed("kms:Decrypt", error));
        assert!(told.contains("kms:Decrypt") && told.contains("no JSON"), "{told}");
        assert!(!told.contains("the-data-key"), "{told}");
    }
}
