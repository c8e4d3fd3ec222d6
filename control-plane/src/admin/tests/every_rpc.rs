//! Every rpc of the descriptor, and who may not call it. A new one fails here until it is listed.
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use prost_types::FileDescriptorSet;
use time::OffsetDateTime;
use tonic::Code;

use super::*;
use crate::clock::Clock;

mod listed;
mod logins;
mod pairs;

use listed::rpcs;

/// Who may call an rpc for a tenant of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Whoever sees the tenant.
    Viewers,
    /// Whoever may change things in the tenant.
    TenantAdmins,
    /// Operators alone.
    Operators,
    /// Any caller: it tells nothing of a tenant.
    Anyone,
}

/// An rpc and a request for a thing of the tenant `acme`, encoded.
struct Rpc {
    path: &'static str,
    open_to: For,
    request: Vec<u8>,
}

fn rpc(path: &'static str, open_to: For, request: impl Message) -> Rpc {
    Rpc { path, open_to, request: request.encode_to_vec() }
}

/// A message as it was encoded elsewhere.
#[derive(Debug, Default)]
struct Raw(Vec<u8>);

impl Message for Raw {
    fn encode_raw(&self, buf: &mut impl bytes::BufMut) {
        buf.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        buf: &mut impl bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        prost::encoding::skip_field(wire_type, tag, buf, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[test]
fn every_rpc_of_the_contract_is_listed_here() {
    let contract = FileDescriptorSet::decode(ekiden_proto::DESCRIPTOR).unwrap();
    let admin = contract.file.iter().filter(|file| file.package() == "ekiden.admin.v1");
    let methods: BTreeSet<String> = admin
        .flat_map(|file| &file.service)
        .flat_map(|s| s.method.iter().map(|m| format!("{}/{}", s.name(), m.name())))
        .collect();
    let listed: BTreeSet<String> = rpcs().iter().map(|rpc| rpc.path.to_owned()).collect();
    assert_eq!(methods, listed);
}

/// How a call is refused; none: it is answered, or begins to be.
async fn refused(world: &World, token: Option<&str>, rpc: &Rpc) -> Option<Status> {
    let request = Raw(rpc.request.clone());
    if !rpc.path.contains("/Watch") {
        return world.call_as::<_, Raw>(token, rpc.path, request).await.err();
    }
    let path = format!("/ekiden.admin.v1.{}", rpc.path);
    test_app::watch::<_, Raw>(&world.channel, token, &path, request).await.err()
}

async fn customer(world: &World, tenant: &str) {
    world.tenant(tenant).await;
    world.access_key(tenant, "main", "the-secret").await;
    world.collector(tenant, "vendor", "main").await;
    world.fleet(tenant, "tokyo", &["vendor"]).await;
}

#[tokio::test]
async fn no_rpc_answers_without_a_credential_or_with_one_that_is_wrong_or_revoked() {
    let world = World::start().await;
    customer(&world, "acme").await;
    let revoked = world.api_token(Role::Operator, "").await;
    let listed: ListApiTokensResponse =
        world.call("ApiTokenService/ListApiTokens", ListApiTokensRequest::default()).await.unwrap();
    let id = revoked.split('_').nth(1).unwrap();
    let names = listed.api_tokens.into_iter().map(|token| token.name);
    let name = names.into_iter().find(|name| name.replace('-', "").ends_with(id)).unwrap();
    let request = RevokeApiTokenRequest { name, ..Default::default() };
    let _: RevokeApiTokenResponse =
        world.call("ApiTokenService/RevokeApiToken", request).await.unwrap();

    let mut altered = world.token.clone();
    let last = altered.pop();
    // The last of 43 characters carries four bits: these are ones that it may be.
    altered.push(if last == Some('A') { 'E' } else { 'A' });
    for (token, why) in [
        (None, "TOKEN_MISSING"),
        (Some("nonsense"), "TOKEN_MALFORMED"),
        (Some(altered.as_str()), "TOKEN_INVALID"),
        (Some(revoked.as_str()), "TOKEN_ENDED"),
    ] {
        for rpc in rpcs() {
            let status = refused(&world, token, &rpc)
                .await
                .unwrap_or_else(|| panic!("{} for {why}", rpc.path));
            assert_eq!(status.code(), Code::Unauthenticated, "{} {why}: {status:?}", rpc.path);
            assert_eq!(reason(&status), why, "{}", rpc.path);
        }
    }
}

#[tokio::test]
async fn no_rpc_answers_to_a_token_that_has_expired() {
    let (start, days) = (OffsetDateTime::now_utc(), Arc::new(AtomicI64::new(0)));
    let passed = Arc::clone(&days);
    let clock = Clock::from_fn(move || start + time::Duration::days(passed.load(Ordering::SeqCst)));
    let world = World::start_at(clock).await;
    customer(&world, "acme").await;
    let token = world.api_token(Role::Operator, "").await;
    for rpc in rpcs().iter().filter(|rpc| rpc.open_to == For::Anyone) {
        assert!(refused(&world, Some(&token), rpc).await.is_none(), "{} before", rpc.path);
    }
    days.store(367, Ordering::SeqCst);
    for rpc in rpcs() {
        let status = refused(&world, Some(&token), &rpc).await;
        let status = status.unwrap_or_else(|| panic!("{} still answers", rpc.path));
        assert_eq!(reason(&status), "TOKEN_ENDED", "{}", rpc.path);
    }
}

const OF_VIEWERS: &[For] = &[For::Viewers, For::Anyone];
const OF_TENANT_ADMINS: &[For] = &[For::Viewers, For::Anyone, For::TenantAdmins];

#[tokio::test]
async fn a_role_reaches_what_it_may_and_nothing_else() {
    let world = World::start().await;
    customer(&world, "acme").await;
    for (role, may) in [(Role::Viewer, OF_VIEWERS), (Role::TenantAdmin, OF_TENANT_ADMINS)] {
        let token = world.api_token(role, "acme").await;
        reaches_only(&world, &token, may).await;
    }
}

async fn reaches_only(world: &World, token: &str, may: &[For]) {
    for rpc in rpcs().iter().filter(|rpc| !may.contains(&rpc.open_to)) {
        let status = refused(world, Some(token), rpc).await;
        let status = status.unwrap_or_else(|| panic!("{} is answered", rpc.path));
        assert_eq!(status.code(), Code::PermissionDenied, "{}: {status:?}", rpc.path);
    }
    for rpc in
        rpcs().iter().filter(|rpc| may.contains(&rpc.open_to) && !rpc.path.contains("Delete"))
    {
        let Some(status) = refused(world, Some(token), rpc).await else { continue };
        let fits = matches!(status.code(), Code::NotFound | Code::AlreadyExists);
        assert!(fits, "{}: {status:?}", rpc.path);
    }
}

#[tokio::test]
async fn for_a_caller_of_another_tenant_nothing_of_this_one_exists() {
    let world = World::start().await;
    customer(&world, "acme").await;
    customer(&world, "globex").await;
    let before = world.audit("acme").await;
    for role in [Role::TenantAdmin, Role::Viewer] {
        let token = world.api_token(role, "globex").await;
        for rpc in rpcs() {
            let status = refused(&world, Some(&token), &rpc).await;
            match rpc.open_to {
                For::Anyone => assert!(status.is_none(), "{}: {status:?}", rpc.path),
                For::Operators
                    if !(rpc.path.starts_with("TenantService/")
                        || rpc.path.starts_with("EnrollmentRuleService/"))
                        || rpc.path.ends_with("/CreateTenant") =>
                {
                    assert_eq!(status.unwrap().code(), Code::PermissionDenied, "{}", rpc.path);
                }
                For::Viewers | For::TenantAdmins | For::Operators => {
                    let status =
                        status.unwrap_or_else(|| panic!("{} as {role:?} of another", rpc.path));
                    assert_eq!(status.code(), Code::NotFound, "{}: {status:?}", rpc.path);
                }
            }
        }
        let all: ListTenantsResponse = world
            .call_as(Some(&token), "TenantService/ListTenants", ListTenantsRequest::default())
            .await
            .unwrap();
        let names: Vec<_> = all.tenants.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["tenants/globex"]);
        let across = ListCollectorsRequest { parent: "tenants/-".to_owned(), ..Default::default() };
        let all: ListCollectorsResponse =
            world.call_as(Some(&token), "CollectorService/ListCollectors", across).await.unwrap();
        assert!(all.collectors.iter().all(|c| c.name.starts_with("tenants/globex/")));
        assert_eq!(all.collectors.len(), 1);
    }
    assert_eq!(world.audit("acme").await, before);
}
