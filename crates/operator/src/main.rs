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

use anyhow::Result;
use clap::Parser;
use commands::{Command, Options, check, demo_app, probe, remove_finalizers};
use controllers::analysis;
use telemetry::log;

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
            log::to_stderr(&options.log)?;
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
            log::to_stderr("info")?;
            runtime()?.block_on(demo_app::run(options))
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
