//! Every check and test, in the order in which they tell most for the least time.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use greenlight_test_cluster::{
    ARGO_CD, ARGO_ROLLOUTS, CONTROL_PLANE, FLUX, HELM, KREW, KUBERNETES_VARIABLE, NODE, OTHER_KUBERNETES, TRAEFIK,
};

use crate::shell::{self, cargo, root};
use crate::{generate, image, imports, instructions, licences, prove, site, storm, workflows};

/// The end-to-end tests mostly wait for controllers, so more of them run at once than there are cores.
const END_TO_END_THREADS: &str = "8";
/// The promises' tests that install policies. An API server before 1.36 can end if it compiles a policy while it asks another one about a request
/// (<https://github.com/kubernetes/kubernetes/issues/135757>). So on other versions of Kubernetes these run by themselves, one after the other.
const INSTALL_POLICIES: [&str; 4] = ["attacks::", "chart::", "package::", "runbooks::"];
/// What is written in Go (the control plane, kubectl, helm) collects its garbage when it has this many per cent more than it needs: a suite is bound by
/// the processor, of which that takes a part, and has memory to spare.
const GARBAGE: (&str, &str) = ("GOGC", "300");
/// The part of the search for broken promises that takes about four minutes of two cores; `cargo xtask prove` takes five to six.
const PART_OF_SEARCH: [&str; 4] = ["--walks", "30000", "--states", "9000"];
/// What the tests use of Debian: a program, and the package that it is in.
const PACKAGES: [(&str, &str); 12] = [
    ("npm", "npm"),
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("prometheus", "prometheus"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("redis-server", "redis-server"),
    ("valgrind", "valgrind"),
];
const WITHOUT_BROWSER: &str =
    "the dashboard: install Debian's packages chromium and chromium-driver (as root) to run them";
/// What `greenlight-core` must never depend on.
const NOT_IN_CORE: [&str; 8] =
    ["tokio", "async-std", "futures", "kube-client", "kube-runtime", "hyper", "tracing", "reqwest"];

/// What of the tests is wanted.
#[derive(clap::Args, Debug)]
pub(crate) struct TestOptions {
    /// Skip nothing
    #[arg(long)]
    ci: bool,
    /// Also what takes hours: an earlier version, a real Argo Rollouts, the longer search, the planted faults, 500 storms, and the other versions of Kubernetes
    #[arg(long, conflicts_with = "kubernetes")]
    all: bool,
    /// Begin at the first step whose name begins with this: for a long run that was broken off. What is before it is not run, and the table says so
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// Only the promises, the other servers' suite and that of several operators, on the control plane of this version of Kubernetes: 1.33
    #[arg(long, value_name = "MINOR")]
    kubernetes: Option<String>,
}

/// Runs the tests, and ends with a table of what ran. In CI nothing may be skipped.
pub(crate) fn run(options: &TestOptions) -> Result<()> {
    if options.ci && options.from.is_some() {
        bail!("--ci runs everything: leave out --from");
    }
    let mut table = Table { rows: Vec::new(), from: options.from.clone(), started: Instant::now() };
    let result = match &options.kubernetes {
        Some(minor) => on_kubernetes(&mut table, minor, options.ci),
        None => everything(&mut table, options),
    };
    table.print();
    if let Some(from) = table.from {
        bail!("no step begins with \"{from}\": the table has their names");
    }
    result
}

fn everything(table: &mut Table, options: &TestOptions) -> Result<()> {
    let ci = options.ci;
    if ci && std::env::var_os("CI").is_none() {
        eprintln!("note: --ci outside of CI");
    }
    if options.from.is_some() {
        shell::build_programs()?;
    }
    table.step("formatting", |_| shell::run(cargo().args(["fmt", "--all", "--check"])))?;
    table.step("the core's dependencies", |_| check_core())?;
    table.step("links of the documents", |_| site::check_links())?;
    table.step("licences and sources", |_| licences::check())?;
    table.step("lints", |_| {
        shell::run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    table.step("unit and property tests", |row| {
        row.tests(cargo().args(["test", "--quiet", "--workspace", "--exclude", "greenlight-e2e"]))
    })?;
    table.step("the promises, searched", |_| prove::run("prove", &PART_OF_SEARCH.map(str::to_owned)))?;
    // Right after the search: in its profile, so that most of it is built.
    table.step("no text takes longer than 50 ms", |row| row.tests(&mut texts()))?;
    table.step("tools of the test cluster", |_| tools())?;
    table.step("workflows", |_| workflows::check())?;
    table.step("generated files", |_| generate::run(true))?;
    table.step("the site of the documents", |_| site::build())?;
    table.step("Debian's packages", |_| {
        install(&PACKAGES);
        Ok(())
    })?;
    table.step("instructions", |row| {
        if is_there("valgrind") {
            instructions::run()
        } else {
            row.skip(ci, "counting instructions: install Debian's package valgrind (as root) to do it")
        }
    })?;
    table.step("end-to-end tests on a real control plane", |row| promises(row, ci, end_to_end("promises", ci)))?;
    table.step("the dashboard in a real browser", |row| {
        // Browsers take more of a machine than controllers.
        if has_browser() {
            row.tests(end_to_end("dashboard", ci).env("RUST_TEST_THREADS", "3"))
        } else {
            row.skip(ci, WITHOUT_BROWSER)
        }
    })?;
    table.step("other API servers", |row| row.tests(&mut end_to_end("servers", ci)))?;
    table.step("releases in a storm", |row| row.tests(&mut end_to_end("storm", ci)))?;
    table.step("end-to-end tests with a real Argo CD", |row| {
        if is_there("redis-server") {
            row.tests(&mut end_to_end("gitops", ci))
        } else {
            row.skip(ci, "the tests with a real Argo CD: install Debian's package redis-server (as root) to run them")
        }
    })?;
    let mut on_node = end_to_end("node", ci);
    let missing = greenlight_test_cluster::missing_for_real_node();
    let has_node = missing.is_none();
    let images_and_node = |table: &mut Table| {
        if has_node {
            table.step("the images", |_| {
                on_node.env("GREENLIGHT_IMAGES", image::all()?);
                Ok(())
            })?;
        }
        table.step("real pods and traffic on a real node", |row| {
            // The suite says so itself, too, and fails where nothing may be skipped.
            row.skipped = missing.map(|missing| format!("the tests on a real node: {missing}"));
            row.tests(&mut on_node)
        })
    };
    table.step_beside("several operators", |row| row.tests(&mut end_to_end("shards", ci)), images_and_node)?;
    if options.all { what_takes_hours(table, ci) } else { Ok(()) }
}

fn what_takes_hours(table: &mut Table, ci: bool) -> Result<()> {
    table.step("a crash after any write", |row| {
        row.tests(end_to_end("promises", ci).args(["--", "--ignored", "a_crash_after_any_write"]))
    })?;
    table.step("five thousand rollouts on the dashboard", |row| {
        if has_browser() {
            row.tests(end_to_end("dashboard", ci).args(["--", "--ignored"]))
        } else {
            row.skip(ci, WITHOUT_BROWSER)
        }
    })?;
    table.step("upgrades of an earlier version under load", |row| {
        if greenlight_test_cluster::missing_for_real_node().is_some() {
            return row.skip(ci, "the upgrades of an earlier version: they take a real node");
        }
        let mut on_node = end_to_end("node", ci);
        on_node.env("GREENLIGHT_IMAGES", image::all()?).env("GREENLIGHT_EARLIER", image::earlier()?);
        row.tests(on_node.args(["--", "earlier"]))
    })?;
    table.step("operators of two versions at once", |row| {
        row.tests(end_to_end("two_versions", ci).env("GREENLIGHT_EARLIER", image::earlier()?))
    })?;
    table.step("the demo, from a fresh clone", |_| demo_of_clone())?;
    table.step("moving from a real Argo Rollouts", |row| migration(row, ci))?;
    table.step("the promises, searched for longer", |_| prove::run("prove", &[]))?;
    table.step("planted faults", |_| prove::run("mutants", &[]))?;
    table.step("releases in 500 storms", |row| row.tests(&mut storm::command(&storm::long())))?;
    for (minor, _) in &OTHER_KUBERNETES {
        on_kubernetes(table, minor, ci)?;
    }
    Ok(())
}

fn has_browser() -> bool {
    is_there("chromium") && is_there("chromedriver")
}

/// What was committed is enough: clones it, and runs the demo there as the README says. The tools of the test cluster are there already.
fn demo_of_clone() -> Result<()> {
    let target = root().join("target");
    let clone = target.join("clone");
    if clone.exists() {
        std::fs::remove_dir_all(&clone)?;
    }
    shell::run(Command::new("git").args(["clone", "--quiet"]).arg(root()).arg(&clone))?;
    let mut demo = cargo();
    demo.args(["xtask", "demo"]).current_dir(&clone).env("CARGO_TARGET_DIR", target.join("clone-target"));
    shell::run(&mut demo)
}

/// The move from Argo Rollouts, with its controller and Argo CD running. Not every module of theirs can be built everywhere.
fn migration(row: &mut Row, ci: bool) -> Result<()> {
    if !is_there("redis-server") {
        return row.skip(ci, "the move from Argo Rollouts: install Debian's package redis-server (as root) to run it");
    }
    if let Err(error) = greenlight_test_cluster::ensure(&ARGO_ROLLOUTS) {
        return row.skip(ci, &format!("the move from Argo Rollouts, which does not build: {error:#}"));
    }
    shell::build_programs()?;
    row.tests(&mut end_to_end("migration", ci))
}

/// The promises, by this command.
fn promises(row: &mut Row, ci: bool, mut tests: Command) -> Result<()> {
    shell::build_programs()?;
    tests.env("RUST_TEST_THREADS", END_TO_END_THREADS);
    if !is_there("prometheus") {
        row.skip(ci, "the tests with a real Prometheus: install Debian's package prometheus (as root) to run them")?;
        tests.env("GREENLIGHT_WITHOUT_PROMETHEUS", "1");
    }
    let result = row.tests(&mut tests);
    if result.is_err() {
        // What failed is looked for there.
        let folder = std::env::temp_dir();
        eprintln!("the logs stay in {}/greenlight-cluster-* until a control plane starts again", folder.display());
    } else if std::env::var_os("GREENLIGHT_KEEP_LOGS").is_none() {
        greenlight_test_cluster::sweep();
    }
    result
}

/// The promises, other servers, and several operators on another version of Kubernetes.
fn on_kubernetes(table: &mut Table, minor: &str, ci: bool) -> Result<()> {
    let build = || greenlight_test_cluster::ensure_control_plane(minor).map(drop);
    let on = |suite| {
        let mut tests = end_to_end(suite, ci);
        tests.env(KUBERNETES_VARIABLE, minor);
        tests
    };
    table.step(&format!("control plane of Kubernetes {minor}"), |_| build())?;
    let (mut others, mut policies) = (on("promises"), on("promises"));
    others.arg("--").args(INSTALL_POLICIES.iter().flat_map(|tests| ["--skip", tests]));
    policies.args(["--", "--test-threads", "1"]).args(INSTALL_POLICIES);
    table.step(&format!("end-to-end tests on Kubernetes {minor}"), |row| promises(row, ci, others))?;
    table.step(&format!("tests that install policies, on Kubernetes {minor}"), |row| promises(row, ci, policies))?;
    table.step(&format!("other API servers on Kubernetes {minor}"), |row| row.tests(&mut on("servers")))?;
    table.step(&format!("several operators on Kubernetes {minor}"), |row| row.tests(&mut on("shards")))
}

/// Builds every pinned tool that the tests use.
pub(crate) fn tools() -> Result<()> {
    for module in [&CONTROL_PLANE, &HELM, &KREW, &NODE, &ARGO_CD, &FLUX, &TRAEFIK] {
        greenlight_test_cluster::ensure(module)?;
    }
    Ok(())
}

/// What ran so far.
struct Table {
    rows: Vec<Row>,
    /// The step to begin with, until it is found.
    from: Option<String>,
    started: Instant,
}

/// One step.
#[derive(Default)]
struct Row {
    name: String,
    /// How many tests passed, if it is a suite.
    passed: Option<usize>,
    seconds: u64,
    /// What it left out, and why.
    skipped: Option<String>,
    /// What its failing tests panicked with. The table repeats it: of a long log, often only the end is kept.
    panics: Vec<String>,
    /// How it ended.
    outcome: Outcome,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Outcome {
    #[default]
    Passed,
    Failed,
    /// It comes before the step that was asked for.
    NotRun,
}

impl Table {
    /// Does a step and keeps what came of it.
    fn step(&mut self, name: &str, work: impl FnOnce(&mut Row) -> Result<()>) -> Result<()> {
        if self.leaves_out(name) {
            return Ok(());
        }
        let (row, result) = Row::of(name, work);
        self.rows.push(row);
        result
    }

    /// Does a step that mostly waits, and these others at the same time. Their lines of output come as they are written.
    fn step_beside(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Row) -> Result<()> + Send,
        others: impl FnOnce(&mut Table) -> Result<()>,
    ) -> Result<()> {
        if self.leaves_out(name) {
            return others(self);
        }
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| Row::of(name, work));
            let of_others = others(self);
            let (row, result) = beside.join().expect("a step does not panic");
            self.rows.push(row);
            of_others.and(result)
        })
    }

    /// Whether this step comes before the one that was asked for. If so, that is noted.
    fn leaves_out(&mut self, name: &str) -> bool {
        self.from.take_if(|from| name.starts_with(from.as_str()));
        let leaves_out = self.from.is_some();
        if leaves_out {
            self.rows.push(Row { name: name.to_owned(), outcome: Outcome::NotRun, ..Row::default() });
        }
        leaves_out
    }

    fn print(&self) {
        eprintln!("\n{:<55} {:>6} {:>8}", "step", "tests", "seconds");
        for row in &self.rows {
            let passed = row.passed.map(|passed| passed.to_string()).unwrap_or_default();
            let result = match row.outcome {
                Outcome::Passed => "",
                Outcome::Failed => "  FAILED",
                Outcome::NotRun => "  not run",
            };
            eprintln!("{:<55} {passed:>6} {:>8}{result}", row.name, row.seconds);
        }
        self.rows.iter().flat_map(|row| &row.panics).for_each(|line| eprintln!("{line}"));
        self.rows.iter().filter_map(|row| row.skipped.as_ref()).for_each(|skipped| eprintln!("SKIPPED: {skipped}"));
        let seconds = self.started.elapsed().as_secs();
        let passed: usize = self.rows.iter().filter_map(|row| row.passed).sum();
        let not_run = self.rows.iter().filter(|row| row.outcome == Outcome::NotRun).count();
        match self.rows.iter().find(|row| row.outcome == Outcome::Failed) {
            Some(row) => eprintln!("Failed at \"{}\" after {seconds} s.", row.name),
            None if not_run > 0 => {
                eprintln!("What was run passed: {passed} tests in {seconds} s. {not_run} steps were not run.")
            }
            None => eprintln!("Everything passed: {passed} tests in {seconds} s."),
        }
    }
}

