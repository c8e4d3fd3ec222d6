//! The admin services, one file each: what operators call.
//!
//! An rpc reads as parse, authorize, transact, reply; its transaction is the function below it of the same verb. What all
//! rpcs share is in [`call`] (caller, transaction, request id, audit) and [`paging`].
use std::sync::Arc;

use ekiden_proto::admin::v1::{
    access_key_service_server::AccessKeyServiceServer,
    api_token_service_server::ApiTokenServiceServer, audit_service_server::AuditServiceServer,
    certificate_authority_service_server::CertificateAuthorityServiceServer,
    collector_service_server::CollectorServiceServer,
    enrollment_rule_service_server::EnrollmentRuleServiceServer,
    enrollment_token_service_server::EnrollmentTokenServiceServer,
    fleet_service_server::FleetServiceServer, master_key_service_server::MasterKeyServiceServer,
    relay_service_server::RelayServiceServer, revision_service_server::RevisionServiceServer,
    tenant_service_server::TenantServiceServer,
};
use tonic::service::Routes;

use crate::{
    app::App,
    caller::{Authenticated, Authenticator},
};

mod access_keys;
mod api_tokens;
mod audit;
pub(crate) mod call;
mod certificate_authorities;
mod collectors;
mod enrollment_rules;
mod enrollment_tokens;
mod fleets;
mod master_keys;
pub(crate) mod paging;
mod recompile;
mod relays;
mod revisions;
mod tenants;
#[cfg(test)]
mod tests;

/// Every admin service, open to authenticated callers only.
pub fn routes(app: &Arc<App>) -> Routes {
    let authenticator = Arc::new(Authenticator::new(app));
    let gate = &authenticator;
    let tenants = TenantServiceServer::new(tenants::Tenants::new(app));
    let access_keys = AccessKeyServiceServer::new(access_keys::AccessKeys::new(app));
    let collectors = CollectorServiceServer::new(collectors::Collectors::new(app));
    let fleets = FleetServiceServer::new(fleets::Fleets::new(app));
    let revisions = RevisionServiceServer::new(revisions::Revisions::new(app));
    let enrollment_tokens =
        EnrollmentTokenServiceServer::new(enrollment_tokens::EnrollmentTokens::new(app));
    let enrollment_rules =
        EnrollmentRuleServiceServer::new(enrollment_rules::EnrollmentRules::new(app));
    let api_tokens = ApiTokenServiceServer::new(api_tokens::ApiTokens::new(app, gate));
    let relays = RelayServiceServer::new(relays::Relays::new(app));
    let audit = AuditServiceServer::new(audit::Audit::new(app));
    let certificate_authorities = CertificateAuthorityServiceServer::new(
        certificate_authorities::CertificateAuthorities::new(app),
    );
    let master_keys = MasterKeyServiceServer::new(master_keys::MasterKeys::new(app));
    Routes::new(Authenticated::new(gate, tenants))
        .add_service(Authenticated::new(gate, access_keys))
        .add_service(Authenticated::new(gate, collectors))
        .add_service(Authenticated::new(gate, fleets))
        .add_service(Authenticated::new(gate, revisions))
        .add_service(Authenticated::new(gate, enrollment_rules))
        .add_service(Authenticated::new(gate, enrollment_tokens))
        .add_service(Authenticated::new(gate, api_tokens))
        .add_service(Authenticated::new(gate, relays))
        .add_service(Authenticated::new(gate, certificate_authorities))
        .add_service(Authenticated::new(gate, master_keys))
        .add_service(Authenticated::new(gate, audit))
}
