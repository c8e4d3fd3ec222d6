//! `ekidenctl access-key`.
use clap::{Args, Subcommand};
use ekiden_proto::admin::v1::{
    AccessKey, CreateAccessKeyRequest, DeleteAccessKeyRequest, GetAccessKeyRequest,
    ListAccessKeysRequest, ListAccessKeysResponse, UpdateAccessKeyRequest,
    access_key_service_client::AccessKeyServiceClient,
};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use super::{incomplete, mask};
use crate::{
    failure::Failure,
    names::{self, Kind},
    output::{
        moments::{age, date_and_age},
        table::{Details, Table},
    },
    secret_input,
    session::{Session, Wire},
    values::{Label, Period},
};

mod rotation;

/// What to do with access keys.
#[derive(Debug, Subcommand)]
pub enum AccessKeyVerb {
    /// Makes an access key from its value, which is sealed at once and never shown again.
    #[command(after_help = "\
Examples:
  ekidenctl access-key create sysdig --value-file key.txt
  aws secretsmanager get-secret-value --secret-id sysdig --query SecretString --output text \\
    | ekidenctl access-key create sysdig --value-file -
  ekidenctl access-key create sysdig                 Asks for the value without showing it")]
    Create {
        /// Its id: a-z, 0-9 and -, a letter first.
        id: String,
        #[command(flatten)]
        value: Value,
        /// Name for people.
        #[arg(long, default_value = "", hide_default_value = true)]
        display_name: String,
        /// Free label, `key=value`; may be given several times.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<Label>,
        #[command(flatten)]
        agents: Agents,
    },
    /// Shows one, without its value.
    #[command(after_help = "Examples:\n  ekidenctl access-key get sysdig")]
    Get {
        /// Its name.
        name: String,
    },
    /// Lists the tenant's.
    #[command(
        after_help = "Examples:\n  ekidenctl access-key list\n  ekidenctl access-key list --tenant -"
    )]
    List {
        /// At most this many; 0: all.
        #[arg(long, default_value_t)]
        limit: usize,
    },
    /// Changes its display name, labels, or what the vendor grants with it.
    #[command(
        after_help = "Examples:\n  ekidenctl access-key update sysdig --display-name 'Sysdig US4' --metadata owner=secops"
    )]
    Update {
        /// Its name.
        name: String,
        /// Name for people.
        #[arg(long)]
        display_name: Option<String>,
        /// Free label, `key=value`; may be given several times; replaces all labels.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<Label>,
        #[command(flatten)]
        agents: Agents,
        /// Only if it is still what was read with this etag.
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Changes its value with proof: every relay tries the new value on its collectors before any uses it.
    #[command(after_help = "\
Relays hold both values until the grace is over, and go on with the old one wherever the new one is refused; the rotation
then stops, names the relay and what was answered, and goes on by itself once the refusal has ended.

Examples:
  ekidenctl access-key rotate sysdig --value-file new-key.txt --wait
  ekidenctl access-key rotate sysdig --value-file new-key.txt --grace 7d
  ekidenctl access-key rotation sysdig               Shows how far it is")]
    Rotate {
        /// Its name.
        name: String,
        #[command(flatten)]
        value: Value,
        /// How long the old value stays usable once every relay prefers the new one; at most 30d.
        #[arg(long, default_value = "24h")]
        grace: Period,
        /// Waits until every relay prefers the new value; fails if a collector refuses it.
        #[arg(long)]
        wait: bool,
    },
    /// Shows its last rotation: how far it is, and which relay it waits for.
    #[command(
        after_help = "Examples:\n  ekidenctl access-key rotation sysdig\n  ekidenctl access-key rotation sysdig --wait"
    )]
    Rotation {
        /// Its name.
        name: String,
        /// Waits until every relay prefers the new value; fails if a collector refuses it.
        #[arg(long)]
        wait: bool,
    },
    /// Goes back to the old value of a rotation, as long as relays hold it.
    #[command(after_help = "Examples:\n  ekidenctl access-key cancel-rotation sysdig")]
    CancelRotation {
        /// Its name.
        name: String,
    },
    /// Gives it a new value at once, unproven, for when the old one is of no use any more; `rotate` changes it with proof.
    #[command(
        after_help = "Examples:\n  ekidenctl access-key set-value sysdig --value-file new-key.txt\n  ekidenctl relay list      Shows which version each relay holds"
    )]
    SetValue {
        /// Its name.
        name: String,
        #[command(flatten)]
        value: Value,
    },
    /// Takes it from relays; what needs it is answered with UNAVAILABLE.
    #[command(after_help = "Examples:\n  ekidenctl access-key disable sysdig")]
    Disable {
        /// Its name.
        name: String,
    },
    /// Gives it to relays again.
    #[command(after_help = "Examples:\n  ekidenctl access-key enable sysdig")]
    Enable {
        /// Its name.
        name: String,
    },
    /// Deletes it and destroys its sealed versions; it must be disabled and unused.
    #[command(
        after_help = "Examples:\n  ekidenctl access-key disable sysdig && ekidenctl access-key delete sysdig"
    )]
    Delete {
        /// Its name.
        name: String,
        /// Only if it is still what was read with this etag.
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
}

