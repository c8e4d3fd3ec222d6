//! Rules for organizations, whose accounts nobody registers one by one.
use super::*;

const ORGANIZATION: &str = "o-a1b2c3d4e5";
const UNIT: &str = "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111";
const ANY_ACCOUNT: &str = "arn:aws:iam::*:role/ekiden-relay";

fn of_organization(path: &str) -> EnrollmentRule {
    EnrollmentRule {
        aws_role_arn: ANY_ACCOUNT.to_owned(),
        aws_organization_id: ORGANIZATION.to_owned(),
        aws_organization_path: path.to_owned(),
        ..Default::default()
    }
}

impl Aws {
    /// A token of the account that nobody registered, for this challenge.
    fn strangers_token(&self, challenge: &str) -> Draft {
        let mut draft = self.token(challenge);
        draft.claims["iss"] = json!(self.stranger.issuer.url());
        draft.claims["sub"] = json!("arn:aws:iam::999988887777:role/ekiden-relay");
        let aws = &mut draft.claims["https://sts.amazonaws.com/"];
        aws["aws_account"] = json!("999988887777");
        aws["org_id"] = json!(ORGANIZATION);
        aws["ou_path"] = json!("o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222/");
        draft
    }

    /// Reason of the refusal of such a token, changed by `change`.
    async fn strangers_refusal(&self, change: impl FnOnce(&mut Draft)) -> String {
        let joining = self.joining(FLEET).await;
        let mut token = self.strangers_token(&joining.challenge("tenants/acme"));
        change(&mut token);
        self.refusal(&joining.key, joining.by_token(&token)).await
    }
}

fn aws_claim(claim: &'static str, value: &'static str) -> impl FnOnce(&mut Draft) {
    move |draft| draft.claims["https://sts.amazonaws.com/"][claim] = json!(value)
}

#[tokio::test]
async fn an_account_that_nobody_registered_joins_by_its_organization() {
    let aws = Aws::start().await;
    assert_eq!(aws.strangers_refusal(|_| {}).await, "ISSUER_UNEXPECTED");
    aws.new_rule("acme", "all", of_organization(UNIT)).await.unwrap();
    let joining = aws.joining(FLEET).await;
    let token = aws.strangers_token(&joining.challenge("tenants/acme"));
    let answer = aws.enroll(&joining.key, joining.by_token(&token)).await.unwrap();
    let relay = device(joining.key, answer);
    relay.joined(&aws.app).await;
    let event = aws.app.audit("acme").await.into_iter().find(|e| e.method.ends_with("/Enroll"));
    assert_eq!(event.unwrap().actor, "arn:aws:iam::999988887777:role/ekiden-relay");
}

#[tokio::test]
async fn what_an_organizations_rule_does_not_let_in_asks_no_issuer_for_keys() {
    let aws = Aws::start().await;
    aws.new_rule("acme", "all", of_organization(UNIT)).await.unwrap();
    let role = |arn: &'static str| move |draft: &mut Draft| draft.claims["sub"] = json!(arn);
    let issuer = |url: &'static str| move |draft: &mut Draft| draft.claims["iss"] = json!(url);
    let refused = "AWS_ROLE_NOT_ADMITTED";
    assert_eq!(aws.strangers_refusal(aws_claim("org_id", "o-ffffffffff")).await, refused);
    assert_eq!(aws.strangers_refusal(aws_claim("ou_path", "o-a1b2c3d4e5/r-ab12/")).await, refused);
    let beside = aws_claim("ou_path", "o-a1b2c3d4e5/r-ab12/ou-ab12-111111112/");
    assert_eq!(aws.strangers_refusal(beside).await, refused);
    let other = role("arn:aws:iam::999988887777:role/path/ekiden-relay");
    assert_eq!(aws.strangers_refusal(other).await, refused);
    let china = role("arn:aws-cn:iam::999988887777:role/ekiden-relay");
    assert_eq!(aws.strangers_refusal(china).await, refused);
    let untagged = aws_claim("request_tags", "");
    assert_eq!(aws.strangers_refusal(untagged).await, "CLAIM_WRONG");
    for url in [
        "https://evil.example/",
        "https://tokens.sts.global.api.aws",
        "https://a.b.tokens.sts.global.api.aws",
        "https://0198c5d2-1111.tokens.sts.global.api.aws.evil.example",
        "https://0198c5d2-1111.tokens.sts.global.api.aws:8443",
        "https://evil.example/0198c5d2-1111.tokens.sts.global.api.aws",
        "https://user@0198c5d2-1111.tokens.sts.global.api.aws",
        "http://0198c5d2-1111.tokens.sts.global.api.aws",
    ] {
        assert_eq!(aws.strangers_refusal(issuer(url)).await, "ISSUER_UNEXPECTED", "{url}");
    }
    assert_eq!(aws.stranger.requests() + aws.issuer.requests(), 0);

    // Signed by a key that the account's own issuer does not publish.
    let forged = aws.strangers_refusal(|draft| draft.header["kid"] = json!("forged")).await;
    assert_eq!(forged, "KEY_UNKNOWN");
    assert!(aws.stranger.requests() > 0);
}

