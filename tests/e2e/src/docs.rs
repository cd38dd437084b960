//! The documents, as tests read them.

use std::path::{Path, PathBuf};

/// A block of commands.
#[derive(Clone, Debug)]
pub struct Commands {
    /// Line of the page where it begins.
    pub line: usize,
    /// Why no test runs it; empty if one does.
    pub not_run: String,
    /// The commands.
    pub text: String,
}

/// The folder of the documents.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The blocks of commands of a page.
pub fn commands(page: &str) -> Vec<Commands> {
    let text = std::fs::read_to_string(folder().join(page)).expect("a page");
    let mut blocks = Vec::new();
    let mut open: Option<Commands> = None;
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
                open = Some(Commands { line: number + 1, not_run, text: String::new() });
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block does not end");
    blocks.retain(|block| block.not_run != "not commands");
    blocks
}
