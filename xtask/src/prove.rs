//! The search for a history that breaks a promise, and the faults that it must find. The programs are in `tests/explorer`.

use anyhow::Result;

use crate::shell::{self, cargo};

/// Runs one of the explorer's programs, optimised: it is as good as it is fast.
pub(crate) fn run(program: &str, options: &[String]) -> Result<()> {
    let mut command = cargo();
    command.args([
        "run",
        "--quiet",
        "--profile",
        "explore",
        "--package",
        "greenlight-explorer",
        "--bin",
        program,
        "--",
    ]);
    shell::run(command.args(options))
}