/// What the vendor grants with a key; kept and shown, the vendor enforces it.
#[derive(Debug, Args)]
pub struct Agents {
    /// Agents that the vendor lets use it; 0: no limit is known.
    #[arg(long, value_name = "COUNT")]
    agent_limit: Option<u32>,
    /// Agents that the vendor reserves for it.
    #[arg(long, value_name = "COUNT")]
    agent_reservation: Option<u32>,
}

/// Where the value comes from; never an argument, for every process on the machine can read those.
#[derive(Debug, Args)]
pub struct Value {
    /// File with the value; `-` is stdin. Without it a terminal is asked.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    value_file: Option<String>,
}

impl Value {
    fn read(&self) -> Result<String, Failure> {
        let value = secret_input::read(self.value_file.as_deref(), "--value-file", "access key")?;
        Ok(value.expose_secret().to_owned())
    }
}

fn client(session: &Session) -> AccessKeyServiceClient<Wire> {
    AccessKeyServiceClient::new(session.wire())
}

pub(super) async fn run(verb: AccessKeyVerb, session: &Session) -> Result<(), Failure> {
    let name = |given: &str| session.names.resolve(Kind::AccessKey, given, None);
    match verb {
        AccessKeyVerb::Create { id, value, display_name, metadata, agents } => {
            let request = CreateAccessKeyRequest {
                parent: session.names.one_tenant()?,
                access_key_id: id,
                access_key: Some(AccessKey {
                    display_name,
                    value: value.read()?,
                    metadata: labels(metadata),
                    agent_limit: agents.agent_limit.unwrap_or_default(),
                    agent_reservation: agents.agent_reservation.unwrap_or_default(),
                    ..AccessKey::default()
                }),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer = session
                .change(request, async |r| client(session).create_access_key(r).await)
                .await?;
            show(session, answer.access_key)
        }
        AccessKeyVerb::Get { name: given } => {
            let request = GetAccessKeyRequest { name: name(&given)? };
            let answer =
                session.call(request, async |r| client(session).get_access_key(r).await).await?;
            show(session, answer.access_key)
        }
        AccessKeyVerb::List { limit } => list(session, limit).await,
        AccessKeyVerb::Update { name: given, display_name, metadata, agents, etag } => {
            let mut paths = Vec::new();
            if display_name.is_some() {
                paths.push("display_name");
            }
            if !metadata.is_empty() {
                paths.push("metadata");
            }
            if agents.agent_limit.is_some() {
                paths.push("agent_limit");
            }
            if agents.agent_reservation.is_some() {
                paths.push("agent_reservation");
            }
            if paths.is_empty() {
                return Err(Failure::usage(
                    "nothing to change",
                    "give `--display-name`, `--metadata`, `--agent-limit` or `--agent-reservation`; `set-value`, `enable` and `disable` are commands of their own",
                ));
            }
            let access_key = AccessKey {
                name: name(&given)?,
                display_name: display_name.unwrap_or_default(),
                metadata: labels(metadata),
                agent_limit: agents.agent_limit.unwrap_or_default(),
                agent_reservation: agents.agent_reservation.unwrap_or_default(),
                etag,
                ..AccessKey::default()
            };
            update(session, access_key, &paths).await
        }
        AccessKeyVerb::SetValue { name: given, value } => {
            let access_key =
                AccessKey { name: name(&given)?, value: value.read()?, ..AccessKey::default() };
            update(session, access_key, &["value"]).await
        }
        AccessKeyVerb::Rotate { name: given, value, grace, wait } => {
            rotation::rotate(session, name(&given)?, value.read()?, grace, wait).await
        }
        AccessKeyVerb::Rotation { name: given, wait } => {
            rotation::get(session, name(&given)?, wait).await
        }
        AccessKeyVerb::CancelRotation { name: given } => {
            rotation::cancel(session, name(&given)?).await
        }
        AccessKeyVerb::Disable { name: given } => enable(session, name(&given)?, false).await,
        AccessKeyVerb::Enable { name: given } => enable(session, name(&given)?, true).await,
        AccessKeyVerb::Delete { name: given, etag } => {
            let request = DeleteAccessKeyRequest {
                name: name(&given)?,
                etag,
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let deleted = request.name.clone();
            let answer = session
                .change(request, async |r| client(session).delete_access_key(r).await)
                .await?;
            session.printer.message(&answer, || format!("Deleted {deleted}."))
        }
    }
}

fn labels(labels: Vec<Label>) -> std::collections::BTreeMap<String, String> {
    labels.into_iter().map(|label| (label.key, label.value)).collect()
}

async fn enable(session: &Session, name: String, enabled: bool) -> Result<(), Failure> {
    let access_key = AccessKey { name, enabled: Some(enabled), ..AccessKey::default() };
    update(session, access_key, &["enabled"]).await
}

async fn update(session: &Session, access_key: AccessKey, paths: &[&str]) -> Result<(), Failure> {
    let request = UpdateAccessKeyRequest {
        access_key: Some(access_key),
        update_mask: mask(paths),
        request_id: session.request_id(),
        validate_only: session.validate_only,
    };
    let answer =
        session.change(request, async |r| client(session).update_access_key(r).await).await?;
    show(session, answer.access_key)
}

async fn list(session: &Session, limit: usize) -> Result<(), Failure> {
    let parent = session.names.tenants()?;
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request = ListAccessKeysRequest { parent: parent.clone(), page_size, page_token };
            let answer =
                session.call(request, async |r| client(session).list_access_keys(r).await).await?;
            Ok((answer.access_keys, answer.next_page_token))
        })
        .await?;
    let message = ListAccessKeysResponse {
        access_keys: listing.items,
        next_page_token: listing.next_page_token,
    };
    session.printer.list(
        &message,
        &message.access_keys,
        |access_keys| table(access_keys, &parent, session.printer.now),
        "There are no access keys here. Make one: `ekidenctl access-key create sysdig --tenant TENANT --value-file key.txt`",
    )
}

