//! What options say of how workloads find a fleet.
use clap::{Args, ValueEnum};
use ekiden_proto::{
    admin::v1::Fleet,
    settings::v1::{AssumedRole, CloudMap, Discovery, RegistrationMode},
};

use crate::{
    failure::Failure,
    values::{CellValue, Period},
};

/// Where relays register; what is not given stays as it is.
#[derive(Debug, Default, Args)]
pub struct DiscoveryShape {
    /// Id of the AWS Cloud Map service that relays register in, `srv-…`.
    #[arg(long, value_name = "ID")]
    cloud_map_service: Option<String>,
    /// Name that workloads resolve.
    #[arg(long, value_name = "NAME")]
    dns_name: Option<String>,
    /// TTL of the DNS records; two fifths of the tasks' stopTimeout at most.
    #[arg(long, value_name = "TIME")]
    ttl: Option<Period>,
    /// Who registers the tasks.
    #[arg(long, value_name = "WHO")]
    registration: Option<Registrar>,
    /// Role that relays assume to register, where the namespace is in another account.
    #[arg(long, value_name = "ARN")]
    cloud_map_role: Option<String>,
    /// External id that the role's trust policy asks for.
    #[arg(long, value_name = "ID")]
    cloud_map_external_id: Option<String>,
    /// `service=ID,dns-name=NAME`: one more service, for fleets of more than eight relays. May be given several times; replaces the cell of the same service.
    #[arg(long, value_name = "CELL")]
    cell: Vec<CellValue>,
}

/// What an update takes away.
#[derive(Debug, Default, Args)]
pub struct DiscoveryRemoval {
    /// Register nowhere from now on.
    #[arg(
        long,
        conflicts_with_all = [
            "cloud_map_service", "dns_name", "ttl", "registration", "cloud_map_role", "cloud_map_external_id", "cell"
        ]
    )]
    no_discovery: bool,
    /// Register with the task's own rights from now on.
    #[arg(long, conflicts_with_all = ["cloud_map_role", "cloud_map_external_id"])]
    no_cloud_map_role: bool,
    /// Give up the cell of this service; may be given several times.
    #[arg(long, value_name = "ID")]
    remove_cell: Vec<String>,
}

/// Who registers the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Registrar {
    /// Each relay itself, when it can deliver; siblings take out the dead.
    Relay,
    /// The ECS service, by its service registry.
    Ecs,
}

impl DiscoveryShape {
    /// Changes `fleet` and tells whether it did.
    pub(super) fn apply(&self, fleet: &mut Fleet) -> bool {
        let Self { cloud_map_service, dns_name, ttl, registration, .. } = self;
        let role = self.cloud_map_role.is_some() || self.cloud_map_external_id.is_some();
        let where_to = cloud_map_service.is_some() || dns_name.is_some() || ttl.is_some();
        if !where_to && registration.is_none() && !role && self.cell.is_empty() {
            return false;
        }
        let cloud_map = cloud_map(fleet);
        if let Some(service) = cloud_map_service {
            cloud_map.service_id.clone_from(service);
        }
        if let Some(name) = dns_name {
            cloud_map.dns_name = absolute(name);
        }
        if let Some(ttl) = ttl {
            cloud_map.ttl = Some(ttl.to_proto());
        }
        if let Some(registrar) = registration {
            cloud_map.set_mode(match registrar {
                Registrar::Relay => RegistrationMode::Self_,
                Registrar::Ecs => RegistrationMode::Ecs,
            });
        }
        if role {
            let to = cloud_map.role.get_or_insert_with(AssumedRole::default);
            if let Some(arn) = &self.cloud_map_role {
                to.role_arn.clone_from(arn);
            }
            if let Some(id) = &self.cloud_map_external_id {
                to.external_id.clone_from(id);
            }
        }
        for CellValue(cell) in &self.cell {
            let cell = ekiden_proto::settings::v1::Cell {
                dns_name: absolute(&cell.dns_name),
                ..cell.clone()
            };
            match cloud_map.cells.iter_mut().find(|old| old.service_id == cell.service_id) {
                Some(old) => *old = cell,
                None => cloud_map.cells.push(cell),
            }
        }
        true
    }
}

impl DiscoveryRemoval {
    /// Changes `fleet` and tells whether it did.
    pub(super) fn apply(&self, fleet: &mut Fleet) -> Result<bool, Failure> {
        for service in &self.remove_cell {
            let cells = &mut cloud_map(fleet).cells;
            let before = cells.len();
            cells.retain(|cell| cell.service_id != *service);
            if cells.len() == before {
                return Err(Failure::usage(
                    format!("{} has no cell of service {service:?}", fleet.name),
                    format!("`ekidenctl fleet get {}` shows its cells", fleet.name),
                ));
            }
        }
        if self.no_cloud_map_role {
            cloud_map(fleet).role = None;
        }
        if self.no_discovery {
            fleet.discovery = None;
        }
        Ok(self.no_discovery || self.no_cloud_map_role || !self.remove_cell.is_empty())
    }
}

fn cloud_map(fleet: &mut Fleet) -> &mut CloudMap {
    let discovery = fleet.discovery.get_or_insert_with(Discovery::default);
    discovery.cloud_map.get_or_insert_with(CloudMap::default)
}

/// The contract wants absolute names; people write them without the last dot.
fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}
