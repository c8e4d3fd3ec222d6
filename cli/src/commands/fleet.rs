//! `ekidenctl fleet`.
use clap::Subcommand;
use ekiden_proto::{
    admin::v1::{
        CreateFleetRequest, DeleteFleetRequest, Fleet, GetFleetRequest, ListFleetsRequest,
        ListFleetsResponse, UpdateFleetRequest, fleet_service_client::FleetServiceClient,
    },
    settings::v1::{AssumedRole, CloudMap, Listener, RegistrationMode},
};
use time::OffsetDateTime;

use super::{incomplete, mask, word};
use crate::{
    failure::Failure,
    names::{self, Kind},
    output::{
        moments::{age, date_and_age, duration},
        print,
        table::{Details, Table},
    },
    session::{Session, Wire},
};

mod discovery;
mod shape;
mod snippet;

pub use discovery::{DiscoveryRemoval, DiscoveryShape};
pub use shape::{Removal, Shape};
pub use snippet::Wanted;

/// What to do with fleets.
#[derive(Debug, Subcommand)]
pub enum FleetVerb {
    /// Makes a fleet with its first revision.
    #[command(after_help = "\
Examples:
  ekidenctl fleet create tokyo --listener name=agents,port=6443,protocol=tcp,collector=us4
  ekidenctl fleet create tokyo \\
    --listener name=agents,port=6443,protocol=tcp,collector=us4,idle-timeout=1h \\
    --listener name=otlp,port=4317,protocol=otlp,collector=honeycomb,max-connection-age=30m \\
    --cloud-map-service srv-abc123 --dns-name relay.telemetry.internal --ttl 10s \\
    --cell service=srv-cell1,dns-name=cell-1.relay.telemetry.internal")]
    Create {
        /// Its id: a-z, 0-9 and -, a letter first.
        id: String,
        #[command(flatten)]
        shape: Box<Shape>,
    },
    /// Shows one.
    #[command(after_help = "Examples:\n  ekidenctl fleet get tokyo")]
    Get {
        /// Its name.
        name: String,
    },
    /// Lists the tenant's.
    #[command(
        after_help = "Examples:\n  ekidenctl fleet list\n  ekidenctl fleet list --tenant - -o json"
    )]
    List {
        /// At most this many; 0: all.
        #[arg(long, default_value_t)]
        limit: usize,
    },
    /// Prints what a workload's task needs to send through the fleet.
    #[command(after_help = "\
