//! Checks a whole snapshot and names everything that is wrong with it, by field.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ekiden_proto::settings::v1 as proto;
use prost::Message;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};

use super::{
    CheckedSettings, CloudMap, Collector, CollectorProtocol, Endpoint, Host, KeyPlacement, Limits,
    Listener, Protocol, Tls, Violation,
    names::{self, shortened},
};

const MAX_SETTINGS: usize = 1 << 20;
const MAX_LISTENERS: usize = 32;
const MAX_COLLECTORS: usize = 64;
const MAX_ENDPOINTS: usize = 16;
const MAX_LISTENER_CONNECTIONS: u32 = 60_000;
const MAX_PRIORITY: u32 = 100;
const MAX_PEM: usize = 64 << 10;
const MAX_PREFIX: usize = 256;
const MAX_REQUEST: u32 = 16 << 20;
const MAX_SERVICE_ID: usize = 64;

const LISTENER_CONNECTIONS: u32 = 10_000;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Longer is as good as never, and safe to add to any time.
const LONGEST_IDLE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(10);

/// Decodes an encoded `ekiden.settings.v1.Settings` and checks all of it.
///
/// # Errors
/// Everything that is wrong, each with the path of its field; an empty path means the whole.
pub fn check(settings: &[u8]) -> Result<CheckedSettings, Vec<Violation>> {
    if settings.len() > MAX_SETTINGS {
        let description = format!("{} bytes are too many; at most {MAX_SETTINGS}", settings.len());
        return Err(vec![Violation::new("", description)]);
    }
    let settings = proto::Settings::decode(settings).map_err(|error| {
        vec![Violation::new("", format!("this is no ekiden.settings.v1.Settings: {error}"))]
    })?;
    let mut check = Check::default();
    let checked = check.settings(settings);
    match checked {
        Some(checked) if check.violations.is_empty() => Ok(checked),
        _ => Err(check.violations),
    }
}

/// Collects what is wrong. What cannot be used is `None`, and then there is a violation.
#[derive(Default)]
struct Check {
    violations: Vec<Violation>,
}

impl Check {
    fn wrong<T>(&mut self, field: impl Into<String>, description: impl Into<String>) -> Option<T> {
        self.violations.push(Violation::new(field, description));
        None
    }

    fn settings(&mut self, settings: proto::Settings) -> Option<CheckedSettings> {
        let tenant = names::tenant_of(&settings.fleet, "fleets").map(str::to_owned).or_else(|| {
            self.wrong(
                "fleet",
                format!(
                    "{:?} is not tenants/{{tenant}}/fleets/{{fleet}}",
                    shortened(&settings.fleet)
                ),
            )
        });
        self.at_most("listeners", settings.listeners.len(), MAX_LISTENERS);
        self.at_most("collectors", settings.collectors.len(), MAX_COLLECTORS);
        let collectors = self.collectors(settings.collectors, tenant.as_deref());
        let listeners = self.listeners(settings.listeners, &collectors);
        let discovery = settings.discovery.and_then(|discovery| self.discovery(discovery));
        let limits = self.limits(settings.limits.unwrap_or_default());
        let collectors = collectors.into_iter().filter_map(|(_, checked)| checked).collect();
        Some(CheckedSettings { fleet: settings.fleet, listeners, collectors, discovery, limits })
    }

    /// Gives every collector's name, with the collector where it is usable.
    fn collectors(
        &mut self,
        collectors: Vec<proto::Collector>,
        tenant: Option<&str>,
    ) -> Vec<(String, Option<Arc<Collector>>)> {
        let mut first = HashMap::new();
        let mut checked = Vec::new();
        for (at, collector) in collectors.into_iter().enumerate().take(MAX_COLLECTORS) {
            let path = format!("collectors[{at}]");
            let name = collector.name.clone();
            if let Some(before) = first.insert(name.clone(), at) {
                self.wrong::<()>(
                    format!("{path}.name"),
                    format!("collectors[{before}] has the same name"),
                );
            }
            let collector = self.collector(&path, collector, tenant);
            checked.push((name, collector.map(Arc::new)));
        }
        checked
    }

