//! `ekidenctl ca`.
use std::time::Duration;

use clap::Subcommand;
use ekiden_proto::admin::v1::{
    CertificateAuthority, CertificateAuthorityState, ListCertificateAuthoritiesRequest,
    ListCertificateAuthoritiesResponse, RetireCertificateAuthorityRequest,
    RotateCertificateAuthorityRequest,
    certificate_authority_service_client::CertificateAuthorityServiceClient,
};
use pem::{EncodeConfig, LineEnding, Pem};
use time::OffsetDateTime;

use super::{incomplete, word};
use crate::{
    failure::Failure,
    names::{self, Kind},
    output::{
        moments::{age, date_and_age},
        print,
        table::{Details, Table},
    },
    session::{Session, Wire},
};

/// How often a rotation that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What to do with the CAs that relays and the control plane trust.
#[derive(Debug, Subcommand)]
pub enum CaVerb {
    /// Lists CAs, newest first, and what each waits for.
    #[command(after_help = "Examples:\n  ekidenctl ca list")]
    List,
    /// Puts a new CA in the place of the one that issues, while relays work.
    ///
    /// Every control plane process trusts the new one before it issues anything; relays get certificates of it as they renew theirs, in half of a certificate's life; the old one is trusted until no relay holds one of its certificates, and then its key is destroyed. Tasks that were given the old root alone go on working: they are shown the way from it to the new one. Give tasks the new roots (`ekidenctl ca roots`) when it suits you.
    #[command(after_help = "Examples:\n  ekidenctl ca rotate\n  ekidenctl ca rotate --wait")]
    Rotate {
        /// Tell how it goes until the old CA is retired
        #[arg(long)]
        wait: bool,
    },
    /// Prints the roots to trust, PEM: what tasks get as EKIDEN_CONTROL_PLANE_CA_PEM.
    #[command(after_help = "Examples:\n  ekidenctl ca roots > ca.pem")]
    Roots,
    /// Stops trusting a CA that is retiring, without waiting for its relays.
    ///
    /// Relays that still hold one of its certificates are refused from then on, and must enroll anew; `ekidenctl ca list` names them. For a CA whose key is in the wrong hands.
    #[command(after_help = "Examples:\n  ekidenctl ca retire 0198c5d2-…")]
    Retire {
        /// Its id.
        name: String,
    },
}

fn client(session: &Session) -> CertificateAuthorityServiceClient<Wire> {
    CertificateAuthorityServiceClient::new(session.wire())
}

pub(super) async fn run(verb: CaVerb, session: &Session) -> Result<(), Failure> {
    match verb {
        CaVerb::List => list(session).await,
        CaVerb::Rotate { wait } => rotate(session, wait).await,
        CaVerb::Roots => roots(session).await,
        CaVerb::Retire { name } => retire(session, &name).await,
    }
}

async fn all(session: &Session) -> Result<Vec<CertificateAuthority>, Failure> {
    let listing = session
        .pages(0, async |page_token, page_size| {
            let request = ListCertificateAuthoritiesRequest { page_size, page_token };
            let answer = session
                .call(request, async |r| client(session).list_certificate_authorities(r).await)
                .await?;
            Ok((answer.certificate_authorities, answer.next_page_token))
        })
        .await?;
    Ok(listing.items)
}

async fn list(session: &Session) -> Result<(), Failure> {
    let message = ListCertificateAuthoritiesResponse {
        certificate_authorities: all(session).await?,
        ..ListCertificateAuthoritiesResponse::default()
    };
    session.printer.list(
        &message,
        &message.certificate_authorities,
        |authorities| table(authorities, session.printer.now),
        "There is no CA.",
    )
}

async fn roots(session: &Session) -> Result<(), Failure> {
    let all = all(session).await?;
    let trusted = all.iter().filter(|ca| ca.state() != CertificateAuthorityState::Retired);
    let trusted: Vec<_> =
        trusted.map(|ca| Pem::new("CERTIFICATE", ca.certificate.as_slice())).collect();
    print(&pem::encode_many_config(&trusted, EncodeConfig::new().set_line_ending(LineEnding::LF)))
}

