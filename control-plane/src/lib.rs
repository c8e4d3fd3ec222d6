//! Ekiden's control plane: one process that holds every tenant's settings and speaks with every relay.
//!
//! Data flows one way: a service parses and authorizes, a named transaction in `store` changes rows, `settings`
//! compiles what relays run, `sessions` follows the heads and tells relays.
//!
//! - [`admin`]: what operators call.
//! - [`app`]: what every service holds.
//! - [`arguments`]: the command line and the environment.
//! - [`audit_log`]: who did what, chained and signed.
//! - [`bootstrap`]: what the first start makes.
//! - [`caller`]: who calls, and what a caller may do.
//! - [`challenges`]: what a proof of AWS identity must be about.
//! - [`clock`]: the only place that reads the time.
//! - [`data_dir`]: the data directory.
//! - [`database`]: the database: how it is reached, migrated, and refused when it is of another time.
//! - [`embedded_postgres`]: a private Postgres from the machine's own programs.
//! - [`error`]: what can go wrong for a caller, and the only place that builds a gRPC status.
//! - [`etag`]: what a caller sends back to change only what it has read.
//! - [`fingerprints`]: tells two access keys apart without showing either.
//! - [`folder_lock`]: one process at a time in a folder.
//! - [`health`]: takes relays' health reports, in batches.
//! - [`healthcheck`]: asks a running control plane whether it serves.
//! - [`https`]: bounded requests to services of others.
//! - [`idempotency`]: request ids.
//! - [`lifecycle`]: the server's life, from Postgres to the ports and back.
//! - [`mask`]: update masks.
//! - [`metrics`]: what the control plane counts.
//! - [`names`]: resource names.
//! - [`oidc`]: verifies tokens of registered issuers.
//! - [`page`]: page tokens.
//! - [`pki`]: the built-in CA and the identities it issues.
//! - [`presets`]: vendors whose endpoints and header names are known.
//! - [`registrations`]: relays' records in the registry.
//! - [`relay_port`]: what relays call: enrollment and sessions.
//! - [`replicas`]: this process's lease.
//! - [`serve`]: the two ports.
//! - [`sessions`]: live sessions and the heads they follow.
//! - [`settings`]: what relays run: what operators give of it, and its compiler.
//! - [`store`]: the only place with SQL.
//! - [`sts`]: asks AWS STS whose signature a proof carries.
//! - [`timestamps`]: times on the wire.
//! - [`tokens`]: texts of API and enrollment tokens.
//! - [`vault`]: seals secrets.

pub mod admin;
pub mod app;
pub mod arguments;
pub mod audit_log;
pub mod bootstrap;
pub mod caller;
pub mod challenges;
pub mod clock;
pub mod data_dir;
pub mod database;
pub mod embedded_postgres;
pub mod error;
pub mod etag;
pub mod fingerprints;
pub mod folder_lock;
pub mod health;
pub mod healthcheck;
pub mod https;
pub mod idempotency;
pub mod key_rotations;
pub mod lifecycle;
pub mod mask;
pub mod metrics;
pub mod names;
pub mod oidc;
pub mod page;
pub mod pki;
pub mod presets;
pub mod registrations;
pub mod relay_port;
pub mod replicas;
pub mod serve;
pub mod sessions;
pub mod settings;
pub mod store;
pub mod sts;
pub mod timestamps;
pub mod tokens;
pub mod vault;

#[cfg(test)]
mod test_app;
#[cfg(test)]
mod test_database;
