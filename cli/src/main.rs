//! Starts `ekidenctl`.
use std::process::ExitCode;

use clap::Parser;
use ekiden_cli::{Arguments, Environment, exit_code, report, run};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell when the terminal is gone.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(arguments, Environment::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{}", report(&failure));
            ExitCode::from(exit_code(&failure))
        }
    }
}
