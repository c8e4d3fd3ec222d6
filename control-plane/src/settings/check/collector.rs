//! Checks a collector.
use std::collections::HashMap;

use ekiden_proto::settings::v1::{Collector, CollectorProtocol, Endpoint, KeyPlacement, Tls};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{Violations, host::is_host, is_port, join, milliseconds};
use crate::{error::Violation, names::AccessKeyName};

/// Most endpoints of a collector.
const MAX_ENDPOINTS: usize = 16;
/// Most bytes of certificates.
const MAX_CA_BYTES: usize = 64 * 1024;

/// Checks a collector but for its name; `path` is that of the collector.
pub fn collector(path: &str, tenant: &str, collector: &Collector) -> Vec<Violation> {
    let mut found = Violations::default();
    let protocol = CollectorProtocol::try_from(collector.protocol);
    found.require(
        protocol.is_ok_and(|p| p != CollectorProtocol::Unspecified),
        join(path, "protocol"),
        "it must be COLLECTOR_PROTOCOL_TCP or COLLECTOR_PROTOCOL_OTLP_GRPC",
    );
    endpoints(&join(path, "endpoints"), &collector.endpoints, &mut found);
    if let Some(tls) = &collector.tls {
        check_tls(&join(path, "tls"), tls, &mut found);
    }
    if let Some(placement) = &collector.key_placement {
        let path = join(path, "key_placement");
        if protocol == Ok(CollectorProtocol::Tcp) {
            found.add(path, "a collector of protocol COLLECTOR_PROTOCOL_TCP gets the workload's bytes untouched, so no key can be put anywhere: leave it out");
        } else {
            key_placement(&path, tenant, placement, &mut found);
        }
    }
    if let Some(timeout) = &collector.connect_timeout {
        found.require(
            milliseconds(timeout).is_some_and(|ms| ms == 0 || (100..=30_000).contains(&ms)),
            join(path, "connect_timeout"),
            "it must be 100 ms to 30 s; absent means 2 s",
        );
    }
    found.0
}

fn endpoints(path: &str, endpoints: &[Endpoint], found: &mut Violations) {
    found.require(!endpoints.is_empty(), path, "there must be at least one");
    found.require(endpoints.len() <= MAX_ENDPOINTS, path, "more than 16");
    let mut seen = HashMap::new();
    for (i, endpoint) in endpoints.iter().enumerate() {
        let field = |name: &str| format!("{path}[{i}].{name}");
        found.require(
            is_host(&endpoint.host),
            field("host"),
            "it must be a DNS name of at most 253 characters or an IP address, without port",
        );
        found.require(is_port(endpoint.port), field("port"), "it must be 1 to 65535");
        found.require(endpoint.priority <= 100, field("priority"), "it must be 0 to 100");
        let address = (endpoint.host.to_ascii_lowercase(), endpoint.port);
        if let Some(first) = seen.insert(address, i) {
            found.add(field("host"), format!("endpoint {first} has the same host and port"));
        }
    }
}

fn check_tls(path: &str, tls: &Tls, found: &mut Violations) {
    found.require(
        tls.server_name.is_empty() || is_host(&tls.server_name),
        join(path, "server_name"),
        "it must be a DNS name or an IP address; empty means the endpoint's host",
    );
    let field = join(path, "ca_certificates_pem");
    let pem = tls.ca_certificates_pem.as_bytes();
    if pem.len() > MAX_CA_BYTES {
        found.add(field, "more than 65,536 bytes (64 KiB)");
    } else if !pem.is_empty()
        && let Err(problem) = check_certificates(pem)
    {
        found.add(field, problem);
    }
}

fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| format!("it is no PEM text: {e}"))?;
        count += 1;
        match x509_parser::parse_x509_certificate(&certificate) {
            Ok(([], _)) => {}
            Ok(_) | Err(_) => {
                return Err(format!("certificate {count} in it is no X.509 certificate"));
            }
        }
    }
    if count == 0 {
        return Err(
            "it holds no certificate: PEM begins with -----BEGIN CERTIFICATE-----".to_owned()
        );
    }
    Ok(())
}

fn key_placement(path: &str, tenant: &str, placement: &KeyPlacement, found: &mut Violations) {
    match AccessKeyName::parse("access_key", &placement.access_key) {
        Ok(name) => found.require(
            name.tenant == tenant,
            join(path, "access_key"),
            "it must be an access key of the same tenant",
        ),
        Err(_) => found.add(
            join(path, "access_key"),
            format!("it must be an access key's name: tenants/{tenant}/accessKeys/{{access_key}}"),
        ),
    }
    let header = &placement.header;
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    found.require(
        (1..=128).contains(&header.len()) && header.bytes().all(token),
        join(path, "header"),
        "it must be a header's name: 1 to 128 characters a-z, 0-9, -, _ and .",
    );
    // gRPC's and HTTP/2's own headers: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
    let reserved = [
        "te",
        "host",
        "connection",
        "transfer-encoding",
        "upgrade",
        "content-type",
        "content-length",
    ];
    found.require(
        !reserved.contains(&header.as_str())
            && !header.starts_with("grpc-")
            && !header.ends_with("-bin"),
        join(path, "header"),
        "it is one of gRPC's or HTTP's own headers, or would carry binary data (-bin)",
    );
    found.require(
        placement.prefix.len() <= 256
            && placement.prefix.bytes().all(|b| (b' '..=b'~').contains(&b)),
        join(path, "prefix"),
        "it must be at most 256 characters of printable ASCII",
    );
}
