//! `ekidenctl enrollment-token`.
use clap::Subcommand;
use ekiden_proto::admin::v1::{
    CreateEnrollmentTokenRequest, CreateEnrollmentTokenResponse, EnrollmentToken,
    ListEnrollmentTokensRequest, ListEnrollmentTokensResponse, RevokeEnrollmentTokenRequest,
    enrollment_token_service_client::EnrollmentTokenServiceClient,
};
use time::OffsetDateTime;

use super::{incomplete, text_alone, text_for_people};
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

/// What to do with enrollment tokens.
#[derive(Debug, Subcommand)]
pub enum EnrollmentTokenVerb {
    /// Makes a token and shows its text, this once.
    #[command(after_help = "\
Examples:
  ekidenctl enrollment-token create --fleet tokyo
  ekidenctl enrollment-token create --fleet tokyo --max-uses 100 --expires-in 30d
  EKIDEN_ENROLLMENT_TOKEN=$(ekidenctl enrollment-token create --fleet tokyo --quiet) ekiden-relay")]
    Create {
        /// The fleet to enroll into.
        #[arg(long, value_name = "NAME")]
        fleet: String,
        /// How many relays may enroll by it.
        #[arg(long, default_value_t = 1, value_name = "NUMBER")]
        max_uses: u32,
        /// When it ends; otherwise after an hour.
        #[arg(long, value_name = "TIME")]
        expires_in: Option<Period>,
        /// What it is for.
        #[arg(long, default_value = "", hide_default_value = true)]
        display_name: String,
        /// Print the text alone, as `-o text` does.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Lists a fleet's tokens, without their text, newest first.
    #[command(after_help = "Examples:\n  ekidenctl enrollment-token list --fleet tokyo")]
    List {
        /// The fleet.
        #[arg(long, value_name = "NAME")]
        fleet: String,
        /// At most this many; 0: all.
        #[arg(long, default_value_t)]
        limit: usize,
    },
    /// Ends a token: no further relay enrolls by it; those enrolled stay.
    #[command(
        after_help = "Examples:\n  ekidenctl enrollment-token revoke 0198c5d2-… --fleet tokyo --relays"
    )]
    Revoke {
        /// Its id, or its name.
        name: String,
        /// The fleet, where the name does not say it.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
        /// Revoke every relay that enrolled with it, too.
        #[arg(long)]
        relays: bool,
    },
}

fn client(session: &Session) -> EnrollmentTokenServiceClient<Wire> {
    EnrollmentTokenServiceClient::new(session.wire())
}

pub(super) async fn run(verb: EnrollmentTokenVerb, session: &Session) -> Result<(), Failure> {
    match verb {
        EnrollmentTokenVerb::Create { fleet, max_uses, expires_in, display_name, quiet } => {
            let request = CreateEnrollmentTokenRequest {
                parent: session.names.resolve(Kind::Fleet, &fleet, None)?,
                enrollment_token: Some(EnrollmentToken {
                    display_name,
                    max_uses,
                    expire_time: expires_in.map(|period| period.after(session.printer.now)),
                    ..EnrollmentToken::default()
                }),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer = session
                .change(request, async |r| client(session).create_enrollment_token(r).await)
                .await?;
            show_new(session, &answer, quiet)
        }
        EnrollmentTokenVerb::List { fleet, limit } => list(session, &fleet, limit).await,
        EnrollmentTokenVerb::Revoke { name, fleet, relays } => {
            let request = RevokeEnrollmentTokenRequest {
                name: session.names.resolve(Kind::EnrollmentToken, &name, fleet.as_deref())?,
                request_id: session.request_id(),
                validate_only: session.validate_only,
                revoke_relays: relays,
            };
            let answer = session
                .change(request, async |r| client(session).revoke_enrollment_token(r).await)
                .await?;
            let token = answer.enrollment_token.ok_or_else(|| incomplete("enrollment token"))?;
            if relays {
                session.printer.note(&format!("Relays revoked: {}.", answer.revoked_relays));
            }
            session.printer.message(&token, || details(&token, session.printer.now))
        }
    }
}

fn show_new(
    session: &Session,
    answer: &CreateEnrollmentTokenResponse,
    quiet: bool,
) -> Result<(), Failure> {
    if quiet || session.printer.format == Format::Text {
        let token = answer.enrollment_token.as_ref();
        let name = token.map(|token| token.name.as_str()).unwrap_or_default();
        return text_alone(session, name, &answer.text);
    }
    session.printer.message(answer, || {
        let token = answer.enrollment_token.clone().unwrap_or_default();
        let mut text = details(&token, session.printer.now);
        if !answer.text.is_empty() {
            text.push_str(&text_for_people(
                &answer.text,
                "Give it to relays as EKIDEN_ENROLLMENT_TOKEN.",
            ));
        }
        text
    })
}

async fn list(session: &Session, fleet: &str, limit: usize) -> Result<(), Failure> {
    let parent = session.names.resolve(Kind::Fleet, fleet, None)?;
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request =
                ListEnrollmentTokensRequest { parent: parent.clone(), page_size, page_token };
            let answer = session
                .call(request, async |r| client(session).list_enrollment_tokens(r).await)
                .await?;
            Ok((answer.enrollment_tokens, answer.next_page_token))
        })
        .await?;
    let message = ListEnrollmentTokensResponse {
        enrollment_tokens: listing.items,
        next_page_token: listing.next_page_token,
    };
    session.printer.list(
        &message,
        &message.enrollment_tokens,
        |tokens| table(tokens, session.printer.now),
        "The fleet has no enrollment tokens. Make one: `ekidenctl enrollment-token create --fleet FLEET`",
    )
}

fn state(token: &EnrollmentToken, now: OffsetDateTime) -> &'static str {
    if token.revoke_time.is_some() {
        "revoked"
    } else if token.expire_time.as_ref().and_then(moment).is_some_and(|end| end <= now) {
        "expired"
    } else if token.uses >= token.max_uses.max(1) {
        "used up"
    } else {
        "valid"
    }
}

fn uses(token: &EnrollmentToken) -> String {
    format!("{} of {}", token.uses, token.max_uses.max(1))
}

fn table(tokens: &[EnrollmentToken], now: OffsetDateTime) -> String {
    let mut table = Table::new(&["ID", "FOR", "STATE", "USES", "EXPIRES", "AGE"]);
    for token in tokens {
        table.row([
            names::id(&token.name).to_owned(),
            token.display_name.clone(),
            state(token, now).to_owned(),
            uses(token),
            age(token.expire_time.as_ref(), now),
            age(token.create_time.as_ref(), now),
        ]);
    }
    table.render()
}

fn details(token: &EnrollmentToken, now: OffsetDateTime) -> String {
    Details::default()
        .with("Name", &token.name)
        .with("For", &token.display_name)
        .with("State", state(token, now))
        .with("Uses", uses(token))
        .with("Expires", date_and_age(token.expire_time.as_ref(), now))
        .with("Revoked", date_and_age(token.revoke_time.as_ref(), now))
        .render()
}

#[cfg(test)]
#[path = "enrollment_token_tests.rs"]
mod tests;
