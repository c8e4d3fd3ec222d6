//! The rules over a collector.
use std::{collections::HashSet, sync::Arc};

use ekiden_proto::settings::v1 as proto;

use crate::{
    Collector, CollectorProtocol, Endpoint, KeyPlacement, Tls, Violation,
    rules::{self, MAX_ENDPOINTS},
    violation::Violations,
};

/// Checks a tenant's collector, but for its name, and gives everything that is wrong; `path` is the collector's own.
pub fn check_collector(path: &str, tenant: &str, collector: &proto::Collector) -> Vec<Violation> {
    let mut found = Violations::default();
    read(path, Some(tenant), collector, &mut found);
    found.0
}

/// Reads a collector; `tenant` is none where it is not known.
pub(crate) fn read(
    path: &str,
    tenant: Option<&str>,
    collector: &proto::Collector,
    found: &mut Violations,
) -> Option<Collector> {
    let protocol =
        found.pass(format!("{path}.protocol"), rules::collector_protocol(collector.protocol));
    let endpoints = endpoints(&format!("{path}.endpoints"), &collector.endpoints, found);
    let tls = collector.tls.as_ref().map(|given| tls(&format!("{path}.tls"), given, found));
    let placement = format!("{path}.key_placement");
    let key_placement = match (&collector.key_placement, protocol) {
        (None, _) => None,
        (Some(given), Some(CollectorProtocol::Tcp)) => {
            workloads_key(&placement, tenant, given, found);
            None
        }
        (Some(given), _) => Some(key_placement(&placement, tenant, given, found)),
    };
    let connect_timeout = found.pass(
        format!("{path}.connect_timeout"),
        rules::connect_timeout(collector.connect_timeout.as_ref()),
    );
    Some(Collector {
        name: collector.name.clone(),
        protocol: protocol?,
        endpoints: endpoints?,
        tls: all(tls)?,
        key_placement: all(key_placement)?,
        proxy: None,
        connect_timeout: connect_timeout?,
    })
}

fn endpoints(
    path: &str,
    endpoints: &[proto::Endpoint],
    found: &mut Violations,
) -> Option<Vec<Endpoint>> {
    if endpoints.is_empty() {
        found.add(path, format!("is empty; 1 to {MAX_ENDPOINTS}"));
        return None;
    }
    found.pass(path, rules::at_most(MAX_ENDPOINTS, endpoints.len()));
    let (mut checked, mut seen) = (Vec::new(), HashSet::new());
    for (at, endpoint) in endpoints.iter().enumerate().take(MAX_ENDPOINTS) {
        let path = format!("{path}[{at}]");
        let host = found.pass(format!("{path}.host"), rules::host(&endpoint.host));
        let port = found.pass(format!("{path}.port"), rules::port(endpoint.port));
        let priority = found.pass(format!("{path}.priority"), rules::priority(endpoint.priority));
        if let (Some(host), Some(port)) = (&host, port)
            && !seen.insert((host.clone(), port))
        {
            found.add(format!("{path}.host"), "another endpoint has the same host and port");
        }
        checked.push(host.zip(port).zip(priority));
    }
    let endpoint = |((host, port), priority)| Endpoint { host, port, priority };
    let checked: Option<Vec<_>> = checked.into_iter().map(|one| one.map(endpoint)).collect();
    let mut endpoints = checked?;
    endpoints.sort_by_key(|endpoint| endpoint.priority);
    Some(endpoints)
}

fn tls(path: &str, tls: &proto::Tls, found: &mut Violations) -> Option<Tls> {
    let server_name = (!tls.server_name.is_empty())
        .then(|| found.pass(format!("{path}.server_name"), rules::server_name(&tls.server_name)));
    let pem = &tls.ca_certificates_pem;
    let roots = (!pem.is_empty())
        .then(|| found.pass(format!("{path}.ca_certificates_pem"), rules::roots(pem)));
    let (server_name, roots) = (all(server_name)?, all(roots)?);
    Some(Tls {
        server_name,
        roots: roots.map(Arc::new),
        insecure_skip_verify: tls.insecure_skip_verify,
    })
}

fn key_placement(
    path: &str,
    tenant: Option<&str>,
    placement: &proto::KeyPlacement,
    found: &mut Violations,
) -> Option<KeyPlacement> {
    let access_key = rules::resource(&placement.access_key, "accessKeys", tenant);
    let access_key = found.pass(format!("{path}.access_key"), access_key);
    let header = found.pass(format!("{path}.header"), rules::key_header(&placement.header));
    let prefix = found.pass(format!("{path}.prefix"), rules::key_prefix(&placement.prefix));
    access_key.and(prefix)?;
    Some(KeyPlacement {
        access_key: placement.access_key.clone(),
        header: header?,
        prefix: placement.prefix.clone(),
    })
}

/// Checks which key workloads carry themselves: it is only named, so that its rotation knows of the collector.
fn workloads_key(
    path: &str,
    tenant: Option<&str>,
    placement: &proto::KeyPlacement,
    found: &mut Violations,
) {
    let access_key = rules::resource(&placement.access_key, "accessKeys", tenant);
    found.pass(format!("{path}.access_key"), access_key);
    for (field, text) in [("header", &placement.header), ("prefix", &placement.prefix)] {
        if !text.is_empty() {
            found.add(
                format!("{path}.{field}"),
                "raw TCP has no headers: workloads carry the key themselves; leave this empty",
            );
        }
    }
}

/// Gives what is set where it is usable: none of it stays none, something unusable makes the whole unusable.
fn all<T>(set: Option<Option<T>>) -> Option<Option<T>> {
    match set {
        None => Some(None),
        Some(usable) => usable.map(Some),
    }
}