Examples:
  ekidenctl fleet snippet tokyo --workload checkout
  ekidenctl fleet snippet tokyo --workload checkout --listener otlp --as ecs")]
    Snippet {
        /// Its name.
        name: String,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Changes what is given; relays run it within seconds.
    #[command(after_help = "\
Examples:
  ekidenctl fleet update tokyo --listener name=agents,port=6443,protocol=tcp,collector=eu1
  ekidenctl fleet update tokyo --remove-listener otlp
  ekidenctl fleet update tokyo --registration ecs
  ekidenctl fleet update tokyo --max-connections 20000 --validate-only")]
    Update {
        /// Its name.
        name: String,
        #[command(flatten)]
        shape: Box<Shape>,
        #[command(flatten)]
        removal: Removal,
    },
    /// Deletes one without connected relays, with its revisions and tokens.
    #[command(after_help = "Examples:\n  ekidenctl fleet delete tokyo")]
    Delete {
        /// Its name.
        name: String,
        /// Only if it is still what was read with this etag.
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
}

fn client(session: &Session) -> FleetServiceClient<Wire> {
    FleetServiceClient::new(session.wire())
}

pub(super) async fn run(verb: FleetVerb, session: &Session) -> Result<(), Failure> {
    let name = |given: &str| session.names.resolve(Kind::Fleet, given, None);
    match verb {
        FleetVerb::Create { id, shape } => {
            let parent = session.names.one_tenant()?;
            let mut fleet = Fleet::default();
            shape.apply(&mut fleet, &parent)?;
            let request = CreateFleetRequest {
                parent,
                fleet_id: id,
                fleet: Some(fleet),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer =
                session.change(request, async |r| client(session).create_fleet(r).await).await?;
            show(session, answer.fleet)
        }
        FleetVerb::Get { name: given } => show(session, Some(get(session, name(&given)?).await?)),
        FleetVerb::List { limit } => list(session, limit).await,
        FleetVerb::Snippet { name: given, wanted } => {
            let fleet = get(session, name(&given)?).await?;
            print(&snippet::write(&fleet, &wanted)?)
        }
        FleetVerb::Update { name: given, shape, removal } => {
            // The etag of what is read here keeps a change in between from being overwritten.
            let mut fleet = get(session, name(&given)?).await?;
            let tenant = fleet.name.split("/fleets/").next().unwrap_or_default().to_owned();
            let mut paths = removal.apply(&mut fleet)?;
            paths.extend(shape.apply(&mut fleet, &tenant)?);
            paths.sort_unstable();
            paths.dedup();
            if paths.is_empty() {
                return Err(Failure::usage(
                    "nothing to change",
                    "`ekidenctl fleet update --help` shows what can be changed",
                ));
            }
            let request = UpdateFleetRequest {
                fleet: Some(fleet),
                update_mask: mask(&paths),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer = session
                .change_what_was_read(request, async |r| client(session).update_fleet(r).await)
                .await?;
            show(session, answer.fleet)
        }
        FleetVerb::Delete { name: given, etag } => {
            let request = DeleteFleetRequest {
                name: name(&given)?,
                etag,
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let deleted = request.name.clone();
            let answer =
                session.change(request, async |r| client(session).delete_fleet(r).await).await?;
            session.printer.message(&answer, || format!("Deleted {deleted}."))
        }
    }
}

async fn get(session: &Session, name: String) -> Result<Fleet, Failure> {
    let request = GetFleetRequest { name };
    let answer = session.call(request, async |r| client(session).get_fleet(r).await).await?;
    answer.fleet.ok_or_else(|| incomplete("fleet"))
}

async fn list(session: &Session, limit: usize) -> Result<(), Failure> {
    let parent = session.names.tenants()?;
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request = ListFleetsRequest { parent: parent.clone(), page_size, page_token };
            let answer =
                session.call(request, async |r| client(session).list_fleets(r).await).await?;
            Ok((answer.fleets, answer.next_page_token))
        })
        .await?;
    let message =
        ListFleetsResponse { fleets: listing.items, next_page_token: listing.next_page_token };
    session.printer.list(
        &message,
        &message.fleets,
        |fleets| table(fleets, &parent, session.printer.now),
        "There are no fleets here. Make one: `ekidenctl fleet create tokyo --tenant TENANT --listener name=agents,port=6443,protocol=tcp,collector=us4`",
    )
}

fn show(session: &Session, fleet: Option<Fleet>) -> Result<(), Failure> {
    let fleet = fleet.ok_or_else(|| incomplete("fleet"))?;
    session.printer.message(&fleet, || details(&fleet, session.printer.now))
}

fn protocol(listener: &Listener) -> String {
    word(listener.protocol().as_str_name(), "LISTENER_PROTOCOL_")
}

fn table(fleets: &[Fleet], parent: &str, now: OffsetDateTime) -> String {
    let mut table = Table::new(&["NAME", "LISTENERS", "DNS NAME", "REVISION", "KEYS", "AGE"]);
    for fleet in fleets {
        let listeners: Vec<_> =
            fleet.listeners.iter().map(|l| format!("{}:{}", l.name, l.port)).collect();
        let dns_name =
            fleet.discovery.as_ref().and_then(|d| d.cloud_map.as_ref()).map(|c| c.dns_name.clone());
        table.row([
            names::short(&fleet.name, parent).into_owned(),
            listeners.join(","),
            dns_name.unwrap_or_default(),
            fleet.desired_revision.to_string(),
            fleet.secret_version.to_string(),
            age(fleet.create_time.as_ref(), now),
        ]);
    }
    table.render()
}

fn details(fleet: &Fleet, now: OffsetDateTime) -> String {
    let listeners: Vec<_> = fleet.listeners.iter().map(listener).collect();
    let cloud_map = fleet.discovery.as_ref().and_then(|d| d.cloud_map.as_ref());
    let limits = fleet.limits.unwrap_or_default();
    let bound = |value: u64| if value == 0 { String::new() } else { value.to_string() };
    Details::default()
        .with("Name", &fleet.name)
        .with("Display name", &fleet.display_name)
        .with("Listeners", listeners.join("\n"))
        .with("DNS name", cloud_map.map(|c| c.dns_name.clone()).unwrap_or_default())
        .with("Cloud Map service", cloud_map.map(|c| c.service_id.clone()).unwrap_or_default())
        .with("Cells", cloud_map.map(cells).unwrap_or_default())
        .with("Registered by", cloud_map.map(registrar).unwrap_or_default())
        .with(
            "Cloud Map role",
            cloud_map.and_then(|c| c.role.as_ref()).map(role).unwrap_or_default(),
        )
        .with("TTL", cloud_map.and_then(|c| c.ttl.as_ref()).map(duration).unwrap_or_default())
        .with("Max connections", bound(limits.max_connections.into()))
        .with("Max request bytes", bound(limits.max_request_bytes.into()))
        .with("Max bytes in flight", bound(limits.max_in_flight_bytes))
        .with("Desired revision", fleet.desired_revision.to_string())
        .with("Keys version", fleet.secret_version.to_string())
        .with("Created", date_and_age(fleet.create_time.as_ref(), now))
        .with("Changed", date_and_age(fleet.update_time.as_ref(), now))
        .with("Etag", &fleet.etag)
        .render()
}

fn cells(cloud_map: &CloudMap) -> String {
    let cells = cloud_map.cells.iter();
    let lines: Vec<_> =
        cells.map(|cell| format!("{}  {}", cell.service_id, cell.dns_name)).collect();
    lines.join("\n")
}

fn registrar(cloud_map: &CloudMap) -> String {
    match cloud_map.mode() {
        RegistrationMode::Ecs => "ECS".to_owned(),
        RegistrationMode::Self_ | RegistrationMode::Unspecified => "each relay itself".to_owned(),
    }
}

fn role(role: &AssumedRole) -> String {
    match role.external_id.as_str() {
        "" => role.role_arn.clone(),
        id => format!("{}, external id {id}", role.role_arn),
    }
}

/// A listener in words; also used for revisions.
pub(super) fn listener(listener: &Listener) -> String {
    let mut text = format!(
        "{}  port {}, {}, to {}",
        listener.name,
        listener.port,
        protocol(listener),
        names::id(&listener.collector)
    );
    if listener.max_connections > 0 {
        text.push_str(&format!(", at most {} connections", listener.max_connections));
    }
    if let Some(timeout) = &listener.idle_timeout {
        text.push_str(&format!(", idle after {}", duration(timeout)));
    }
    if let Some(age) = &listener.max_connection_age {
        text.push_str(&format!(", old after {}", duration(age)));
    }
    text
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
