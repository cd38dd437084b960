//! Every check and test, in the order in which they tell most for the least time.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use greenlight_test_cluster::{ARGO_CD, CONTROL_PLANE, HELM, NODE, TRAEFIK};

use crate::generate;
use crate::shell::{self, cargo, root};

/// The end-to-end tests mostly wait for controllers, so more of them run at once than there are cores.
const END_TO_END_THREADS: &str = "8";
/// What `greenlight-core` must never depend on.
const NOT_IN_CORE: [&str; 8] =
    ["tokio", "async-std", "futures", "kube-client", "kube-runtime", "hyper", "tracing", "reqwest"];

/// Runs everything. In CI nothing may be skipped.
pub(crate) fn run(ci: bool) -> Result<()> {
    let started = Instant::now();
    step("formatting", || shell::run(cargo().args(["fmt", "--all", "--check"])))?;
    step("the core's dependencies", check_core)?;
    step("generated files", || generate::run(true))?;
    step("lints", || {
        shell::run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    step("unit and property tests", || {
        shell::run(cargo().args(["test", "--quiet", "--workspace", "--exclude", "greenlight-e2e"]))
    })?;
    step("tools of the test cluster", tools)?;
    let prometheus = prometheus(ci)?;
    step("end-to-end tests on a real control plane", || {
        shell::run(cargo().args(["build", "--quiet", "--workspace", "--bins"]))?;
        let mut tests = cargo();
        tests.args(["test", "--package", "greenlight-e2e"]).env("RUST_TEST_THREADS", END_TO_END_THREADS);
        if !prometheus {
            tests.env("GREENLIGHT_WITHOUT_PROMETHEUS", "1");
        }
        let result = shell::run(&mut tests);
        if std::env::var_os("GREENLIGHT_KEEP_LOGS").is_none() {
            greenlight_test_cluster::sweep();
        }
        result
    })?;
    if ci && std::env::var_os("CI").is_none() {
        eprintln!("note: --ci outside of CI");
    }
    eprintln!("Everything passed in {} s.", started.elapsed().as_secs());
    Ok(())
}

/// Builds every pinned tool that the tests use.
pub(crate) fn tools() -> Result<()> {
    for module in [&CONTROL_PLANE, &HELM, &NODE, &ARGO_CD, &TRAEFIK] {
        greenlight_test_cluster::ensure(module)?;
    }
    Ok(())
}

/// Debian's Prometheus, installed if that is possible here.
fn prometheus(ci: bool) -> Result<bool> {
    let there = || Command::new("prometheus").arg("--version").output().is_ok_and(|output| output.status.success());
    if there() {
        return Ok(true);
    }
    step("installing Debian's prometheus", || {
        let install =
            |args: &[&str]| Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").output();
        // A list of packages that is too old is the usual reason for a first failure.
        let packages = ["install", "--yes", "--no-install-recommends", "prometheus"];
        if !install(&packages).is_ok_and(|output| output.status.success()) {
            drop(install(&["update"]));
            drop(install(&packages));
        }
        Ok(())
    })?;
    if there() {
        return Ok(true);
    }
    if ci {
        bail!("Debian's prometheus cannot be installed here, and CI skips nothing");
    }
    eprintln!("SKIPPED: the tests with a real Prometheus. Install Debian's package prometheus (as root) to run them");
    Ok(false)
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("== {name}");
    let started = Instant::now();
    work()?;
    eprintln!("== {name}: done in {} s", started.elapsed().as_secs());
    Ok(())
}

/// The core is pure: no async runtime, no client, no clock of its own.
fn check_core() -> Result<()> {
    let tree = cargo()
        .args(["tree", "--package", "greenlight-core", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .output()?;
    let tree = String::from_utf8(tree.stdout)?;
    for line in tree.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if NOT_IN_CORE.contains(&name) {
            bail!("greenlight-core depends on {name}: decisions take no client and no runtime");
        }
    }
    let clocks = Command::new("grep")
        .args(["-rnE", r"Timestamp::now|SystemTime|Instant::now", "crates/core/src"])
        .current_dir(root())
        .output()?;
    if !clocks.stdout.is_empty() {
        bail!("greenlight-core reads a clock:\n{}", String::from_utf8_lossy(&clocks.stdout));
    }
    Ok(())
}
