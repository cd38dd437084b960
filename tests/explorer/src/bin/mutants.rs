//! Plants faults in a copy of the core, one after the other, and lets the explorer look for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use greenlight_explorer::mutants::{MUTANTS, Mutant};

/// Plants faults in a copy of the core and looks for each.
#[derive(Parser)]
#[command(name = "mutants")]
struct Options {
    /// How long to look for each
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Only those whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    /// List them
    #[arg(long)]
    list: bool,
}

/// What the copy consists of.
const MEMBERS: [&str; 3] = ["crates/api", "crates/core", "tests/explorer"];

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let chosen: Vec<&Mutant> = MUTANTS.iter().filter(|mutant| mutant.name.contains(&options.only)).collect();
    if options.list {
        chosen.iter().for_each(|mutant| println!("{} ({})", mutant.name, mutant.file));
        return Ok(ExitCode::SUCCESS);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let scratch = target.join("mutants");
    copy_workspace(&root, &scratch)?;
    let sound = build(&scratch, &target, "the core as it is")?.with_file_name("prove-sound");
    fs::copy(sound.with_file_name("prove"), &sound)?;
    let broken = broken_without_a_fault(&sound)?;
    if !broken.is_empty() {
        println!("without a planted fault, these do not hold: {}", broken.join(", "));
    }
    let (mut caught, mut survived) = (0, 0);
    println!("{:<90} {:<18} {:>8}  history", "planted fault", "caught by", "seconds");
    for mutant in chosen {
        let began = Instant::now();
        let found = look(mutant, &root, &scratch, &target, &options, &broken)?;
        let seconds = began.elapsed().as_secs();
        match found {
            Some((predicate, trace)) => {
                caught += 1;
                let expected = mutant.expected.iter().any(|one| one.word() == predicate);
                let mark = if expected { "" } else { " (another one was expected)" };
                println!("{:<90} {predicate:<18} {seconds:>8}  {trace}{mark}", mutant.name);
            }
            None => {
                survived += 1;
                println!("{:<90} {:<18} {seconds:>8}", mutant.name, "NOTHING");
            }
        }
    }
    println!("{caught} caught, {survived} not");
    Ok(if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A copy of the explorer, the core and what the core needs.
fn copy_workspace(root: &Path, scratch: &Path) -> Result<()> {
    fs::create_dir_all(scratch)?;
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let members = manifest.lines().find(|line| line.starts_with("members = ")).context("a list of members")?;
    let fewer = format!("members = {MEMBERS:?}");
    write_if_changed(&scratch.join("Cargo.toml"), &manifest.replace(members, &fewer))?;
    write_if_changed(&scratch.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock"))?)?;
    for member in MEMBERS {
        copy_folder(&root.join(member), &scratch.join(member))?;
    }
    Ok(())
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

/// Plants one fault, builds, explores, and takes the fault out again.
fn look(
    mutant: &Mutant,
    root: &Path,
    scratch: &Path,
    target: &Path,
    options: &Options,
    broken: &[String],
) -> Result<Option<(String, String)>> {
    let file = Path::new("crates/core/src").join(mutant.file);
    let text = fs::read_to_string(root.join(&file))?;
    if text.matches(mutant.find).count() != 1 {
        bail!("{:?} stands {} times in {}", mutant.find, text.matches(mutant.find).count(), file.display());
    }
    write_if_changed(&scratch.join(&file), &text.replacen(mutant.find, mutant.replace, 1))?;
    let prove = build(scratch, target, mutant.name);
    fs::write(scratch.join(&file), text)?;
    let prove = prove?;
    let expected = |word: &String| mutant.expected.iter().any(|predicate| predicate.word() == word);
    let ignored: Vec<&str> = broken.iter().filter(|word| !expected(word)).map(String::as_str).collect();
    let ignored = ignored.join(",");
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let mut seed = 1_u64;
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now()).as_secs().max(1).to_string();
        let output = Command::new(&prove)
            .args(["--first", "--seconds", &left, "--ignore", &ignored, "--seed", &seed.to_string()])
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in said.lines().filter_map(|line| line.strip_prefix("first: ")) {
            let Some((predicate, trace)) = line.split_once(' ') else { continue };
            // It counts only if the core as it is passes.
            let sound = prove.with_file_name("prove-sound");
            if Command::new(sound).args(["--replay", trace]).output()?.status.success() {
                return Ok(Some((predicate.to_owned(), trace.to_owned())));
            }
        }
        seed += 1_000_000;
    }
    Ok(None)
}

/// Builds what lies in the scratch folder.
fn build(scratch: &Path, target: &Path, what: &str) -> Result<PathBuf> {
    let built = cargo(scratch, target).args(["build", "--quiet"]).args(BUILD).output()?;
    if !built.status.success() {
        bail!("{what} does not build:\n{}", String::from_utf8_lossy(&built.stderr));
    }
    Ok(target.join("explore/prove"))
}

/// Predicates that do not hold without a planted fault: they prove nothing.
fn broken_without_a_fault(sound: &Path) -> Result<Vec<String>> {
    let output = Command::new(sound).args(["--scope", "walks", "--seconds", "20", "--seed", "77000000"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let broken = said.lines().filter(|line| line.contains(" BROKEN "));
    Ok(broken.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect())
}

const BUILD: [&str; 6] = ["--profile", "explore", "--package", "greenlight-explorer", "--bin", "prove"];

fn cargo(scratch: &Path, target: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(scratch).env("CARGO_TARGET_DIR", target);
    command
}
