//! AWS Cloud Map through its SDK. Registering is asynchronous there: a call starts an operation, which is watched until
//! it ends. DiscoverInstances is never called; what workloads see is asked of DNS.
use std::{future::Future, sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, Region, meta::region::RegionProviderChain, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_servicediscovery::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        deregister_instance::DeregisterInstanceError, register_instance::RegisterInstanceError,
    },
    types::{OperationStatus, OperationType},
};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};

use super::{Record, Registry, RegistryError};
use crate::aws_error::what_aws_said;

/// An operation that takes longer is asked for again later.
const OPERATION: Duration = Duration::from_secs(60);
/// One request, with the SDK's own retries of throttling and 5xx.
const CALL: Duration = Duration::from_secs(15);
const ATTEMPT: Duration = Duration::from_secs(5);
/// Requests refused because another is under way are repeated this often.
const BUSY_ATTEMPTS: u32 = 10;

/// The AWS SDK, set up at first use: a relay outside AWS never asks for credentials.
#[derive(Clone, Debug)]
pub struct Aws {
    region: Option<String>,
    client: Arc<OnceCell<Client>>,
}

impl Aws {
    /// For the region that the environment names, else `region`.
    pub fn new(region: Option<String>) -> Self {
        Self { region, client: Arc::default() }
    }

    #[cfg(test)]
    fn with_client(client: Client) -> Self {
        Self { region: None, client: Arc::new(OnceCell::new_with(Some(client))) }
    }

    async fn client(&self) -> &Client {
        self.client
            .get_or_init(|| async {
                let region = RegionProviderChain::default_provider()
                    .or_else(self.region.clone().map(Region::new));
                let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
                    .region(region)
                    .retry_config(RetryConfig::standard().with_max_attempts(3))
                    .timeout_config(
                        TimeoutConfig::builder()
                            .operation_timeout(CALL)
                            .operation_attempt_timeout(ATTEMPT)
                            .build(),
                    )
                    .load()
                    .await;
                Client::new(&config)
            })
            .await
    }
}

/// One Cloud Map service.
#[derive(Clone, Debug)]
pub struct CloudMap {
    aws: Aws,
    service_id: String,
}

/// What a request led to.
enum Asked {
    /// This operation, or one that was under way already, is to be watched.
    Operation { id: String, ours: bool },
    /// There is nothing to do.
    Done,
    /// Another request is under way; its operation is not known.
    Busy,
}

impl CloudMap {
    /// The service with this id, `srv-…`.
    pub fn new(aws: Aws, service_id: String) -> Self {
        Self { aws, service_id }
    }

    async fn ask_to_register(&self, record: &Record) -> Result<Asked, RegistryError> {
        let client = self.aws.client().await;
        let request = client
            .register_instance()
            .service_id(&self.service_id)
            .instance_id(&record.instance)
            .attributes(
                if record.address.is_ipv4() { "AWS_INSTANCE_IPV4" } else { "AWS_INSTANCE_IPV6" },
                record.address.to_string(),
            )
            .attributes("AWS_INSTANCE_PORT", record.port.to_string())
            .attributes("EKIDEN_RELAY", &record.relay)
            .attributes("EKIDEN_REVISION", record.revision.to_string());
        let request = match &record.zone {
            Some(zone) => request.attributes("AVAILABILITY_ZONE", zone),
            None => request,
        };
        let error = match request.send().await {
            Ok(answer) => return operation(answer.operation_id),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(RegisterInstanceError::DuplicateRequest(duplicate)) => {
                Ok(under_way(duplicate.duplicate_operation_id()))
            }
            Some(RegisterInstanceError::ResourceInUse(_)) => Ok(Asked::Busy),
            Some(
                RegisterInstanceError::InvalidInput(_)
                | RegisterInstanceError::ServiceNotFound(_)
                | RegisterInstanceError::ResourceLimitExceeded(_),
            ) => Err(RegistryError::Refused(what_aws_said(&error))),
            _ => Err(other(&error)),
        }
    }

