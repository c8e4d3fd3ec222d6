//! Settings for tests: one TCP listener, one collector.
use std::{net::SocketAddr, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use ekiden_proto::{
    relay::v1::SettingsSnapshot,
    settings::v1::{
        CloudMap, Collector, CollectorProtocol, Discovery, Endpoint, Listener, ListenerProtocol,
        Settings,
    },
};
use ekiden_settings::{CheckedSettings, check};
use prost::Message;

use crate::fake_control_plane::FLEET;

pub(crate) const COLLECTOR: &str = "tenants/acme/collectors/datadog";

/// What arrives at `port` goes to `collector`.
pub(crate) fn settings(port: u16, collector: SocketAddr) -> Settings {
    let endpoint = Endpoint {
        host: collector.ip().to_string(),
        port: u32::from(collector.port()),
        priority: 0,
    };
    Settings {
        fleet: FLEET.to_owned(),
        listeners: vec![Listener {
            name: "agents".to_owned(),
            port: u32::from(port),
            protocol: ListenerProtocol::Tcp.into(),
            collector: COLLECTOR.to_owned(),
            ..Listener::default()
        }],
        collectors: vec![Collector {
            name: COLLECTOR.to_owned(),
            protocol: CollectorProtocol::Tcp.into(),
            endpoints: vec![endpoint],
            ..Collector::default()
        }],
        ..Settings::default()
    }
}

/// As a relay holds them.
pub(crate) fn checked(settings: &Settings) -> Arc<CheckedSettings> {
    Arc::new(check(&settings.encode_to_vec()).unwrap())
}

/// As a session brings them.
pub(crate) fn snapshot(revision: u64, settings: &Settings) -> SettingsSnapshot {
    let settings = Bytes::from(settings.encode_to_vec());
    let hash = Bytes::copy_from_slice(digest(&SHA256, &settings).as_ref());
    SettingsSnapshot { revision, hash, settings, ..SettingsSnapshot::default() }
}

/// With registration in a Cloud Map service.
pub(crate) fn registered_in(mut settings: Settings, service_id: &str, dns_name: &str) -> Settings {
    settings.discovery = Some(Discovery {
        cloud_map: Some(CloudMap {
            service_id: service_id.to_owned(),
            dns_name: dns_name.to_owned(),
            ttl: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            ..CloudMap::default()
        }),
    });
    settings
}
