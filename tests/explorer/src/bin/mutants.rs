//! Plants faults in a copy of the core, one after the other, and lets the explorer look for each. The search for each is bounded and
//! follows from its seed, so that what is caught once is caught always.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use greenlight_explorer::mutants::{MUTANTS, Mutant};

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
    /// How many threads
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

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let is_wanted =
        |mutant: &&Mutant| options.only.is_empty() || options.only.iter().any(|word| mutant.name.contains(word));
    let chosen: Vec<&Mutant> = MUTANTS.iter().filter(is_wanted).collect();
    if options.list {
        chosen.iter().for_each(|mutant| println!("{} ({})", mutant.name, mutant.file));
        return Ok(ExitCode::SUCCESS);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let copy = Copied { root, scratch: target.join("mutants"), options };
    copy.copy_workspace()?;
    let sound = copy.target().join("explore/prove-sound");
    fs::copy(copy.build("the core as it is")?, &sound)?;
    let mut survivors = Vec::new();
    println!("{:<90} {:<18} {:>9}  history", "planted fault", "caught by", "steps");
    for mutant in &chosen {
        // One that does not build is no reason not to look for the others.
        let looked =
            copy.look(mutant, &sound).unwrap_or_else(|error| Looked { steps: format!("{error:#}"), caught: None });
        match looked {
            Looked { steps, caught: Some((predicate, trace)) } => {
                let trace = if trace.is_empty() { "(the first deployment by itself)" } else { trace.as_str() };
                println!("{:<90} {predicate:<18} {steps:>9}  {trace}", mutant.name);
            }
            Looked { steps, caught: None } => {
                println!("{:<90} {:<18} {steps:>9}", mutant.name, "NOTHING");
                survivors.push(mutant.name);
            }
        }
    }
    println!("{} of {} planted faults are caught", chosen.len() - survivors.len(), chosen.len());
    survivors.iter().for_each(|name| println!("survives: {name}"));
    Ok(if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a search.
struct Looked {
    /// The events that it took.
    steps: String,
    /// The predicate that did not hold, and the history.
    caught: Option<(String, String)>,
}

/// A copy of the workspace that faults are planted in.
struct Copied {
    root: PathBuf,
    scratch: PathBuf,
    options: Options,
}

impl Copied {
    /// A folder of its own: cargo would take the copy's packages for those of the workspace.
    fn target(&self) -> PathBuf {
        self.scratch.join("target")
    }

    /// A copy of the explorer, the core and what the core needs.
    fn copy_workspace(&self) -> Result<()> {
        let Copied { root, scratch, .. } = self;
        fs::create_dir_all(scratch)?;
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let members = manifest.lines().find(|line| line.starts_with("members = ")).context("a list of members")?;
        let fewer = format!("members = {MEMBERS:?}");
        write_if_changed(&scratch.join("Cargo.toml"), &manifest.replace(members, &fewer))?;
        write_if_changed(&scratch.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock"))?)?;
        MEMBERS.iter().try_for_each(|member| copy_folder(&root.join(member), &scratch.join(member)))
    }

    /// Plants one fault, builds, explores, and takes the fault out again.
    fn look(&self, mutant: &Mutant, sound: &Path) -> Result<Looked> {
        let file = self.scratch.join("crates/core/src").join(mutant.file);
        let text = fs::read_to_string(&file)?;
        if text.matches(mutant.find).count() != 1 {
            bail!("{:?} stands {} times in {}", mutant.find, text.matches(mutant.find).count(), file.display());
        }
        write_if_changed(&file, &text.replacen(mutant.find, mutant.replace, 1))?;
        let prove = self.build(mutant.name);
        fs::write(&file, text)?;
        let expected: Vec<&str> = mutant.expected.iter().map(|predicate| predicate.word()).collect();
        let Options { seed, walks, states, threads, .. } = &self.options;
        let output = Command::new(prove?)
            .args(["--first", "--only", &expected.join(","), "--against"])
            .arg(sound)
            .args(["--seed", &seed.to_string(), "--walks", &walks.to_string()])
            .args(["--states", &states.to_string(), "--threads", &threads.to_string()])
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

    /// Builds what lies in the scratch folder.
    fn build(&self, what: &str) -> Result<PathBuf> {
        let built = Command::new("cargo")
            .current_dir(&self.scratch)
            .env("CARGO_TARGET_DIR", self.target())
            .args(["build", "--quiet", "--jobs", &self.options.threads.to_string()])
            .args(["--profile", "explore", "--package", "greenlight-explorer", "--bin", "prove"])
            .output()?;
        if !built.status.success() {
            bail!("{what} does not build:\n{}", String::from_utf8_lossy(&built.stderr));
        }
        Ok(self.target().join("explore/prove"))
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            let text = fs::read_to_string(entry.path())?;
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
