//! What is left of a tenant that was destroyed.
use tonic::Code;

use super::*;
use crate::test_database;

async fn purge(world: &World, tenant: &str) -> Result<PurgeTenantResponse, Status> {
    let request = PurgeTenantRequest { name: format!("tenants/{tenant}"), ..Default::default() };
    world.call("TenantService/PurgeTenant", request).await
}

#[tokio::test]
async fn of_a_purged_tenant_only_the_audit_trail_is_left() {
    let world = World::start().await;
    for tenant in ["acme", "globex"] {
        world.tenant(tenant).await;
        world.access_key(tenant, "main", "the-secret").await;
        world.collector(tenant, "vendor", "main").await;
        world.api_token(Role::TenantAdmin, tenant).await;
    }
    assert_eq!(reason(&purge(&world, "acme").await.unwrap_err()), "TENANT_NOT_DELETED");
    assert_eq!(purge(&world, "nobody").await.unwrap_err().code(), Code::NotFound);
    let request = DeleteTenantRequest { name: "tenants/acme".to_owned(), ..Default::default() };
    let _: DeleteTenantResponse = world.call("TenantService/DeleteTenant", request).await.unwrap();
    purge(&world, "acme").await.unwrap();

    let left = test_database::rows_by_tenant(&world.database, "acme").await;
    let tables: Vec<_> = left.iter().map(|(table, _)| table.as_str()).collect();
    assert_eq!(tables, ["audit_events", "audit_heads"], "{left:?}");
    let others = test_database::rows_by_tenant(&world.database, "globex").await;
    assert!(others.iter().any(|(table, _)| table == "access_key_versions"), "{others:?}");
    let again = UndeleteTenantRequest { name: "tenants/acme".to_owned(), ..Default::default() };
    let gone: Result<UndeleteTenantResponse, _> =
        world.call("TenantService/UndeleteTenant", again).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    let last = &world.audit("-").await[0];
    assert!(last.method.ends_with("/PurgeTenant") && last.resource == "tenants/acme", "{last:?}");
}
