use super::*;
use crate::commands::tests::{at, now};

#[test]
fn api_tokens_are_shown_with_their_state() {
    let mut operator = ApiToken {
        name: "apiTokens/0198c5d2".to_owned(),
        display_name: "bootstrap".to_owned(),
        expire_time: at(-90 * 86_400),
        create_time: at(60),
        last_use_time: at(60),
        ..ApiToken::default()
    };
    operator.set_role(Role::Operator);
    let mut admin =
        ApiToken { tenant: "tenants/acme".to_owned(), revoke_time: at(1), ..operator.clone() };
    admin.set_role(Role::TenantAdmin);
    let mut viewer = ApiToken { expire_time: at(0), last_use_time: None, ..operator.clone() };
    viewer.set_role(Role::Viewer);
    insta::assert_snapshot!(
        "api_tokens",
        [table(&[operator, admin.clone(), viewer], now()), details(&admin, now())].join("\n")
    );
}
