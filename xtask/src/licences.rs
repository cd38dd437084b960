//! The licences and sources of everything that is built in, against the lists in `deny.toml`. This needs nothing but cargo; where `cargo deny`
//! is installed it looks too. Advisories take a database that is fetched: a job of `.github/workflows/test.yaml` looks at them, here only
//! whoever has the database.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::shell::{self, cargo, root};

/// The only source of what is not in this repository.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: String,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: String,
}

/// Looks at each package for each platform.
pub(crate) fn check() -> Result<()> {
    let rules = std::fs::read_to_string(root().join("deny.toml"))?;
    let (allowed, platforms) = (list(&rules, "allow")?, list(&rules, "targets")?);
    let mut wrong = Vec::new();
    for platform in &platforms {
        let output = cargo()
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", platform])
            .current_dir(root())
            .output()?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        for package in &metadata.packages {
            let of = format!("{} {}", package.name, package.version);
            match &package.source {
                Some(source) if source != REGISTRY => wrong.push(format!("{of} comes from {source}")),
                None if !package.manifest_path.starts_with(&metadata.workspace_root) => {
                    wrong.push(format!("{of} comes from {}", package.manifest_path));
                }
                _ => {}
            }
            match &package.license {
                Some(licence) if is_allowed(licence, &allowed) => {}
                Some(licence) => wrong.push(format!("{of} is licensed as {licence}")),
                None => wrong.push(format!("{of} does not say how it is licensed")),
            }
        }
        eprintln!("{} packages for {platform}", metadata.packages.len());
    }
    wrong.sort();
    wrong.dedup();
    if !wrong.is_empty() {
        bail!("deny.toml does not allow:\n{}", wrong.join("\n"));
    }
    let is_installed = Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success());
    let mut checks = vec!["deny", "--offline", "check", "licenses", "bans", "sources"];
    if is_installed && has_advisories() {
        checks.push("advisories");
    } else {
        eprintln!(
            "NOT LOOKED AT: advisories. That takes cargo-deny and its database of them (cargo deny fetch); the job advisories of \
             .github/workflows/test.yaml looks at them"
        );
    }
    if is_installed {
        shell::run(cargo().args(checks).current_dir(root()))?;
    }
    Ok(())
}

/// Whether cargo-deny has fetched the database of advisories here.
fn has_advisories() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    home.is_some_and(|home| std::fs::read_dir(home.join("advisory-dbs")).is_ok_and(|mut found| found.next().is_some()))
}

/// The texts in a list of `deny.toml`, which has each list on one line.
fn list(rules: &str, key: &str) -> Result<Vec<String>> {
    let line = rules.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
    let line = line.with_context(|| format!("deny.toml has no list {key}"))?;
    Ok(line.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Whether an SPDX expression can be satisfied by what is allowed. An exception (`WITH`) is a licence of its own.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let holds = any_of(&mut rest, allowed);
    holds && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut holds = all_of(rest, allowed);
    while let Some(("OR", after)) = rest.split_first().map(|(word, after)| (*word, after)) {
        *rest = after;
        holds |= all_of(rest, allowed);
    }
    holds
}

fn all_of(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut holds = one(rest, allowed);
    while let Some(("AND", after)) = rest.split_first().map(|(word, after)| (*word, after)) {
        *rest = after;
        holds &= one(rest, allowed);
    }
    holds
}

fn one(rest: &mut &[&str], allowed: &[String]) -> bool {
    match **rest {
        ["(", ref after @ ..] => {
            *rest = after;
            let holds = any_of(rest, allowed);
            let is_closed = rest.first() == Some(&")");
            *rest = rest.get(1..).unwrap_or_default();
            holds && is_closed
        }
        [licence, "WITH", exception, ref after @ ..] => {
            *rest = after;
            allowed.iter().any(|known| *known == format!("{licence} WITH {exception}"))
        }
        [licence, ref after @ ..] => {
            *rest = after;
            allowed.iter().any(|known| known == licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_of_licences_is_allowed_if_a_choice_is() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/GPL-3.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR GPL-3.0) AND BSD-3-Clause",
            "Apache-2.0 WITH LLVM-exception",
            "",
            "(MIT",
        ] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn what_is_built_in_is_allowed() {
        check().expect("allowed");
    }
}
