//! What the commands do, one module a noun, named as the contract's files are.

use clap::CommandFactory;

use crate::{
    arguments::{Arguments, Noun},
    config::Config,
    environment::Environment,
    failure::Failure,
    output::{Printer, print},
    session::{Session, stdout_is_terminal},
    target::Target,
};

pub mod access_key;
pub mod api_token;
pub mod audit;
pub mod certificate_authority;
pub mod collector;
pub mod context;
pub mod enrollment_rule;
pub mod enrollment_token;
pub mod fleet;
pub mod master_key;
pub mod relay;
pub mod revision;
pub mod tenant;

/// Does what the arguments say, until done.
///
/// # Errors
/// [`Failure`]: what went wrong, in the person's terms.
pub fn run(arguments: Arguments, environment: Environment) -> Result<(), Failure> {
    let printer = Printer {
        format: arguments.global.output,
        now: crate::clock::now(),
        terminal: stdout_is_terminal(),
    };
    match arguments.noun {
        Noun::Version => print(concat!("ekidenctl ", env!("CARGO_PKG_VERSION"))),
        Noun::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "ekidenctl", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Noun::Context(verb) => context::run(verb, &arguments.global, &environment, printer),
        noun => {
            let config = match &environment.config {
                Some(path) => Config::load(path)?,
                None => Config::default(),
            };
            let target = Target::resolve(&arguments.global, &environment, &config)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let session =
                    Session::open(target, &arguments.global, &environment, printer).await?;
                call(noun, &session).await
            })
        }
    }
}

async fn call(noun: Noun, session: &Session) -> Result<(), Failure> {
    match noun {
        Noun::Tenant(verb) => tenant::run(verb, session).await,
        Noun::AccessKey(verb) => access_key::run(verb, session).await,
        Noun::Collector(verb) => collector::run(verb, session).await,
        Noun::Fleet(verb) => fleet::run(verb, session).await,
        Noun::Revision(verb) => revision::run(verb, session).await,
        Noun::Relay(verb) => relay::run(verb, session).await,
        Noun::EnrollmentToken(verb) => enrollment_token::run(verb, session).await,
        Noun::EnrollmentRule(verb) => enrollment_rule::run(verb, session).await,
        Noun::ApiToken(verb) => api_token::run(verb, session).await,
        Noun::Ca(verb) => certificate_authority::run(verb, session).await,
        Noun::MasterKey(verb) => master_key::run(verb, session).await,
        Noun::Audit(verb) => audit::run(verb, session).await,
        // These call no control plane; `run` did them.
        Noun::Context(_) | Noun::Completions { .. } | Noun::Version => Ok(()),
    }
}

/// Words for a protobuf enum's value: `RELAY_STATE_CONNECTED` without its prefix is `connected`; unspecified is empty.
fn word(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase();
    if word == "unspecified" { String::new() } else { word.replace('_', "-") }
}

/// The answer lacks what the contract promises.
fn incomplete(what: &str) -> Failure {
    Failure::Refused(Box::new(crate::failure::Refusal {
        code: tonic::Code::Unimplemented,
        message: format!("the answer holds no {what}"),
        reason: String::new(),
        fields: Vec::new(),
        resource: None,
        retry_after: None,
        metadata: std::collections::BTreeMap::new(),
        request_id: None,
    }))
}

/// A new token's text for people.
fn text_for_people(text: &str, then: &str) -> String {
    format!("\n  {text}\n\nThis is shown once. {then}\n")
}

/// Prints a new token's text for programs, which must not take an empty one for a token.
fn text_alone(session: &Session, name: &str, text: &str) -> Result<(), Failure> {
    if text.is_empty() && !session.validate_only {
        return Err(Failure::TextGone { name: name.to_owned() });
    }
    print(text)
}

/// A mask of these paths.
fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use time::OffsetDateTime;

    const NOW: i64 = 1_785_000_000;

    /// The time that shown ages count from.
    pub(super) fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(NOW).unwrap()
    }

    /// So many seconds before [`now`].
    pub(super) fn at(seconds_ago: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds: NOW - seconds_ago, nanos: 0 })
    }
}