fn show(session: &Session, access_key: Option<AccessKey>) -> Result<(), Failure> {
    let access_key = access_key.ok_or_else(|| incomplete("access key"))?;
    session.printer.message(&access_key, || details(&access_key, session.printer.now))
}

fn agents(access_key: &AccessKey) -> String {
    match (access_key.agent_limit, access_key.agent_reservation) {
        (0, 0) => String::new(),
        (0, reserved) => format!("{reserved} reserved at the vendor"),
        (limit, reserved) => format!("at most {limit}, {reserved} reserved at the vendor"),
    }
}

fn state(access_key: &AccessKey) -> &'static str {
    if access_key.enabled == Some(false) { "disabled" } else { "enabled" }
}

fn table(access_keys: &[AccessKey], parent: &str, now: OffsetDateTime) -> String {
    let mut table = Table::new(&["NAME", "STATE", "VERSION", "FINGERPRINT", "CHANGED", "AGE"]);
    for access_key in access_keys {
        table.row([
            names::short(&access_key.name, parent).into_owned(),
            state(access_key).to_owned(),
            access_key.version.to_string(),
            access_key.fingerprint.clone(),
            age(access_key.update_time.as_ref(), now),
            age(access_key.create_time.as_ref(), now),
        ]);
    }
    table.render()
}

fn details(access_key: &AccessKey, now: OffsetDateTime) -> String {
    let labels: Vec<_> =
        access_key.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Details::default()
        .with("Name", &access_key.name)
        .with("Display name", &access_key.display_name)
        .with("State", state(access_key))
        .with("Version", access_key.version.to_string())
        .with("Fingerprint", &access_key.fingerprint)
        .with("Agents", agents(access_key))
        .with("Metadata", labels.join("\n"))
        .with("Created", date_and_age(access_key.create_time.as_ref(), now))
        .with("Changed", date_and_age(access_key.update_time.as_ref(), now))
        .with("Disabled", date_and_age(access_key.disable_time.as_ref(), now))
        .with("Etag", &access_key.etag)
        .render()
}

#[cfg(test)]
#[path = "access_key_tests.rs"]
mod tests;
