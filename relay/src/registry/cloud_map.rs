//! AWS Cloud Map through its SDK. Registering is asynchronous there: a call starts an operation, which is watched until
//! it ends. DiscoverInstances is never called; what workloads see is asked of DNS.
use std::{future::Future, sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, Region, meta::region::RegionProviderChain, retry::RetryConfig,
    sts::AssumeRoleProvider, timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_servicediscovery::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        deregister_instance::DeregisterInstanceError, get_service::GetServiceError,
        list_instances::ListInstancesError, register_instance::RegisterInstanceError,
    },
    types::{InstanceSummary, OperationStatus, OperationType, RoutingPolicy},
};
use ekiden_settings::AssumedRole;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};

use super::{Listed, Record, Registry, RegistryError, ServiceKind};
use crate::aws_error::what_aws_said;

/// An operation that takes longer is asked for again later.
const OPERATION: Duration = Duration::from_secs(60);
/// One request, with the SDK's own retries of throttling and 5xx.
const CALL: Duration = Duration::from_secs(15);
const ATTEMPT: Duration = Duration::from_secs(5);
/// Requests refused because another is under way are repeated this often.
const BUSY_ATTEMPTS: u32 = 10;

/// Records asked for at once, and in all: Cloud Map holds 1,000 in a service (AWS Cloud Map quotas).
const PAGE: i32 = 100;
const PAGES: usize = 10;
/// Names of the attributes that relays set beside AWS's own.
const RELAY: &str = "EKIDEN_RELAY";
const EPOCH: &str = "EKIDEN_EPOCH";
const REVISION: &str = "EKIDEN_REVISION";
const ZONE: &str = "AVAILABILITY_ZONE";

/// The AWS SDK, set up at first use: a relay outside AWS never asks for credentials.
#[derive(Clone, Debug)]
pub struct Aws {
    region: Option<String>,
    role: Option<AssumedRole>,
    client: Arc<OnceCell<Client>>,
}

impl Aws {
    /// For the region that the environment names, else `region`; with the task's own rights, or a role's in another account.
    pub fn new(region: Option<String>, role: Option<AssumedRole>) -> Self {
        Self { region, role, client: Arc::default() }
    }

    /// With a client that is set up already.
    pub fn with_client(client: Client) -> Self {
        Self { region: None, role: None, client: Arc::new(OnceCell::new_with(Some(client))) }
    }

    async fn client(&self) -> &Client {
        self.client
            .get_or_init(|| async {
                let region = RegionProviderChain::default_provider()
                    .or_else(self.region.clone().map(Region::new));
                let own = aws_config::defaults(BehaviorVersion::v2026_01_12())
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
                let Some(role) = &self.role else { return Client::new(&own) };
                let mut assumed = AssumeRoleProvider::builder(&role.arn)
                    .session_name("ekiden-relay")
                    .configure(&own);
                if let Some(id) = &role.external_id {
                    assumed = assumed.external_id(id);
                }
                let assumed = SharedCredentialsProvider::new(assumed.build().await);
                Client::new(&own.into_builder().credentials_provider(assumed).build())
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
            .attributes(RELAY, &record.relay)
            .attributes(EPOCH, record.epoch.to_string())
            .attributes(REVISION, record.revision.to_string());
        let request = match &record.zone {
            Some(zone) => request.attributes(ZONE, zone),
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

    async fn list_all(&self) -> Result<Vec<Listed>, RegistryError> {
        let client = self.aws.client().await;
        let (mut listed, mut next) = (Vec::new(), None);
        for _ in 0..PAGES {
            let page = client
                .list_instances()
                .service_id(&self.service_id)
                .max_results(PAGE)
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| match error.as_service_error() {
                    Some(
                        ListInstancesError::ServiceNotFound(_)
                        | ListInstancesError::InvalidInput(_),
                    ) => RegistryError::Refused(what_aws_said(&error)),
                    _ => other(&error),
                })?;
            listed.extend(page.instances().iter().filter_map(read));
            next = page.next_token;
            if next.is_none() {
                break;
            }
        }
        Ok(listed)
    }

    async fn ask_kind(&self) -> Result<ServiceKind, RegistryError> {
        let request = self.aws.client().await.get_service().id(&self.service_id);
        let answer = request.send().await.map_err(|error| match error.as_service_error() {
            Some(GetServiceError::ServiceNotFound(_) | GetServiceError::InvalidInput(_)) => {
                RegistryError::Refused(what_aws_said(&error))
            }
            _ => other(&error),
        })?;
        let dns = answer.service().and_then(|service| service.dns_config());
        let records = dns.map(|dns| dns.dns_records()).unwrap_or_default();
        let seconds = records.iter().filter_map(|record| u64::try_from(record.ttl()).ok()).max();
        Ok(ServiceKind {
            records: records.iter().map(|record| record.r#type().as_str().to_owned()).collect(),
            ttl: Duration::from_secs(seconds.unwrap_or(0)),
            one_answer: dns.and_then(|dns| dns.routing_policy()) == Some(&RoutingPolicy::Weighted),
        })
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

    fn list(&self) -> BoxFuture<'_, Result<Vec<Listed>, RegistryError>> {
        self.list_all().boxed()
    }

    fn kind(&self) -> BoxFuture<'_, Result<ServiceKind, RegistryError>> {
        self.ask_kind().boxed()
    }
}

fn read(instance: &InstanceSummary) -> Option<Listed> {
    let text = |name: &str| instance.attributes()?.get(name);
    let number = |name: &str| text(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    let address = text("AWS_INSTANCE_IPV4").or_else(|| text("AWS_INSTANCE_IPV6"));
    Some(Listed {
        instance: instance.id()?.to_owned(),
        address: address.and_then(|address| address.parse().ok()),
        port: text("AWS_INSTANCE_PORT").and_then(|port| port.parse().ok()).unwrap_or(0),
        zone: text(ZONE).cloned(),
        relay: text(RELAY).cloned().unwrap_or_default(),
        epoch: number(EPOCH),
        revision: number(REVISION),
    })
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