async fn retire(session: &Session, name: &str) -> Result<(), Failure> {
    let request = RetireCertificateAuthorityRequest {
        name: session.names.resolve(Kind::CertificateAuthority, name, None)?,
        request_id: session.request_id(),
        validate_only: session.validate_only,
    };
    let answer = session
        .change(request, async |r| client(session).retire_certificate_authority(r).await)
        .await?;
    show(session, answer.certificate_authority)
}

async fn rotate(session: &Session, wait: bool) -> Result<(), Failure> {
    let request = RotateCertificateAuthorityRequest {
        request_id: session.request_id(),
        validate_only: session.validate_only,
    };
    let answer = session
        .change(request, async |r| client(session).rotate_certificate_authority(r).await)
        .await?;
    match wait && !session.validate_only {
        true => until_retired(session, answer.certificate_authority).await,
        false => show(session, answer.certificate_authority),
    }
}

fn show(session: &Session, authority: Option<CertificateAuthority>) -> Result<(), Failure> {
    let authority = authority.ok_or_else(|| incomplete("certificate authority"))?;
    session.printer.message(&authority, || details(&authority, session.printer.now))
}

/// Tells of each change until the new CA issues and those before it are retired.
async fn until_retired(
    session: &Session,
    made: Option<CertificateAuthority>,
) -> Result<(), Failure> {
    let made = made.ok_or_else(|| incomplete("certificate authority"))?;
    let mut told = String::new();
    loop {
        let all = all(session).await?;
        let line = progress(&all);
        if line != told {
            session.printer.note(&line);
            told = line;
        }
        let done = !all.iter().any(|ca| is_on_its_way(ca.state()));
        if done {
            return show(session, all.into_iter().find(|ca| ca.name == made.name));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_on_its_way(state: CertificateAuthorityState) -> bool {
    matches!(state, CertificateAuthorityState::Staged | CertificateAuthorityState::Retiring)
}

fn progress(all: &[CertificateAuthority]) -> String {
    let on_their_way = all.iter().filter(|ca| is_on_its_way(ca.state()));
    let lines: Vec<_> =
        on_their_way.map(|ca| format!("{}: {}", names::id(&ca.name), waits(ca))).collect();
    match lines.is_empty() {
        true => "the old CA is retired".to_owned(),
        false => lines.join("; "),
    }
}

/// What a CA waits for, for people.
fn waits(authority: &CertificateAuthority) -> String {
    let CertificateAuthority { waiting_replicas, relays, .. } = authority;
    match authority.state() {
        CertificateAuthorityState::Staged => {
            format!("staged, control plane processes that do not trust it yet: {waiting_replicas}")
        }
        CertificateAuthorityState::Retiring if *relays > 0 => {
            let first = authority.waiting_relays.first().map(String::as_str).unwrap_or_default();
            format!("retiring, relays that hold certificates of it: {relays}, {first} among them")
        }
        CertificateAuthorityState::Retiring => format!(
            "retiring, control plane processes that have not taken up the new CA yet: {waiting_replicas}"
        ),
        state => word(state.as_str_name(), "CERTIFICATE_AUTHORITY_STATE_"),
    }
}

fn state(authority: &CertificateAuthority) -> String {
    word(authority.state().as_str_name(), "CERTIFICATE_AUTHORITY_STATE_")
}

fn table(authorities: &[CertificateAuthority], now: OffsetDateTime) -> String {
    let mut table = Table::new(&["ID", "STATE", "SINCE", "RELAYS", "EXPIRES", "FINGERPRINT"]);
    for authority in authorities {
        table.row([
            names::id(&authority.name).to_owned(),
            state(authority),
            age(authority.state_time.as_ref(), now),
            authority.relays.to_string(),
            age(authority.expire_time.as_ref(), now),
            authority.fingerprint.chars().take(16).collect(),
        ]);
    }
    table.render()
}

fn details(authority: &CertificateAuthority, now: OffsetDateTime) -> String {
    Details::default()
        .with("Name", &authority.name)
        .with("State", state(authority))
        .with("Since", date_and_age(authority.state_time.as_ref(), now))
        .with("Relays", authority.relays.to_string())
        .with("Waits for", authority.waiting_relays.join("\n"))
        .with("Expires", date_and_age(authority.expire_time.as_ref(), now))
        .with("Fingerprint", &authority.fingerprint)
        .render()
}

#[cfg(test)]
#[path = "certificate_authority_tests.rs"]
mod tests;
