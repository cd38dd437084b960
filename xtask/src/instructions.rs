//! How many instructions the operator takes for what it does most often: a guard against what makes it slow, without a clock. Valgrind counts
//! them. They are of a build that is not optimised, so they are only to be compared with themselves.
//!
//! Each workload is a test that does its work once, or as often as it is told, inside of a function of a known name. Only what happens in there
//! is counted: what a test has to prepare may take a hundred times as much, and another number in each process, as its hash maps are seeded anew.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::contract::table;
use crate::shell::cargo;

/// The function that a test does its work in.
const COUNTED: &str = "--toggle-collect=*::again_and_again*";
/// How often to do it.
const TIMES: u64 = 10;
/// Limits are so many per cent above what it took when they were written.
const ROOM: u64 = 15;

/// A workload.
struct Workload {
    package: &'static str,
    /// The target that it is in: `--test instructions`.
    target: &'static [&'static str],
    test: &'static str,
    /// How many thousand instructions it may take.
    most: u64,
}

const CORE: (&str, &[&str]) = ("greenlight-core", &["--test", "instructions"]);
const OPERATOR: (&str, &[&str]) = ("greenlight-operator", &["--bin", "greenlight"]);

const fn of((package, target): (&'static str, &'static [&'static str]), test: &'static str, most: u64) -> Workload {
    Workload { package, target, test, most }
}

const WORKLOADS: [Workload; 8] = [
    of(CORE, "a_plan_at_rest", 660),
    of(CORE, "a_plan_with_a_preview", 860),
    of(CORE, "a_plan_that_moves_production", 1100),
    of(OPERATOR, "cluster::objects::tests::what_a_watch_brings_of_a_rollout_is_decoded", 5900),
    of(OPERATOR, "cluster::objects::tests::what_a_watch_brings_of_a_replica_set_is_decoded", 990),
    of(OPERATOR, "cluster::objects::tests::a_rollout_is_packed_and_unpacked", 4800),
    of(OPERATOR, "cluster::objects::tests::a_status_is_encoded", 1160),
    of(OPERATOR, "cluster::objects::tests::a_template_of_the_same_hash_is_looked_for_among_many", 70),
];

/// Counts all of them, prints a table, and fails if one takes more than it may.
pub(crate) fn run() -> Result<()> {
    let mut rows = Vec::new();
    let mut too_many = Vec::new();
    for workload in &WORKLOADS {
        let thousand = thousand_instructions(workload)?;
        let Workload { test, most, .. } = *workload;
        let name = test.rsplit("::").next().unwrap_or(test).replace('_', " ");
        if thousand > most {
            too_many.push(format!("{name}: {thousand}, at most {most}"));
        }
        rows.push([name, thousand.to_string(), most.to_string()]);
    }
    println!("{}", table(["Work", "Thousand instructions", "At most"], rows));
    ensure!(
        too_many.is_empty(),
        "more instructions than there may be. If that is meant, write what it is now and {ROOM} % into xtask/src/instructions.rs:\n{}",
        too_many.join("\n")
    );
    Ok(())
}

fn thousand_instructions(workload: &Workload) -> Result<u64> {
    let of_one = counted(&program(workload)?, workload.test)? / TIMES / 1000;
    ensure!(of_one > 0, "{}: nothing was counted", workload.test);
    Ok(of_one)
}

/// Builds the target; the program that its tests are in.
fn program(workload: &Workload) -> Result<String> {
    let mut command = cargo();
    command
        .args(["test", "--quiet", "--no-run", "--message-format=json", "--package", workload.package])
        .args(workload.target);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{command:?} failed");
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs: Vec<String> = messages
        .filter(|message| message["profile"]["test"] == true)
        .filter_map(|message| message["executable"].as_str().map(str::to_owned))
        .collect();
    programs.into_iter().next_back().with_context(|| format!("{} has no tests", workload.package))
}

/// How many instructions the work took.
fn counted(program: &str, test: &str) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        COUNTED,
        program,
        "--exact",
        test,
        "--test-threads=1",
    ]);
    let output = command.env("GREENLIGHT_TIMES", TIMES.to_string()).output().context("valgrind")?;
    let (told, said) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    if !output.status.success() || !said.contains("1 passed") {
        bail!("{command:?}: {told}{said}");
    }
    let counted = told.lines().find_map(|line| line.split_once("Collected : ")).context("callgrind tells no count")?;
    Ok(counted.1.trim().parse()?)
}
