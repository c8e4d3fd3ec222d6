//! `ekidenctl relay`.
//!
//! - [`shown`]: relays in tables and blocks.
//! - [`watch`]: changes as they come.
use clap::Subcommand;
use ekiden_proto::admin::v1::{
    DrainRelayRequest, GetRelayRequest, ListHealthReportsRequest, ListHealthReportsResponse,
    ListRelaysRequest, ListRelaysResponse, Relay, RevokeRelayRequest,
    relay_service_client::RelayServiceClient,
};

use super::incomplete;
use crate::{
    failure::Failure,
    names::{self, Kind},
    session::{Session, Wire},
};

mod shown;
mod watch;

/// What to do with relays.
#[derive(Debug, Subcommand)]
pub enum RelayVerb {
    /// Lists a fleet's relays, or the tenant's.
    #[command(after_help = "\
Examples:
  ekidenctl relay list
  ekidenctl relay list --fleet tokyo --all
  ekidenctl relay list --tenant - -o json | jq -r '.relays[] | select(.settingsPhase==\"SETTINGS_PHASE_FAILED\").name'")]
    List {
        /// The fleet; otherwise all of the tenant's.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
        /// Those too that left or have been gone for over an hour.
        #[arg(long)]
        all: bool,
        /// At most this many; 0: all.
        #[arg(long, default_value_t)]
        limit: usize,
    },
    /// Shows one with its last health report.
    #[command(after_help = "\
Examples:
  ekidenctl relay get 0198c5                         The first digits do where they are enough
  ekidenctl relay get tokyo/0198c5d2-7a31-7000-8000-000000000001 -o yaml")]
    Get {
        /// Its id or the first digits of it, or its name.
        name: String,
        /// The fleet, where the name does not say it.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
    },
    /// Prints the relays as they are, then a line for each change, until stopped.
    #[command(after_help = "\
Examples:
  ekidenctl relay watch --fleet tokyo
  ekidenctl relay watch --tenant - -o json | jq -c '{name, state, runningRevision}'")]
    Watch {
        /// The fleet; otherwise all of the tenant's.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
    },
    /// Ends a relay's certificate: its session closes within two seconds, and it gets nothing any more.
    ///
    /// The task may enroll again, as a new relay, with a proof that is good: to keep it out, revoke its enrollment token too, or stop the task.
    #[command(after_help = "\
Examples:
  ekidenctl relay revoke 0198c5                      The first digits do where they are enough
  ekidenctl enrollment-token revoke 0198c5d2-… --fleet tokyo --relays
                                                     Every relay that enrolled with a token")]
    Revoke {
        /// Its id or the first digits of it, or its name.
        name: String,
        /// The fleet, where the name does not say it.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
    },
    /// Has a relay leave in good order: out of DNS, connections finished, process gone; under ECS another task takes its place.
    #[command(after_help = "\
Examples:
  ekidenctl relay drain 0198c5                       The first digits do where they are enough
  ekidenctl relay watch                              Shows how it goes")]
    Drain {
        /// Its id or the first digits of it, or its name.
        name: String,
        /// The fleet, where the name does not say it.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
    },
    /// Lists a relay's past health reports, newest first.
    #[command(after_help = "Examples:\n  ekidenctl relay health 0198c5 --limit 60")]
    Health {
        /// Its id or the first digits of it, or its name.
        name: String,
        /// The fleet, where the name does not say it.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
        /// At most this many; 0: all.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
}

fn client(session: &Session) -> RelayServiceClient<Wire> {
    RelayServiceClient::new(session.wire())
}

pub(super) async fn run(verb: RelayVerb, session: &Session) -> Result<(), Failure> {
    match verb {
        RelayVerb::List { fleet, all, limit } => list(session, fleet.as_deref(), all, limit).await,
        RelayVerb::Get { name, fleet } => {
            let request = GetRelayRequest { name: find(session, &name, fleet.as_deref()).await? };
            let answer =
                session.call(request, async |r| client(session).get_relay(r).await).await?;
            let relay = answer.relay.ok_or_else(|| incomplete("relay"))?;
            session.printer.message(&relay, || shown::details(&relay, session.printer.now))
        }
        RelayVerb::Watch { fleet } => watch::run(session, fleet.as_deref()).await,
        RelayVerb::Revoke { name, fleet } => {
            let request = RevokeRelayRequest {
                name: find(session, &name, fleet.as_deref()).await?,
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer =
                session.change(request, async |r| client(session).revoke_relay(r).await).await?;
            let relay = answer.relay.ok_or_else(|| incomplete("relay"))?;
            session.printer.message(&relay, || shown::details(&relay, session.printer.now))
        }
        RelayVerb::Drain { name, fleet } => {
            let request = DrainRelayRequest {
                name: find(session, &name, fleet.as_deref()).await?,
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer =
                session.change(request, async |r| client(session).drain_relay(r).await).await?;
            let relay = answer.relay.ok_or_else(|| incomplete("relay"))?;
            session.printer.message(&relay, || shown::details(&relay, session.printer.now))
        }
        RelayVerb::Health { name, fleet, limit } => {
            let parent = find(session, &name, fleet.as_deref()).await?;
            health(session, parent, limit).await
        }
    }
}

async fn relays(
    session: &Session,
    parent: &str,
    only_present: bool,
    limit: usize,
) -> Result<ListRelaysResponse, Failure> {
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let parent = parent.to_owned();
            let request = ListRelaysRequest { parent, page_size, page_token, only_present };
            let answer =
                session.call(request, async |r| client(session).list_relays(r).await).await?;
            Ok((answer.relays, answer.next_page_token))
        })
        .await?;
    Ok(ListRelaysResponse { relays: listing.items, next_page_token: listing.next_page_token })
}

async fn list(
    session: &Session,
    fleet: Option<&str>,
    all: bool,
    limit: usize,
) -> Result<(), Failure> {
    let parent = session.names.fleets(fleet)?;
    let message = relays(session, &parent, !all, limit).await?;
    session.printer.list(
        &message,
        &message.relays,
        |relays| shown::table(relays, &parent, session.printer.now),
        "There are no relays here. Start one with a token of `ekidenctl enrollment-token create --fleet FLEET --quiet` in EKIDEN_ENROLLMENT_TOKEN",
    )
}

async fn health(session: &Session, parent: String, limit: usize) -> Result<(), Failure> {
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request =
                ListHealthReportsRequest { parent: parent.clone(), page_size, page_token };
            let answer = session
                .call(request, async |r| client(session).list_health_reports(r).await)
                .await?;
            Ok((answer.reports, answer.next_page_token))
        })
        .await?;
    let message = ListHealthReportsResponse {
        reports: listing.items,
        next_page_token: listing.next_page_token,
    };
    session.printer.list(
        &message,
        &message.reports,
        shown::reports,
        "The relay has not reported its health yet.",
    )
}

