//! The operator: it watches, observes, carries out what `greenlight-core` plans, and publishes. It holds no decision.

#[cfg(test)]
mod allocated;
mod api_server;
mod cluster;
mod commands;
mod controllers;
mod manager;
mod shares;
mod shutdown;
mod telemetry;
mod web;

use std::io::IsTerminal;

use anyhow::{Context, Result};
use clap::Parser;
use commands::{Command, Options, check, demo_app, probe, remove_finalizers};
use controllers::analysis;
use tracing_subscriber::EnvFilter;

// Many small, short-lived allocations per event: this keeps the resident size from creeping up.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<()> {
    match Options::parse().command {
        Command::Crd => {
            for crd in greenlight_api::crds() {
                println!("---\n{}", serde_saphyr::to_string(&crd)?.trim_end());
            }
            Ok(())
        }
        Command::Controller(options) => {
            log_to_stderr(&options.log)?;
            let runtime = runtime()?;
            let ended = runtime.block_on(manager::run(options));
            // Whatever still hangs does not keep it from ending.
            runtime.shutdown_background();
            ended
        }
        Command::Check(options) => runtime()?.block_on(check::run(&options)),
        Command::RemoveFinalizers(options) => runtime()?.block_on(remove_finalizers::run(&options)),
        Command::Evaluate => analysis::evaluation::run(),
        Command::Probe(options) => runtime()?.block_on(probe::run(&options)),
        Command::DemoApp(options) => {
            log_to_stderr("info")?;
            runtime()?.block_on(demo_app::run(options))
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Text for people, JSON for machines.
fn log_to_stderr(filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter).context("--log: write a level (info), or target=level pairs")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).with_span_list(false).init();
    }
    Ok(())
}
