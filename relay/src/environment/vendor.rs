//! The variables of the vendor's container: what a task of the vendor's Terraform module starts with.
//!
//! `additional_conf`: the YAML among them. `bootstrap`: the settings that come of them.
use std::collections::BTreeMap;

use ekiden_proto::settings::v1::CloudMap;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Bootstrap, Notice, Problems,
    additional_conf::{self, AdditionalConf},
    bootstrap::{self, Said},
    vendor_proxy,
    vendor_trust::{self, Uploaded},
};

/// Those that hold no secret.
const KNOWN: [&str; 21] = [
    "COLLECTOR",
    "COLLECTOR_PORT",
    "CHECK_CERTIFICATE",
    "TAGS",
    "COLLECTOR_CA_CERTIFICATE",
    "COLLECTOR_CA_CERTIFICATE_TYPE",
    "COLLECTOR_CA_CERTIFICATE_VALUE",
    "COLLECTOR_CA_CERTIFICATE_PATH",
    "HTTP_PROXY_CA_CERTIFICATE_TYPE",
    "HTTP_PROXY_CA_CERTIFICATE_VALUE",
    "HTTP_PROXY_CA_CERTIFICATE_PATH",
    "PROXY_HOST",
    "PROXY_PORT",
    "PROXY_USER",
    "PROXY_SSL",
    "PROXY_SSL_VERIFY_CERTIFICATE",
    "PROXY_CA_CERTIFICATE",
    "EKIDEN_CLOUD_MAP_SERVICE_ID",
    "EKIDEN_CLOUD_MAP_DNS_NAME",
    "EKIDEN_CLOUD_MAP_TTL",
    "EKIDEN_LOG",
];
const SECRET: [&str; 3] = ["ACCESS_KEY", "ADDITIONAL_CONF", "PROXY_PASSWORD"];
/// Whatever begins so and is not known was meant for the vendor's container.
const ITS_OWN: [&str; 3] = ["COLLECTOR_", "PROXY_", "HTTP_PROXY_CA_CERTIFICATE"];
/// Source: the vendor's Terraform module.
const LISTEN_PORT: u16 = 6667;
const COLLECTOR_PORT: u16 = 6443;
const COLLECTOR_CA_PATH: &str = "/ssl/collector_cert.pem";
const PROXY_CA_PATH: &str = "/ssl/proxy_cert.pem";

/// The variables as they stand there, without those that are empty.
#[derive(Debug, Default)]
pub(super) struct Variables {
    texts: BTreeMap<&'static str, String>,
    secrets: BTreeMap<&'static str, SecretString>,
    unknown: Vec<String>,
}

/// What is made of them.
#[derive(Debug, Default)]
pub(super) struct Vendors {
    pub(super) bootstrap: Option<Bootstrap>,
    pub(super) notices: Vec<Notice>,
    pub(super) log: Option<&'static str>,
}

