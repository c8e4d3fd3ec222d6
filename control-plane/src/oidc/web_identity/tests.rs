use serde_json::json;

use super::*;
use crate::oidc::test_issuer::at;

/// Claims as the IAM User Guide shows them.
fn good() -> Value {
    json!({
        "sub": "arn:aws:iam::123456789012:role/DataProcessingRole",
        "jti": "xyz123-def456-ghi789-jkl012",
        AWS: {
            "aws_account": "123456789012",
            "source_region": "us-east-1",
            "org_id": "o-abc1234567",
            "ou_path": "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222/",
            "principal_tags": { "environment": "production" },
            "lambda_source_function_arn": "arn:aws:lambda:us-east-1:123456789012:function:one",
            "request_tags": { "job-id": "job-2024-001", "priority": "high" },
        },
    })
}

fn read(claims: Value) -> Result<WebIdentity, OidcError> {
    let Value::Object(payload) = claims else { panic!("claims are an object") };
    WebIdentity::from_claims(&Claims {
        sub: payload["sub"].as_str().unwrap().to_owned(),
        jti: payload["jti"].as_str().map(str::to_owned),
        iat: at(1_700_000_000),
        exp: at(1_700_000_900),
        payload,
    })
}

fn of_role(arn: &str) -> Result<WebIdentity, OidcError> {
    let mut claims = good();
    claims["sub"] = json!(arn);
    read(claims)
}

#[test]
fn a_token_of_aws_tells_its_role_account_and_organization() {
    let identity = read(good()).unwrap();
    let text = str::to_owned;
    assert_eq!(
        identity,
        WebIdentity {
            role_arn: text("arn:aws:iam::123456789012:role/DataProcessingRole"),
            account: text("123456789012"),
            org_id: Some(text("o-abc1234567")),
            ou_path: ["o-a1b2c3d4e5", "r-ab12", "ou-ab12-11111111", "ou-ab12-22222222"]
                .map(str::to_owned)
                .to_vec(),
            request_tags: BTreeMap::from([
                (text("job-id"), text("job-2024-001")),
                (text("priority"), text("high")),
            ]),
            jti: text("xyz123-def456-ghi789-jkl012"),
            expires_at: at(1_700_000_900),
        }
    );
}

#[test]
fn an_account_of_its_own_has_no_organization_and_tags_may_be_missing() {
    let mut claims = good();
    claims[AWS] = json!({ "aws_account": "123456789012" });
    let identity = read(claims).unwrap();
    assert_eq!((identity.org_id, identity.ou_path.len()), (None, 0));
    assert!(identity.request_tags.is_empty());
}

#[test]
fn roles_of_every_partition_and_path_count() {
    for arn in [
        "arn:aws-cn:iam::123456789012:role/one",
        "arn:aws-us-gov:iam::123456789012:role/one",
        "arn:aws:iam::123456789012:role/relays/edge/one",
        "arn:aws:iam::123456789012:role/aws-service-role/ecs.amazonaws.com/One",
        "arn:aws:iam::123456789012:role/a_b+c=d,e.f@g-h",
    ] {
        assert_eq!(of_role(arn).unwrap().role_arn, arn);
    }
}

#[test]
fn only_a_role_of_iam_counts() {
    let long = format!("arn:aws:iam::123456789012:role/{}", "n".repeat(65));
    let deep = format!("arn:aws:iam::123456789012:role/{}/one", "p".repeat(511));
    for arn in [
        "",
        "one",
        "arn:aws:iam::123456789012:user/one",
        "arn:aws:iam::123456789012:root",
        "arn:aws:iam::123456789012:group/one",
        "arn:aws:iam::123456789012:assumed-role/one",
        "arn:aws:sts::123456789012:assumed-role/one/session",
        "arn:aws:sts::123456789012:federated-user/one",
        "arn:aws:iam::123456789012:role",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:role//one",
        "arn:aws:iam::123456789012:role/one/",
        "arn:aws:iam::123456789012:role/one two",
        "arn:aws:iam::123456789012:role/one*",
        "arn:aws:iam::123456789012:role/one:two",
        "arn:aws:iam::123456789012:role/two words/one",
        "arn:aws:iam::123456789012:Role/one",
        "arn:aws:iam::12345678901:role/one",
        "arn:aws:iam::1234567890123:role/one",
        "arn:aws:iam::12345678901x:role/one",
        "arn:aws:iam::１２３４:role/one",
        "arn:aws:iam:::role/one",
        "arn:aws:iam:us-east-1:123456789012:role/one",
        "arn:evil:iam::123456789012:role/one",
        "arn:aws-evil:iam::123456789012:role/one",
        "arn:AWS:iam::123456789012:role/one",
        "arn::iam::123456789012:role/one",
        "arn:aws-iso:iam::123456789012:role/one",
        " arn:aws:iam::123456789012:role/one",
        "x:arn:aws:iam::123456789012:role/one",
        &long,
        &deep,
    ] {
        assert_eq!(of_role(arn), Err(OidcError::NotARole), "{arn:?}");
    }
}