impl Row {
    /// Does a step.
    fn of(name: &str, work: impl FnOnce(&mut Row) -> Result<()>) -> (Row, Result<()>) {
        let mut row = Row { name: name.to_owned(), ..Row::default() };
        eprintln!("== {name}");
        let started = Instant::now();
        let result = work(&mut row);
        row.seconds = started.elapsed().as_secs();
        row.outcome = if result.is_err() { Outcome::Failed } else { Outcome::Passed };
        eprintln!("== {name}: {} in {} s", if result.is_err() { "failed" } else { "done" }, row.seconds);
        (row, result)
    }

    /// Runs a test program, shows what it prints, and counts.
    fn tests(&mut self, command: &mut Command) -> Result<()> {
        let (mut passed, mut panics) = (0, Panics::default());
        let result = shell::run_and_read(command, |line| {
            passed += passed_in(line).unwrap_or(0);
            panics.read(line);
        });
        self.passed = Some(passed);
        if result.is_err() {
            self.panics = panics.lines;
        }
        result
    }

    fn skip(&mut self, ci: bool, what: &str) -> Result<()> {
        if ci {
            bail!("CI skips nothing, but it would skip {what}");
        }
        eprintln!("SKIPPED: {what}");
        self.skipped = Some(what.to_owned());
        Ok(())
    }
}