impl Variables {
    /// Takes them from name and value of all variables.
    pub(super) fn from(all: impl Iterator<Item = (String, String)>) -> Self {
        let mut variables = Self::default();
        for (name, value) in all.filter(|(_, value)| !value.trim().is_empty()) {
            let is = |known: &&&str| **known == name;
            if let Some(known) = KNOWN.iter().find(is) {
                variables.texts.insert(known, value.trim().to_owned());
            } else if let Some(known) = SECRET.iter().find(is) {
                variables.secrets.insert(known, SecretString::from(value));
            } else if ITS_OWN.iter().any(|own| name.starts_with(own)) {
                variables.unknown.push(name);
            }
        }
        variables.unknown.sort_unstable();
        variables
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    pub(super) fn secret(&self, name: &str) -> Option<&SecretString> {
        self.secrets.get(name)
    }

    /// Whether a variable says yes; `otherwise` where it says nothing.
    pub(super) fn flag(
        &self,
        name: &'static str,
        otherwise: bool,
        problems: &mut Problems,
    ) -> bool {
        let said = self.text(name).map(truth);
        said.and_then(|said| problems.take(name, said)).unwrap_or(otherwise)
    }

    fn uploaded(&self, prefix: &str, path: &'static str) -> Uploaded<'_> {
        let of = |what| self.text(&format!("{prefix}_{what}"));
        Uploaded { r#type: of("TYPE"), value: of("VALUE"), path: of("PATH").unwrap_or(path) }
    }

    fn any(&self) -> bool {
        let own = self.texts.keys().filter(|name| !matches!(**name, "EKIDEN_LOG" | "TAGS"));
        own.count() + self.secrets.len() > 0
    }
}

/// Makes settings of the variables, where COLLECTOR is among them, and says what of them has no effect.
pub(super) fn check(
    variables: &Variables,
    fleet: Option<&str>,
    problems: &mut Problems,
) -> Vendors {
    let Some(collector) = variables.text("COLLECTOR") else {
        let notices = variables.any().then(|| Notice {
            name: "COLLECTOR".to_owned(),
            description:
                "it is not set, so the variables beside it, of the vendor's container and \
                          EKIDEN_CLOUD_MAP_*, have no effect"
                    .to_owned(),
            serious: false,
        });
        return Vendors { notices: notices.into_iter().collect(), ..Vendors::default() };
    };
    let mut notices = Vec::new();
    let conf = variables
        .secret("ADDITIONAL_CONF")
        .map(additional_conf::read)
        .and_then(|read| problems.take("ADDITIONAL_CONF", read))
        .unwrap_or_default();
    without_effect(variables, &conf, &mut notices);
    let check_certificate = variables.flag("CHECK_CERTIFICATE", true, problems);
    let listen_port = conf.listen_port.as_deref().map(|port| {
        problems
            .take("ADDITIONAL_CONF", self::port(port).map_err(|e| format!("agentino_port: {e}")))
    });
    let collector_port = variables
        .text("COLLECTOR_PORT")
        .map(|port| problems.take("COLLECTOR_PORT", self::port(port)));
    let roots = vendor_trust::roots(
        ("COLLECTOR_CA_CERTIFICATE", variables.text("COLLECTOR_CA_CERTIFICATE")),
        "COLLECTOR_CA_CERTIFICATE_VALUE",
        &variables.uploaded("COLLECTOR_CA_CERTIFICATE", COLLECTOR_CA_PATH),
        problems,
        &mut notices,
    );
    let proxy_ca = variables.uploaded("HTTP_PROXY_CA_CERTIFICATE", PROXY_CA_PATH);
    let proxy = vendor_proxy::proxy(variables, &conf, &proxy_ca, problems, &mut notices);
    let log = conf.log_priority.as_deref().map(log_filter);
    let log = log.and_then(|log| problems.take("ADDITIONAL_CONF", log));
    if let (Some(log), Some(own)) = (log, variables.text("EKIDEN_LOG"))
        && log != own
    {
        let name = "ADDITIONAL_CONF log.console_priority";
        notices.push(Notice::slight(name, "EKIDEN_LOG wins over it"));
    }
    let said = Said {
        fleet: fleet.map(ToOwned::to_owned),
        listen_port: listen_port.flatten().unwrap_or(LISTEN_PORT),
        collector: collector.to_owned(),
        collector_port: collector_port.flatten().unwrap_or(COLLECTOR_PORT),
        check_certificate,
        roots,
        proxy,
        cloud_map: cloud_map(variables, problems),
    };
    let settings = bootstrap::settings(said, problems);
    Vendors { bootstrap: settings.map(|settings| Bootstrap { settings }), notices, log }
}

/// Names what a relay has no use for.
fn without_effect(variables: &Variables, conf: &AdditionalConf, notices: &mut Vec<Notice>) {
    if variables.secret("ACCESS_KEY").is_some() {
        let why = "it is not used: raw bytes are passed on as they come, and workloads' agents carry the key themselves. \
                   Leave it out of the task";
        notices.push(Notice::slight("ACCESS_KEY", why));
    }
    if variables.text("TAGS").is_some() {
        let why = "they are not sent: raw bytes are passed on as they come, and workloads' agents carry tags themselves";
        notices.push(Notice::slight("TAGS", why));
    }
    let unknown = variables.unknown.iter().cloned();
    let keys = conf.unknown.iter().map(|key| format!("ADDITIONAL_CONF {key}"));
    notices.extend(unknown.chain(keys).map(|name| Notice {
        name,
        description: "a relay does not know it, and does nothing of what it asks for".to_owned(),
        serious: true,
    }));
}

fn cloud_map(variables: &Variables, problems: &mut Problems) -> Option<CloudMap> {
    let service = variables.text("EKIDEN_CLOUD_MAP_SERVICE_ID");
    let name = variables.text("EKIDEN_CLOUD_MAP_DNS_NAME");
    let ttl = variables.text("EKIDEN_CLOUD_MAP_TTL").map(|ttl| {
        let seconds = ttl.parse().map_err(|_| format!("`{ttl}` is not a number of seconds"));
        problems.take("EKIDEN_CLOUD_MAP_TTL", seconds)
    });
    let both = "it is needed beside the other EKIDEN_CLOUD_MAP_ variables";
    match (service, name) {
        (None, None) if ttl.is_none() => None,
        (Some(service), Some(name)) => {
            let mut cloud_map = CloudMap { service_id: service.to_owned(), ..CloudMap::default() };
            cloud_map.dns_name = format!("{}.", name.trim_end_matches('.'));
            cloud_map.ttl =
                ttl.flatten().map(|seconds| prost_types::Duration { seconds, nanos: 0 });
            Some(cloud_map)
        }
        (service, name) => {
            for (variable, value) in
                [("EKIDEN_CLOUD_MAP_SERVICE_ID", service), ("EKIDEN_CLOUD_MAP_DNS_NAME", name)]
            {
                if value.is_none() {
                    problems.add(variable, both.to_owned());
                }
            }
            None
        }
    }
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("`{}` is neither `true` nor `false`", shortened(text))),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("`{}` is no port; 1 to 65535", shortened(text)))
}

/// The vendor's words for what to log, by severity of syslog.
fn log_filter(priority: &str) -> Result<&'static str, String> {
    match priority {
        "fatal" | "critical" | "error" => Ok("error"),
        "warning" => Ok("warn"),
        "notice" | "info" => Ok("info"),
        "debug" => Ok("debug"),
        "trace" => Ok("trace"),
        other => Err(format!(
            "log.console_priority: `{}` is none of fatal, critical, error, warning, notice, info, debug, trace",
            shortened(other)
        )),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Whether two secrets are the same text.
pub(super) fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

#[cfg(test)]
#[path = "vendor_tests.rs"]
mod tests;
