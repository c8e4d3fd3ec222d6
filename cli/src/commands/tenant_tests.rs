use ekiden_proto::admin::v1::ListTenantsResponse;

use super::*;
use crate::{
    commands::tests::{at, now},
    output::structured,
};

fn tenants() -> Vec<Tenant> {
    vec![
        Tenant {
            name: "tenants/acme".to_owned(),
            display_name: "Acme, Inc.".to_owned(),
            etag: "\"1\"".to_owned(),
            create_time: at(7_200),
            update_time: at(90),
            delete_time: None,
        },
        Tenant {
            name: "tenants/umbrella".to_owned(),
            display_name: "アンブレラ".to_owned(),
            create_time: at(1_000_000),
            delete_time: at(5),
            ..Tenant::default()
        },
        Tenant { name: "tenants/zeta".to_owned(), ..Tenant::default() },
    ]
}

#[test]
fn tenants_are_shown() {
    let message = ListTenantsResponse { tenants: tenants(), next_page_token: String::new() };
    insta::assert_snapshot!(
        "tenants",
        [
            table(&message.tenants, now()),
            details(&message.tenants[0], now()),
            structured::json(&message).unwrap(),
            structured::yaml(&message).unwrap(),
        ]
        .join("\n")
    );
}