/// Picks the panics out of what a test program prints.
#[derive(Default)]
struct Panics {
    lines: Vec<String>,
    /// How many of the next lines belong to the message.
    more: usize,
}

impl Panics {
    /// A message may be a whole page; this much of it says what was expected and what came.
    const LINES_OF_ONE: usize = 6;
    /// The first few of many failures have the same cause as the rest.
    const LINES: usize = 60;

    fn read(&mut self, line: &str) {
        if line.starts_with("thread '") && line.contains(" panicked at ") {
            self.more = Panics::LINES_OF_ONE + 1;
        } else if line.is_empty() || line.starts_with("note: ") || line.starts_with("stack backtrace:") {
            self.more = 0;
        }
        if self.more > 0 && self.lines.len() < Panics::LINES {
            self.more -= 1;
            self.lines.push(line.chars().take(400).collect());
        }
    }
}

/// The number in a closing line of Rust's test runner, `test result: ok. 12 passed; 0 failed; …`.
fn passed_in(line: &str) -> Option<usize> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    counts.split_once(" passed")?.0.parse().ok()
}

/// What people and others write, at full speed: an unoptimised build is only asked not to be many times slower.
fn texts() -> Command {
    let mut tests = cargo();
    tests.args([
        "test",
        "--quiet",
        "--profile",
        "explore",
        "--package",
        "greenlight-core",
        "--test",
        "bounds",
        "--test",
        "others",
    ]);
    tests
}

/// One of the end-to-end suites.
fn end_to_end(suite: &str, ci: bool) -> Command {
    let mut tests = cargo();
    tests.args(["test", "--package", "greenlight-e2e", "--test", suite]).env(GARBAGE.0, GARBAGE.1);
    if ci {
        tests.env("GREENLIGHT_SKIP_NOTHING", "1");
    }
    tests
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
    for krate in ["core", "operator", "overview", "cli"] {
        imports::check(&root().join("crates").join(krate).join("src"))?;
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

#[cfg(test)]
mod tests {
    use super::Panics;

    #[test]
    fn the_panics_of_a_log_are_kept_without_what_stands_around_them() {
        let log = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\n---- b stdout ----\n\
                   thread 'b' (7) panicked at tests/b.rs:5:9:\nassertion `left == right` failed: two\n  left: 1\n right: 2\n\
                   stack backtrace:\n   0: somewhere\n\nfailures:\n    b\n";
        let mut panics = Panics::default();
        log.lines().for_each(|line| panics.read(line));
        let expected = [
            "thread 'b' (7) panicked at tests/b.rs:5:9:",
            "assertion `left == right` failed: two",
            "  left: 1",
            " right: 2",
        ];
        assert_eq!(panics.lines, expected);
    }
}
