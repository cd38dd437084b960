//! `kubectl greenlight`: see and drive blue-green rollouts.
//!
//! | question | room |
//! |---|---|
//! | What can be typed? | [`options`] |
//! | What does a command do? | [`commands`], one file each |
//! | With which cluster does it talk, as whom, and what do its errors mean? | [`session`] |
//! | What is there to say about a rollout? | the crate `overview` |
//! | How does it look? | [`output`] |
//! | What stands in the files that somebody gives? | [`manifests`] |
//! | How does it end? | [`exit`] |
//! | And when is it too early to say so? | [`patience`] |

mod commands;
mod exit;
mod manifests;
mod options;
mod output;
mod patience;
mod session;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use commands::request::Wish;
use exit::Exit;
use greenlight_api::Verb;
use greenlight_api::text::printable;
use greenlight_overview::Session;
use greenlight_overview::again::Again;
use options::{Command, GetWhat, Options, SetWhat};
use output::progress::tell_pause;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(told) => {
            let _ = told.print();
            // Help and version are what was asked for. What cannot be understood has failed: 2 is the operator's word.
            return if told.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    // Who reads may stop reading: `list | head` ends quietly, as kubectl does. But no browser ends the dashboard by leaving.
    if !matches!(options.command, Command::Dashboard(_)) {
        sigpipe::reset();
    }
    let flags = options.cluster.flags();
    match run(options).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {}", printable(&session::explain(&error, &flags)));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<Exit> {
    let Options { cluster, command } = options;
    match command {
        Command::Version => {
            println!("kubectl-greenlight {}", env!("CARGO_PKG_VERSION"));
            Ok(Exit::Done)
        }
        Command::Completion { of } => commands::completion::script(of),
        Command::Complete { words } => commands::completion::answer(words),
        Command::Man { folder } => commands::man::run(&folder),
        Command::Lint { files, strict } => commands::lint::run(&files, strict),
        Command::Convert { files, only, pause } => commands::convert::run(&files, &only, pause),
        Command::Plan { files } => {
            let session = session::open(&cluster, &Again::telling(tell_pause)).await?;
            commands::plan::run(&session, &files, cluster.namespace.as_deref()).await
        }
        Command::Dashboard(options) => {
            // A command on a page is read long after it was told.
            let session = session::open(&session::lasting(&cluster)?, &Again::quick()).await?;
            commands::dashboard::run(&session, cluster.namespace.as_deref(), options).await
        }
        command => with_cluster(&session::open(&cluster, &Again::telling(tell_pause)).await?, command).await,
    }
}

/// The commands that talk to a cluster.
async fn with_cluster(session: &Session, command: Command) -> Result<Exit> {
    match command {
        Command::Get { what: GetWhat::Rollout { name: Some(name), list } } => {
            commands::get::run(session, &name, list.watch, list.output).await
        }
        Command::Get { what: GetWhat::Rollout { name: None, list } } | Command::List(list) => {
            commands::list::run(session, &list).await
        }
        Command::Status { of, until, timeout, output } => {
            commands::status::run(session, &of.name, until, timeout, output.output).await
        }
        Command::History { of, output } => commands::history::run(session, &of.name, output.output).await,
        Command::Diff { of, revisions, output } => {
            commands::diff::run(session, &of.name, &revisions, output.output).await
        }
        Command::Logs(options) => commands::logs::run(session, &options).await,
        Command::Promote { of, full, revision, asking } => {
            let action = if full { Verb::PromoteFull } else { Verb::Promote };
            commands::request::run(session, &of.name, Wish { revision, ..action.into() }, asking).await
        }
        Command::Abort { of, revision, asking } => {
            commands::request::run(session, &of.name, Wish { revision, ..Verb::Abort.into() }, asking).await
        }
        Command::Retry { of, asking } => commands::request::run(session, &of.name, Verb::Retry.into(), asking).await,
        Command::Restart { of, asking } => {
            commands::request::run(session, &of.name, Verb::Restart.into(), asking).await
        }
        Command::Undo { of, to_revision, asking } => {
            let wish = Wish { to: to_revision, ..Verb::Rollback.into() };
            commands::request::run(session, &of.name, wish, asking).await
        }
        Command::Doctor { of, output } => commands::doctor::run(session, &of.name, output.output).await,
        Command::Pause { of, change } => commands::pause::run(session, &of.name, true, &change).await,
        Command::Resume { of, change } => commands::pause::run(session, &of.name, false, &change).await,
        Command::Set { what: SetWhat::Image { of, images, change } } => {
            commands::set_image::run(session, &of.name, &images, &change).await
        }
        Command::Version
        | Command::Completion { .. }
        | Command::Complete { .. }
        | Command::Man { .. }
        | Command::Plan { .. }
        | Command::Dashboard(_)
        | Command::Lint { .. }
        | Command::Convert { .. } => Ok(Exit::Done),
    }
}
