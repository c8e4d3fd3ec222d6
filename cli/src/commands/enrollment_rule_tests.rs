use super::*;
use crate::{
    commands::tests::{at, now},
    output::structured,
};

#[test]
fn enrollment_rules_are_shown_with_the_proofs_that_they_take() {
    let rule = EnrollmentRule {
        name: "tenants/acme/fleets/tokyo/enrollmentRules/ecs".to_owned(),
        display_name: "ECS tasks".to_owned(),
        aws_role_arn: "arn:aws:iam::111122223333:role/ekiden-relay".to_owned(),
        aws_token_issuer: "https://0123abcd.tokens.sts.global.api.aws".to_owned(),
        shared_account: false,
        create_time: at(1_800),
        ..EnrollmentRule::default()
    };
    let other =
        EnrollmentRule { aws_token_issuer: String::new(), shared_account: true, ..rule.clone() };
    let all = EnrollmentRule {
        aws_role_arn: "arn:aws:iam::*:role/ekiden-relay".to_owned(),
        aws_token_issuer: String::new(),
        aws_organization_id: "o-a1b2c3d4e5".to_owned(),
        aws_organization_path: "o-a1b2c3d4e5/r-ab12".to_owned(),
        ..rule.clone()
    };
    insta::assert_snapshot!(
        "enrollment_rules",
        [
            table(&[rule.clone(), other.clone(), all.clone()], now()),
            details(&rule, now()),
            details(&other, now()),
            details(&all, now()),
            structured::json(&rule).unwrap(),
        ]
        .join("\n")
    );
}
