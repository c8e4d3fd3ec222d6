//! The rules of names: ids, resource names, hosts, headers.

use std::net::IpAddr;

use http::{HeaderName, header};

use super::Host;

/// Longest DNS name in characters. Source: RFC 1035 §2.3.4, less the root's length byte and dot.
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// Headers that gRPC, HTTP or the relay itself writes.
const RESERVED: [HeaderName; 16] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Whether a text is `[a-z]([a-z0-9-]{0,61}[a-z0-9])?`.
pub(super) fn is_id(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|last| *last != b'-')
        && bytes.iter().all(inner)
}

/// Gives the tenant's id in `tenants/{tenant}/{kind}/{id}`; none where the name has another form.
pub(super) fn tenant_of<'a>(name: &'a str, kind: &str) -> Option<&'a str> {
    let (tenant, id) = name.strip_prefix("tenants/")?.split_once('/')?;
    let id = id.strip_prefix(kind)?.strip_prefix('/')?;
    (is_id(tenant) && is_id(id)).then_some(tenant)
}

/// Reads a DNS name or an address; says what is wrong with it.
pub(super) fn host(text: &str) -> Result<Host, String> {
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

/// Reads a DNS name without the dot at its end; lower case, says what is wrong with it.
pub(super) fn dns_name(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_HOST {
        return Err(format!("is longer than {MAX_HOST} characters"));
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

/// Reads the name of a header that may carry an access key; says what is wrong with it.
pub(super) fn key_header(text: &str) -> Result<HeaderName, String> {
    let header = HeaderName::from_lowercase(text.as_bytes()).map_err(|_| {
        format!(
            "{:?} is no header name; lower case letters, digits and - are usual",
            shortened(text)
        )
    })?;
    if RESERVED.contains(&header) || header.as_str().starts_with("grpc-") {
        return Err(format!(
            "{header} belongs to gRPC, HTTP or the relay; name the vendor's own header"
        ));
    }
    if header.as_str().ends_with("-bin") {
        return Err(format!("{header} is binary to gRPC; a key is text"));
    }
    Ok(header)
}

/// A text short enough to repeat.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls_pki_types::ServerName;

    use super::*;

    #[test]
    fn an_id_is_what_the_contract_says() {
        for good in ["a", "tcp", "us4-east", "a1", &"a".repeat(63)] {
            assert!(is_id(good), "{good}");
        }
        for bad in ["", "-a", "a-", "1a", "A", "a_b", "ä", &"a".repeat(64)] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_resource_name_tells_its_tenant_only_when_all_of_it_is_right() {
        assert_eq!(tenant_of("tenants/acme/collectors/us4", "collectors"), Some("acme"));
        for bad in [
            "",
            "tenants/acme",
            "tenants//collectors/us4",
            "tenants/acme/fleets/us4",
            "tenants/acme/collectors/us4/x",
        ] {
            assert_eq!(tenant_of(bad, "collectors"), None, "{bad}");
        }
    }

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
            &"a".repeat(64),
            &["a"; 200].join("."),
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_header_is_the_vendors_own() {
        for good in ["api-key", "authorization", "x-honeycomb-team", "signoz-access-token"] {
            assert!(key_header(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Api-Key",
            "api key",
            ":authority",
            "content-type",
            "te",
            "grpc-timeout",
            "grpc-x",
            "host",
            "connection",
            "keep-alive",
            "transfer-encoding",
            "key-bin",
            "traceparent",
            "user-agent",
            "ä",
        ] {
            assert!(key_header(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_that_passes_can_be_asked_for_in_tls_and_dns(text in "[A-Za-z0-9_.-]{1,80}") {
            if let Ok(Host::Name(name)) = host(&text) {
                prop_assert!(ServerName::try_from(name.clone()).is_ok(), "{}", name);
                prop_assert!(hickory_resolver::proto::rr::Name::from_ascii(&name).is_ok(), "{}", name);
            }
        }
    }
}