    async fn ask_to_deregister(&self, instance: &str) -> Result<Asked, RegistryError> {
        let client = self.aws.client().await;
        let request =
            client.deregister_instance().service_id(&self.service_id).instance_id(instance);
        let error = match request.send().await {
            Ok(answer) => return operation(answer.operation_id),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(DeregisterInstanceError::DuplicateRequest(duplicate)) => {
                Ok(under_way(duplicate.duplicate_operation_id()))
            }
            Some(DeregisterInstanceError::ResourceInUse(_)) => Ok(Asked::Busy),
            Some(
                DeregisterInstanceError::InstanceNotFound(_)
                | DeregisterInstanceError::ServiceNotFound(_),
            ) => Ok(Asked::Done),
            Some(DeregisterInstanceError::InvalidInput(_)) => {
                Err(RegistryError::Refused(what_aws_said(&error)))
            }
            _ => Err(other(&error)),
        }
    }

    /// Repeats `ask` until its operation has succeeded, within bounds.
    async fn see_through<F>(
        &self,
        wanted: OperationType,
        ask: impl Fn() -> F,
    ) -> Result<(), RegistryError>
    where
        F: Future<Output = Result<Asked, RegistryError>>,
    {
        let deadline = Instant::now() + OPERATION;
        for _ in 0..BUSY_ATTEMPTS {
            match ask().await? {
                Asked::Done => return Ok(()),
                Asked::Busy => {}
                Asked::Operation { id, ours } => {
                    let ended = self.watch(&id, deadline).await?;
                    // The one that was under way may have been the opposite.
                    if ours || ended == Some(wanted.clone()) {
                        return Ok(());
                    }
                }
            }
            if Instant::now() >= deadline {
                break;
            }
            sleep(pause()).await;
        }
        Err(RegistryError::Unfinished)
    }

    /// Watches an operation until it succeeds; gives what it was.
    async fn watch(
        &self,
        id: &str,
        deadline: Instant,
    ) -> Result<Option<OperationType>, RegistryError> {
        loop {
            match self.aws.client().await.get_operation().operation_id(id).send().await {
                Ok(answer) => {
                    let operation = answer.operation();
                    match operation.and_then(|operation| operation.status()) {
                        Some(OperationStatus::Success) => {
                            return Ok(operation.and_then(|operation| operation.r#type()).cloned());
                        }
                        Some(OperationStatus::Fail) => {
                            let message = operation.and_then(|operation| operation.error_message());
                            return Err(RegistryError::Failed(
                                message.unwrap_or("it did not say why").to_owned(),
                            ));
                        }
                        _ => {}
                    }
                }
                Err(error) => {
                    tracing::debug!(error = %what_aws_said(&error), "A Cloud Map operation could not be looked at");
                }
            }
            let pause = pause();
            if Instant::now() + pause >= deadline {
                return Err(RegistryError::Unfinished);
            }
            sleep(pause).await;
        }
    }
}

impl Registry for CloudMap {
    fn register<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), RegistryError>> {
        self.see_through(OperationType::RegisterInstance, || self.ask_to_register(record)).boxed()
    }

    fn deregister<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), RegistryError>> {
        self.see_through(OperationType::DeregisterInstance, || self.ask_to_deregister(instance))
            .boxed()
    }
}

fn operation(id: Option<String>) -> Result<Asked, RegistryError> {
    match id {
        Some(id) => Ok(Asked::Operation { id, ours: true }),
        None => Err(RegistryError::Failed("the answer names no operation".to_owned())),
    }
}

fn under_way(id: Option<&str>) -> Asked {
    id.map_or(Asked::Busy, |id| Asked::Operation { id: id.to_owned(), ours: false })
}

fn other<E>(error: &SdkError<E>) -> RegistryError
where
    SdkError<E>: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.code() {
        Some(
            "AccessDeniedException" | "UnrecognizedClientException" | "InvalidSignatureException",
        ) => RegistryError::Refused(what_aws_said(error)),
        _ => RegistryError::Unavailable(what_aws_said(error)),
    }
}

/// Between one and two seconds.
fn pause() -> Duration {
    Duration::from_secs(1) + Duration::from_secs(1).mul_f64(rand::random())
}

#[cfg(test)]
#[path = "cloud_map_tests.rs"]
mod tests;
