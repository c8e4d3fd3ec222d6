//! `ekidenctl revision`.
use clap::Subcommand;
use ekiden_proto::admin::v1::{
    GetRevisionRequest, ListRevisionsRequest, ListRevisionsResponse, Revision,
    revision_service_client::RevisionServiceClient,
};
use time::OffsetDateTime;

use super::{collector, fleet, incomplete};
use crate::{
    failure::Failure,
    names::{self, Kind},
    output::{
        moments::{age, date_and_age},
        table::{Details, Table},
    },
    session::{Session, Wire},
};

/// What to do with revisions.
#[derive(Debug, Subcommand)]
pub enum RevisionVerb {
    /// Lists a fleet's revisions, newest first.
    #[command(after_help = "Examples:\n  ekidenctl revision list --fleet tokyo")]
    List {
        /// The fleet.
        #[arg(long, value_name = "NAME")]
        fleet: String,
        /// At most this many; 0: all.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Shows one with its settings.
    #[command(
        after_help = "Examples:\n  ekidenctl revision get 3 --fleet tokyo\n  ekidenctl revision get tokyo/3 -o yaml"
    )]
    Get {
        /// Its number, or its name.
        name: String,
        /// The fleet, where the name does not say it.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
    },
}

fn client(session: &Session) -> RevisionServiceClient<Wire> {
    RevisionServiceClient::new(session.wire())
}

pub(super) async fn run(verb: RevisionVerb, session: &Session) -> Result<(), Failure> {
    match verb {
        RevisionVerb::List { fleet, limit } => list(session, &fleet, limit).await,
        RevisionVerb::Get { name, fleet } => {
            let name = session.names.resolve(Kind::Revision, &name, fleet.as_deref())?;
            let request = GetRevisionRequest { name };
            let answer =
                session.call(request, async |r| client(session).get_revision(r).await).await?;
            let revision = answer.revision.ok_or_else(|| incomplete("revision"))?;
            session.printer.message(&revision, || details(&revision, session.printer.now))
        }
    }
}

async fn list(session: &Session, fleet: &str, limit: usize) -> Result<(), Failure> {
    let parent = session.names.resolve(Kind::Fleet, fleet, None)?;
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request = ListRevisionsRequest { parent: parent.clone(), page_size, page_token };
            let answer =
                session.call(request, async |r| client(session).list_revisions(r).await).await?;
            Ok((answer.revisions, answer.next_page_token))
        })
        .await?;
    let message = ListRevisionsResponse {
        revisions: listing.items,
        next_page_token: listing.next_page_token,
    };
    session.printer.list(
        &message,
        &message.revisions,
        |revisions| table(revisions, session.printer.now),
        "The fleet has no revision.",
    )
}

fn table(revisions: &[Revision], now: OffsetDateTime) -> String {
    let mut table = Table::new(&["REVISION", "HASH", "ACTOR", "TRACE", "AGE"]);
    for revision in revisions {
        table.row([
            revision.revision.to_string(),
            revision.hash.chars().take(12).collect(),
            names::short(&revision.actor, "").into_owned(),
            revision.trace_id.clone(),
            age(revision.create_time.as_ref(), now),
        ]);
    }
    table.render()
}

fn details(revision: &Revision, now: OffsetDateTime) -> String {
    let settings = revision.settings.clone().unwrap_or_default();
    let listeners: Vec<_> = settings.listeners.iter().map(fleet::listener).collect();
    let collectors: Vec<_> = settings
        .collectors
        .iter()
        .map(|c| {
            let endpoints: Vec<_> = c.endpoints.iter().map(collector::endpoint).collect();
            format!("{}  {}", names::id(&c.name), endpoints.join(" "))
        })
        .collect();
    let discovery = settings.discovery.and_then(|d| d.cloud_map);
    Details::default()
        .with("Name", &revision.name)
        .with("Hash", &revision.hash)
        .with("Actor", &revision.actor)
        .with("Trace", &revision.trace_id)
        .with("Created", date_and_age(revision.create_time.as_ref(), now))
        .with("Listeners", listeners.join("\n"))
        .with("Collectors", collectors.join("\n"))
        .with(
            "DNS name",
            discovery.map(|c| format!("{} ({})", c.dns_name, c.service_id)).unwrap_or_default(),
        )
        .render()
}

#[cfg(test)]
#[path = "revision_tests.rs"]
mod tests;
