//! What a relay runs until its control plane was heard: made of the variables of the vendor's container, and checked by
//! the rules of every snapshot.
use std::{sync::Arc, time::Duration};

use ekiden_proto::settings::v1 as proto;
use ekiden_settings::{CheckedSettings, Collector, Listener, Proxy, Violation};
use prost::Message;

use super::Problems;

/// Stands in for tenant and fleet where EKIDEN_FLEET names none.
const FLEET: &str = "tenants/environment/fleets/environment";
const LISTENER: &str = "agents";
const COLLECTOR: &str = "environment";
/// A proxy answers when it has dialled itself.
const THROUGH_PROXY: Duration = Duration::from_secs(10);

/// What the variables say, each by itself as it should be.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// `tenants/{tenant}/fleets/{fleet}`; none: not named.
    pub(super) fleet: Option<String>,
    pub(super) listen_port: u16,
    pub(super) collector: String,
    pub(super) collector_port: u16,
    pub(super) check_certificate: bool,
    /// PEM; none: the public roots.
    pub(super) roots: Option<String>,
    pub(super) proxy: Option<Proxy>,
    pub(super) cloud_map: Option<proto::CloudMap>,
}

/// Makes settings of what was said; what is wrong goes to the variable that said it.
pub(super) fn settings(said: Said, problems: &mut Problems) -> Option<Arc<CheckedSettings>> {
    let Said { fleet, collector, proxy, .. } = said;
    let fleet = fleet.unwrap_or_else(|| FLEET.to_owned());
    let tenant = fleet.split("/fleets/").next().unwrap_or_default();
    let name = format!("{tenant}/collectors/{COLLECTOR}");
    let settings = proto::Settings {
        listeners: vec![proto::Listener {
            name: LISTENER.to_owned(),
            port: said.listen_port.into(),
            protocol: proto::ListenerProtocol::Tcp.into(),
            collector: name.clone(),
            ..proto::Listener::default()
        }],
        collectors: vec![proto::Collector {
            name,
            protocol: proto::CollectorProtocol::Tcp.into(),
            endpoints: vec![proto::Endpoint {
                host: collector,
                port: said.collector_port.into(),
                priority: 0,
            }],
            tls: Some(proto::Tls {
                ca_certificates_pem: said.roots.unwrap_or_default(),
                insecure_skip_verify: !said.check_certificate,
                ..proto::Tls::default()
            }),
            ..proto::Collector::default()
        }],
        discovery: said.cloud_map.map(|cloud_map| proto::Discovery { cloud_map: Some(cloud_map) }),
        limits: None,
        fleet,
    };
    match ekiden_settings::check(&settings.encode_to_vec()) {
        Ok(checked) => Some(Arc::new(led_through(proxy, checked))),
        Err(violations) => {
            for Violation { field, description } in violations {
                problems.add(variable(&field), description);
            }
            None
        }
    }
}

/// No snapshot names a proxy, so it joins what has passed the check.
fn led_through(proxy: Option<Proxy>, checked: CheckedSettings) -> CheckedSettings {
    let Some(proxy) = proxy else { return checked };
    let through = |collector: &Collector| {
        Arc::new(Collector {
            proxy: Some(proxy.clone()),
            connect_timeout: THROUGH_PROXY,
            ..collector.clone()
        })
    };
    let listeners = checked.listeners.into_iter().map(|listener| {
        let collector = through(&listener.collector);
        Listener { collector, ..listener }
    });
    CheckedSettings {
        listeners: listeners.collect(),
        collectors: checked.collectors.iter().map(|collector| through(collector)).collect(),
        ..checked
    }
}

/// The variable that says what stands in a field.
fn variable(field: &str) -> &'static str {
    match field {
        "fleet" => "EKIDEN_FLEET",
        "discovery.cloud_map.service_id" => "EKIDEN_CLOUD_MAP_SERVICE_ID",
        "discovery.cloud_map.dns_name" => "EKIDEN_CLOUD_MAP_DNS_NAME",
        "discovery.cloud_map.ttl" => "EKIDEN_CLOUD_MAP_TTL",
        "collectors[0].endpoints[0].port" => "COLLECTOR_PORT",
        "collectors[0].tls.ca_certificates_pem" => "COLLECTOR_CA_CERTIFICATE",
        field if field.starts_with("listeners[0].port") => "ADDITIONAL_CONF",
        _ => "COLLECTOR",
    }
}
