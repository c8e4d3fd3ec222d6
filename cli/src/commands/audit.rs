//! `ekidenctl audit`.
use std::path::PathBuf;

use clap::Subcommand;
use ekiden_proto::admin::v1::{
    AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse,
    audit_service_client::AuditServiceClient,
};

use crate::{
    failure::Failure,
    names,
    output::{moments::date, table::Table},
    session::{Session, Wire},
};

mod verify;

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// Lists changes, newest first: the tenant's, or all.
    #[command(
        after_help = "Examples:\n  ekidenctl audit list --tenant acme\n  ekidenctl audit list --tenant - --limit 0 -o json"
    )]
    List {
        /// At most this many; 0: all.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Checks that no event was altered, removed or cut off, and who signed.
    ///
    /// Each event carries the hash of the one before it, and the last one's is signed by the control plane's key. A head or an export that is kept elsewhere shows, later, whether the database was turned back.
    #[command(
        after_help = "Examples:\n  ekidenctl audit verify --tenant acme\n  ekidenctl audit export --tenant - > trail.jsonl\n  ekidenctl audit verify --tenant - --kept trail.jsonl\n  ekidenctl audit verify --file trail.jsonl"
    )]
    Verify {
        /// Checks a file that `export` wrote instead of asking the control plane
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// An earlier export: its heads must be part of the trail
        #[arg(long, value_name = "FILE")]
        kept: Option<PathBuf>,
        /// Fingerprint of the key that must have signed, as an earlier `verify` printed it
        #[arg(long, value_name = "HEX")]
        signer: Option<String>,
    },
    /// Writes heads and events, oldest first, a JSON document a line.
    #[command(after_help = "Examples:\n  ekidenctl audit export --tenant acme > acme.jsonl")]
    Export,
}

fn client(session: &Session) -> AuditServiceClient<Wire> {
    AuditServiceClient::new(session.wire())
}

pub(super) async fn run(verb: AuditVerb, session: &Session) -> Result<(), Failure> {
    match verb {
        AuditVerb::List { limit } => list(limit, session).await,
        AuditVerb::Verify { file, kept, signer } => {
            verify::verify(session, file.as_deref(), kept.as_deref(), signer.as_deref()).await
        }
        AuditVerb::Export => verify::export(session).await,
    }
}

async fn list(limit: usize, session: &Session) -> Result<(), Failure> {
    let parent = session.names.tenants()?;
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request = ListAuditEventsRequest { parent: parent.clone(), page_size, page_token };
            let answer =
                session.call(request, async |r| client(session).list_audit_events(r).await).await?;
            Ok((answer.audit_events, answer.next_page_token))
        })
        .await?;
    let message = ListAuditEventsResponse {
        audit_events: listing.items,
        next_page_token: listing.next_page_token,
    };
    session.printer.list(&message, &message.audit_events, table, "Nothing was changed yet.")
}

fn table(events: &[AuditEvent]) -> String {
    let mut table = Table::new(&["TIME", "ACTOR", "METHOD", "RESOURCE", "FIELDS", "TRACE"]);
    for event in events {
        table.row([
            date(event.create_time.as_ref()),
            names::short(&event.actor, "").into_owned(),
            event.method.rsplit('/').next().unwrap_or_default().to_owned(),
            event.resource.clone(),
            event.changed_fields.join(","),
            event.trace_id.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
