//! `man`: a manual page for the plugin and one for each of its commands, made of what `--help` says.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::exit::Exit;
use crate::options::Options;

/// Writes the pages into a folder.
pub fn run(folder: &Path) -> Result<Exit> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(Options::command(), folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    Ok(Exit::Done)
}
