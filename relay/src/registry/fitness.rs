//! Whether this relay can be found as settings want it: looked at before they run, and named by field.
//!
//! Arithmetic and the task itself come first, without a call. AWS is asked next, and only an answer counts: settings do not
//! wait for a registry that is away.
use std::{net::IpAddr, time::Duration};

use ekiden_settings::{CloudMap, RegistrationMode, Service, Violation};
use tokio::time::timeout;

use super::{RegistryError, ServiceKind, membership::Registries};
use crate::{drain::longest_ttl, error_chain::chain};

/// Longest wait for AWS, over all services.
const ANSWER: Duration = Duration::from_secs(5);

/// Where the relay is and how long it has to stop.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
    /// Address that listeners bind; unspecified: every one.
    pub listens: IpAddr,
    /// Address that the environment says to register.
    pub advertised: Option<IpAddr>,
    /// Address that ECS gave the task.
    pub task: Option<IpAddr>,
}

/// Looks whether the relay can be found as settings want.
pub struct Fitness {
    /// What it has to fit to.
    pub surroundings: Surroundings,
    /// Opens the registries.
    pub registries: Registries,
}

impl std::fmt::Debug for Fitness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fitness").field("surroundings", &self.surroundings).finish_non_exhaustive()
    }
}

impl Fitness {
    /// What of the settings this task can never do.
    pub fn of_task(&self, at: &CloudMap) -> Vec<Violation> {
        let Surroundings { stop_timeout, listens, advertised, task } = self.surroundings;
        let mut violations = Vec::new();
        let longest = longest_ttl(stop_timeout);
        if at.ttl > longest {
            let (ttl, longest, has) = (at.ttl.as_secs(), longest.as_secs(), stop_timeout.as_secs());
            let needs = ttl * 5 / 2 + u64::from(ttl * 5 % 2 != 0);
            let description = format!(
                "answers live for {ttl} s, but a task with {has} s to stop can outlive answers of {longest} s at most: \
                 make it {longest} s or less, or let stopTimeout (EKIDEN_STOP_TIMEOUT) be {needs} s or more"
            );
            violations.push(Violation::new("discovery.cloud_map.ttl", description));
        }
        let mut address = |description| {
            violations.push(Violation::new("discovery.cloud_map", description));
        };
        match (advertised, task) {
            (Some(advertised), Some(task)) if advertised != task => address(format!(
                "EKIDEN_ADVERTISE_ADDRESS is {advertised}, which is not this task's address: ECS gave it {task}; leave the variable out"
            )),
            _ => {}
        }
        match advertised.or(task) {
            Some(told) if !listens.is_unspecified() && told != listens => address(format!(
                "workloads would be told {told}, but listeners bind {listens} alone (EKIDEN_LISTEN_ADDRESS): leave the variable out"
            )),
            _ => {}
        }
        violations
    }

    /// What AWS says against the settings, where it answers in time. It may be mended there, without other settings.
    pub async fn of_services(&self, at: &CloudMap) -> Vec<Violation> {
        if at.mode != RegistrationMode::Relay {
            return Vec::new();
        }
        let ask = async {
            let mut violations = Vec::new();
            for (field, service) in services(at) {
                match (self.registries)(at, service).kind().await {
                    Ok(kind) => violations.extend(self.misfits(&field, at, &kind)),
                    Err(RegistryError::Refused(why)) => {
                        let description = format!(
                            "Cloud Map refuses to say what service {} is: {why}",
                            service.id
                        );
                        violations.push(Violation::new(format!("{field}service_id"), description));
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(violations)
        };
        match timeout(ANSWER, ask).await.unwrap_or(Err(RegistryError::Unfinished)) {
            Ok(violations) => violations,
            Err(error) => {
                tracing::warn!(
                    error = %chain(&error),
                    "Whether the Cloud Map services fit is not known; the settings do not wait for that"
                );
                Vec::new()
            }
        }
    }

    fn misfits(&self, field: &str, at: &CloudMap, kind: &ServiceKind) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut service = |description| {
            violations.push(Violation::new(format!("{field}service_id"), description));
        };
        let Surroundings { listens, advertised, task, .. } = self.surroundings;
        let wanted = match advertised.or(task).unwrap_or(listens) {
            IpAddr::V4(_) => "A",
            IpAddr::V6(_) => "AAAA",
        };
        if !kind.records.iter().any(|record| record == wanted) {
            let has = match kind.records.join(", ") {
                none if none.is_empty() => "no DNS records".to_owned(),
                types => format!("records of type {types}"),
            };
            service(format!(
                "the service has {has}, and workloads need one of type {wanted}: a service's types cannot be changed, make another"
            ));
        } else if kind.one_answer {
            service(
                "the service answers with one relay at a time (routing policy WEIGHTED): make another with MULTIVALUE"
                    .to_owned(),
            );
        }
        if kind.ttl > at.ttl {
            let (has, says) = (kind.ttl.as_secs(), at.ttl.as_secs());
            let description = format!(
                "the service's records live for {has} s, not {says}: relays would stop before answers end; \
                 say {has} s here, or change the service"
            );
            violations.push(Violation::new("discovery.cloud_map.ttl", description));
        }
        violations
    }
}

/// All services that a relay of the fleet may be in, each with its place in the settings.
fn services(at: &CloudMap) -> impl Iterator<Item = (String, &Service)> {
    let own = ("discovery.cloud_map.".to_owned(), &at.service);
    let cells = at.cells.iter().enumerate();
    let cells = cells.map(|(n, cell)| (format!("discovery.cloud_map.cells[{n}]."), cell));
    std::iter::once(own).chain(cells)
}

#[cfg(test)]
#[path = "fitness_tests.rs"]
mod tests;
