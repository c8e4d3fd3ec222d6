//! What operators do most, a call each.
use std::time::Duration;

use ekiden_proto::{
    admin::v1::{
        AccessKey, ApiToken, Collector, CreateAccessKeyRequest, CreateApiTokenRequest,
        CreateCollectorRequest, CreateEnrollmentRuleRequest, CreateEnrollmentTokenRequest,
        CreateFleetRequest, CreateTenantRequest, EnrollmentRule, EnrollmentToken, Fleet,
        GetKeyRotationRequest, GetRelayRequest, KeyRotation, ListRelaysRequest, Relay, Role,
        RotateAccessKeyRequest, Tenant, UpdateAccessKeyRequest, UpdateCollectorRequest,
        UpdateFleetRequest,
    },
    settings::v1::Endpoint,
};
use prost_types::FieldMask;
use tonic::Status;

use super::Operator;
use crate::harness::wait::{self, SAFETY};

impl Operator {
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
        self.update_access_key(access_key, &["value"]).await
    }

    /// Begins to rotate an access key to another value; the old one drains for `grace`.
    pub async fn rotate_access_key(
        &self,
        name: &str,
        value: &str,
        grace: Duration,
    ) -> Result<KeyRotation, Status> {
        let request = RotateAccessKeyRequest {
            name: name.to_owned(),
            value: value.to_owned(),
            grace: prost_types::Duration::try_from(grace).ok(),
            ..Default::default()
        };
        let answer = self.access_keys().rotate_access_key(request).await?.into_inner();
        Ok(answer.rotation.unwrap_or_default())
    }

    /// Waits until an access key's last rotation is as wanted.
    pub async fn until_rotation(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&KeyRotation) -> bool,
    ) -> anyhow::Result<KeyRotation> {
        wait::until(what, SAFETY, async || {
            let request = GetKeyRotationRequest { name: name.to_owned() };
            let answer = self.access_keys().get_key_rotation(request).await?.into_inner();
            Ok(answer.rotation.filter(&wanted))
        })
        .await
    }

    /// Gives an access key to relays, or takes it from them.
    pub async fn enable_access_key(&self, name: &str, enabled: bool) -> Result<AccessKey, Status> {
        let access_key =
            AccessKey { name: name.to_owned(), enabled: Some(enabled), ..AccessKey::default() };
        self.update_access_key(access_key, &["enabled"]).await
    }

    async fn update_access_key(
        &self,
        access_key: AccessKey,
        paths: &[&str],
    ) -> Result<AccessKey, Status> {
        let request = UpdateAccessKeyRequest {
            access_key: Some(access_key),
            update_mask: Some(mask(paths)),
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
        endpoints: Vec<Endpoint>,
    ) -> Result<Collector, Status> {
        let collector = Collector { name: name.to_owned(), endpoints, ..Collector::default() };
        self.change_collector(collector, &["endpoints"]).await
    }

    /// Changes the named fields of a collector.
    pub async fn change_collector(
        &self,
        collector: Collector,
        paths: &[&str],
    ) -> Result<Collector, Status> {
        let request = UpdateCollectorRequest {
            collector: Some(collector),
            update_mask: Some(mask(paths)),
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

    /// Lets tasks of an AWS role enroll into `fleet` by a signed request.
    pub async fn create_enrollment_rule(
        &self,
        fleet: &str,
        id: &str,
        role_arn: &str,
    ) -> Result<(), Status> {
        let rule =
            EnrollmentRule { aws_role_arn: role_arn.to_owned(), ..EnrollmentRule::default() };
        let request = CreateEnrollmentRuleRequest {
            parent: fleet.to_owned(),
            enrollment_rule_id: id.to_owned(),
            enrollment_rule: Some(rule),
            ..Default::default()
        };
        self.enrollment_rules().create_enrollment_rule(request).await.map(drop)
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

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
}
