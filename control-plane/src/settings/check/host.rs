//! Names and addresses of hosts.
use std::net::IpAddr;

/// Whether it is an IP address or a DNS name, without port and without a dot at its end.
pub(super) fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || is_dns_name(host)
}

/// Whether it is a DNS name of at most 253 characters without a dot at its end, whose last label is no number (such a name
/// would be a mistyped IPv4 address).
pub(super) fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253
        && name.split('.').all(label)
        && name.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}
