//! `ekidenctl audit`.
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
}

fn client(session: &Session) -> AuditServiceClient<Wire> {
    AuditServiceClient::new(session.wire())
}

pub(super) async fn run(verb: AuditVerb, session: &Session) -> Result<(), Failure> {
    let AuditVerb::List { limit } = verb;
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
