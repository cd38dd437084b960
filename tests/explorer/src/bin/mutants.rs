//! Plants faults in a copy of the core, and lets the explorer look for each. All of them are planted in one build: a function that has
//! faults has a body for each, and the environment says which of them is planted. The search for each is bounded and follows from its
//! seed, so that what is caught once is caught always.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use greenlight_explorer::mutants::{MUTANTS, Mutant, PLANTED, plant};

/// Plants faults in a copy of the core and looks for each.
#[derive(Parser)]
#[command(name = "mutants")]
struct Options {
    /// The first seed of the random walks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many random walks
    #[arg(long, default_value_t = 12_000)]
    walks: u64,
    /// How many states of each scope
    #[arg(long, default_value_t = 6000)]
    states: usize,
    /// How many faults are looked for at once
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only those whose name has one of these in it
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// List them
    #[arg(long)]
    list: bool,
}

/// What the copy consists of.
const MEMBERS: [&str; 3] = ["crates/api", "crates/core", "tests/explorer"];

/// Where faults are planted.
const CORE: &str = "crates/core/src";

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let is_wanted =
        |mutant: &Mutant| options.only.is_empty() || options.only.iter().any(|word| mutant.name.contains(word));
    let chosen: VecDeque<(usize, &Mutant)> = (1..).zip(MUTANTS).filter(|(_, mutant)| is_wanted(mutant)).collect();
    if options.list {
        chosen.iter().for_each(|(_, mutant)| println!("{} ({})", mutant.name, mutant.file));
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let scratch = target.join("mutants");
    copy_workspace(&root, &scratch)?;
    // A file that nobody builds anew meanwhile.
    let sound = scratch.join("prove-sound");
    fs::copy(build(&root, &target, "the core as it is")?, &sound)?;
    // A folder of its own: cargo would take the copy's packages for those of the workspace.
    let proving = Proving {
        sound,
        planted: build(&scratch, &scratch.join("target"), "the core with its faults")?,
        options: &options,
    };
    println!("built in {} s", began.elapsed().as_secs());
    println!("{:<90} {:<18} {:>9} {:>5}  history", "planted fault", "caught by", "steps", "s");
    let count = chosen.len();
    let (waiting, survivors) = (Mutex::new(chosen), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..options.threads {
            threads.spawn(|| {
                loop {
                    let Some((number, mutant)) = waiting.lock().expect("nobody panics").pop_front() else { break };
                    let began = Instant::now();
                    let looked = proving.look(number, mutant);
                    if !matches!(looked, Ok(Looked { caught: Some(_), .. })) {
                        survivors.lock().expect("nobody panics").push(mutant.name);
                    }
                    tell(mutant, looked, began.elapsed().as_secs());
                }
            });
        }
    });
    let survivors = survivors.into_inner().expect("nobody panics");
    println!("{} of {count} planted faults are caught, in {} s", count - survivors.len(), began.elapsed().as_secs());
    survivors.iter().for_each(|name| println!("survives: {name}"));
    Ok(if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a search.
struct Looked {
    /// The events that it took; none where a history shows it that was found before.
    steps: String,
    /// The predicate that did not hold, and the history.
    caught: Option<(String, String)>,
}

/// One line of the table.
fn tell(mutant: &Mutant, looked: Result<Looked>, seconds: u64) {
    let (caught, steps, trace) = match looked {
        Ok(Looked { steps, caught: Some((predicate, trace)) }) => (predicate, steps, trace),
        Ok(Looked { steps, caught: None }) => ("NOTHING".to_owned(), steps, "-".to_owned()),
        Err(error) => ("NOTHING".to_owned(), "-".to_owned(), format!("{error:#}")),
    };
    let trace = if trace.is_empty() { "(the first deployment by itself)" } else { trace.as_str() };
    println!("{:<90} {caught:<18} {steps:>9} {seconds:>5}  {trace}", mutant.name);
}

/// The search, over the core as it is and over the one with faults.
struct Proving<'a> {
    sound: PathBuf,
    planted: PathBuf,
    options: &'a Options,
}

impl Proving<'_> {
    /// Explores with one fault planted.
    fn look(&self, number: usize, mutant: &Mutant) -> Result<Looked> {
        let expected: Vec<&str> = mutant.expected.iter().map(|predicate| predicate.word()).collect();
        let Options { seed, walks, states, .. } = self.options;
        let output = Command::new(&self.planted)
            .env(PLANTED, number.to_string())
            .args(["--first", "--only", &expected.join(","), "--against"])
            .arg(&self.sound)
            .args(["--seed", &seed.to_string(), "--walks", &walks.to_string()])
            .args(["--states", &states.to_string(), "--threads", "1"])
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(steps) = said.lines().find_map(|line| line.strip_prefix("nothing: ")) {
            return Ok(Looked { steps: steps.to_owned(), caught: None });
        }
        let first = said.lines().find_map(|line| line.strip_prefix("first: ")).context("a result of the search")?;
        let mut words = first.splitn(3, ' ').map(str::to_owned);
        let (predicate, steps) = words.next().zip(words.next()).context("predicate and steps")?;
        Ok(Looked { steps, caught: Some((predicate, words.next().unwrap_or_default())) })
    }
}

/// A copy of the explorer, the core with every fault, and what the core needs.
fn copy_workspace(root: &Path, scratch: &Path) -> Result<()> {
    fs::create_dir_all(scratch)?;
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let members = manifest.lines().find(|line| line.starts_with("members = ")).context("a list of members")?;
    let fewer = format!("members = {MEMBERS:?}");
    write_if_changed(&scratch.join("Cargo.toml"), &manifest.replace(members, &fewer))?;
    write_if_changed(&scratch.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock"))?)?;
    let core = scratch.join(CORE);
    let with_faults = |path: &Path, text: String| match path.strip_prefix(&core) {
        Ok(file) => plant(&file.to_string_lossy(), &text),
        Err(_) => Ok(text),
    };
    MEMBERS.iter().try_for_each(|member| copy_folder(&root.join(member), &scratch.join(member), &with_faults))
}

/// Builds the search of a workspace.
fn build(workspace: &Path, target: &Path, what: &str) -> Result<PathBuf> {
    let built = Command::new("cargo")
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", target)
        .args(["build", "--quiet", "--profile", "explore", "--package", "greenlight-explorer", "--bin", "prove"])
        .output()?;
    if !built.status.success() {
        bail!("{what} does not build:\n{}", String::from_utf8_lossy(&built.stderr));
    }
    Ok(target.join("explore/prove"))
}

/// Copies the texts of a folder, changed on the way.
fn copy_folder(from: &Path, to: &Path, change: &dyn Fn(&Path, String) -> Result<String>) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to, change)?;
        } else {
            let text = change(&to, fs::read_to_string(entry.path())?)?;
            write_if_changed(&to, &text)?;
        }
    }
    Ok(())
}

/// A file that is as it was keeps its time, so that nothing is built again for it.
fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
