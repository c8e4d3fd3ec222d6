//! `ekidenctl`: what operators type.
//!
//! - [`arguments`]: the command line; each noun's verbs are beside their code.
//! - `clock`: the only place that reads the time.
//! - [`commands`]: one module a noun.
//! - [`environment`]: the variables that are no options.
//! - [`config`]: the file with contexts.
//! - [`target`]: which control plane, by which credential.
//! - [`session`]: calls, with time limits, retries and request ids.
//! - [`names`]: short names to resource names and back.
//! - [`values`]: typed values of options.
//! - [`secret_input`]: keys and tokens from files, stdin or a prompt.
//! - [`output`]: tables, JSON and YAML.
//! - [`failure`]: what can go wrong, what to do then, and exit codes.

pub mod arguments;
mod clock;
pub mod commands;
pub mod config;
pub mod environment;
pub mod failure;
pub mod names;
pub mod output;
pub mod secret_input;
pub mod session;
pub mod target;
pub mod values;

pub use arguments::Arguments;
pub use commands::run;
pub use environment::Environment;
pub use failure::{exit_code::exit_code, report::report};
