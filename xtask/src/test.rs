//! Every check and test, in the order in which they tell most for the least time.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use greenlight_test_cluster::{ARGO_CD, CONTROL_PLANE, FLUX, HELM, NODE, TRAEFIK};

use crate::shell::{self, cargo, root};
use crate::{generate, image, imports, prove};

/// The end-to-end tests mostly wait for controllers, so more of them run at once than there are cores.
const END_TO_END_THREADS: &str = "8";
/// The part of the search for broken promises that takes about three minutes; `cargo xtask prove` takes twice as long.
const PART_OF_SEARCH: [&str; 4] = ["--walks", "60000", "--states", "9000"];
/// What the tests use of Debian: a program, and the package that it is in.
const PACKAGES: [(&str, &str); 8] = [
    ("prometheus", "prometheus"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("redis-server", "redis-server"),
];
/// What `greenlight-core` must never depend on.
const NOT_IN_CORE: [&str; 8] =
    ["tokio", "async-std", "futures", "kube-client", "kube-runtime", "hyper", "tracing", "reqwest"];

/// Runs everything. In CI nothing may be skipped.
pub(crate) fn run(ci: bool) -> Result<()> {
    let started = Instant::now();
    step("formatting", || shell::run(cargo().args(["fmt", "--all", "--check"])))?;
    step("the core's dependencies", check_core)?;
    step("lints", || {
        shell::run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    step("unit and property tests", || {
        shell::run(cargo().args(["test", "--quiet", "--workspace", "--exclude", "greenlight-e2e"]))
    })?;
    step("the promises, searched", || prove::run("prove", &PART_OF_SEARCH.map(str::to_owned)))?;
    step("tools of the test cluster", tools)?;
    step("generated files", || generate::run(true))?;
    step("Debian's packages", || {
        install(&PACKAGES);
        Ok(())
    })?;
    step("end-to-end tests on a real control plane", || {
        shell::run(cargo().args(["build", "--quiet", "--workspace", "--bins"]))?;
        let mut tests = end_to_end("promises", ci);
        tests.env("RUST_TEST_THREADS", END_TO_END_THREADS);
        if !is_there("prometheus") {
            skip(ci, "the tests with a real Prometheus: install Debian's package prometheus (as root) to run them")?;
            tests.env("GREENLIGHT_WITHOUT_PROMETHEUS", "1");
        }
        let result = shell::run(&mut tests);
        if std::env::var_os("GREENLIGHT_KEEP_LOGS").is_none() {
            greenlight_test_cluster::sweep();
        }
        result
    })?;
    step("other API servers", || shell::run(&mut end_to_end("servers", ci)))?;
    step("end-to-end tests with a real Argo CD", || {
        if is_there("redis-server") {
            shell::run(&mut end_to_end("gitops", ci))
        } else {
            skip(ci, "the tests with a real Argo CD: install Debian's package redis-server (as root) to run them")
        }
    })?;
    let mut on_node = end_to_end("node", ci);
    if greenlight_test_cluster::missing_for_real_node().is_none() {
        step("the image", || {
            on_node.env("GREENLIGHT_ROOTFS", image::rootfs()?);
            Ok(())
        })?;
    }
    step("real pods and traffic on a real node", || shell::run(&mut on_node))?;
    if ci && std::env::var_os("CI").is_none() {
        eprintln!("note: --ci outside of CI");
    }
    eprintln!("Everything passed in {} s.", started.elapsed().as_secs());
    Ok(())
}

/// Builds every pinned tool that the tests use.
pub(crate) fn tools() -> Result<()> {
    for module in [&CONTROL_PLANE, &HELM, &NODE, &ARGO_CD, &FLUX, &TRAEFIK] {
        greenlight_test_cluster::ensure(module)?;
    }
    Ok(())
}

/// One of the end-to-end suites.
fn end_to_end(suite: &str, ci: bool) -> Command {
    let mut tests = cargo();
    tests.args(["test", "--package", "greenlight-e2e", "--test", suite]);
    if ci {
        tests.env("GREENLIGHT_SKIP_NOTHING", "1");
    }
    tests
}

fn skip(ci: bool, what: &str) -> Result<()> {
    if ci {
        bail!("CI skips nothing, but it would skip {what}");
    }
    eprintln!("SKIPPED: {what}");
    Ok(())
}

/// Installs these, if that is possible here; who needs one says so if it is not.
fn install(packages: &[(&str, &str)]) {
    let missing: Vec<&str> =
        packages.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return;
    }
    eprintln!("installing {}", missing.join(" "));
    let apt_get = |args: &[&str]| Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").output();
    let arguments = [&["install", "--yes", "--no-install-recommends"], &missing[..]].concat();
    // A list of packages that is too old is the usual reason for a first failure.
    if !apt_get(&arguments).is_ok_and(|output| output.status.success()) {
        drop(apt_get(&["update"]));
        drop(apt_get(&arguments));
    }
}

fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    Path::new(program).exists() || found.is_ok_and(|output| output.status.success())
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
    imports::check(&root().join("crates/core/src"))?;
    let clocks = Command::new("grep")
        .args(["-rnE", r"Timestamp::now|SystemTime|Instant::now", "crates/core/src"])
        .current_dir(root())
        .output()?;
    if !clocks.stdout.is_empty() {
        bail!("greenlight-core reads a clock:\n{}", String::from_utf8_lossy(&clocks.stdout));
    }
    Ok(())
}
