//! `kubectl greenlight`: see and drive blue-green rollouts.

mod act;
mod convert;
mod doctor;
mod exit;

mod lint;
mod manifests;

mod options;
mod plan;
mod read;
mod render;
mod schema;
mod session;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser};
use exit::Exit;
use greenlight_api::Verb;
use greenlight_api::text::printable;
use options::{Command, GetWhat, Options, SetWhat};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Who reads may stop reading: `list | head` ends quietly, as kubectl does.
    sigpipe::reset();
    match run(Options::parse()).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {}", printable(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<Exit> {
    match &options.command {
        Command::Version => {
            println!("kubectl-greenlight {}", env!("CARGO_PKG_VERSION"));
            return Ok(Exit::Done);
        }
        Command::Completion { shell } => {
            clap_complete::generate(*shell, &mut Options::command(), "kubectl-greenlight", &mut std::io::stdout());
            return Ok(Exit::Done);
        }
        Command::Lint { files, strict } => return lint::run(files, *strict),
        Command::Convert { files } => return convert::run(files),
        _ => {}
    }
    let session = &session::open(&options.cluster).await?;
    let ask = |name: String, verb, wait| async move { act::request(session, &name, verb, None, None, wait).await };
    match options.command {
        Command::Get { what: GetWhat::Rollout { name, watch, output } } => {
            read::get(session, &name, watch, output.output).await
        }
        Command::List { all_namespaces, output } => read::list(session, all_namespaces, output.output).await,
        Command::Status { name, timeout, output } => read::status(session, &name, timeout, output.output).await,
        Command::History { name, output } => read::history(session, &name, output.output).await,
        Command::Promote { name, full, revision, wait } => {
            let verb = if full { Verb::PromoteFull } else { Verb::Promote };
            act::request(session, &name, verb, revision, None, wait).await
        }
        Command::Abort { name, wait } => ask(name, Verb::Abort, wait).await,
        Command::Retry { name, wait } => ask(name, Verb::Retry, wait).await,
        Command::Restart { name, wait } => ask(name, Verb::Restart, wait).await,
        Command::Undo { name, to_revision, wait } => {
            let to = match to_revision {
                Some(number) => Some(act::hash_of(session, &name, number).await?),
                None => None,
            };
            act::request(session, &name, Verb::Rollback, None, to, wait).await
        }
        Command::Doctor { name, output } => doctor::run(session, &name, output.output).await,
        Command::Plan { files } => plan::run(session, &files).await,
        Command::Pause { name } => act::set_paused(session, &name, true).await,
        Command::Resume { name } => act::set_paused(session, &name, false).await,
        Command::Set { what: SetWhat::Image { name, images } } => act::set_image(session, &name, &images).await,
        Command::Version | Command::Completion { .. } | Command::Lint { .. } | Command::Convert { .. } => {
            Ok(Exit::Done)
        }
    }
}
