//! The command line: nouns, and the options that every command takes.
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{
    commands::{
        access_key::AccessKeyVerb, api_token::ApiTokenVerb, audit::AuditVerb,
        certificate_authority::CaVerb, collector::CollectorVerb, context::ContextVerb,
        enrollment_rule::EnrollmentRuleVerb, enrollment_token::EnrollmentTokenVerb,
        fleet::FleetVerb, master_key::MasterKeyVerb, relay::RelayVerb, revision::RevisionVerb,
        tenant::TenantVerb,
    },
    values::Period,
};

const START: &str = "\
Start here:
  ekidenctl context import .ekiden/control-plane     Talk to a control plane on this machine
  ekidenctl tenant create acme --display-name 'Acme, Inc.'
  ekidenctl context set local --tenant acme          From now on --tenant acme goes without saying
  ekidenctl access-key create sysdig --value-file key.txt
  ekidenctl collector create us4 --preset sysdig-us4 --access-key sysdig
  ekidenctl fleet create tokyo --listener name=agents,port=6443,protocol=tcp,collector=us4
  ekidenctl enrollment-token create --fleet tokyo --quiet
  ekidenctl relay watch

Names may be short (us4), with parents (acme/us4) or full (tenants/acme/collectors/us4).

Exit codes:
  0   done
  1   the state of things does not allow it, or anything not listed below
  64  wrong use: options, names
  65  the control plane refused the content: fields are listed
  66  not found
  69  the control plane cannot be reached or did not answer in time
  73  exists already
  75  changed in between, or a limit is reached: try again
  77  no usable token, or its role does not allow this
  78  the config file cannot be used";

/// Sets up tenants, their collectors and fleets, and shows how their relays fare.
#[derive(Debug, Parser)]
#[command(
    name = "ekidenctl",
    version,
    after_help = START,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to work on.
    #[command(subcommand)]
    pub noun: Noun,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Context to use instead of the current one.
    #[arg(
        long,
        global = true,
        env = "EKIDEN_CONTEXT",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub context: Option<String>,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Tenant to work in; `-` stands for all of them in lists.
    #[arg(
        long,
        global = true,
        env = "EKIDEN_TENANT",
        hide_env_values = true,
        value_name = "TENANT",
        allow_hyphen_values = true
    )]
    pub tenant: Option<String>,
    /// Control plane's operator port; a context's token goes there only if it is the context's own, or `--context` names the context too.
    #[arg(
        long,
        global = true,
        env = "EKIDEN_ENDPOINT",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub control_plane: Option<String>,
    /// PEM file with the CA that signed the control plane's certificate; otherwise the system's CAs count.
    #[arg(long, global = true, env = "EKIDEN_CA", hide_env_values = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How long to wait for an answer, retries included.
    #[arg(long, global = true, default_value = "30s", value_name = "TIME")]
    pub timeout: Period,
    /// Check everything, change nothing.
    #[arg(long, global = true)]
    pub validate_only: bool,
    /// UUID of a change that is tried again; a change is done once, however often it is sent with the same id.
    #[arg(long, global = true, value_name = "UUID")]
    pub request_id: Option<uuid::Uuid>,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// The protobuf messages as JSON.
    Json,
    /// The protobuf messages as YAML.
    Yaml,
    /// Nothing but the text of a new token.
    Text,
}

/// What to work on.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// Customers: the isolation unit.
    #[command(subcommand, visible_alias = "tenants")]
    Tenant(TenantVerb),
    /// Vendors' credentials, sealed by the control plane, never shown again.
    #[command(subcommand, visible_alias = "access-keys")]
    AccessKey(AccessKeyVerb),
    /// Vendors' endpoints that telemetry goes to.
    #[command(subcommand, visible_alias = "collectors")]
    Collector(CollectorVerb),
    /// Relays that serve one place, a VPC say, for one tenant.
    #[command(subcommand, visible_alias = "fleets")]
    Fleet(FleetVerb),
    /// Numbered snapshots of a fleet's settings.
    #[command(subcommand, visible_alias = "revisions")]
    Revision(RevisionVerb),
    /// Running relays and how they fare.
    #[command(subcommand, visible_alias = "relays")]
    Relay(RelayVerb),
    /// Rights to enroll relays into a fleet.
    #[command(subcommand, visible_alias = "enrollment-tokens")]
    EnrollmentToken(EnrollmentTokenVerb),
    /// AWS roles whose tasks may enroll into a fleet, without any secret.
    #[command(subcommand, visible_alias = "enrollment-rules")]
    EnrollmentRule(EnrollmentRuleVerb),
    /// Operators' credentials.
    #[command(subcommand, visible_alias = "api-tokens")]
    ApiToken(ApiTokenVerb),
    /// The CAs that relays and the control plane trust, and how one follows another.
    #[command(subcommand)]
    Ca(CaVerb),
    /// The keys that seal all secrets, and what is under which.
    #[command(subcommand, visible_alias = "master-keys")]
    MasterKey(MasterKeyVerb),
    /// Who changed what.
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Control planes that this machine knows, with their CA, token and default tenant.
    #[command(subcommand, visible_alias = "contexts")]
    Context(ContextVerb),
    /// Prints a completion script.
    #[command(
        after_help = "Examples:\n  ekidenctl completions bash > /etc/bash_completion.d/ekidenctl"
    )]
    Completions {
        /// For which shell.
        shell: Shell,
    },
    /// Prints this program's version.
    Version,
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
