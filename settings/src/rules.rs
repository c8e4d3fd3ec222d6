//! What is good, a value at a time. A rule gives the value as a relay uses it, or says what is wrong with it.
//!
//! - `bounds`: ports, counts, sizes, lengths of time.
//! - `headers`: where an access key goes.
//! - `hosts`: DNS names and addresses.
//! - `names`: ids and resource names.
//! - `protocols`: what is spoken, and what may go where.
//! - `trust`: certificates to trust.

mod bounds;
mod headers;
mod hosts;
mod names;
mod protocols;
mod trust;

pub(crate) use self::bounds::{
    MAX_CELLS, MAX_COLLECTORS, MAX_ENDPOINTS, MAX_LISTENERS, or_default,
};
pub use self::{
    bounds::{
        MAX_SETTINGS_BYTES, at_most, connect_timeout, idle_timeout, listener_connections,
        max_connection_age, port, priority, record_ttl, request_bytes,
    },
    headers::{key_header, key_prefix},
    hosts::{absolute_dns_name, host, server_name},
    names::{cloud_map_service, external_id, id, resource, role_arn, tenant_of},
    protocols::{collector_protocol, listener_protocol, registration_mode, route},
    trust::roots,
};

/// A text short enough to repeat.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}
