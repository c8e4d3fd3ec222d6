//! What options say of a collector, and the fields they change.
use std::{fs, path::PathBuf};

use clap::Args;
use ekiden_proto::{
    admin::v1::Collector,
    settings::v1::{CollectorProtocol, KeyPlacement, Tls},
};

use super::ProtocolValue;
use crate::{
    failure::Failure,
    names::{Defaults, Kind},
    values::{EndpointValue, Period},
};

/// What a collector is to be; what is not given stays as it is.
#[derive(Debug, Default, Args)]
pub struct Shape {
    /// `HOST:PORT`, and `,PRIORITY` where it is not 0: lower is tried first, equal ones share the load. May be given several times; replaces all.
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Vec<EndpointValue>,
    /// What the collector speaks.
    #[arg(long, value_enum)]
    protocol: Option<ProtocolValue>,
    /// Speak TLS with it.
    #[arg(long)]
    tls: bool,
    /// Name to ask for and to check; otherwise the endpoint's host. Implies `--tls`.
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// PEM file with CAs to trust instead of the public ones. Implies `--tls`.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Do not check its certificate: for a vendor's lab only. Implies `--tls`.
    #[arg(long)]
    tls_insecure_skip_verify: bool,
    /// Access key to send along.
    #[arg(long, value_name = "NAME")]
    access_key: Option<String>,
    /// Header (gRPC metadata) that carries the key; presets know it.
    #[arg(long, value_name = "HEADER")]
    key_header: Option<String>,
    /// Text before the key in the header, e.g. 'Bearer '.
    #[arg(long, value_name = "TEXT")]
    key_prefix: Option<String>,
    /// How long one attempt to connect to one address may take.
    #[arg(long, value_name = "TIME")]
    connect_timeout: Option<Period>,
    /// Name for people.
    #[arg(long)]
    display_name: Option<String>,
}

/// What an update takes away.
#[derive(Debug, Default, Args)]
pub struct Removal {
    /// Speak without TLS from now on.
    #[arg(long, conflicts_with_all = ["tls", "tls_server_name", "tls_ca", "tls_insecure_skip_verify"])]
    no_tls: bool,
    /// Send no access key from now on.
    #[arg(long, conflicts_with_all = ["access_key", "key_header", "key_prefix"])]
    no_access_key: bool,
}

impl Shape {
    /// Changes `collector` and tells which fields.
    pub(super) fn apply(
        &self,
        collector: &mut Collector,
        names: &Defaults,
    ) -> Result<Vec<&'static str>, Failure> {
        let mut paths = Vec::new();
        if !self.endpoint.is_empty() {
            collector.endpoints = self.endpoint.iter().map(|e| e.0.clone()).collect();
            paths.push("endpoints");
        }
        if let Some(protocol) = self.protocol {
            collector.set_protocol(CollectorProtocol::from(protocol));
            paths.push("protocol");
        }
        if self.changes_tls() {
            let tls = collector.tls.get_or_insert_with(Tls::default);
            if let Some(name) = &self.tls_server_name {
                tls.server_name.clone_from(name);
            }
            if let Some(path) = &self.tls_ca {
                tls.ca_certificates_pem = fs::read_to_string(path).map_err(|source| {
                    Failure::File { path: path.display().to_string(), verb: "read", source }
                })?;
            }
            tls.insecure_skip_verify |= self.tls_insecure_skip_verify;
            paths.push("tls");
        }
        if self.access_key.is_some() || self.key_header.is_some() || self.key_prefix.is_some() {
            let placement = collector.key_placement.get_or_insert_with(KeyPlacement::default);
            if let Some(key) = &self.access_key {
                placement.access_key = names.resolve(Kind::AccessKey, key, None)?;
            }
            if let Some(header) = &self.key_header {
                placement.header.clone_from(header);
            }
            if let Some(prefix) = &self.key_prefix {
                placement.prefix.clone_from(prefix);
            }
            paths.push("key_placement");
        }
        if let Some(timeout) = self.connect_timeout {
            collector.connect_timeout = Some(timeout.to_proto());
            paths.push("connect_timeout");
        }
        if let Some(name) = &self.display_name {
            collector.display_name.clone_from(name);
            paths.push("display_name");
        }
        Ok(paths)
    }

    const fn changes_tls(&self) -> bool {
        self.tls
            || self.tls_server_name.is_some()
            || self.tls_ca.is_some()
            || self.tls_insecure_skip_verify
    }
}

impl Removal {
    /// Changes `collector` and tells which fields.
    pub(super) fn apply(&self, collector: &mut Collector) -> Vec<&'static str> {
        let mut paths = Vec::new();
        if self.no_tls {
            collector.tls = None;
            paths.push("tls");
        }
        if self.no_access_key {
            collector.key_placement = None;
            paths.push("key_placement");
        }
        paths
    }
}
