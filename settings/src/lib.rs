//! What a relay can run: the checked settings, and the one set of rules that makes them.
//!
//! A relay [`check`]s each snapshot before it runs any of it. The control plane checks what operators write by the same
//! rules, under the paths of the operators' own fields, and [`check`]s what it compiled before it commits it.
//!
//! - `checked`: settings past the check; every value is usable as it is.
//! - `proxy`: the way to a collector that a relay's own environment names.
//! - [`rules`]: what is good, a value at a time.
//! - `collector`, `fleet`: the rules over the messages that operators write.
//! - `snapshot`: the rules over the whole.
//! - `violation`: what is wrong, by field.

mod checked;
mod collector;
mod fleet;
mod proxy;
pub mod rules;
mod snapshot;
#[cfg(test)]
mod tests;
mod violation;

pub use self::{
    checked::{
        AssumedRole, CheckedSettings, CloudMap, Collector, CollectorProtocol, Endpoint, Host,
        KeyPlacement, Limits, Listener, Protocol, RegistrationMode, Service, Tls,
    },
    collector::check_collector,
    fleet::{check_fleet, check_routes},
    proxy::Proxy,
    snapshot::check,
    violation::Violation,
};
