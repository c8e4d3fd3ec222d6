//! What operators give, to what is kept of it for relays, checked under the paths of the operators' own fields.
use ekiden_proto::{
    admin::v1 as admin,
    settings::v1::{Collector, Settings},
};
use ekiden_settings::{Violation, check_collector, check_fleet};

#[cfg(test)]
mod tests;

/// What relays get of a tenant's collector, but for its name.
///
/// # Errors
/// Everything that is wrong, by paths that begin with `collector.`.
pub fn of_collector(tenant: &str, given: &admin::Collector) -> Result<Collector, Vec<Violation>> {
    let spec = Collector {
        name: String::new(),
        protocol: given.protocol,
        endpoints: given.endpoints.clone(),
        tls: given.tls.clone(),
        key_placement: given.key_placement.clone(),
        connect_timeout: given.connect_timeout,
    };
    match check_collector("collector", tenant, &spec) {
        violations if violations.is_empty() => Ok(spec),
        violations => Err(violations),
    }
}

/// What a tenant's fleet itself says of its settings: listeners, discovery, limits.
///
/// # Errors
/// Everything that is wrong, by paths that begin with `fleet.`.
pub fn of_fleet(tenant: &str, given: &admin::Fleet) -> Result<Settings, Vec<Violation>> {
    let spec = Settings {
        listeners: given.listeners.clone(),
        discovery: given.discovery.clone(),
        limits: given.limits,
        ..Settings::default()
    };
    match check_fleet("fleet", tenant, &spec) {
        violations if violations.is_empty() => Ok(spec),
        violations => Err(violations),
    }
}