    fn collector(
        &mut self,
        path: &str,
        collector: proto::Collector,
        tenant: Option<&str>,
    ) -> Option<Collector> {
        let name = self.name(&format!("{path}.name"), collector.name, "collectors", tenant);
        let protocol = match proto::CollectorProtocol::try_from(collector.protocol) {
            Ok(proto::CollectorProtocol::Tcp) => Some(CollectorProtocol::Tcp),
            Ok(proto::CollectorProtocol::OtlpGrpc) => Some(CollectorProtocol::OtlpGrpc),
            Ok(proto::CollectorProtocol::Unspecified) => {
                self.wrong(format!("{path}.protocol"), "is not set; TCP or OTLP_GRPC")
            }
            Err(_) => self
                .wrong(format!("{path}.protocol"), "is not known to this relay; TCP or OTLP_GRPC"),
        };
        let endpoints = self.endpoints(&format!("{path}.endpoints"), collector.endpoints);
        let tls = collector.tls.map(|tls| self.tls(&format!("{path}.tls"), tls));
        let placement = format!("{path}.key_placement");
        if collector.key_placement.is_some() && protocol == Some(CollectorProtocol::Tcp) {
            self.wrong::<()>(
                placement.as_str(),
                "raw TCP has no headers; only OTLP_GRPC takes a key from the relay",
            );
        }
        let key_placement =
            collector.key_placement.map(|given| self.key_placement(&placement, given, tenant));
        let connect_timeout = self.duration(
            &format!("{path}.connect_timeout"),
            collector.connect_timeout.filter(|given| *given != prost_types::Duration::default()),
            CONNECT_TIMEOUT,
            Duration::from_nanos(1)..=Duration::from_secs(30),
            "more than 0 s to 30 s",
        );
        Some(Collector {
            name: name?,
            protocol: protocol?,
            endpoints: endpoints?,
            tls: all(tls)?,
            key_placement: all(key_placement)?,
            connect_timeout: connect_timeout?,
        })
    }

    fn endpoints(&mut self, path: &str, endpoints: Vec<proto::Endpoint>) -> Option<Vec<Endpoint>> {
        if endpoints.is_empty() {
            return self.wrong(path, format!("is empty; 1 to {MAX_ENDPOINTS}"));
        }
        self.at_most(path, endpoints.len(), MAX_ENDPOINTS);
        let mut checked = Vec::new();
        for (at, endpoint) in endpoints.into_iter().enumerate().take(MAX_ENDPOINTS) {
            let path = format!("{path}[{at}]");
            let host = self.host(&format!("{path}.host"), &endpoint.host);
            let port = self.port(&format!("{path}.port"), endpoint.port);
            if endpoint.priority > MAX_PRIORITY {
                self.wrong::<()>(
                    format!("{path}.priority"),
                    format!("{} is too high; 0 to {MAX_PRIORITY}", endpoint.priority),
                );
            }
            checked.push(host.zip(port).map(|(host, port)| Endpoint {
                host,
                port,
                priority: endpoint.priority,
            }));
        }
        let mut endpoints = checked.into_iter().collect::<Option<Vec<_>>>()?;
        endpoints.sort_by_key(|endpoint| endpoint.priority);
        Some(endpoints)
    }

    fn tls(&mut self, path: &str, tls: proto::Tls) -> Option<Tls> {
        let server_name = (!tls.server_name.is_empty()).then(|| {
            let given = names::host(&tls.server_name).map(|host| host.to_string());
            let name = given.ok().and_then(|name| ServerName::try_from(name).ok());
            let description = || {
                format!("{:?} is neither a DNS name nor an IP address", shortened(&tls.server_name))
            };
            name.or_else(|| self.wrong(format!("{path}.server_name"), description()))
        });
        let pem = tls.ca_certificates_pem;
        let roots = (!pem.is_empty())
            .then(|| self.roots(&format!("{path}.ca_certificates_pem"), pem.as_bytes()));
        let (server_name, roots) = (all(server_name)?, all(roots)?);
        Some(Tls {
            server_name,
            roots: roots.map(Arc::new),
            insecure_skip_verify: tls.insecure_skip_verify,
        })
    }

    fn roots(&mut self, path: &str, pem: &[u8]) -> Option<RootCertStore> {
        if pem.len() > MAX_PEM {
            return self
                .wrong(path, format!("{} bytes are too many; at most {MAX_PEM}", pem.len()));
        }
        let mut roots = RootCertStore::empty();
        for (at, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let number = at + 1;
            let Ok(certificate) = certificate else {
                return self.wrong(path, format!("certificate {number} is no PEM"));
            };
            if let Err(error) = roots.add(certificate) {
                return self
                    .wrong(path, format!("certificate {number} cannot be trusted: {error}"));
            }
        }
        match roots.is_empty() {
            true => {
                self.wrong(path, "holds no certificate; PEM from -----BEGIN CERTIFICATE----- on")
            }
            false => Some(roots),
        }
    }

