//! The admin API as an operator calls it: gRPC over TLS with a token.
//!
//! - `calls`: what operators do most.
mod calls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ekiden_proto::admin::v1::{
    access_key_service_client::AccessKeyServiceClient,
    api_token_service_client::ApiTokenServiceClient, audit_service_client::AuditServiceClient,
    collector_service_client::CollectorServiceClient,
    enrollment_rule_service_client::EnrollmentRuleServiceClient,
    enrollment_token_service_client::EnrollmentTokenServiceClient,
    fleet_service_client::FleetServiceClient, relay_service_client::RelayServiceClient,
    revision_service_client::RevisionServiceClient, tenant_service_client::TenantServiceClient,
};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::certificates;

/// Calls the admin API with one token.
#[derive(Clone, Debug)]
pub struct Operator {
    channel: Channel,
    credential: Credential,
}

/// Puts the token, and the trace of the call where there is one, beside each call.
#[derive(Clone)]
pub struct Credential {
    authorization: Option<MetadataValue<Ascii>>,
    traceparent: Option<MetadataValue<Ascii>>,
}

/// The channel of every client.
pub type Authorized = InterceptedService<Channel, Credential>;

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("traceparent", &self.traceparent).finish_non_exhaustive()
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        if let Some(traceparent) = &self.traceparent {
            request.metadata_mut().insert("traceparent", traceparent.clone());
        }
        Ok(request)
    }
}

/// Makes a channel to `address` over TLS; it connects at the first call and again when it has to.
pub fn tls_channel(
    address: SocketAddr,
    server_name: &str,
    config: Arc<ClientConfig>,
) -> anyhow::Result<Channel> {
    let name = ServerName::try_from(server_name.to_owned())?;
    let connect = tower::service_fn(move |_| {
        let (config, name) = (Arc::clone(&config), name.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(config).connect(name, stream).await.map(TokioIo::new)
        }
    });
    let endpoint =
        Endpoint::from_shared(format!("http://{server_name}"))?.timeout(Duration::from_secs(30));
    Ok(endpoint.connect_with_connector_lazy(connect))
}

impl Operator {
    /// Makes an operator; an empty token means none.
    pub fn new(
        address: SocketAddr,
        server_name: &str,
        ca_pem: &[u8],
        token: &str,
    ) -> anyhow::Result<Self> {
        let channel =
            tls_channel(address, server_name, certificates::client_config(ca_pem, None)?)?;
        Ok(Self {
            channel,
            credential: Credential { authorization: bearer(token)?, traceparent: None },
        })
    }

    /// Returns the same connection with another token.
    pub fn with_token(&self, token: &str) -> anyhow::Result<Self> {
        let credential = Credential { authorization: bearer(token)?, traceparent: None };
        Ok(Self { channel: self.channel.clone(), credential })
    }

    /// Returns an operator whose calls belong to one new trace, and the trace's id.
    pub fn traced(&self) -> anyhow::Result<(Self, String)> {
        let trace_id = format!("{:032x}", rand::random::<u128>() | 1);
        let span_id = rand::random::<u64>() | 1;
        let traceparent = format!("00-{trace_id}-{span_id:016x}-01").parse()?;
        let credential = Credential {
            authorization: self.credential.authorization.clone(),
            traceparent: Some(traceparent),
        };
        Ok((Self { channel: self.channel.clone(), credential }, trace_id))
    }

    /// Returns the channel with the token on it, for clients that are not made here.
    pub fn service(&self) -> Authorized {
        InterceptedService::new(self.channel.clone(), self.credential.clone())
    }

    /// Returns a client of TenantService.
    pub fn tenants(&self) -> TenantServiceClient<Authorized> {
        TenantServiceClient::new(self.service())
    }

    /// Returns a client of AccessKeyService.
    pub fn access_keys(&self) -> AccessKeyServiceClient<Authorized> {
        AccessKeyServiceClient::new(self.service())
    }

    /// Returns a client of CollectorService.
    pub fn collectors(&self) -> CollectorServiceClient<Authorized> {
        CollectorServiceClient::new(self.service())
    }

    /// Returns a client of FleetService.
    pub fn fleets(&self) -> FleetServiceClient<Authorized> {
        FleetServiceClient::new(self.service())
    }

    /// Returns a client of RevisionService.
    pub fn revisions(&self) -> RevisionServiceClient<Authorized> {
        RevisionServiceClient::new(self.service())
    }

    /// Returns a client of RelayService.
    pub fn relay_service(&self) -> RelayServiceClient<Authorized> {
        RelayServiceClient::new(self.service())
    }

    /// Returns a client of EnrollmentRuleService.
    pub fn enrollment_rules(&self) -> EnrollmentRuleServiceClient<Authorized> {
        EnrollmentRuleServiceClient::new(self.service())
    }

    /// Returns a client of EnrollmentTokenService.
    pub fn enrollment_tokens(&self) -> EnrollmentTokenServiceClient<Authorized> {
        EnrollmentTokenServiceClient::new(self.service())
    }

    /// Returns a client of ApiTokenService.
    pub fn api_tokens(&self) -> ApiTokenServiceClient<Authorized> {
        ApiTokenServiceClient::new(self.service())
    }

    /// Returns a client of AuditService.
    pub fn audit(&self) -> AuditServiceClient<Authorized> {
        AuditServiceClient::new(self.service())
    }
}

fn bearer(token: &str) -> anyhow::Result<Option<MetadataValue<Ascii>>> {
    if token.is_empty() {
        return Ok(None);
    }
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
    value.set_sensitive(true);
    Ok(Some(value))
}
