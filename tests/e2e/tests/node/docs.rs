//! Runs what the documents say, to the letter.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use greenlight_e2e::docs::commands;
use greenlight_test_cluster::HELM;

use crate::site::{Site, repository};

/// Runs every block of a page, in order.
pub fn run(site: &Site, page: &str) -> Result<()> {
    let plugin = greenlight_e2e::binary("kubectl-greenlight");
    let helm = greenlight_test_cluster::ensure(&HELM)?.path("helm");
    let folders =
        [&plugin, &site.cluster().tools().path("kubectl"), &helm].map(|path| path.parent().map(ToOwned::to_owned));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.into_iter().flatten().chain(std::env::split_paths(&path)))?;
    let home = site.cluster().dir().join("home");
    std::fs::create_dir_all(&home)?;
    for block in commands(page).into_iter().filter(|block| block.not_run.is_empty()) {
        println!("-- docs/{page}:{}\n{}", block.line, block.text.trim_end());
        let status = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block.text])
            .current_dir(repository())
            .env("PATH", &path)
            .env("HOME", &home)
            .env("KUBECONFIG", site.cluster().kubeconfig())
            .stdin(Stdio::null())
            .status()?;
        ensure!(status.success(), "docs/{page}:{}: {status}", block.line);
    }
    Ok(())
}
