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

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    /// The page of a command and those of the commands below it, with what each is for.
    fn pages(command: &Command, name: &str) -> Vec<(String, String)> {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let below = command.get_subcommands().filter(|below| !below.is_hide_set());
        let below = below.flat_map(|below| pages(below, &format!("{name}-{}", below.get_name())));
        std::iter::once((format!("{name}.1"), about)).chain(below).collect()
    }

    #[test]
    fn every_command_has_a_page_that_says_what_it_is_for_and_no_page_has_no_command() {
        let folder = std::env::temp_dir().join(format!("greenlight-pages-{}", std::process::id()));
        run(&folder).expect("written");
        let pages = pages(&Options::command(), "kubectl-greenlight");
        assert!(pages.len() > 20, "{pages:?}");
        // Signs are written otherwise there, an apostrophe as `\*(Aq`.
        let letters = |text: &str| text.chars().filter(|letter| letter.is_alphabetic()).collect::<String>();
        for (file, about) in &pages {
            let page = std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let page = page.replace(r"\*(Aq", "'");
            assert!(!about.is_empty() && letters(&page).contains(&letters(about)), "{file}: {about}: {page}");
        }
        let there = std::fs::read_dir(&folder).expect("pages").count();
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(there, pages.len());
    }
}
