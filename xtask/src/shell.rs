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
    forget_package(&mut command);
    command
}

/// Leaves out of a command's environment what cargo says there of the package of this program. Cargo takes that for a change of what build scripts read
/// of their own package (ring's does): everything that speaks TLS would be built anew whenever cargo is called by hand, from here, or from another
/// checkout, after it was called from elsewhere.
pub(crate) fn forget_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let is_of_a_package =
            |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|beginning| name.starts_with(beginning));
        if name.to_str().is_some_and(is_of_a_package) {
            command.env_remove(name);
        }
    }
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
        if release { ", optimised (several minutes when cold)" } else { "" }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_called_as_from_a_shell() {
        let command = cargo();
        let left_out: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        // Cargo sets these for its tests, too.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR"] {
            assert!(left_out.contains(&std::ffi::OsStr::new(name)), "{name}: {left_out:?}");
        }
    }
}
