use super::*;
use crate::{
    commands::tests::{at, now},
    output::structured,
};

#[test]
fn enrollment_tokens_are_shown_with_their_state() {
    let token = EnrollmentToken {
        name: "tenants/acme/fleets/tokyo/enrollmentTokens/0198c5d2".to_owned(),
        display_name: "ECS service".to_owned(),
        max_uses: 10,
        uses: 3,
        expire_time: at(-1_800),
        create_time: at(1_800),
        revoke_time: None,
    };
    let states = [
        token.clone(),
        EnrollmentToken { uses: 10, ..token.clone() },
        EnrollmentToken { expire_time: at(1), ..token.clone() },
        EnrollmentToken { revoke_time: at(1), ..token.clone() },
        EnrollmentToken { max_uses: 0, uses: 1, ..token.clone() },
    ];
    let made = CreateEnrollmentTokenResponse {
        enrollment_token: Some(token.clone()),
        text: "ekr_1_secret".to_owned(),
    };
    insta::assert_snapshot!(
        "enrollment_tokens",
        [
            table(&states, now()),
            details(&token, now())
                + &text_for_people("ekr_1_secret", "Give it to relays as EKIDEN_ENROLLMENT_TOKEN."),
            structured::json(&made).unwrap(),
        ]
        .join("\n")
    );
}