    fn key_placement(
        &mut self,
        path: &str,
        placement: proto::KeyPlacement,
        tenant: Option<&str>,
    ) -> Option<KeyPlacement> {
        let access_key =
            self.name(&format!("{path}.access_key"), placement.access_key, "accessKeys", tenant);
        let header = match names::key_header(&placement.header) {
            Ok(header) => Some(header),
            Err(description) => self.wrong(format!("{path}.header"), description),
        };
        let prefix = placement.prefix;
        if prefix.len() > MAX_PREFIX || !prefix.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            let description =
                format!("at most {MAX_PREFIX} printable ASCII characters can stand before a key");
            self.wrong::<()>(format!("{path}.prefix"), description);
        }
        Some(KeyPlacement { access_key: access_key?, header: header?, prefix })
    }

    fn listeners(
        &mut self,
        listeners: Vec<proto::Listener>,
        collectors: &[(String, Option<Arc<Collector>>)],
    ) -> Vec<Listener> {
        let (mut names, mut ports) = (HashMap::new(), HashMap::new());
        let mut checked = Vec::new();
        for (at, listener) in listeners.into_iter().enumerate().take(MAX_LISTENERS) {
            let path = format!("listeners[{at}]");
            if let Some(before) = names.insert(listener.name.clone(), at) {
                self.wrong::<()>(
                    format!("{path}.name"),
                    format!("listeners[{before}] has the same name"),
                );
            }
            if let Some(before) = ports.insert(listener.port, at) {
                self.wrong::<()>(
                    format!("{path}.port"),
                    format!("listeners[{before}] has the same port {}", listener.port),
                );
            }
            checked.extend(self.listener(&path, listener, collectors));
        }
        checked
    }

    fn listener(
        &mut self,
        path: &str,
        listener: proto::Listener,
        collectors: &[(String, Option<Arc<Collector>>)],
    ) -> Option<Listener> {
        if !names::is_id(&listener.name) {
            let description = format!(
                "{:?} is no name: 1 to 63 characters a-z, 0-9 and -, a letter first, no - last",
                shortened(&listener.name)
            );
            self.wrong::<()>(format!("{path}.name"), description);
        }
        let port = self.port(&format!("{path}.port"), listener.port);
        let protocol = match proto::ListenerProtocol::try_from(listener.protocol) {
            Ok(proto::ListenerProtocol::Tcp) => Some(Protocol::Tcp),
            Ok(proto::ListenerProtocol::Otlp) => Some(Protocol::Otlp),
            Ok(proto::ListenerProtocol::Unspecified) => {
                self.wrong(format!("{path}.protocol"), "is not set; TCP or OTLP")
            }
            Err(_) => {
                self.wrong(format!("{path}.protocol"), "is not known to this relay; TCP or OTLP")
            }
        };
        let collector = match collectors.iter().find(|(name, _)| *name == listener.collector) {
            // What is wrong with it stands at the collector.
            Some((_, collector)) => collector.clone(),
            None => {
                let description =
                    format!("the settings hold no collector {:?}", shortened(&listener.collector));
                self.wrong(format!("{path}.collector"), description)
            }
        };
        if let (Some(protocol), Some(collector)) = (protocol, &collector)
            && collector.protocol != protocol.needs()
        {
            let description = format!(
                "{} does not speak {}, which this listener needs",
                collector.name,
                protocol.needs().name()
            );
            self.wrong::<()>(format!("{path}.collector"), description);
        }
        if listener.max_connections > MAX_LISTENER_CONNECTIONS {
            let description = format!(
                "{} is too many; at most {MAX_LISTENER_CONNECTIONS}",
                listener.max_connections
            );
            self.wrong::<()>(format!("{path}.max_connections"), description);
        }
        let idle_timeout = self.duration(
            &format!("{path}.idle_timeout"),
            listener.idle_timeout.filter(|given| *given != prost_types::Duration::default()),
            IDLE_TIMEOUT,
            Duration::from_secs(1)..=Duration::MAX,
            "at least 1 s",
        );
        Some(Listener {
            name: listener.name,
            port: port?,
            protocol: protocol?,
            collector: collector?,
            max_connections: u64::from(or_default(listener.max_connections, LISTENER_CONNECTIONS)),
            idle_timeout: idle_timeout?.min(LONGEST_IDLE),
        })
    }

    fn discovery(&mut self, discovery: proto::Discovery) -> Option<CloudMap> {
        let path = "discovery.cloud_map";
        let Some(cloud_map) = discovery.cloud_map else {
            return self.wrong(path, "is not set, and this relay knows no other registry");
        };
        let id = &cloud_map.service_id;
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let good = id.len() <= MAX_SERVICE_ID
            && id.strip_prefix("srv-").is_some_and(|id| !id.is_empty() && id.bytes().all(inner));
        if !good {
            self.wrong::<()>(
                format!("{path}.service_id"),
                format!("{:?} is no Cloud Map service; srv-…", shortened(id)),
            );
        }
        let name = match cloud_map.dns_name.strip_suffix('.').map(names::dns_name) {
            Some(Ok(name)) => Some(format!("{name}.")),
            Some(Err(description)) => self.wrong(format!("{path}.dns_name"), description),
            None => self
                .wrong(format!("{path}.dns_name"), "is not absolute: a dot is needed at its end"),
        };
        let ttl = self.duration(
            &format!("{path}.ttl"),
            cloud_map.ttl,
            TTL,
            Duration::from_secs(1)..=Duration::from_secs(300),
            "1 s to 300 s",
        );
        Some(CloudMap { service_id: cloud_map.service_id, dns_name: name?, ttl: ttl? })
    }

    fn limits(&mut self, limits: proto::Limits) -> Limits {
        if limits.max_request_bytes > MAX_REQUEST {
            let description =
                format!("{} is too many; at most {MAX_REQUEST}", limits.max_request_bytes);
            self.wrong::<()>("limits.max_request_bytes", description);
        }
        let default = Limits::default();
        let connections = u64::from(limits.max_connections);
        let request = usize::try_from(limits.max_request_bytes).unwrap_or(usize::MAX);
        Limits {
            max_connections: or_default(connections, default.max_connections),
            max_request_bytes: or_default(request, default.max_request_bytes),
            max_in_flight_bytes: or_default(
                limits.max_in_flight_bytes,
                default.max_in_flight_bytes,
            ),
        }
    }

    fn name(
        &mut self,
        path: &str,
        name: String,
        kind: &str,
        tenant: Option<&str>,
    ) -> Option<String> {
        match names::tenant_of(&name, kind) {
            Some(of) if tenant.is_none_or(|tenant| tenant == of) => Some(name),
            Some(_) => self.wrong(path, format!("{name} is of another tenant than the fleet")),
            None => self.wrong(
                path,
                format!("{:?} is not tenants/{{tenant}}/{kind}/{{id}}", shortened(&name)),
            ),
        }
    }

    fn host(&mut self, path: &str, text: &str) -> Option<Host> {
        names::host(text).map_err(|description| self.wrong::<()>(path, description)).ok()
    }

    fn port(&mut self, path: &str, port: u32) -> Option<u16> {
        match u16::try_from(port) {
            Ok(port) if port > 0 => Some(port),
            _ => self.wrong(path, format!("{port} is no port; 1 to 65535")),
        }
    }

    fn duration(
        &mut self,
        path: &str,
        given: Option<prost_types::Duration>,
        default: Duration,
        range: std::ops::RangeInclusive<Duration>,
        allowed: &str,
    ) -> Option<Duration> {
        let Some(given) = given else { return Some(default) };
        match Duration::try_from(given) {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(duration) => self.wrong(path, format!("{duration:?} is out of range; {allowed}")),
            Err(_) => self.wrong(path, format!("is no length of time; {allowed}")),
        }
    }

    fn at_most(&mut self, path: &str, count: usize, most: usize) {
        if count > most {
            self.wrong::<()>(path, format!("{count} are too many; at most {most}"));
        }
    }
}

impl Protocol {
    /// What a collector must speak for a listener of this protocol.
    fn needs(self) -> CollectorProtocol {
        match self {
            Self::Tcp => CollectorProtocol::Tcp,
            Self::Otlp => CollectorProtocol::OtlpGrpc,
        }
    }
}

impl CollectorProtocol {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::OtlpGrpc => "OTLP_GRPC",
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

fn or_default<T: Default + PartialEq>(given: T, default: T) -> T {
    if given == T::default() { default } else { given }
}
