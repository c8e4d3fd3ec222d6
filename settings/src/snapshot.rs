//! The rules over a whole snapshot.
use std::{collections::HashMap, sync::Arc};

use ekiden_proto::settings::v1 as proto;
use prost::Message;

use crate::{
    CheckedSettings, Collector, Listener, Violation, collector, fleet,
    fleet::ListenerAlone,
    rules::{self, MAX_COLLECTORS, MAX_SETTINGS_BYTES},
    violation::Violations,
};

/// Collectors by name; none where one is not usable.
type Collectors<'a> = HashMap<&'a str, Option<Arc<Collector>>>;

/// Decodes an encoded `ekiden.settings.v1.Settings` and checks all of it.
///
/// # Errors
/// Everything that is wrong, each with the path of its field; an empty path means the whole.
pub fn check(settings: &[u8]) -> Result<CheckedSettings, Vec<Violation>> {
    if settings.len() > MAX_SETTINGS_BYTES {
        let description =
            format!("{} bytes are too many; at most {MAX_SETTINGS_BYTES}", settings.len());
        return Err(vec![Violation::new("", description)]);
    }
    let settings = proto::Settings::decode(settings).map_err(|error| {
        vec![Violation::new("", format!("this is no ekiden.settings.v1.Settings: {error}"))]
    })?;
    let mut found = Violations::default();
    match read(settings, &mut found) {
        Some(checked) if found.0.is_empty() => Ok(checked),
        _ => Err(found.0),
    }
}

fn read(settings: proto::Settings, found: &mut Violations) -> Option<CheckedSettings> {
    found.pass("fleet", rules::resource(&settings.fleet, "fleets", None));
    let tenant = rules::tenant_of(&settings.fleet, "fleets");
    let (collectors, by_name) = collectors(tenant, &settings.collectors, found);
    let alone = fleet::listeners("listeners", tenant, &settings.listeners, found);
    let mut listeners = Vec::new();
    for (at, (listener, alone)) in settings.listeners.iter().zip(alone).enumerate() {
        listeners.extend(bound(&format!("listeners[{at}]"), listener, alone, &by_name, found));
    }
    let discovery =
        settings.discovery.and_then(|given| fleet::discovery("discovery", &given, found));
    let limits = fleet::limits("limits", &settings.limits.unwrap_or_default(), found);
    Some(CheckedSettings {
        listeners,
        collectors,
        discovery,
        limits: limits?,
        fleet: settings.fleet,
    })
}

fn collectors<'a>(
    tenant: Option<&str>,
    collectors: &'a [proto::Collector],
    found: &mut Violations,
) -> (Vec<Arc<Collector>>, Collectors<'a>) {
    found.pass("collectors", rules::at_most(MAX_COLLECTORS, collectors.len()));
    let (mut checked, mut by_name) = (Vec::new(), Collectors::new());
    for (at, given) in collectors.iter().enumerate().take(MAX_COLLECTORS) {
        let path = format!("collectors[{at}]");
        let name = rules::resource(&given.name, "collectors", tenant);
        found.pass(format!("{path}.name"), name);
        let collector = collector::read(&path, tenant, given, found).map(Arc::new);
        checked.extend(collector.clone());
        if by_name.insert(given.name.as_str(), collector).is_some() {
            found.add(format!("{path}.name"), "another collector has the same name");
        }
    }
    (checked, by_name)
}

/// Joins a listener with the collector that it names.
fn bound(
    path: &str,
    listener: &proto::Listener,
    alone: ListenerAlone,
    collectors: &Collectors<'_>,
    found: &mut Violations,
) -> Option<Listener> {
    let named = collectors.get(listener.collector.as_str());
    // What is wrong with a collector stands at the collector.
    let told = !alone.names_collector || named.is_some_and(Option::is_none);
    let collector = named.cloned().flatten();
    if let (Some(takes), false) = (alone.protocol, told) {
        let spoken = collector.as_ref().map(|collector| collector.protocol);
        let route = rules::route(takes, &listener.collector, spoken);
        found.pass(format!("{path}.collector"), route);
    }
    Some(Listener {
        name: listener.name.clone(),
        port: alone.port?,
        protocol: alone.protocol?,
        collector: collector?,
        max_connections: alone.max_connections?,
        idle_timeout: alone.idle_timeout?,
        max_connection_age: alone.max_connection_age?,
    })
}
