//! The admin services as an operator's client sees them: over the real port, on a real database.
//!
//! `every_rpc`: who may call what. `repeats`: request ids and rehearsals. `reading`: masks, etags, pages. `heads`: what
//! becomes a revision, what a secret version. `trail`: the audit.
use ekiden_proto::{
    admin::v1::*,
    settings::v1::{CollectorProtocol, Endpoint, KeyPlacement, Listener, ListenerProtocol},
};
use prost::Message;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

use crate::test_app::{self, TestApp};

mod every_rpc;
mod heads;
mod reading;
mod repeats;
mod trail;

/// A control plane and an operator who is connected to it.
struct World {
    app: TestApp,
    channel: Channel,
}

impl World {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let channel = app.channel().await;
        Self { app, channel }
    }

    /// Calls `{Service}/{Method}` as the operator.
    async fn call<Req, Resp>(&self, rpc: &str, request: Req) -> Result<Resp, Status>
    where
        Req: Message + 'static,
        Resp: Message + Default + 'static,
    {
        self.call_as(Some(&self.app.token), rpc, request).await
    }

    async fn call_as<Req, Resp>(
        &self,
        token: Option<&str>,
        rpc: &str,
        request: Req,
    ) -> Result<Resp, Status>
    where
        Req: Message + 'static,
        Resp: Message + Default + 'static,
    {
        test_app::call(&self.channel, token, &format!("/ekiden.admin.v1.{rpc}"), request).await
    }

    async fn tenant(&self, id: &str) {
        let request = CreateTenantRequest {
            tenant_id: id.to_owned(),
            tenant: Some(Tenant::default()),
            ..Default::default()
        };
        let _: CreateTenantResponse =
            self.call("TenantService/CreateTenant", request).await.unwrap();
    }

    async fn access_key(&self, tenant: &str, id: &str, value: &str) {
        let _: CreateAccessKeyResponse = self
            .call("AccessKeyService/CreateAccessKey", create_access_key(tenant, id, value))
            .await
            .unwrap();
    }

    /// A collector that takes the key `key`; none where that is empty.
    async fn collector(&self, tenant: &str, id: &str, key: &str) -> Collector {
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
    async fn fleet(&self, tenant: &str, id: &str, collectors: &[&str]) -> Fleet {
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

    async fn read_fleet(&self, tenant: &str, id: &str) -> Fleet {
        let request = GetFleetRequest { name: format!("tenants/{tenant}/fleets/{id}") };
        let got: GetFleetResponse = self.call("FleetService/GetFleet", request).await.unwrap();
        got.fleet.unwrap()
    }

    async fn api_token(&self, role: Role, tenant: &str) -> String {
        let tenant = if tenant.is_empty() { String::new() } else { format!("tenants/{tenant}") };
        let token = ApiToken { role: role.into(), tenant, ..Default::default() };
        let request = CreateApiTokenRequest { api_token: Some(token), ..Default::default() };
        let made: CreateApiTokenResponse =
            self.call("ApiTokenService/CreateApiToken", request).await.unwrap();
        made.text
    }

    async fn audit(&self, tenant: &str) -> Vec<AuditEvent> {
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

fn create_access_key(tenant: &str, id: &str, value: &str) -> CreateAccessKeyRequest {
    CreateAccessKeyRequest {
        parent: format!("tenants/{tenant}"),
        access_key_id: id.to_owned(),
        access_key: Some(AccessKey { value: value.to_owned(), ..Default::default() }),
        ..Default::default()
    }
}

fn otlp_collector(tenant: &str, key: &str) -> Collector {
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

/// A change of a collector's first host.
fn move_collector(name: &str, host: &str) -> UpdateCollectorRequest {
    let endpoint = Endpoint { host: host.to_owned(), port: 4317, priority: 0 };
    UpdateCollectorRequest {
        collector: Some(Collector {
            name: name.to_owned(),
            endpoints: vec![endpoint],
            ..Default::default()
        }),
        update_mask: mask(&["endpoints"]),
        ..Default::default()
    }
}

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() })
}

/// The stable reason of an error.
fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// The fields that an error names.
fn fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request();
    details.map(|d| d.field_violations.into_iter().map(|v| v.field).collect()).unwrap_or_default()
}
