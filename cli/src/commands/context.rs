//! `ekidenctl context`: which control planes this machine knows. Calls nobody.
use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::{
    arguments::{Format, Global},
    config::{Config, Context, Token},
    environment::Environment,
    failure::Failure,
    output::{Printer, print, table::Table},
    secret_input,
    target::{parse_endpoint, read_ca},
};

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub enum ContextVerb {
    /// Lists them; `*` marks the current one.
    #[command(after_help = "Examples:\n  ekidenctl context list")]
    List,
    /// Makes one current.
    #[command(after_help = "Examples:\n  ekidenctl context use prod")]
    Use {
        /// Its name.
        name: String,
    },
    /// Makes or changes one, and makes the first one current.
    #[command(after_help = "\
Examples:
  ekidenctl context set prod --control-plane https://ekiden.example:9443 --ca ca.pem --token-file token
  ekidenctl context set prod --tenant acme           Changes only the default tenant")]
    Set {
        /// Its name.
        name: String,
        #[command(flatten)]
        token: TokenSource,
    },
    /// Takes over a control plane on this machine from its data directory, and makes it current.
    #[command(after_help = "\
Examples:
  ekidenctl context import .ekiden/control-plane     Asks for the token that its first start printed
  ekidenctl context import .ekiden/control-plane --token-file - < token")]
    Import {
        /// The control plane's `--data-dir`.
        folder: PathBuf,
        /// Name to give the context.
        #[arg(long, default_value = "local")]
        name: String,
        #[command(flatten)]
        token: TokenSource,
    },
    /// Forgets one.
    #[command(after_help = "Examples:\n  ekidenctl context delete prod")]
    Delete {
        /// Its name.
        name: String,
    },
}

/// Where the token comes from; never an argument, for every process on the machine can read those.
#[derive(Debug, Args)]
pub struct TokenSource {
    /// File with the API token; `-` is stdin.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    token_file: Option<String>,
}

/// What a control plane writes into its data directory once it listens.
#[derive(Debug, Deserialize)]
struct Endpoints {
    operators: String,
    operators_tls: bool,
    ca_certificate: PathBuf,
}

pub(super) fn run(
    verb: ContextVerb,
    global: &Global,
    environment: &Environment,
    printer: Printer,
) -> Result<(), Failure> {
    let path = environment.config.as_deref().ok_or_else(|| {
        Failure::config(
            "there is no home directory to keep contexts in",
            "set EKIDEN_CONFIG to a file",
        )
    })?;
    let mut config = Config::load(path)?;
    match verb {
        ContextVerb::List => return list(&config, printer),
        ContextVerb::Use { name } => {
            known(&config, &name)?;
            printer.note(&format!("{name} is current now."));
            config.current = Some(name);
        }
        ContextVerb::Set { name, token } => set(&mut config, name, &token, global, printer)?,
        ContextVerb::Import { folder, name, token } => {
            import(&mut config, &folder, name, &token, global, printer)?;
        }
        ContextVerb::Delete { name } => {
            known(&config, &name)?;
            config.contexts.remove(&name);
            if config.current.as_ref() == Some(&name) {
                config.current = None;
            }
            printer.note(&format!("{name} is forgotten."));
        }
    }
    config.save(path)
}

fn known(config: &Config, name: &str) -> Result<(), Failure> {
    if config.contexts.contains_key(name) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("there is no context {name:?}"),
        "`ekidenctl context list` shows what there is",
    ))
}

fn set(
    config: &mut Config,
    name: String,
    source: &TokenSource,
    global: &Global,
    printer: Printer,
) -> Result<(), Failure> {
    let mut context = config.contexts.get(&name).cloned().unwrap_or_default();
    if let Some(endpoint) = &global.control_plane {
        context.endpoint = normal(endpoint)?;
    }
    if context.endpoint.is_empty() {
        return Err(Failure::usage(
            format!("the new context {name:?} has no endpoint"),
            "add `--control-plane https://HOST:9443`",
        ));
    }
    if let Some(ca) = &global.ca {
        context.ca_certificate = Some(String::from_utf8_lossy(&read_ca(ca)?).into_owned());
    }
    if source.token_file.is_some() {
        context.token = Some(source.read()?);
    }
    if let Some(tenant) = &global.tenant {
        context.tenant = Some(tenant.clone()).filter(|tenant| tenant != "-");
    }
    if context.token.is_none() {
        printer.note("It has no token: add one with `--token-file FILE`, or set EKIDEN_TOKEN.");
    }
    store(config, name, context, false, printer);
    Ok(())
}

