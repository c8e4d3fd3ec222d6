//! Two tenants that are called alike in everything, and callers of one who go through every rpc with names of both.
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::test_database;

/// Ids of one length, so that an encoded request for one is a request for the other with its bytes replaced.
const TENANTS: [&str; 2] = ["acme", "bolt"];
const STEPS: usize = 300;

/// All strings and messages of an answer, run together.
#[derive(Debug, Default)]
struct Heard(Vec<u8>);

impl Message for Heard {
    fn encode_raw(&self, _: &mut impl bytes::BufMut) {}

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        buf: &mut impl bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        if wire_type != prost::encoding::WireType::LengthDelimited {
            return prost::encoding::skip_field(wire_type, tag, buf, context);
        }
        let mut field = Vec::new();
        prost::encoding::bytes::merge(wire_type, &mut field, buf, context)?;
        self.0.append(&mut field);
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        0
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

fn marker(tenant: &str) -> String {
    format!("belongs-to-{tenant}-alone")
}

/// Puts the tenant's marker into everything that can be read back.
async fn marked_customer(world: &World, tenant: &str) {
    customer(world, tenant).await;
    let (name, marker) = (format!("tenants/{tenant}"), marker(tenant));
    let display_name = || marker.clone();
    let request = UpdateTenantRequest {
        tenant: Some(Tenant {
            name: name.clone(),
            display_name: display_name(),
            ..Default::default()
        }),
        update_mask: mask(&["display_name"]),
        ..Default::default()
    };
    let _: UpdateTenantResponse = world.call("TenantService/UpdateTenant", request).await.unwrap();
    let access_key = AccessKey {
        name: format!("{name}/accessKeys/main"),
        display_name: display_name(),
        ..Default::default()
    };
    let request = UpdateAccessKeyRequest {
        access_key: Some(access_key),
        update_mask: mask(&["display_name"]),
        ..Default::default()
    };
    let _: UpdateAccessKeyResponse =
        world.call("AccessKeyService/UpdateAccessKey", request).await.unwrap();
    let host = format!("{marker}.test");
    let request = move_collector(&format!("{name}/collectors/vendor"), &host);
    let _: UpdateCollectorResponse =
        world.call("CollectorService/UpdateCollector", request).await.unwrap();
    let fleet = format!("{name}/fleets/tokyo");
    let request = CreateEnrollmentTokenRequest {
        parent: fleet.clone(),
        enrollment_token: Some(EnrollmentToken {
            display_name: display_name(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let _: CreateEnrollmentTokenResponse =
        world.call("EnrollmentTokenService/CreateEnrollmentToken", request).await.unwrap();
    let number = TENANTS.iter().position(|known| *known == tenant).unwrap();
    let rule = EnrollmentRule {
        display_name: display_name(),
        aws_role_arn: format!("arn:aws:iam::11112222333{number}:role/relay"),
        ..Default::default()
    };
    let request = CreateEnrollmentRuleRequest {
        parent: fleet,
        enrollment_rule_id: "ecs".to_owned(),
        enrollment_rule: Some(rule),
        ..Default::default()
    };
    let _: CreateEnrollmentRuleResponse =
        world.call("EnrollmentRuleService/CreateEnrollmentRule", request).await.unwrap();
}

/// A digest of all that the database holds of a tenant, whoever may see it.
async fn rows(world: &World, tenant: &str) -> String {
    let mut db = world.database.pool.acquire().await.unwrap();
    let tables = "select string_agg(c.oid::regclass::text, ',' order by c.relname)
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
         where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = current_schema()::regnamespace
           and c.relname <> 'api_tokens'";
    let tables = test_database::text(&mut db, tables).await;
    assert!(tables.split(',').count() > 12, "{tables}");
    let each = tables.split(',').map(|table| {
        format!("(select coalesce(md5(string_agg(t::text, '' order by t::text)), '') from {table} t where tenant_id = '{tenant}')")
    });
    let sql = format!("select {}", each.collect::<Vec<_>>().join(" || "));
    test_database::text(&mut db, &sql).await
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|part| part == from.as_bytes())
    {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        at += to.len();
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Requests for all tenants that the caller may see.
fn wildcards() -> Vec<Rpc> {
    let all = || "tenants/-".to_owned();
    let fleets = || "tenants/-/fleets/-".to_owned();
    vec![
        rpc("TenantService/ListTenants", For::Anyone, ListTenantsRequest::default()),
        rpc(
            "AccessKeyService/ListAccessKeys",
            For::Viewers,
            ListAccessKeysRequest { parent: all(), ..Default::default() },
        ),
        rpc(
            "CollectorService/ListCollectors",
            For::Viewers,
            ListCollectorsRequest { parent: all(), ..Default::default() },
        ),
        rpc(
            "FleetService/ListFleets",
            For::Viewers,
            ListFleetsRequest { parent: all(), ..Default::default() },
        ),
        rpc(
            "RelayService/ListRelays",
            For::Viewers,
            ListRelaysRequest { parent: fleets(), ..Default::default() },
        ),
    ]
}

/// Everything that a call said, good or bad.
async fn said(world: &World, token: &str, rpc: &Rpc) -> Result<Vec<u8>, Status> {
    let request = Raw(rpc.request.clone());
    if !rpc.path.contains("/Watch") {
        let heard = world.call_as::<_, Heard>(Some(token), rpc.path, request).await?;
        return Ok(heard.0);
    }
    // Its first message may never come; what it sends later is the list's.
    let path = format!("/ekiden.admin.v1.{}", rpc.path);
    test_app::watch::<_, Heard>(&world.channel, Some(token), &path, request).await?;
    Ok(Vec::new())
}

#[tokio::test]
async fn nobody_reads_or_changes_anything_across_two_tenants_by_any_rpc() {
    let world = World::start().await;
    for tenant in TENANTS {
        marked_customer(&world, tenant).await;
    }
    // Rotations go on by themselves; here only callers change anything.
    world.stop();
    let mut tokens = Vec::new();
    for (number, tenant) in TENANTS.iter().enumerate() {
        for role in [Role::Viewer, Role::TenantAdmin] {
            tokens.push((number, world.api_token(role, tenant).await));
        }
    }
    let (rpcs, wildcards) = (rpcs(), wildcards());
    let mut read_own = 0;
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let at_first = rows(&world, TENANTS[0]).await;
    for step in 0..STEPS {
        let (own, token) = &tokens[random.random_range(0..tokens.len())];
        let (own, other) = (TENANTS[*own], TENANTS[1 - *own]);
        let across = random.random_bool(0.6);
        let wildcard = random.random_bool(0.1);
        let pool = if wildcard { &wildcards } else { &rpcs };
        let chosen = &pool[random.random_range(0..pool.len())];
        let target = if across { other } else { own };
        let call = Rpc { request: replaced(&chosen.request, "acme", target), ..*chosen };
        let about = format!("seed {seed}, step {step}: {} of {target} by {own}", call.path);

        let before = rows(&world, other).await;
        let outcome = said(&world, token, &call).await;
        assert_eq!(before, rows(&world, other).await, "{about} changed rows of {other}");
        let bytes = match &outcome {
            Ok(bytes) => bytes.clone(),
            Err(status) => [status.message().as_bytes(), status.details()].concat(),
        };
        assert!(!holds(&bytes, &marker(other)), "{about} tells of {other}");
        let names_nobody = chosen.open_to == For::Anyone || wildcard;
        assert!(outcome.is_err() || !across || names_nobody, "{about} is answered");
        read_own += usize::from(holds(&bytes, &marker(own)));
    }
    assert_ne!(at_first, rows(&world, TENANTS[0]).await, "callers changed nothing of theirs");
    assert!(read_own > STEPS / 50, "callers hardly read what is theirs: {read_own} (seed {seed})");
}
