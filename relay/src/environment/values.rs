//! One value each: from text to what it means, or what is wrong with it.
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    str::FromStr,
    thread::available_parallelism,
    time::Duration,
};

use ekiden_settings::Host;
use http::Uri;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use secrecy::ExposeSecret;

use super::{ControlPlane, TokenSource, raw::Raw};

/// A value that was set and not left empty.
pub(super) fn text(value: &Option<String>) -> Option<&str> {
    value.as_deref().map(str::trim).filter(|value| !value.is_empty())
}

pub(super) const CONTROL_PLANE_SHAPE: &str = "use `https://host:port`, or `srv:_name._tcp.domain`";

pub(super) fn control_plane(value: &str) -> Result<ControlPlane, String> {
    const SHAPE: &str = CONTROL_PLANE_SHAPE;
    if let Some(name) = value.strip_prefix("srv:") {
        let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
        let marked = labels.len() > 2 && labels.iter().take(2).all(|label| label.starts_with('_'));
        if !marked || labels.iter().any(|label| label.is_empty()) {
            return Err(format!("`{value}` names no SRV record: {SHAPE}"));
        }
        return Ok(ControlPlane::Srv { name: labels.join(".") });
    }
    let uri = Uri::from_str(value).map_err(|_| format!("`{value}` is not an address: {SHAPE}"))?;
    if uri.scheme_str() != Some("https") {
        return Err(format!("`{value}` does not begin with https://: {SHAPE}"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(format!("`{value}` has a path: {SHAPE}"));
    }
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let host = match ServerName::try_from(host) {
        Ok(ServerName::IpAddress(address)) => Host::Address(address.into()),
        Ok(_) => Host::Name(host.trim_end_matches('.').to_ascii_lowercase()),
        Err(_) => return Err(format!("`{host}` is neither a DNS name nor an IP address")),
    };
    Ok(ControlPlane::Host { host, port: uri.port_u16().unwrap_or(443) })
}

pub(super) fn roots(raw: &Raw) -> Result<Vec<CertificateDer<'static>>, String> {
    let (source, pem) = match (text(&raw.control_plane_ca), text(&raw.beside.control_plane_ca_pem))
    {
        (Some(_), Some(_)) => {
            return Err("set it or EKIDEN_CONTROL_PLANE_CA_PEM, not both".to_owned());
        }
        (None, None) => return Ok(Vec::new()),
        (Some(path), None) => {
            (path, fs::read(path).map_err(|error| format!("`{path}` cannot be read: {error}"))?)
        }
        (None, Some(pem)) => ("EKIDEN_CONTROL_PLANE_CA_PEM", pem.as_bytes().to_vec()),
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("`{source}` holds no PEM certificate"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("`{source}` is not PEM: {error}")),
    }
}

pub(super) fn token(raw: &Raw) -> Result<Option<TokenSource>, String> {
    let text_given = raw
        .beside
        .enrollment_token
        .as_ref()
        .filter(|token| !token.expose_secret().trim().is_empty());
    match (text_given, text(&raw.enrollment_token_file)) {
        (Some(_), Some(_)) => Err("set it or EKIDEN_ENROLLMENT_TOKEN_FILE, not both".to_owned()),
        (Some(token), None) => Ok(Some(TokenSource::Text(token.clone()))),
        (None, Some(path)) => Ok(Some(TokenSource::File(PathBuf::from(path)))),
        (None, None) => Ok(None),
    }
}

pub(super) fn fleet(name: &str) -> Result<String, String> {
    let name = name.trim();
    let id = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && !part.ends_with('-')
            && part.len() <= 63
            && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["tenants", tenant, "fleets", fleet] if id(tenant) && id(fleet) => Ok(name.to_owned()),
        _ => Err(format!("`{name}` is not a fleet's name, like tenants/acme/fleets/tokyo")),
    }
}

pub(super) fn socket_address(value: &str) -> Result<SocketAddr, String> {
    value
        .trim()
        .parse()
        .map_err(|_| format!("`{value}` is not an IP address with a port, like 0.0.0.0:8080"))
}

pub(super) fn name_server(value: &str) -> Result<SocketAddr, String> {
    value
        .parse::<SocketAddr>()
        .or_else(|_| value.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| format!("`{value}` is not the address of a name server, like 10.0.0.2:53"))
}

pub(super) fn ip(value: &str) -> Result<IpAddr, String> {
    value.trim().parse().map_err(|_| format!("`{value}` is not an IP address"))
}

pub(super) fn advertised(value: &str) -> Result<IpAddr, String> {
    match ip(value)? {
        address if address.is_unspecified() => {
            Err(format!("`{value}` is no address that a workload could reach"))
        }
        address => Ok(address),
    }
}

pub(super) fn stop_timeout(value: &str) -> Result<Duration, String> {
    match value.trim().parse::<u64>() {
        Ok(seconds @ 2..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("`{value}` is not a number of seconds from 2 to 86400")),
    }
}

pub(super) fn worker_threads_of(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    let processors = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    asked.map_or(processors, |asked| asked.min(processors))
}
