//! Releases on a real API server while everything between it and the operator goes wrong. The suite is `tests/e2e/tests/storm`.

use std::process::Command;

use anyhow::Result;

use crate::shell::{self, cargo};

/// How much of it.
#[derive(clap::Args, Debug)]
pub(crate) struct StormOptions {
    /// How many seeds: each is a rollout with a story and weather of its own. Every 50 share two operators
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first one; a seed that broke a promise says how to have it again
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Begin no more batches after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
}

/// Runs it, and prints what went wrong, what was done, and which promises were broken.
pub(crate) fn run(options: &StormOptions) -> Result<()> {
    shell::build_programs()?;
    shell::run(&mut command(options))
}

/// As [`run`] runs it, for whoever counts.
pub(crate) fn command(options: &StormOptions) -> Command {
    let mut command = cargo();
    command.args(["test", "--package", "greenlight-e2e", "--test", "storm", "--", "--ignored", "--nocapture", "soak"]);
    command.env("GREENLIGHT_STORM_SEEDS", options.seeds.to_string());
    command.env("GREENLIGHT_STORM_FIRST", options.first.to_string());
    if let Some(minutes) = options.minutes {
        command.env("GREENLIGHT_STORM_MINUTES", minutes.to_string());
    }
    command
}

/// What a run of every test has of it.
pub(crate) fn long() -> StormOptions {
    StormOptions { seeds: 500, first: 0, minutes: None }
}
