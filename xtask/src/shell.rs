//! Running commands.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the repository")
}

/// Cargo, as it was called.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command and shows what it prints; an error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

/// The same, and shows each line of its standard output to whoever counts.
pub(crate) fn run_and_read(command: &mut Command, mut read: impl FnMut(&str)) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {command:?}"))?;
    let output = child.stdout.take().context("its standard output is a pipe")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        read(&line);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

/// Builds what the end-to-end tests run.
pub(crate) fn build_programs() -> Result<()> {
    run(cargo().args(["build", "--quiet", "--workspace", "--bins"]))
}

/// Builds the operator and the plugin; the folder that they are in.
pub(crate) fn build_binaries(release: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "greenlight-operator", "--package", "greenlight-cli"]);
    if release {
        command.arg("--release");
    }
    eprintln!(
        "Building the operator and the plugin{}.",
        if release { ", optimised (3 minutes when cold)" } else { "" }
    );
    run(&mut command)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }))
}

/// Returns when the person presses Ctrl-C, or SIGTERM arrives.
pub(crate) async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
