//! DNS names and addresses.
use std::net::IpAddr;

use rustls_pki_types::ServerName;

use super::shortened;
use crate::Host;

/// Longest DNS name in characters. Source: RFC 1035 §2.3.4, less the root's length byte and dot.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Reads a DNS name or an address of one machine.
pub fn host(text: &str) -> Result<Host, String> {
    if text.is_empty() {
        return Err("is empty: a DNS name or an IP address is needed".to_owned());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let nobody = match address {
            IpAddr::V4(address) => {
                address.is_unspecified() || address.is_multicast() || address.is_broadcast()
            }
            IpAddr::V6(address) => address.is_unspecified() || address.is_multicast(),
        };
        return match nobody {
            true => Err(format!("{text} is no machine's address")),
            false => Ok(Host::Address(address)),
        };
    }
    dns_name(text.strip_suffix('.').unwrap_or(text)).map(Host::Name)
}

/// Reads the name that a collector's certificate must carry.
pub fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    let name = host(text).map(|host| host.to_string());
    name.ok().and_then(|name| ServerName::try_from(name).ok()).ok_or_else(|| {
        format!("{:?} is neither a DNS name nor a machine's IP address", shortened(text))
    })
}

/// Reads a DNS name with the dot at its end; gives it in lower case, with that dot.
pub fn absolute_dns_name(text: &str) -> Result<String, String> {
    match text.strip_suffix('.') {
        Some(name) => dns_name(name).map(|name| format!("{name}.")),
        None => Err("is not absolute: a dot is needed at its end".to_owned()),
    }
}

/// Reads a DNS name without the dot at its end; gives it in lower case.
fn dns_name(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_NAME {
        return Err(format!("is longer than {MAX_NAME} characters"));
    }
    let good = |label: &str| {
        let bytes = label.as_bytes();
        (1..=MAX_LABEL).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && bytes.first() != Some(&b'-')
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
    };
    // What ends in a number, decimal or hexadecimal, some programs take for an IPv4 address.
    let last = text.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let hexadecimal = last.strip_prefix("0x").unwrap_or("-");
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit());
    if numeric || !text.split('.').all(good) {
        return Err(format!(
            "{text:?} is neither a DNS name nor an IP address; scheme, port and brackets do not belong here"
        ));
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_and_nothing_around_them() {
        assert_eq!(
            host("Ingest.US4.Example.com."),
            Ok(Host::Name("ingest.us4.example.com".to_owned()))
        );
        assert_eq!(host("192.0.2.1"), Ok(Host::Address("192.0.2.1".parse().unwrap())));
        assert_eq!(host("2001:db8::1"), Ok(Host::Address("2001:db8::1".parse().unwrap())));
        for bad in [
            "",
            ".",
            "a..b",
            "-a.example",
            "a-.example",
            "https://a.example",
            "a.example:443",
            "[2001:db8::1]",
            "999.0.2.1",
            "1.2.3",
            "a.0x1f",
            "a_.example",
            "a b",
            "ä.example",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "ff02::1",
            &"a".repeat(64),
            &["a"; 200].join("."),
        ] {
            assert!(host(bad).is_err(), "{bad}");
            assert!(server_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_absolute_name_has_its_dot() {
        assert_eq!(absolute_dns_name("Relay.Internal."), Ok("relay.internal.".to_owned()));
        for bad in ["", ".", "relay.internal", "relay..internal.", "192.0.2.1."] {
            assert!(absolute_dns_name(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_that_passes_can_be_asked_for_in_tls_and_dns(text in "[A-Za-z0-9_.-]{1,80}") {
            if let Ok(Host::Name(name)) = host(&text) {
                prop_assert!(server_name(&text).is_ok(), "{}", name);
                prop_assert!(hickory_resolver::proto::rr::Name::from_ascii(&name).is_ok(), "{}", name);
            }
        }
    }
}