fn import(
    config: &mut Config,
    folder: &Path,
    name: String,
    source: &TokenSource,
    global: &Global,
    printer: Printer,
) -> Result<(), Failure> {
    let file = folder.join("endpoints.json");
    let text = fs::read_to_string(&file).map_err(|error| {
        Failure::usage(
            format!("{} cannot be read: {error}", file.display()),
            "a control plane writes it once it listens: is it running, and is this its `--data-dir`?",
        )
    })?;
    let endpoints: Endpoints = serde_json::from_str(&text).map_err(|error| {
        Failure::usage(
            format!("{} is malformed: {error}", file.display()),
            "is this the `--data-dir` of a control plane of this version?",
        )
    })?;
    let scheme = if endpoints.operators_tls { "https" } else { "http" };
    let ca_certificate = if endpoints.operators_tls {
        // Relative to where the control plane was started, perhaps; the folder given here has the same file.
        let own = folder.join("ca.pem");
        let path = if own.exists() { own } else { endpoints.ca_certificate };
        Some(String::from_utf8_lossy(&read_ca(&path)?).into_owned())
    } else {
        None
    };
    let before = config.contexts.get(&name);
    let token = match &source.token_file {
        Some(_) => source.read()?,
        // The control plane came back on another port: its tokens are as good as before.
        None => match before.and_then(|context| context.token.clone()) {
            Some(token) => token,
            None => source.read()?,
        },
    };
    let context = Context {
        endpoint: normal(&format!("{scheme}://{}", endpoints.operators))?,
        ca_certificate,
        token: Some(token),
        tenant: global.tenant.clone().or_else(|| before.and_then(|context| context.tenant.clone())),
    };
    store(config, name, context, true, printer);
    Ok(())
}

fn store(config: &mut Config, name: String, context: Context, current: bool, printer: Printer) {
    printer.note(&format!("{name} is {}.", context.endpoint));
    if current || config.current.is_none() {
        config.current = Some(name.clone());
    }
    config.contexts.insert(name, context);
}

fn normal(endpoint: &str) -> Result<String, Failure> {
    Ok(parse_endpoint(endpoint)?.to_string().trim_end_matches('/').to_owned())
}

impl TokenSource {
    fn read(&self) -> Result<Token, Failure> {
        secret_input::read(self.token_file.as_deref(), "--token-file", "API token").map(Token)
    }
}

/// A context as it is shown: without its token.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    name: &'a str,
    current: bool,
    endpoint: &'a str,
    tenant: Option<&'a str>,
    has_token: bool,
    has_ca_certificate: bool,
}

fn list(config: &Config, printer: Printer) -> Result<(), Failure> {
    let contexts: Vec<_> = config
        .contexts
        .iter()
        .map(|(name, context)| Shown {
            name,
            current: config.current.as_ref() == Some(name),
            endpoint: &context.endpoint,
            tenant: context.tenant.as_deref(),
            has_token: context.token.is_some(),
            has_ca_certificate: context.ca_certificate.is_some(),
        })
        .collect();
    match printer.format {
        Format::Json => {
            print(&serde_json::to_string_pretty(&contexts).map_err(std::io::Error::other)?)
        }
        Format::Yaml => print(&serde_yaml_ng::to_string(&contexts).map_err(std::io::Error::other)?),
        Format::Table | Format::Text if contexts.is_empty() => {
            printer.note(
                "There are no contexts. Make one: `ekidenctl context import FOLDER` for a control plane on this machine, \
                 `ekidenctl context set NAME --control-plane https://HOST:9443` for any other",
            );
            Ok(())
        }
        Format::Table | Format::Text => print(&table(&contexts)),
    }
}

fn table(contexts: &[Shown<'_>]) -> String {
    let mut table = Table::new(&["", "NAME", "ENDPOINT", "TENANT", "TOKEN", "CA"]);
    for context in contexts {
        table.row([
            if context.current { "*" } else { " " }.to_owned(),
            context.name.to_owned(),
            context.endpoint.to_owned(),
            context.tenant.unwrap_or_default().to_owned(),
            if context.has_token { "yes" } else { "no" }.to_owned(),
            if context.has_ca_certificate { "own" } else { "system" }.to_owned(),
        ]);
    }
    table.render()
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
