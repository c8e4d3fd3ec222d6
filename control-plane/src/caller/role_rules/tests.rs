use proptest::prelude::*;
use serde_json::json;

use super::*;

const RULES: &str = "groups=ekiden-operators:operator, groups=acme-admins:tenant-admin:acme,groups=acme:viewer:acme,groups=globex:viewer:globex,groups=auditors:viewer,email=ann@msp.example:viewer";

fn grant(claims: Value) -> Result<(Role, Option<String>), (&'static str, String)> {
    let rules = RoleRules::parse(RULES).unwrap();
    match rules.grant("oidc/login.example/ann", claims.as_object().unwrap()) {
        Ok(grant) => Ok((grant.role, grant.tenant)),
        Err(error) => Err((error.reason(), error.to_string())),
    }
}

fn of(tenant: &str) -> Option<String> {
    Some(tenant.to_owned())
}

#[test]
fn a_claim_counts_as_a_text_and_as_a_list_of_texts() {
    for groups in [json!("acme-admins"), json!(["staff", "acme-admins"]), json!([1, "acme-admins"])]
    {
        assert_eq!(grant(json!({ "groups": groups })), Ok((Role::TenantAdmin, of("acme"))));
    }
    for groups in [
        json!(null),
        json!([]),
        json!(["ACME"]),
        json!("acme "),
        json!({ "acme": 1 }),
        json!([["acme"]]),
    ] {
        let (reason, text) = grant(json!({ "groups": groups, "roles": "acme" })).unwrap_err();
        assert_eq!(reason, "LOGIN_WITHOUT_ROLE", "{groups}");
        assert!(text.contains("oidc/login.example/ann"), "{text}");
    }
}

#[test]
fn an_operator_wins_and_within_one_tenant_the_higher_role_does() {
    let groups = json!({ "groups": ["globex", "acme", "ekiden-operators", "acme-admins"] });
    assert_eq!(grant(groups), Ok((Role::Operator, None)));
    let groups = json!({ "groups": ["acme", "acme-admins"] });
    assert_eq!(grant(groups), Ok((Role::TenantAdmin, of("acme"))));
    assert_eq!(grant(json!({ "groups": "auditors" })), Ok((Role::Viewer, None)));
}

#[test]
fn roles_of_different_tenants_are_refused_and_named() {
    let (reason, text) = grant(json!({ "groups": ["globex", "acme-admins"] })).unwrap_err();
    assert_eq!(reason, "LOGIN_AMBIGUOUS");
    assert!(text.contains("tenant-admin of acme, viewer of globex"), "{text}");
    let (reason, text) = grant(json!({ "groups": ["globex", "auditors"] })).unwrap_err();
    assert_eq!(reason, "LOGIN_AMBIGUOUS");
    assert!(text.contains("viewer of all tenants"), "{text}");
}

#[test]
fn an_email_counts_only_where_its_issuer_verified_it() {
    let with = |verified: Value| {
        grant(json!({ "email": "ann@msp.example", "email_verified": verified })).is_ok()
    };
    assert!(with(json!(true)) && with(json!("true")));
    for verified in [json!(false), json!(null), json!("false"), json!(1), json!(["true"])] {
        assert!(!with(verified.clone()), "{verified}");
    }
    assert!(grant(json!({ "email": "ann@msp.example" })).is_err());
}

#[test]
fn values_may_have_colons_equal_signs_and_escaped_commas() {
    for (text, claim, value) in [
        (
            "https://msp.example/groups=urn:msp:ops:viewer:acme",
            "https://msp.example/groups",
            "urn:msp:ops",
        ),
        (r"memberOf=CN=ops\,OU=msp:viewer:acme", "memberOf", "CN=ops,OU=msp"),
        (r"groups=MSP\\ops:viewer:acme", "groups", r"MSP\ops"),
        ("groups=Domain Admins:viewer:acme", "groups", "Domain Admins"),
    ] {
        let RoleRules(rules) = RoleRules::parse(text).unwrap();
        let [rule] = rules.as_slice() else { panic!("{rules:?}") };
        assert_eq!((rule.claim.as_str(), rule.value.as_str()), (claim, value));
        assert_eq!(rule.grant, Grant { role: Role::Viewer, tenant: of("acme") });
    }
}

#[test]
fn every_rule_that_will_not_do_is_told() {
    for (text, part) in [
        ("groups", "claim=value:role"),
        ("groups=ops", "claim=value:role"),
        ("groups=ops:owner", "claim=value:role"),
        ("groups=ops:viewer:Acme", "claim=value:role"),
        ("groups=ops:operator:acme", "all tenants"),
        ("groups=ops:tenant-admin", "needs a tenant"),
        ("=ops:viewer", "1 to 256"),
        ("groups=:viewer", "1 to 256"),
        ("groups=x:viewer:operator", "two ways"),
        (r"groups=MSP\ops:viewer", "backslash"),
        ("groups=a:viewer,groups=a:operator", "two rules"),
        (" , ", "no rule"),
    ] {
        let problems = RoleRules::parse(text).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(part), "{text}: {problems:?}");
    }
    assert_eq!(RoleRules::parse("a,b=c:d,e=f:viewer,g").unwrap_err().len(), 3);
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic_and_grants_nothing_to_nobody(text in r"[a-z=:,\\ ]{0,60}") {
        if let Ok(rules) = RoleRules::parse(&text) {
            prop_assert!(rules.grant("x", &Map::new()).is_err());
        }
    }
}
