//! The documents, as tests read them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A block of commands.
#[derive(Clone, Debug)]
pub struct Commands {
    /// Line of the page where it begins.
    pub line: usize,
    /// Anchor of the section that it is in; empty above the first one.
    pub section: String,
    /// Why no test runs it; empty if one does.
    pub not_run: String,
    /// The commands.
    pub text: String,
    /// What the page shows of their output, in the block after theirs; empty if it shows nothing.
    pub shown: String,
}

impl Commands {
    /// The first line that the page shows and that the real output does not have, after those before it. Other lines may stand between
    /// them. What differs at every run (hashes, names of pods, ages, ports, the width of columns) is not compared.
    pub fn missing(&self, real: &str) -> Option<&str> {
        let mut real = real.lines().map(without_chance);
        self.shown.lines().find(|line| !line.trim().is_empty() && !real.any(|real| real == without_chance(line)))
    }
}

/// The line above a block that no test runs begins so; the rest of it is the reason.
const NOT_RUN: &str = "> No test runs this block as it stands: ";
/// The letters and digits of hashes.
const HASH: &str = "bcdfghjklmnpqrstvwxz2456789";

/// A line without what differs at every run.
fn without_chance(line: &str) -> String {
    let word = |word: &str| if word.starts_with('…') { "POD".to_owned() } else { runs_without_chance(word) };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

fn runs_without_chance(word: &str) -> String {
    let mut kept = String::new();
    let mut rest = word;
    while !rest.is_empty() {
        let is_alphanumeric = |c: char| c.is_ascii_alphanumeric();
        let end = rest.find(|c: char| !is_alphanumeric(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        kept.push_str(match run {
            run if run.len() == 10 && run.chars().all(|c| HASH.contains(c)) => "HASH",
            run if is_age(run) => "AGE",
            run if run.len() >= 5 && run.chars().all(|c| c.is_ascii_digit()) => "PORT",
            run => run,
        });
        let end = after.find(is_alphanumeric).unwrap_or(after.len());
        kept.push_str(&after[..end]);
        rest = &after[end..];
    }
    kept
}

/// `2s`, `6m56s`, `3h`.
fn is_age(text: &str) -> bool {
    let is_one = |part: &str| {
        let number = part.strip_suffix(['d', 'h', 'm', 's']).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    !text.is_empty() && text.split_inclusive(|c: char| !c.is_ascii_digit()).all(is_one)
}

/// The sections of the runbooks that need a real node or an installed chart; the suite `node` runs them, and `promises` all others.
pub const RUNBOOKS_ON_A_NODE: [&str; 4] = ["", "preview-not-accessible", "operator-down", "upgrade"];

/// The folder of the documents.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The blocks of commands of a page, each with the block of its output. Those within lists are among them.
pub fn commands(page: &str) -> Vec<Commands> {
    blocks(page, &std::fs::read_to_string(folder().join(page)).expect("a page"))
}

fn blocks(page: &str, text: &str) -> Vec<Commands> {
    let mut blocks: Vec<Commands> = Vec::new();
    let mut open = None;
    let mut section = String::new();
    let mut not_run = String::new();
    for (number, line) in text.lines().enumerate() {
        match (open.take(), line.trim_start().strip_prefix("```")) {
            (Some((Fence::Commands { not_run }, line, text)), Some(_)) => {
                blocks.push(Commands { line, section: section.clone(), not_run, text, shown: String::new() });
            }
            (Some((Fence::Output, line, text)), Some(_)) => {
                let of = blocks.last_mut().filter(|last| last.not_run.is_empty() && last.shown.is_empty());
                of.unwrap_or_else(|| panic!("{page}:{line}: the output of no commands that are run")).shown = text;
            }
            (Some((Fence::Other, ..)), Some(_)) => {}
            (Some((fence, begin, text)), None) => open = Some((fence, begin, format!("{text}{line}\n"))),
            (None, Some(language)) => {
                assert!(!language.starts_with("sh "), "{page}:{}: the reason has a line of its own", number + 1);
                open = Some((Fence::new(language, std::mem::take(&mut not_run)), number + 1, String::new()));
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => {
                let reason = line.trim_start().strip_prefix(NOT_RUN).unwrap_or_default();
                not_run = reason.trim_end_matches('.').to_owned();
                if let Some(heading) = line.strip_prefix("## ") {
                    section = anchor(heading);
                }
            }
        }
    }
    assert!(open.is_none(), "{page}: a block does not end");
    blocks
}

/// What a block holds, by the words after its first three quotes.
enum Fence {
    Commands { not_run: String },
    Output,
    Other,
}

impl Fence {
    fn new(language: &str, not_run: String) -> Fence {
        match language {
            "sh" => Fence::Commands { not_run },
            "output" => Fence::Output,
            _ => Fence::Other,
        }
    }
}

/// The anchor of a heading, as GitHub makes it.
pub fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

/// Bash that runs a block as a person's terminal does: what one block of a page sets, the next one knows. `state` is a file for that.
pub fn shell(block: &Commands, state: &Path) -> Command {
    let state = state.display();
    let text = format!("set -a\n[ ! -e '{state}' ] || . '{state}'\n{}\nexport -p > '{state}'\n", block.text.trim_end());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &text]).current_dir(folder().join(".."));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_that_a_page_shows_is_compared_without_what_differs_at_every_run() {
        let page = "```sh\nrun\n```\n\n```output\nweb  ॥ Paused 6m56s\n2  2grvrwqqdr  1/1\n└─ …-vskbz  4s\n```\n";
        let [block] = &blocks("page", page)[..] else { panic!("one block") };
        assert_eq!(block.text, "run\n");
        let real = "created\nweb ॥ Paused 0s\n2  ltxsctdzcp  1/1\nbetween\n└─ …-b7ccl          13s\n";
        assert_eq!(block.missing(real), None);
        assert_eq!(block.missing(&real.replace("1/1", "0/1")), Some("2  2grvrwqqdr  1/1"));
        let turned: Vec<&str> = real.lines().rev().collect();
        assert!(block.missing(&turned.join("\n")).is_some(), "the order counts");
        assert!(block.missing("").is_some());
    }

    #[test]
    fn words_that_are_no_ages_stay() {
        for (word, kept) in
            [("3s", "AGE"), ("s", "s"), ("v2", "v2"), ("3/3", "3/3"), ("2m3s", "AGE"), ("12", "12"), ("30x", "30x")]
        {
            assert_eq!(without_chance(word), kept);
        }
        assert_eq!(without_chance("http://127.0.0.1:40289/v (2grvrwqqdr),"), "http://127.0.0.1:PORT/v (HASH),");
    }

    #[test]
    fn commands_within_a_list_are_found() {
        let page = "1. First\n\n   ```sh\n   ls\n   ```\n2. Then\n\n   > No test runs this block as it stands: why.\n\n   ```sh\n   rm\n   ```\n";
        let blocks = blocks("page", page);
        let found: Vec<_> = blocks.iter().map(|block| (block.text.trim(), block.not_run.as_str())).collect();
        assert_eq!(found, [("ls", ""), ("rm", "why")]);
    }

    #[test]
    fn a_reason_is_that_of_the_next_block_alone() {
        let page = "> No test runs this block as it stands: why.\n\n```sh\nrm\n```\n\n```sh\nls\n```\n";
        let found: Vec<_> = blocks("page", page).into_iter().map(|block| (block.text, block.not_run)).collect();
        assert_eq!(found, [("rm\n".to_owned(), "why".to_owned()), ("ls\n".to_owned(), String::new())]);
    }

    #[test]
    #[should_panic(expected = "the output of no commands that are run")]
    fn no_page_shows_the_output_of_what_is_not_run() {
        blocks("page", "> No test runs this block as it stands: why.\n\n```sh\nls\n```\n```output\nfile\n```\n");
    }
}
