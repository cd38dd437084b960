//! Runs what the documents say, to the letter.

use std::process::Stdio;

use anyhow::{Result, ensure};
use greenlight_e2e::docs::{RUNBOOKS_ON_A_NODE, commands, shell};
use greenlight_test_cluster::HELM;

use crate::site::Site;

const RUNBOOKS: &str = "runbooks.md";

/// Runs every block of a page, in order. Of the runbooks those that need a node.
pub fn run(site: &Site, page: &str) -> Result<()> {
    let plugin = greenlight_e2e::binary("kubectl-greenlight");
    let helm = greenlight_test_cluster::ensure(&HELM)?.path("helm");
    let folders =
        [&plugin, &site.cluster().tools().path("kubectl"), &helm].map(|path| path.parent().map(ToOwned::to_owned));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.into_iter().flatten().chain(std::env::split_paths(&path)))?;
    let home = site.cluster().dir().join("home");
    std::fs::create_dir_all(&home)?;
    let state = home.join(format!("{page}.exports"));
    let is_here = |section: &str| page != RUNBOOKS || RUNBOOKS_ON_A_NODE.contains(&section);
    for block in commands(page).into_iter().filter(|block| block.not_run.is_empty() && is_here(&block.section)) {
        println!("-- docs/{page}:{}\n{}", block.line, block.text.trim_end());
        let output = shell(&block, &state)
            .env("PATH", &path)
            .env("HOME", &home)
            .env("KUBECONFIG", site.cluster().kubeconfig())
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        println!("{text}");
        ensure!(output.status.success(), "docs/{page}:{}: {}", block.line, output.status);
        let missing = block.missing(&text);
        ensure!(missing.is_none(), "docs/{page}:{} shows an output without {missing:?}", block.line);
    }
    Ok(())
}
