//! `completion`: the scripts of the shells, and the answers to kubectl, which completes the plugin in every shell.
//!
//! kubectl runs `kubectl_complete-greenlight` with the words so far and takes what that prints: a candidate a line, what it is after a
//! tab, and in the end a number that says how to go on. That program is one line, which asks the plugin: so names come from the
//! cluster, with the flags that were typed before.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use clap::{Arg, Command, CommandFactory, FromArgMatches};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};
use greenlight_api::text::one_line;
use greenlight_overview::again::Again;

use crate::exit::Exit;
use crate::options::{ClusterOptions, CompletionOf, Options};
use crate::session;

/// `kubectl_complete-greenlight`.
const FOR_KUBECTL: &str = "#!/bin/sh\nexec kubectl greenlight __complete -- \"$@\"\n";
/// cobra's words for: files make no sense here; and: the shell may offer files.
const NO_FILES: &str = ":4";
const FILES: &str = ":0";
/// Whoever waits for a completion does not wait long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Prints a script.
pub fn script(of: CompletionOf) -> Result<Exit> {
    let shell = match of {
        CompletionOf::Kubectl => {
            print!("{FOR_KUBECTL}");
            return Ok(Exit::Done);
        }
        CompletionOf::Bash => Shell::Bash,
        CompletionOf::Elvish => Shell::Elvish,
        CompletionOf::Fish => Shell::Fish,
        CompletionOf::PowerShell => Shell::PowerShell,
        CompletionOf::Zsh => Shell::Zsh,
    };
    clap_complete::generate(shell, &mut Options::command(), "kubectl-greenlight", &mut std::io::stdout());
    Ok(Exit::Done)
}

/// Prints what the last of these words may become.
pub fn answer(words: Vec<OsString>) -> Result<Exit> {
    let words: Vec<OsString> = ["kubectl-greenlight".into()].into_iter().chain(words).collect();
    let last = words.len().saturating_sub(1).max(1);
    let begun = words.get(last).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    CLUSTER.get_or_init(|| cluster(&words));
    let candidates = complete(&mut completing(Options::command()), words, last, None)?;
    let mut out = std::io::stdout().lock();
    let mut files = false;
    for candidate in candidates.iter().filter(|candidate| !candidate.is_hide_set()) {
        let value = candidate.get_value().to_string_lossy();
        // Flags are offered when one is begun.
        if value.starts_with('-') && !begun.starts_with('-') {
            continue;
        }
        files |= std::path::Path::new(candidate.get_value()).exists();
        match candidate.get_help() {
            Some(help) => writeln!(out, "{}\t{}", one_line(&value), one_line(&help.to_string()))?,
            None => writeln!(out, "{}", one_line(&value))?,
        }
    }
    writeln!(out, "{}", if files { FILES } else { NO_FILES })?;
    Ok(Exit::Done)
}

/// The flags of the line that is completed.
static CLUSTER: OnceLock<Option<ClusterOptions>> = OnceLock::new();

/// What the words say of the cluster, as far as they can be read: the line is not complete.
fn cluster(words: &[OsString]) -> Option<ClusterOptions> {
    let flags = Options::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    ClusterOptions::from_arg_matches(&flags).ok()
}

/// The command line, in which every name of a rollout is completed from the cluster.
fn completing(command: Command) -> Command {
    let named = |arg: Arg| if arg.get_id() == "name" { arg.add(ArgValueCompleter::new(rollouts)) } else { arg };
    command.mut_args(named).mut_subcommands(completing)
}

/// The names of rollouts that begin so. Nothing is said of what goes wrong: it would stand in the middle of somebody's line.
fn rollouts(begun: &OsStr) -> Vec<CompletionCandidate> {
    let begun = begun.to_string_lossy().into_owned();
    let Some(Some(cluster)) = CLUSTER.get() else { return Vec::new() };
    // The runtime that this is called from cannot wait for another future.
    let names = std::thread::scope(|scope| scope.spawn(|| names(cluster)).join().ok().flatten());
    names.into_iter().flatten().filter(|name| name.starts_with(&begun)).map(CompletionCandidate::new).collect()
}

fn names(cluster: &ClusterOptions) -> Option<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let names = async { session::open(cluster, &Again::quick()).await.ok()?.names().await.ok() };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, names).await.ok().flatten() })
}
