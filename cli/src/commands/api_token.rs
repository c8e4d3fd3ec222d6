//! `ekidenctl api-token`.
use clap::{Subcommand, ValueEnum};
use ekiden_proto::admin::v1::{
    ApiToken, CreateApiTokenRequest, ListApiTokensRequest, ListApiTokensResponse,
    RevokeApiTokenRequest, Role, api_token_service_client::ApiTokenServiceClient,
};
use time::OffsetDateTime;

use super::{incomplete, text_alone, text_for_people, word};
use crate::{
    arguments::Format,
    failure::Failure,
    names::{self, Kind},
    output::{
        moments::{age, date_and_age, moment},
        table::{Details, Table},
    },
    session::{Session, Wire},
    values::Period,
};

/// What to do with API tokens.
#[derive(Debug, Subcommand)]
pub enum ApiTokenVerb {
    /// Makes a token and shows its text, this once.
    #[command(after_help = "\
Examples:
  ekidenctl api-token create --role viewer --display-name dashboard --tenant acme
  ekidenctl api-token create --role tenant-admin --tenant acme --display-name 'Kim at Acme' --expires-in 30d
  ekidenctl api-token create --role operator --display-name ci --quiet > token")]
    Create {
        /// What it may do; a viewer sees `--tenant` alone, or all tenants with `--tenant -`.
        #[arg(long, value_enum)]
        role: RoleValue,
        /// Who or what holds it.
        #[arg(long)]
        display_name: String,
        /// When it ends; otherwise after 90 days.
        #[arg(long, value_name = "TIME")]
        expires_in: Option<Period>,
        /// Print the text alone, as `-o text` does.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Lists tokens without their text, newest first.
    #[command(after_help = "Examples:\n  ekidenctl api-token list")]
    List {
        /// At most this many; 0: all.
        #[arg(long, default_value_t)]
        limit: usize,
    },
    /// Ends a token at once.
    #[command(after_help = "Examples:\n  ekidenctl api-token revoke 0198c5d2-…")]
    Revoke {
        /// Its id.
        name: String,
    },
}

/// Roles as options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleValue {
    /// Everything, in all tenants.
    Operator,
    /// Everything within `--tenant`.
    TenantAdmin,
    /// Reading.
    Viewer,
}

impl From<RoleValue> for Role {
    fn from(value: RoleValue) -> Self {
        match value {
            RoleValue::Operator => Self::Operator,
            RoleValue::TenantAdmin => Self::TenantAdmin,
            RoleValue::Viewer => Self::Viewer,
        }
    }
}

fn client(session: &Session) -> ApiTokenServiceClient<Wire> {
    ApiTokenServiceClient::new(session.wire())
}

pub(super) async fn run(verb: ApiTokenVerb, session: &Session) -> Result<(), Failure> {
    match verb {
        ApiTokenVerb::Create { role, display_name, expires_in, quiet } => {
            let tenant = match role {
                RoleValue::Operator => String::new(),
                RoleValue::TenantAdmin => session.names.one_tenant()?,
                RoleValue::Viewer => {
                    Some(session.names.tenants()?).filter(|t| t != "tenants/-").unwrap_or_default()
                }
            };
            let mut api_token = ApiToken {
                display_name,
                tenant,
                expire_time: expires_in.map(|period| period.after(session.printer.now)),
                ..ApiToken::default()
            };
            api_token.set_role(role.into());
            let request = CreateApiTokenRequest {
                api_token: Some(api_token),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer = session
                .change(request, async |r| client(session).create_api_token(r).await)
                .await?;
            if quiet || session.printer.format == Format::Text {
                let token = answer.api_token.as_ref();
                let name = token.map(|token| token.name.as_str()).unwrap_or_default();
                return text_alone(session, name, &answer.text);
            }
            session.printer.message(&answer, || {
                let token = answer.api_token.clone().unwrap_or_default();
                let mut text = details(&token, session.printer.now);
                if !answer.text.is_empty() {
                    text.push_str(&text_for_people(
                        &answer.text,
                        "Its holder puts it into EKIDEN_TOKEN or a context.",
                    ));
                }
                text
            })
        }
        ApiTokenVerb::List { limit } => list(session, limit).await,
        ApiTokenVerb::Revoke { name } => {
            let request = RevokeApiTokenRequest {
                name: session.names.resolve(Kind::ApiToken, &name, None)?,
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer = session
                .change(request, async |r| client(session).revoke_api_token(r).await)
                .await?;
            let token = answer.api_token.ok_or_else(|| incomplete("API token"))?;
            session.printer.message(&token, || details(&token, session.printer.now))
        }
    }
}

async fn list(session: &Session, limit: usize) -> Result<(), Failure> {
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request = ListApiTokensRequest { page_size, page_token };
            let answer =
                session.call(request, async |r| client(session).list_api_tokens(r).await).await?;
            Ok((answer.api_tokens, answer.next_page_token))
        })
        .await?;
    let message = ListApiTokensResponse {
        api_tokens: listing.items,
        next_page_token: listing.next_page_token,
    };
    session.printer.list(
        &message,
        &message.api_tokens,
        |tokens| table(tokens, session.printer.now),
        "There are no API tokens.",
    )
}

fn state(token: &ApiToken, now: OffsetDateTime) -> &'static str {
    if token.revoke_time.is_some() {
        "revoked"
    } else if token.expire_time.as_ref().and_then(moment).is_some_and(|end| end <= now) {
        "expired"
    } else {
        "valid"
    }
}

fn role(token: &ApiToken) -> String {
    word(token.role().as_str_name(), "ROLE_")
}

fn table(tokens: &[ApiToken], now: OffsetDateTime) -> String {
    let mut table =
        Table::new(&["ID", "HOLDER", "ROLE", "TENANT", "STATE", "EXPIRES", "LAST USED"]);
    for token in tokens {
        let tenant = if token.tenant.is_empty() {
            String::new()
        } else {
            names::id(&token.tenant).to_owned()
        };
        table.row([
            names::id(&token.name).to_owned(),
            token.display_name.clone(),
            role(token),
            tenant,
            state(token, now).to_owned(),
            age(token.expire_time.as_ref(), now),
            age(token.last_use_time.as_ref(), now),
        ]);
    }
    table.render()
}

fn details(token: &ApiToken, now: OffsetDateTime) -> String {
    Details::default()
        .with("Name", &token.name)
        .with("Holder", &token.display_name)
        .with("Role", role(token))
        .with("Tenant", &token.tenant)
        .with("State", state(token, now))
        .with("Expires", date_and_age(token.expire_time.as_ref(), now))
        .with("Revoked", date_and_age(token.revoke_time.as_ref(), now))
        .render()
}

#[cfg(test)]
#[path = "api_token_tests.rs"]
mod tests;
