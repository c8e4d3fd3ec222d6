//! The admin API as an operator calls it: gRPC over TLS with a token.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use ekiden_proto::{
    admin::v1::{
        AccessKey, ApiToken, Collector, CreateAccessKeyRequest, CreateApiTokenRequest,
        CreateCollectorRequest, CreateEnrollmentTokenRequest, CreateFleetRequest,
        CreateTenantRequest, EnrollmentToken, Fleet, GetRelayRequest, ListRelaysRequest, Relay,
        Role, Tenant, UpdateAccessKeyRequest, UpdateCollectorRequest, UpdateFleetRequest,
        access_key_service_client::AccessKeyServiceClient,
        api_token_service_client::ApiTokenServiceClient, audit_service_client::AuditServiceClient,
        collector_service_client::CollectorServiceClient,
        enrollment_token_service_client::EnrollmentTokenServiceClient,
        fleet_service_client::FleetServiceClient, relay_service_client::RelayServiceClient,
        revision_service_client::RevisionServiceClient, tenant_service_client::TenantServiceClient,
    },
    settings::v1::Endpoint as CollectorEndpoint,
};
use hyper_util::rt::TokioIo;
use prost_types::FieldMask;
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

    /// Makes a tenant.
    pub async fn create_tenant(&self, id: &str) -> Result<Tenant, Status> {
        let tenant = Tenant { display_name: format!("{id} Ltd"), ..Tenant::default() };
        let request = CreateTenantRequest {
            tenant_id: id.to_owned(),
            tenant: Some(tenant),
            ..Default::default()
        };
        Ok(self.tenants().create_tenant(request).await?.into_inner().tenant.unwrap_or_default())
    }

    /// Makes an enabled access key in `tenant`.
    pub async fn create_access_key(
        &self,
        tenant: &str,
        id: &str,
        value: &str,
    ) -> Result<AccessKey, Status> {
        let access_key =
            AccessKey { value: value.to_owned(), enabled: Some(true), ..AccessKey::default() };
        let request = CreateAccessKeyRequest {
            parent: tenant.to_owned(),
            access_key_id: id.to_owned(),
            access_key: Some(access_key),
            ..Default::default()
        };
        Ok(self
            .access_keys()
            .create_access_key(request)
            .await?
            .into_inner()
            .access_key
            .unwrap_or_default())
    }

    /// Gives an access key another value.
    pub async fn change_access_key(&self, name: &str, value: &str) -> Result<AccessKey, Status> {
        let access_key =
            AccessKey { name: name.to_owned(), value: value.to_owned(), ..AccessKey::default() };
        let request = UpdateAccessKeyRequest {
            access_key: Some(access_key),
            update_mask: Some(mask(&["value"])),
            ..Default::default()
        };
        Ok(self
            .access_keys()
            .update_access_key(request)
            .await?
            .into_inner()
            .access_key
            .unwrap_or_default())
    }

    /// Makes a collector in `tenant`.
    pub async fn create_collector(
        &self,
        tenant: &str,
        id: &str,
        collector: Collector,
    ) -> Result<Collector, Status> {
        let request = CreateCollectorRequest {
            parent: tenant.to_owned(),
            collector_id: id.to_owned(),
            collector: Some(collector),
            ..Default::default()
        };
        Ok(self
            .collectors()
            .create_collector(request)
            .await?
            .into_inner()
            .collector
            .unwrap_or_default())
    }

    /// Gives a collector other endpoints.
    pub async fn change_endpoints(
        &self,
        name: &str,
        endpoints: Vec<CollectorEndpoint>,
    ) -> Result<Collector, Status> {
        let collector = Collector { name: name.to_owned(), endpoints, ..Collector::default() };
        let request = UpdateCollectorRequest {
            collector: Some(collector),
            update_mask: Some(mask(&["endpoints"])),
            ..Default::default()
        };
        Ok(self
            .collectors()
            .update_collector(request)
            .await?
            .into_inner()
            .collector
            .unwrap_or_default())
    }

    /// Makes a fleet in `tenant`.
    pub async fn create_fleet(
        &self,
        tenant: &str,
        id: &str,
        fleet: Fleet,
    ) -> Result<Fleet, Status> {
        let request = CreateFleetRequest {
            parent: tenant.to_owned(),
            fleet_id: id.to_owned(),
            fleet: Some(fleet),
            ..Default::default()
        };
        Ok(self.fleets().create_fleet(request).await?.into_inner().fleet.unwrap_or_default())
    }

    /// Changes the named fields of a fleet.
    pub async fn change_fleet(&self, fleet: Fleet, paths: &[&str]) -> Result<Fleet, Status> {
        let request = UpdateFleetRequest {
            fleet: Some(fleet),
            update_mask: Some(mask(paths)),
            ..Default::default()
        };
        Ok(self.fleets().update_fleet(request).await?.into_inner().fleet.unwrap_or_default())
    }

    /// Makes an enrollment token for `uses` relays of `fleet` and returns its text.
    pub async fn create_enrollment_token(&self, fleet: &str, uses: u32) -> Result<String, Status> {
        let token = EnrollmentToken { max_uses: uses, ..EnrollmentToken::default() };
        let request = CreateEnrollmentTokenRequest {
            parent: fleet.to_owned(),
            enrollment_token: Some(token),
            ..Default::default()
        };
        Ok(self.enrollment_tokens().create_enrollment_token(request).await?.into_inner().text)
    }

    /// Makes an API token and returns its text; an empty `tenant` means none.
    pub async fn create_api_token(&self, role: Role, tenant: &str) -> Result<String, Status> {
        let token =
            ApiToken { role: role.into(), tenant: tenant.to_owned(), ..ApiToken::default() };
        let request = CreateApiTokenRequest { api_token: Some(token), ..Default::default() };
        Ok(self.api_tokens().create_api_token(request).await?.into_inner().text)
    }

    /// Returns the relays of `fleet` as the control plane knows them, those that left included.
    pub async fn relays(&self, fleet: &str) -> Result<Vec<Relay>, Status> {
        let request =
            ListRelaysRequest { parent: fleet.to_owned(), page_size: 1000, ..Default::default() };
        Ok(self.relay_service().list_relays(request).await?.into_inner().relays)
    }

    /// Returns one relay with its last health report.
    pub async fn relay(&self, name: &str) -> Result<Relay, Status> {
        let request = GetRelayRequest { name: name.to_owned() };
        Ok(self.relay_service().get_relay(request).await?.into_inner().relay.unwrap_or_default())
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

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
}