/// The full name of a relay. An id without a fleet, or the first digits of one, is looked up among the relays there are.
async fn find(session: &Session, given: &str, fleet: Option<&str>) -> Result<String, Failure> {
    const WHOLE_ID: usize = 36;
    let given_id = names::id(given);
    if given_id.len() >= WHOLE_ID && (given.contains('/') || fleet.is_some()) {
        return session.names.resolve(Kind::Relay, given, fleet);
    }
    let parent = if given.contains('/') {
        let name = session.names.resolve(Kind::Relay, given, fleet)?;
        name.split("/relays/").next().unwrap_or_default().to_owned()
    } else {
        session.names.fleets(fleet)?
    };
    let there = relays(session, &parent, false, 0).await?.relays;
    pick(&there, given_id)
}

fn pick(relays: &[Relay], first_digits: &str) -> Result<String, Failure> {
    let mut matches =
        relays.iter().filter(|relay| names::id(&relay.name).starts_with(first_digits));
    match (matches.next(), matches.next()) {
        (Some(relay), None) => Ok(relay.name.clone()),
        (Some(_), Some(_)) => Err(Failure::usage(
            format!("several relays begin with {first_digits:?}"),
            "write more digits; `ekidenctl relay list --all` shows them",
        )),
        (None, _) => Err(Failure::usage(
            format!("no relay begins with {first_digits:?}"),
            "`ekidenctl relay list --all` shows what there is",
        )),
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
