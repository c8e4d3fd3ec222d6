//! Operators that log in at an issuer of their own, over real HTTPS, and call over the real port.
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use serde_json::json;
use time::OffsetDateTime;
use tonic::Code;

use super::*;
use crate::{
    app::ServerSettings,
    caller::{LoginSettings, RoleRules},
    clock::Clock,
    oidc::{test_issuer::TestIssuer, test_tokens::Draft},
};

const ROLES: &str = "groups=operators:operator,groups=acme-admins:tenant-admin:acme,groups=acme-viewers:viewer:acme,groups=globex-viewers:viewer:globex";

/// A control plane that takes the logins of an issuer.
pub(super) struct Office {
    pub(super) world: World,
    issuer: TestIssuer,
    /// Seconds that the control plane's clock is ahead.
    ahead: Arc<AtomicI64>,
}

impl Office {
    pub(super) async fn open() -> Self {
        let issuer = TestIssuer::start().await;
        let logins = LoginSettings {
            issuer: issuer.issuer.clone(),
            audience: "ekiden".to_owned(),
            roles: RoleRules::parse(ROLES).unwrap(),
            roots: vec![issuer.root.clone()],
        };
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = {
            let ahead = Arc::clone(&ahead);
            Clock::from_fn(move || {
                OffsetDateTime::now_utc() + time::Duration::seconds(ahead.load(Ordering::SeqCst))
            })
        };
        let settings = ServerSettings { logins: Some(logins), ..test_app::settings() };
        Self { world: World::start_with(clock, settings).await, issuer, ahead }
    }

    /// A login of Ann, who is in these groups, to be bent.
    pub(super) fn draft(&self, groups: &[&str]) -> Draft {
        let now = self.world.app.clock.now().unix_timestamp();
        let mut draft = Draft::good(self.issuer.issuer.url());
        draft.claims["aud"] = json!("ekiden");
        draft.claims["sub"] = json!("ann");
        draft.claims["groups"] = json!(groups);
        (draft.claims["iat"], draft.claims["nbf"]) = (json!(now), json!(now));
        draft.claims["exp"] = json!(now + 23 * 3600);
        draft
    }

    pub(super) fn login(&self, groups: &[&str]) -> String {
        self.draft(groups).token()
    }

    async fn tenants(&self, token: &str) -> Result<Vec<String>, Status> {
        let request = ListTenantsRequest::default();
        let listed: ListTenantsResponse =
            self.world.call_as(Some(token), "TenantService/ListTenants", request).await?;
        Ok(listed.tenants.into_iter().map(|tenant| tenant.name).collect())
    }
}

#[tokio::test]
async fn what_a_login_changes_is_in_the_audit_under_its_subject() {
    let office = Office::open().await;
    let create = |tenant_id: &str| CreateTenantRequest {
        tenant_id: tenant_id.to_owned(),
        tenant: Some(Tenant::default()),
        ..Default::default()
    };
    let operator = office.login(&["operators"]);
    let _: CreateTenantResponse = office
        .world
        .call_as(Some(&operator), "TenantService/CreateTenant", create("acme"))
        .await
        .unwrap();
    let mut draft = office.draft(&["acme-admins"]);
    draft.claims["sub"] = json!("auth0|5f7c8ec7 bob");
    let _: CreateAccessKeyResponse = office
        .world
        .call_as(
            Some(&draft.token()),
            "AccessKeyService/CreateAccessKey",
            create_access_key("acme", "main", "secret"),
        )
        .await
        .unwrap();
    let events = office.world.audit("acme").await;
    let actors: Vec<_> = events.iter().map(|event| event.actor.as_str()).collect();
    assert_eq!(actors, ["oidc/localhost/auth0|5f7c8ec7 bob", "oidc/localhost/ann"]);
    assert!(events.iter().all(|event| event.peer.starts_with("127.0.0.1:")), "{events:?}");
}

#[tokio::test]
async fn a_login_of_one_tenant_sees_nothing_of_another() {
    let office = Office::open().await;
    office.world.tenant("acme").await;
    office.world.tenant("globex").await;
    for (group, sees) in [
        ("acme-admins", vec!["tenants/acme"]),
        ("acme-viewers", vec!["tenants/acme"]),
        ("globex-viewers", vec!["tenants/globex"]),
        ("operators", vec!["tenants/acme", "tenants/globex"]),
    ] {
        assert_eq!(
            office.tenants(&office.login(&[group, "staff"])).await.unwrap(),
            sees,
            "{group}"
        );
    }
    let across = create_access_key("globex", "main", "secret");
    let token = office.login(&["acme-admins"]);
    let answer: Result<CreateAccessKeyResponse, _> =
        office.world.call_as(Some(&token), "AccessKeyService/CreateAccessKey", across).await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn logins_go_on_for_a_day_while_their_issuer_is_away() {
    let office = Office::open().await;
    office.issuer.publish(|published| published.discovery = None);
    let token = office.login(&["operators"]);
    let status = office.tenants(&token).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "ISSUER_UNREACHABLE")
    );
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap();
    assert!(!wait.is_zero() && !status.message().contains("localhost"), "{status:?}");

    let url = office.issuer.issuer.url().to_owned();
    office.issuer.publish(|published| *published = crate::oidc::test_issuer::Published::good(&url));
    office.ahead.store(60, Ordering::SeqCst);
    office.tenants(&token).await.unwrap();
    office.issuer.publish(|published| published.discovery = None);
    for ahead in [60, 121, 2 * 3600, 20 * 3600] {
        office.ahead.store(ahead, Ordering::SeqCst);
        office.tenants(&token).await.unwrap();
        office.tenants(&office.login(&["acme-viewers"])).await.unwrap();
    }
    let mut unknown = office.draft(&["operators"]);
    unknown.header["kid"] = json!("new");
    let status = office.tenants(&unknown.token()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "its key may be there for all that is known");
    office.ahead.store(25 * 3600, Ordering::SeqCst);
    let status = office.tenants(&token).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn somebody_in_very_many_groups_can_log_in() {
    let office = Office::open().await;
    let groups = |count| {
        let many = (0..count).map(|n| format!("9f1c2d3e-0000-4000-8000-{n:012}"));
        many.chain(["operators".to_owned()]).collect::<Vec<_>>()
    };
    let login = |count| {
        let groups = groups(count);
        office.login(&groups.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let long = login(295);
    assert!((15 << 10..16 << 10).contains(&long.len()), "{}", long.len());
    office.tenants(&long).await.unwrap();
    let status = office.tenants(&login(400)).await.unwrap_err();
    assert_eq!(reason(&status), "TOKEN_TOO_LONG");
}

#[tokio::test]
async fn a_control_plane_without_an_issuer_takes_no_logins() {
    let office = Office::open().await;
    let world = World::start().await;
    let token = office.login(&["operators"]);
    let status = world
        .call_as::<_, ListTenantsResponse>(
            Some(&token),
            "TenantService/ListTenants",
            ListTenantsRequest::default(),
        )
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason(&status), "LOGINS_NOT_OFFERED");
    assert_eq!(office.issuer.requests(), 0);
}