#[test]
fn the_role_is_of_the_account_that_aws_names() {
    let other = of_role("arn:aws:iam::210987654321:role/one");
    assert_eq!(other, Err(OidcError::AccountMismatch));
    let mut claims = good();
    claims[AWS]["aws_account"] = json!("210987654321");
    assert_eq!(read(claims), Err(OidcError::AccountMismatch));
}

#[test]
fn what_aws_says_has_the_types_that_it_documents() {
    type Row = (fn(&mut Value), &'static str, Option<&'static str>);
    let rows: &[Row] = &[
        (|c| c[AWS] = json!(null), "AWS_CLAIMS_MISSING", None),
        (|c| c[AWS] = json!("123456789012"), "AWS_CLAIMS_MISSING", None),
        (|c| c[AWS] = json!([c[AWS]]), "AWS_CLAIMS_MISSING", None),
        (
            |c| *c = json!({ "sub": c["sub"], "jti": c["jti"], "aws_account": "123456789012" }),
            "AWS_CLAIMS_MISSING",
            None,
        ),
        (
            |c| *c = json!({ "sub": c["sub"], "jti": 1, "https://sts.amazonaws.com": c[AWS] }),
            "AWS_CLAIMS_MISSING",
            None,
        ),
        (|c| c["jti"] = json!(null), "CLAIM_MISSING", Some("jti")),
        (|c| c[AWS] = json!({}), "CLAIM_MISSING", Some("aws_account")),
        (|c| c[AWS]["aws_account"] = json!(null), "CLAIM_WRONG", Some("aws_account")),
        (
            |c| c[AWS]["aws_account"] = json!(123_456_789_012_u64),
            "CLAIM_WRONG",
            Some("aws_account"),
        ),
        (|c| c[AWS]["aws_account"] = json!("12345678901"), "CLAIM_WRONG", Some("aws_account")),
        (|c| c[AWS]["aws_account"] = json!("1234567890123"), "CLAIM_WRONG", Some("aws_account")),
        (|c| c[AWS]["aws_account"] = json!("1234-5678-90"), "CLAIM_WRONG", Some("aws_account")),
        (|c| c[AWS]["aws_account"] = json!(["123456789012"]), "CLAIM_WRONG", Some("aws_account")),
        (|c| c[AWS]["org_id"] = json!(null), "CLAIM_WRONG", Some("org_id")),
        (|c| c[AWS]["org_id"] = json!(["o-abc1234567"]), "CLAIM_WRONG", Some("org_id")),
        (|c| c[AWS]["org_id"] = json!("abc1234567"), "CLAIM_WRONG", Some("org_id")),
        (|c| c[AWS]["org_id"] = json!("o-*"), "CLAIM_WRONG", Some("org_id")),
        (|c| c[AWS]["org_id"] = json!("o-abc1234567/r-ab12"), "CLAIM_WRONG", Some("org_id")),
        (|c| c[AWS]["ou_path"] = json!(null), "CLAIM_WRONG", Some("ou_path")),
        (|c| c[AWS]["ou_path"] = json!(["o-abc1234567/r-ab12/"]), "CLAIM_WRONG", Some("ou_path")),
        (|c| c[AWS]["ou_path"] = json!(""), "CLAIM_WRONG", Some("ou_path")),
        (|c| c[AWS]["ou_path"] = json!("o-abc1234567"), "CLAIM_WRONG", Some("ou_path")),
        (|c| c[AWS]["ou_path"] = json!("r-ab12/o-abc1234567"), "CLAIM_WRONG", Some("ou_path")),
        (|c| c[AWS]["ou_path"] = json!("o-abc1234567//r-ab12"), "CLAIM_WRONG", Some("ou_path")),
        (|c| c[AWS]["ou_path"] = json!("o-abc1234567/r-ab12/.."), "CLAIM_WRONG", Some("ou_path")),
        (|c| c[AWS]["ou_path"] = json!("o-abc1234567/r-ab12/*"), "CLAIM_WRONG", Some("ou_path")),
        (|c| c[AWS]["request_tags"] = json!(null), "CLAIM_WRONG", Some("request_tags")),
        (|c| c[AWS]["request_tags"] = json!([]), "CLAIM_WRONG", Some("request_tags")),
        (|c| c[AWS]["request_tags"] = json!("nonce=1"), "CLAIM_WRONG", Some("request_tags")),
        (|c| c[AWS]["request_tags"] = json!({ "nonce": 1 }), "CLAIM_WRONG", Some("request_tags")),
        (
            |c| c[AWS]["request_tags"] = json!({ "nonce": null }),
            "CLAIM_WRONG",
            Some("request_tags"),
        ),
        (
            |c| c[AWS]["request_tags"] = json!({ "nonce": ["1"] }),
            "CLAIM_WRONG",
            Some("request_tags"),
        ),
        (|c| c[AWS]["request_tags"]["nested"] = json!({}), "CLAIM_WRONG", Some("request_tags")),
    ];
    for (index, (bend, reason, claim)) in rows.iter().enumerate() {
        let mut claims = good();
        bend(&mut claims);
        let error = read(claims).unwrap_err();
        assert_eq!(error.reason(), *reason, "{index}");
        assert!(error.to_string().contains(claim.unwrap_or_default()), "{index}: {error}");
    }
}