#[tokio::test]
async fn another_tenants_account_or_organization_is_not_taken_along() {
    let aws = Aws::start().await;
    aws.new_rule("acme", "all", of_organization("")).await.unwrap();
    let refused = aws.new_rule("globex", "all", of_organization(UNIT)).await.unwrap_err();
    assert_eq!(reason(&refused), "AWS_ACCOUNT_OF_ANOTHER_TENANT");
    // The provider knows better for one account of the organization.
    let theirs = "arn:aws:iam::999988887777:role/other";
    aws.rule("globex", "own", theirs, false).await.unwrap();
    assert_eq!(aws.strangers_refusal(|_| {}).await, "AWS_ACCOUNT_OF_ANOTHER_TENANT");
}

#[tokio::test]
async fn a_rule_for_an_organization_that_makes_no_sense_is_refused_by_field() {
    let aws = Aws::start().await;
    let good = of_organization(UNIT);
    let with = |change: &dyn Fn(&mut EnrollmentRule)| {
        let mut rule = good.clone();
        change(&mut rule);
        rule
    };
    for (rule, field) in [
        (with(&|r| r.aws_organization_id = "a1b2c3d4e5".into()), "aws_organization_id"),
        (
            with(&|r| r.aws_organization_path = "o-ffffffffff/r-ab12".into()),
            "aws_organization_path",
        ),
        (with(&|r| r.aws_organization_path = "ou-ab12-11111111".into()), "aws_organization_path"),
        (with(&|r| r.aws_organization_id.clear()), "aws_organization_path"),
        (with(&|r| r.aws_role_arn = ROLE.into()), "aws_role_arn"),
        (with(&|r| r.aws_role_arn = "arn:aws:iam::*:role/*".into()), "aws_role_arn"),
        (with(&|r| r.aws_role_arn = "arn:*:iam::*:role/x".into()), "aws_role_arn"),
        (with(&|r| r.aws_token_issuer = "https://x.example".into()), "aws_token_issuer"),
    ] {
        let status = aws.new_rule("acme", "bent", rule).await.unwrap_err();
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, format!("enrollment_rule.{field}"), "{status:?}");
    }
}

#[tokio::test]
async fn a_flood_of_issuers_that_nobody_named_is_stopped_and_known_ones_go_on() {
    let aws = Aws::start().await;
    aws.new_rule("acme", "all", of_organization("")).await.unwrap();
    let joining = aws.joining(FLEET).await;
    let token = aws.strangers_token(&joining.challenge("tenants/acme"));
    aws.enroll(&joining.key, joining.by_token(&token)).await.unwrap();
    let mut stopped = false;
    for number in 0..400 {
        let url = format!("https://flood-{number:08}.tokens.sts.global.api.aws");
        let issuer = crate::oidc::Issuer::new(&url, None).unwrap();
        stopped |= aws.app.app.key_sets.may_meet(&issuer).is_err();
    }
    assert!(stopped);
    let joining = aws.joining(FLEET).await;
    let token = aws.strangers_token(&joining.challenge("tenants/acme"));
    aws.enroll(&joining.key, joining.by_token(&token)).await.unwrap();
}
