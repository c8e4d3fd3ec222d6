//! Calls that are made twice, and calls that only ask what would be.
use tonic::Code;

use super::*;

const ID: &str = "01920f6e-5a3c-7a51-b9d3-0a6f1c2e4b87";

fn create(tenant: &str, display_name: &str) -> CreateTenantRequest {
    CreateTenantRequest {
        tenant_id: tenant.to_owned(),
        tenant: Some(Tenant { display_name: display_name.to_owned(), ..Default::default() }),
        request_id: ID.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_repeat_under_the_same_request_id_gets_the_first_answer_and_makes_nothing() {
    let world = World::start().await;
    let first: CreateTenantResponse =
        world.call("TenantService/CreateTenant", create("acme", "Acme")).await.unwrap();
    let again: CreateTenantResponse =
        world.call("TenantService/CreateTenant", create("acme", "Acme")).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(world.audit("acme").await.len(), 1);
}

#[tokio::test]
async fn calls_under_one_request_id_at_the_same_time_make_one_thing() {
    let world = World::start().await;
    let calls = (0..12).map(|_| {
        world.call::<_, CreateTenantResponse>("TenantService/CreateTenant", create("acme", "Acme"))
    });
    let answers = futures_util::future::join_all(calls).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
    assert_eq!(world.audit("acme").await.len(), 1);
}

#[tokio::test]
async fn another_request_under_a_used_request_id_is_refused_and_does_nothing() {
    let world = World::start().await;
    let _: CreateTenantResponse =
        world.call("TenantService/CreateTenant", create("acme", "Acme")).await.unwrap();
    let other: Result<CreateTenantResponse, _> =
        world.call("TenantService/CreateTenant", create("globex", "Globex")).await;
    let status = other.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(fields(&status), ["request_id"]);
    let got: Result<GetTenantResponse, _> = world
        .call("TenantService/GetTenant", GetTenantRequest { name: "tenants/globex".to_owned() })
        .await;
    assert_eq!(got.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_request_id_belongs_to_its_caller() {
    let world = World::start().await;
    world.tenant("acme").await;
    world.tenant("globex").await;
    let mut names = Vec::new();
    for tenant in ["acme", "globex"] {
        let token = world.api_token(Role::TenantAdmin, tenant).await;
        let mut request = create_access_key(tenant, "main", "the-secret");
        request.request_id = ID.to_owned();
        let made: CreateAccessKeyResponse =
            world.call_as(Some(&token), "AccessKeyService/CreateAccessKey", request).await.unwrap();
        names.push(made.access_key.unwrap().name);
    }
    assert_eq!(names, ["tenants/acme/accessKeys/main", "tenants/globex/accessKeys/main"]);
}

#[tokio::test]
async fn the_text_of_a_token_is_not_kept_for_a_repeat() {
    let world = World::start().await;
    let token = ApiToken { role: Role::Operator.into(), ..Default::default() };
    let request = CreateApiTokenRequest {
        api_token: Some(token),
        request_id: ID.to_owned(),
        ..Default::default()
    };
    let first: CreateApiTokenResponse =
        world.call("ApiTokenService/CreateApiToken", request.clone()).await.unwrap();
    let again: CreateApiTokenResponse =
        world.call("ApiTokenService/CreateApiToken", request).await.unwrap();
    assert!(first.text.starts_with("eka_"));
    assert_eq!(again.text, "");
    assert_eq!(first.api_token, again.api_token);
}

#[tokio::test]
async fn a_rehearsal_answers_as_if_done_and_changes_nothing() {
    let world = World::start().await;
    world.tenant("acme").await;
    world.collector("acme", "vendor", "").await;
    let fleet = world.fleet("acme", "tokyo", &["vendor"]).await;
    let before = world.audit("acme").await;

    let mut request = move_collector("tenants/acme/collectors/vendor", "moved.test");
    request.validate_only = true;
    let answer: UpdateCollectorResponse =
        world.call("CollectorService/UpdateCollector", request.clone()).await.unwrap();
    assert_eq!(answer.collector.unwrap().endpoints[0].host, "moved.test");

    request.collector.as_mut().unwrap().endpoints[0].port = 70_000;
    let refused: Result<UpdateCollectorResponse, _> =
        world.call("CollectorService/UpdateCollector", request).await;
    assert_eq!(fields(&refused.unwrap_err()), ["collector.endpoints[0].port"]);

    let mut request = create_access_key("acme", "main", "the-secret");
    request.validate_only = true;
    let _: CreateAccessKeyResponse =
        world.call("AccessKeyService/CreateAccessKey", request).await.unwrap();

    assert_eq!(world.audit("acme").await, before);
    assert_eq!(world.read_fleet("acme", "tokyo").await, fleet);
    let keys: ListAccessKeysResponse = world
        .call(
            "AccessKeyService/ListAccessKeys",
            ListAccessKeysRequest { parent: "tenants/acme".to_owned(), ..Default::default() },
        )
        .await
        .unwrap();
    assert!(keys.access_keys.is_empty());
}
