//! `ekidenctl tenant`.
use clap::Subcommand;
use ekiden_proto::admin::v1::{
    CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, ListTenantsRequest,
    ListTenantsResponse, PurgeTenantRequest, Tenant, UndeleteTenantRequest, UpdateTenantRequest,
    tenant_service_client::TenantServiceClient,
};
use time::OffsetDateTime;

use super::{incomplete, mask};
use crate::{
    failure::Failure,
    names::{self, Kind},
    output::{
        moments::{age, date_and_age},
        table::{Details, Table},
    },
    session::{Session, Wire},
};

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum TenantVerb {
    /// Makes a tenant.
    #[command(after_help = "Examples:\n  ekidenctl tenant create acme --display-name 'Acme, Inc.'")]
    Create {
        /// Its id: a-z, 0-9 and -, a letter first.
        id: String,
        /// Name for people.
        #[arg(long, default_value = "", hide_default_value = true)]
        display_name: String,
    },
    /// Shows one.
    #[command(
        after_help = "Examples:\n  ekidenctl tenant get acme\n  ekidenctl tenant get acme -o json"
    )]
    Get {
        /// Its name.
        name: String,
    },
    /// Lists those that your token may see.
    #[command(
        after_help = "Examples:\n  ekidenctl tenant list\n  ekidenctl tenant list -o json | jq -r '.tenants[].name'"
    )]
    List {
        /// At most this many; 0: all.
        #[arg(long, default_value_t)]
        limit: usize,
    },
    /// Changes a tenant's display name.
    #[command(
        after_help = "Examples:\n  ekidenctl tenant update acme --display-name 'Acme Corporation'"
    )]
    Update {
        /// Its name.
        name: String,
        /// Name for people.
        #[arg(long)]
        display_name: String,
        /// Only if it is still what was read with this etag.
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Deletes a tenant without fleets; `undelete` brings it back.
    #[command(after_help = "Examples:\n  ekidenctl tenant delete acme")]
    Delete {
        /// Its name.
        name: String,
        /// Only if it is still what was read with this etag.
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Brings a deleted one back.
    #[command(after_help = "Examples:\n  ekidenctl tenant undelete acme")]
    Undelete {
        /// Its name.
        name: String,
    },
    /// Destroys a deleted one for good: its access keys and the keys they were sealed under. Its audit trail stays.
    #[command(after_help = "Examples:\n  ekidenctl tenant purge acme")]
    Purge {
        /// Its name.
        name: String,
    },
}

fn client(session: &Session) -> TenantServiceClient<Wire> {
    TenantServiceClient::new(session.wire())
}

pub(super) async fn run(verb: TenantVerb, session: &Session) -> Result<(), Failure> {
    let name = |given: &str| session.names.resolve(Kind::Tenant, given, None);
    match verb {
        TenantVerb::Create { id, display_name } => {
            let request = CreateTenantRequest {
                tenant_id: id,
                tenant: Some(Tenant { display_name, ..Tenant::default() }),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer =
                session.change(request, async |r| client(session).create_tenant(r).await).await?;
            show(session, answer.tenant)
        }
        TenantVerb::Get { name: given } => {
            let request = GetTenantRequest { name: name(&given)? };
            let answer =
                session.call(request, async |r| client(session).get_tenant(r).await).await?;
            show(session, answer.tenant)
        }
        TenantVerb::List { limit } => list(session, limit).await,
        TenantVerb::Update { name: given, display_name, etag } => {
            let tenant = Tenant { name: name(&given)?, display_name, etag, ..Tenant::default() };
            let request = UpdateTenantRequest {
                tenant: Some(tenant),
                update_mask: mask(&["display_name"]),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer =
                session.change(request, async |r| client(session).update_tenant(r).await).await?;
            show(session, answer.tenant)
        }
        TenantVerb::Delete { name: given, etag } => {
            let request = DeleteTenantRequest {
                name: name(&given)?,
                etag,
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let deleted = request.name.clone();
            let answer =
                session.change(request, async |r| client(session).delete_tenant(r).await).await?;
            session.printer.message(&answer, || {
                format!(
                    "Deleted {deleted}; `ekidenctl tenant undelete {}` brings it back.",
                    names::id(&deleted)
                )
            })
        }
        TenantVerb::Undelete { name: given } => {
            let request = UndeleteTenantRequest {
                name: name(&given)?,
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer =
                session.change(request, async |r| client(session).undelete_tenant(r).await).await?;
            show(session, answer.tenant)
        }
        TenantVerb::Purge { name: given } => {
            let request = PurgeTenantRequest {
                name: name(&given)?,
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let purged = request.name.clone();
            let answer =
                session.change(request, async |r| client(session).purge_tenant(r).await).await?;
            session.printer.message(&answer, || {
                format!("Destroyed {purged}. Copies of the database made before still hold it.")
            })
        }
    }
}

async fn list(session: &Session, limit: usize) -> Result<(), Failure> {
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request = ListTenantsRequest { page_size, page_token };
            let answer =
                session.call(request, async |r| client(session).list_tenants(r).await).await?;
            Ok((answer.tenants, answer.next_page_token))
        })
        .await?;
    let message =
        ListTenantsResponse { tenants: listing.items, next_page_token: listing.next_page_token };
    session.printer.list(
        &message,
        &message.tenants,
        |tenants| table(tenants, session.printer.now),
        "There are no tenants yet. Make one: `ekidenctl tenant create acme --display-name 'Acme, Inc.'`",
    )
}

fn show(session: &Session, tenant: Option<Tenant>) -> Result<(), Failure> {
    let tenant = tenant.ok_or_else(|| incomplete("tenant"))?;
    session.printer.message(&tenant, || details(&tenant, session.printer.now))
}

fn table(tenants: &[Tenant], now: OffsetDateTime) -> String {
    let mut table = Table::new(&["NAME", "DISPLAY NAME", "STATE", "AGE"]);
    for tenant in tenants {
        table.row([
            names::short(&tenant.name, "").into_owned(),
            tenant.display_name.clone(),
            if tenant.delete_time.is_some() { "deleted" } else { "active" }.to_owned(),
            age(tenant.create_time.as_ref(), now),
        ]);
    }
    table.render()
}

fn details(tenant: &Tenant, now: OffsetDateTime) -> String {
    Details::default()
        .with("Name", &tenant.name)
        .with("Display name", &tenant.display_name)
        .with("Created", date_and_age(tenant.create_time.as_ref(), now))
        .with("Changed", date_and_age(tenant.update_time.as_ref(), now))
        .with("Deleted", date_and_age(tenant.delete_time.as_ref(), now))
        .with("Etag", &tenant.etag)
        .render()
}

#[cfg(test)]
#[path = "tenant_tests.rs"]
mod tests;
