//! The rpcs: each with who may call it for a tenant of its own, and a request for a thing of the tenant `acme`.
use super::*;

pub(super) fn rpcs() -> Vec<Rpc> {
    let tenant = || "tenants/acme".to_owned();
    let of = |rest: &str| format!("tenants/acme/{rest}");
    let fleet = || of("fleets/tokyo");
    let token = || of("fleets/tokyo/enrollmentTokens/0193a0b0-0000-7000-8000-000000000001");
    let api_token = || "apiTokens/0193a0b0-0000-7000-8000-000000000001".to_owned();
    let relay = || of("fleets/tokyo/relays/r-1");
    let named = |name: String| Some(Tenant { name, ..Default::default() });
    use For::*;
    vec![
        rpc(
            "TenantService/CreateTenant",
            Operators,
            CreateTenantRequest {
                tenant_id: "new".into(),
                tenant: Some(Tenant::default()),
                ..Default::default()
            },
        ),
        rpc("TenantService/GetTenant", Viewers, GetTenantRequest { name: tenant() }),
        rpc("TenantService/ListTenants", Anyone, ListTenantsRequest::default()),
        rpc(
            "TenantService/UpdateTenant",
            Operators,
            UpdateTenantRequest {
                tenant: named(tenant()),
                update_mask: mask(&["display_name"]),
                ..Default::default()
            },
        ),
        rpc(
            "TenantService/DeleteTenant",
            Operators,
            DeleteTenantRequest { name: tenant(), ..Default::default() },
        ),
        rpc(
            "TenantService/UndeleteTenant",
            Operators,
            UndeleteTenantRequest { name: tenant(), ..Default::default() },
        ),
        rpc(
            "TenantService/PurgeTenant",
            Operators,
            PurgeTenantRequest { name: tenant(), ..Default::default() },
        ),
        rpc(
            "AccessKeyService/CreateAccessKey",
            TenantAdmins,
            create_access_key("acme", "k", "secret"),
        ),
        rpc(
            "AccessKeyService/GetAccessKey",
            Viewers,
            GetAccessKeyRequest { name: of("accessKeys/main") },
        ),
        rpc(
            "AccessKeyService/ListAccessKeys",
            Viewers,
            ListAccessKeysRequest { parent: tenant(), ..Default::default() },
        ),
        rpc(
            "AccessKeyService/UpdateAccessKey",
            TenantAdmins,
            UpdateAccessKeyRequest {
                access_key: Some(AccessKey { name: of("accessKeys/main"), ..Default::default() }),
                update_mask: mask(&["display_name"]),
                ..Default::default()
            },
        ),
        rpc(
            "AccessKeyService/RotateAccessKey",
            TenantAdmins,
            RotateAccessKeyRequest {
                name: of("accessKeys/main"),
                value: "another".into(),
                ..Default::default()
            },
        ),
        rpc(
            "AccessKeyService/GetKeyRotation",
            Viewers,
            GetKeyRotationRequest { name: of("accessKeys/main") },
        ),
        rpc(
            "AccessKeyService/CancelKeyRotation",
            TenantAdmins,
            CancelKeyRotationRequest { name: of("accessKeys/main"), ..Default::default() },
        ),
        rpc(
            "AccessKeyService/DeleteAccessKey",
            TenantAdmins,
            DeleteAccessKeyRequest { name: of("accessKeys/main"), ..Default::default() },
        ),
        rpc(
            "CollectorService/CreateCollector",
            TenantAdmins,
            CreateCollectorRequest {
                parent: tenant(),
                collector_id: "c".into(),
                collector: Some(otlp_collector("acme", "")),
                ..Default::default()
            },
        ),
        rpc(
            "CollectorService/GetCollector",
            Viewers,
            GetCollectorRequest { name: of("collectors/vendor") },
        ),
        rpc(
            "CollectorService/ListCollectors",
            Viewers,
            ListCollectorsRequest { parent: tenant(), ..Default::default() },
        ),
        rpc(
            "CollectorService/UpdateCollector",
            TenantAdmins,
            move_collector(&of("collectors/vendor"), "other.test"),
        ),
        rpc(
            "CollectorService/DeleteCollector",
            TenantAdmins,
            DeleteCollectorRequest { name: of("collectors/vendor"), ..Default::default() },
        ),
        rpc(
            "CollectorService/ListCollectorPresets",
            Anyone,
            ListCollectorPresetsRequest::default(),
        ),
        rpc(
            "FleetService/CreateFleet",
            TenantAdmins,
            CreateFleetRequest {
                parent: tenant(),
                fleet_id: "f".into(),
                fleet: Some(Fleet::default()),
                ..Default::default()
            },
        ),
        rpc("FleetService/GetFleet", Viewers, GetFleetRequest { name: fleet() }),
        rpc(
            "FleetService/ListFleets",
            Viewers,
            ListFleetsRequest { parent: tenant(), ..Default::default() },
        ),
        rpc(
            "FleetService/UpdateFleet",
            TenantAdmins,
            UpdateFleetRequest {
                fleet: Some(Fleet { name: fleet(), ..Default::default() }),
                update_mask: mask(&["display_name"]),
                ..Default::default()
            },
        ),
        rpc(
            "FleetService/DeleteFleet",
            TenantAdmins,
            DeleteFleetRequest { name: fleet(), ..Default::default() },
        ),
        rpc(
            "RevisionService/GetRevision",
            Viewers,
            GetRevisionRequest { name: of("fleets/tokyo/revisions/1") },
        ),
        rpc(
            "RevisionService/ListRevisions",
            Viewers,
            ListRevisionsRequest { parent: fleet(), ..Default::default() },
        ),
        rpc(
            "EnrollmentRuleService/CreateEnrollmentRule",
            Operators,
            CreateEnrollmentRuleRequest {
                parent: fleet(),
                enrollment_rule_id: "r".into(),
                enrollment_rule: Some(EnrollmentRule {
                    aws_role_arn: "arn:aws:iam::111122223333:role/relays".into(),
                    ..Default::default()
                }),
                ..Default::default()
            },
        ),
        rpc(
            "EnrollmentRuleService/GetEnrollmentRule",
            Viewers,
            GetEnrollmentRuleRequest { name: of("fleets/tokyo/enrollmentRules/r") },
        ),
        rpc(
            "EnrollmentRuleService/ListEnrollmentRules",
            Viewers,
            ListEnrollmentRulesRequest { parent: fleet(), ..Default::default() },
        ),
        rpc(
            "EnrollmentRuleService/DeleteEnrollmentRule",
            TenantAdmins,
            DeleteEnrollmentRuleRequest {
                name: of("fleets/tokyo/enrollmentRules/r"),
                ..Default::default()
            },
        ),
        rpc(
            "EnrollmentTokenService/CreateEnrollmentToken",
            TenantAdmins,
            CreateEnrollmentTokenRequest {
                parent: fleet(),
                enrollment_token: Some(EnrollmentToken::default()),
                ..Default::default()
            },
        ),
        rpc(
            "EnrollmentTokenService/GetEnrollmentToken",
            Viewers,
            GetEnrollmentTokenRequest { name: token() },
        ),
        rpc(
            "EnrollmentTokenService/ListEnrollmentTokens",
            Viewers,
            ListEnrollmentTokensRequest { parent: fleet(), ..Default::default() },
        ),
        rpc(
            "EnrollmentTokenService/RevokeEnrollmentToken",
            TenantAdmins,
            RevokeEnrollmentTokenRequest { name: token(), ..Default::default() },
        ),
        rpc(
            "ApiTokenService/CreateApiToken",
            Operators,
            CreateApiTokenRequest {
                api_token: Some(ApiToken { role: Role::Viewer.into(), ..Default::default() }),
                ..Default::default()
            },
        ),
        rpc("ApiTokenService/GetApiToken", Operators, GetApiTokenRequest { name: api_token() }),
        rpc("ApiTokenService/ListApiTokens", Operators, ListApiTokensRequest::default()),
        rpc(
            "ApiTokenService/RevokeApiToken",
            Operators,
            RevokeApiTokenRequest { name: api_token(), ..Default::default() },
        ),
        rpc(
            "CertificateAuthorityService/ListCertificateAuthorities",
            Operators,
            ListCertificateAuthoritiesRequest::default(),
        ),
        rpc(
            "CertificateAuthorityService/RotateCertificateAuthority",
            Operators,
            RotateCertificateAuthorityRequest::default(),
        ),
        rpc(
            "CertificateAuthorityService/RetireCertificateAuthority",
            Operators,
            RetireCertificateAuthorityRequest {
                name: "certificateAuthorities/0193a0b0-0000-7000-8000-000000000001".into(),
                ..Default::default()
            },
        ),
        rpc("MasterKeyService/ListMasterKeys", Operators, ListMasterKeysRequest::default()),
        rpc("RelayService/GetRelay", Viewers, GetRelayRequest { name: relay() }),
        rpc(
            "RelayService/ListRelays",
            Viewers,
            ListRelaysRequest { parent: fleet(), ..Default::default() },
        ),
        rpc(
            "RelayService/DrainRelay",
            TenantAdmins,
            DrainRelayRequest { name: relay(), ..Default::default() },
        ),
        rpc(
            "RelayService/RevokeRelay",
            TenantAdmins,
            RevokeRelayRequest { name: relay(), ..Default::default() },
        ),
        rpc("RelayService/WatchRelays", Viewers, WatchRelaysRequest { parent: fleet() }),
        rpc(
            "RelayService/ListHealthReports",
            Viewers,
            ListHealthReportsRequest { parent: relay(), ..Default::default() },
        ),
        rpc(
            "AuditService/ListAuditEvents",
            Viewers,
            ListAuditEventsRequest { parent: tenant(), ..Default::default() },
        ),
        rpc(
            "AuditService/ListAuditHeads",
            Viewers,
            ListAuditHeadsRequest { parent: tenant(), ..Default::default() },
        ),
    ]
}
