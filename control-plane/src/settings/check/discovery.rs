//! Checks where relays register.
use ekiden_proto::settings::v1::Discovery;

use super::{Violations, host::is_dns_name, join};

pub(super) fn check(path: &str, discovery: &Discovery, found: &mut Violations) {
    let path = join(path, "cloud_map");
    let Some(cloud_map) = &discovery.cloud_map else {
        found.add(path, "it must be set where discovery is");
        return;
    };
    // Cloud Map: ids have at most 64 characters.
    let id = &cloud_map.service_id;
    let is_id = id.len() <= 64
        && id.strip_prefix("srv-").is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    found.require(
        is_id,
        join(&path, "service_id"),
        "it must be the id of a Cloud Map service: srv-…",
    );
    found.require(
        cloud_map.dns_name.strip_suffix('.').is_some_and(is_dns_name),
        join(&path, "dns_name"),
        "it must be an absolute DNS name, with a dot at its end: relay.telemetry.internal.",
    );
    if let Some(ttl) = &cloud_map.ttl {
        found.require(
            ttl.nanos == 0 && (1..=300).contains(&ttl.seconds),
            join(&path, "ttl"),
            "it must be whole seconds, 1 to 300; absent means 10 s",
        );
    }
}
