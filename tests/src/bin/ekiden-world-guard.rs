//! Ends a world whose owner is gone; started by the harness, with the world's folder as its only argument.
use std::path::PathBuf;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let folder =
        std::env::args_os().nth(1).map(PathBuf::from).context("the world's folder is missing")?;
    ekiden_tests::harness::guard::run(&folder)
}
