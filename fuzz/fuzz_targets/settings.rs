#![no_main]
//! Relays take only settings that the control plane's checks of every part take too, and take them again.
use std::collections::HashSet;

use ekiden_proto::settings::v1::Settings;
use ekiden_settings::{check, check_collector, check_fleet, check_routes, rules};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|data: &[u8]| {
    let checked = check(data);
    let Ok(given) = Settings::decode(data) else { return assert!(checked.is_err()) };
    let tenant = rules::tenant_of(&given.fleet, "fleets").unwrap_or("acme");
    let mut found = check_fleet("fleet", tenant, &given);
    found.extend(check_routes("fleet", &given.listeners, &given.collectors));
    for collector in &given.collectors {
        found.extend(check_collector("collector", tenant, collector));
    }
    let checked = match checked {
        Ok(checked) => checked,
        Err(violations) => return assert!(!violations.is_empty()),
    };
    assert!(found.is_empty(), "{found:?}");
    let ports: HashSet<_> = checked.listeners.iter().map(|listener| listener.port).collect();
    assert_eq!((ports.len(), given.listeners.len()), (checked.listeners.len(), ports.len()));
    for collector in &checked.collectors {
        let order = collector.endpoints.iter().map(|endpoint| endpoint.priority);
        assert!(order.is_sorted() && !collector.endpoints.is_empty());
    }
    assert_eq!(check(&given.encode_to_vec()), Ok(checked));
});
