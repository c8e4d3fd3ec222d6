//! What an operator sets up in most tests, over the real port.
use ekiden_proto::{
    admin::v1::*,
    settings::v1::{CollectorProtocol, Endpoint, KeyPlacement, Listener, ListenerProtocol},
};
use prost::Message;
use tonic::Status;

use super::TestApp;

impl TestApp {
    /// Calls `{Service}/{Method}` as the operator.
    pub(crate) async fn call<Req, Resp>(&self, rpc: &str, request: Req) -> Result<Resp, Status>
    where
        Req: Message + 'static,
        Resp: Message + Default + 'static,
    {
        self.call_as(Some(&self.token), rpc, request).await
    }

    pub(crate) async fn call_as<Req, Resp>(
        &self,
        token: Option<&str>,
        rpc: &str,
        request: Req,
    ) -> Result<Resp, Status>
    where
        Req: Message + 'static,
        Resp: Message + Default + 'static,
    {
        super::call(&self.channel, token, &format!("/ekiden.admin.v1.{rpc}"), request).await
    }

    pub(crate) async fn tenant(&self, id: &str) {
        let request = CreateTenantRequest {
            tenant_id: id.to_owned(),
            tenant: Some(Tenant::default()),
            ..Default::default()
        };
        let _: CreateTenantResponse =
            self.call("TenantService/CreateTenant", request).await.unwrap();
    }

    pub(crate) async fn access_key(&self, tenant: &str, id: &str, value: &str) {
        let _: CreateAccessKeyResponse = self
            .call("AccessKeyService/CreateAccessKey", create_access_key(tenant, id, value))
            .await
            .unwrap();
    }

    /// A collector that takes the key `key`; none where that is empty.
    pub(crate) async fn collector(&self, tenant: &str, id: &str, key: &str) -> Collector {
        let request = CreateCollectorRequest {
            parent: format!("tenants/{tenant}"),
            collector_id: id.to_owned(),
            collector: Some(otlp_collector(tenant, key)),
            ..Default::default()
        };
        let made: CreateCollectorResponse =
            self.call("CollectorService/CreateCollector", request).await.unwrap();
        made.collector.unwrap()
    }

    /// A fleet with one OTLP listener for each collector.
    pub(crate) async fn fleet(&self, tenant: &str, id: &str, collectors: &[&str]) -> Fleet {
        let listeners = (4317..).zip(collectors).map(|(port, collector)| Listener {
            name: format!("l{port}"),
            port,
            protocol: ListenerProtocol::Otlp.into(),
            collector: format!("tenants/{tenant}/collectors/{collector}"),
            ..Default::default()
        });
        let request = CreateFleetRequest {
            parent: format!("tenants/{tenant}"),
            fleet_id: id.to_owned(),
            fleet: Some(Fleet { listeners: listeners.collect(), ..Default::default() }),
            ..Default::default()
        };
        let made: CreateFleetResponse =
            self.call("FleetService/CreateFleet", request).await.unwrap();
        made.fleet.unwrap()
    }

    pub(crate) async fn read_fleet(&self, tenant: &str, id: &str) -> Fleet {
        let request = GetFleetRequest { name: format!("tenants/{tenant}/fleets/{id}") };
        let got: GetFleetResponse = self.call("FleetService/GetFleet", request).await.unwrap();
        got.fleet.unwrap()
    }

    pub(crate) async fn api_token(&self, role: Role, tenant: &str) -> String {
        let tenant = if tenant.is_empty() { String::new() } else { format!("tenants/{tenant}") };
        let token = ApiToken { role: role.into(), tenant, ..Default::default() };
        let request = CreateApiTokenRequest { api_token: Some(token), ..Default::default() };
        let made: CreateApiTokenResponse =
            self.call("ApiTokenService/CreateApiToken", request).await.unwrap();
        made.text
    }

    pub(crate) async fn audit(&self, tenant: &str) -> Vec<AuditEvent> {
        let request = ListAuditEventsRequest {
            parent: format!("tenants/{tenant}"),
            page_size: 1000,
            ..Default::default()
        };
        let listed: ListAuditEventsResponse =
            self.call("AuditService/ListAuditEvents", request).await.unwrap();
        listed.audit_events
    }
}

pub(crate) fn create_access_key(tenant: &str, id: &str, value: &str) -> CreateAccessKeyRequest {
    CreateAccessKeyRequest {
        parent: format!("tenants/{tenant}"),
        access_key_id: id.to_owned(),
        access_key: Some(AccessKey { value: value.to_owned(), ..Default::default() }),
        ..Default::default()
    }
}

pub(crate) fn otlp_collector(tenant: &str, key: &str) -> Collector {
    let endpoint = Endpoint { host: "vendor.test".to_owned(), port: 4317, priority: 0 };
    let placement = KeyPlacement {
        access_key: format!("tenants/{tenant}/accessKeys/{key}"),
        header: "x-key".to_owned(),
        prefix: String::new(),
    };
    Collector {
        protocol: CollectorProtocol::OtlpGrpc.into(),
        endpoints: vec![endpoint],
        key_placement: (!key.is_empty()).then_some(placement),
        ..Default::default()
    }
}
