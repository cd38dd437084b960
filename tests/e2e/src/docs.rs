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
}

/// The sections of the runbooks that need a real node or an installed chart; the suite `node` runs them, and `promises` all others.
pub const RUNBOOKS_ON_A_NODE: [&str; 4] = ["", "preview-not-accessible", "operator-down", "upgrade"];

/// The folder of the documents.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The blocks of commands of a page.
pub fn commands(page: &str) -> Vec<Commands> {
    let text = std::fs::read_to_string(folder().join(page)).expect("a page");
    let mut blocks = Vec::new();
    let mut open: Option<Commands> = None;
    let mut section = String::new();
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.push_str(&format!("{line}\n")),
            (None, Some(info)) => {
                let not_run = match info.strip_prefix("sh") {
                    Some("") => String::new(),
                    Some(info) => info.trim_start_matches(" not run:").trim().to_owned(),
                    None => "not commands".to_owned(),
                };
                open = Some(Commands { line: number + 1, section: section.clone(), not_run, text: String::new() });
            }
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    section = anchor(heading);
                }
            }
        }
    }
    assert!(open.is_none(), "{page}: a block does not end");
    blocks.retain(|block| block.not_run != "not commands");
    blocks
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
