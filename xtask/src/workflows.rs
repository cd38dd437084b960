//! What is published, checked as far as it can be without publishing: the workflows by actionlint, and that the versions agree.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use greenlight_test_cluster::{ACTIONLINT, OTHER_KUBERNETES};
use serde_json::{Map, Value};

use crate::shell::{self, root};
use crate::source;

const WORKFLOWS: &str = ".github/workflows";
/// A workflow for users to copy.
const EXAMPLE: &str = "deploy/examples/pipelines/github-actions.yaml";

/// Checks them.
pub(crate) fn check() -> Result<()> {
    let actionlint = greenlight_test_cluster::ensure(&ACTIONLINT)?.path("actionlint");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join(WORKFLOWS))?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    ensure!(files.len() >= 2, "there are only {} workflows", files.len());
    let dockerfile = source::read("Dockerfile")?;
    for file in &files {
        let workflow = std::fs::read_to_string(file)?;
        let checked = actions_are_pinned(&workflow).and_then(|()| one_rust(&workflow, &dockerfile));
        checked.with_context(|| file.display().to_string())?;
    }
    files.push(root().join(EXAMPLE));
    // Whether a shell linter happens to be installed makes no difference.
    shell::run(Command::new(actionlint).args(["-shellcheck=", "-pyflakes="]).args(&files).current_dir(root()))?;
    versions_agree()?;
    plugin_comes_first(&source::read(".github/workflows/release.yaml")?)?;
    for name in ["test.yaml", "nightly.yaml"] {
        tests_have_debian(&source::read(&format!("{WORKFLOWS}/{name}"))?).context(name)?;
    }
    ensure!(source::read(".github/workflows/nightly.yaml")?.contains("xtask test --ci --all"), "nobody runs all tests");
    every_version_of_kubernetes_is_in_the_matrix()
}

/// Whoever gets hold of an action's repository can move a tag to something else, and not a commit.
fn actions_are_pinned(workflow: &str) -> Result<()> {
    let used = workflow.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("uses: "));
    let loose: Vec<&str> = used.filter(|action| !is_pinned(action)).collect();
    ensure!(loose.is_empty(), "write ACTION@COMMIT # vVERSION in the place of {loose:?}");
    Ok(())
}

fn is_pinned(action: &str) -> bool {
    let Some((action, _version)) = action.split_once(" # v") else { return false };
    let commit = action.rsplit_once('@').map_or("", |(_, commit)| commit);
    commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A workflow builds with the Rust of the Dockerfile, since a newer one has lints that nobody has seen yet; and tries the oldest one that will do.
fn one_rust(workflow: &str, dockerfile: &str) -> Result<()> {
    let image = dockerfile.split("FROM rust:").nth(1).and_then(|rest| rest.split('-').next());
    let version = image.context("the Dockerfile begins with no image of Rust")?;
    let places = ["toolchain install ", "--default-toolchain "];
    let after = places.iter().flat_map(|place| workflow.split(*place).skip(1));
    let named: Vec<&str> = after.filter_map(|rest| rest.split_whitespace().next()).collect();
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    let is_known = |named: &&str| {
        let is_patch_of = |minor: &str| named.strip_prefix(minor).is_some_and(|patch| patch.starts_with('.'));
        is_patch_of(version) || is_patch_of(oldest)
    };
    ensure!(
        !named.is_empty() && named.iter().all(is_known),
        "the workflow installs Rust {named:?}, the Dockerfile has {version}, and {oldest} is the oldest"
    );
    Ok(())
}

/// The crates, the chart and its application have one version, as a release needs.
fn versions_agree() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let chart = source::read("charts/greenlight/Chart.yaml")?;
    for line in [format!("version: {version}"), format!("appVersion: \"{version}\"")] {
        ensure!(chart.lines().any(|found| found == line), "Chart.yaml has no line {line}");
    }
    // Pages of this version, and its images.
    for file in ["charts/greenlight/Chart.yaml", "deploy/monitoring/alerts.yaml", "Dockerfile"] {
        let text = source::read(file)?;
        let marks = ["/blob/v", "image.version=\""];
        let after = marks.iter().flat_map(|mark| text.split(*mark).skip(1));
        let named: Vec<&str> = after.filter_map(|rest| rest.split(['/', '"']).next()).collect();
        ensure!(
            !named.is_empty() && named.iter().all(|named| *named == version),
            "{file} names the versions {named:?}"
        );
    }
    let changelog = source::read("CHANGELOG.md")?;
    ensure!(changelog.contains(&format!("\n## {version}")), "the changelog has no section {version}");
    Ok(())
}

/// No test here compiles the plugin for every platform, so what publishes waits for the job that does.
fn plugin_comes_first(release: &str) -> Result<()> {
    let release: Value = serde_saphyr::from_str(release)?;
    let jobs = release["jobs"].as_object().context("the jobs of a release")?;
    let publishes = |job: &Value| ["packages", "contents"].iter().any(|what| job["permissions"][*what] == "write");
    let publishers: Vec<&String> = jobs.iter().filter(|(_, job)| publishes(job)).map(|(name, _)| name).collect();
    let early: Vec<_> = publishers.iter().filter(|name| !waits_for_plugin(jobs, name)).collect();
    ensure!(!publishers.is_empty() && early.is_empty(), "publish before the plugin is compiled: {early:?}");
    Ok(())
}

fn waits_for_plugin(jobs: &Map<String, Value>, job: &str) -> bool {
    let needs = &jobs.get(job).unwrap_or(&Value::Null)["needs"];
    let several = needs.as_array().into_iter().flatten().filter_map(Value::as_str);
    needs.as_str().into_iter().chain(several).any(|need| need == "plugin" || waits_for_plugin(jobs, need))
}

/// The tests install packages by Debian's names, where one that does not exist keeps all others away.
fn tests_have_debian(workflow: &str) -> Result<()> {
    let workflow: Value = serde_saphyr::from_str(workflow)?;
    let jobs = workflow["jobs"].as_object().context("the jobs")?;
    let runs = |job: &Value, what: &str| {
        let commands = job["steps"].as_array().into_iter().flatten().filter_map(|step| step["run"].as_str());
        commands.into_iter().any(|command| command.contains(what))
    };
    let on_debian = |job: &Value| job["container"]["image"].as_str().is_some_and(|image| image.starts_with("debian:"));
    let mut tested = jobs.iter().filter(|(_, job)| runs(job, "xtask test") && !runs(job, "--kubernetes")).peekable();
    ensure!(tested.peek().is_some(), "no job runs the tests");
    let elsewhere: Vec<&String> = tested.filter(|(_, job)| !on_debian(job)).map(|(name, _)| name).collect();
    ensure!(elsewhere.is_empty(), "these jobs run the tests, and not on Debian: {elsewhere:?}");
    Ok(())
}

fn every_version_of_kubernetes_is_in_the_matrix() -> Result<()> {
    let text = source::read(".github/workflows/test.yaml")?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("kubernetes: [")).context("the matrix")?;
    let listed: Vec<&str> = line.trim_end_matches(']').split(", ").map(|minor| minor.trim_matches('"')).collect();
    let pinned: Vec<&str> = OTHER_KUBERNETES.iter().map(|(minor, _)| *minor).collect();
    ensure!(listed == pinned, "the matrix has {listed:?}, pinned are {pinned:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_run_where_their_packages_are() {
        for name in ["test.yaml", "nightly.yaml"] {
            tests_have_debian(&source::read(&format!("{WORKFLOWS}/{name}")).expect("it is there")).expect(name);
        }
        let ubuntu = "jobs:\n  all:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: cargo xtask test --ci\n";
        assert!(tests_have_debian(ubuntu).expect_err("no Debian").to_string().contains("all"));
    }

    #[test]
    fn an_action_is_the_one_of_a_commit() {
        let commit = "3d3c42e5aac5ba805825da76410c181273ba90b1";
        actions_are_pinned(&format!("      - uses: actions/checkout@{commit} # v7.0.1\n")).expect("a commit");
        for loose in
            ["actions/checkout@v7".to_owned(), format!("actions/checkout@{commit}"), "a/b@main # v1".to_owned()]
        {
            let error =
                actions_are_pinned(&format!("        uses: {loose}\n")).expect_err("no commit with its version");
            assert!(error.to_string().contains(&loose), "{error}");
        }
    }

    #[test]
    fn workflows_build_with_the_rust_of_the_dockerfile() {
        let dockerfile = "FROM rust:1.95-alpine AS build\n";
        one_rust("rustup toolchain install 1.95.0 --profile minimal\n", dockerfile).expect("the same");
        for other in ["rustup toolchain install stable", "sh -s -- --default-toolchain 1.950.0", "cargo test"] {
            assert!(one_rust(other, dockerfile).is_err(), "{other}");
        }
    }

    #[test]
    fn nothing_is_published_before_the_plugin_is_compiled_for_every_platform() {
        let release = source::read(".github/workflows/release.yaml").expect("it is there");
        plugin_comes_first(&release).expect("the workflow");
        let early = "jobs:\n  plugin: {}\n  image:\n    needs: version\n    permissions:\n      packages: write\n";
        assert!(plugin_comes_first(early).expect_err("it is early").to_string().contains("image"));
        let after = early.replace("needs: version", "needs: [chart]") + "  chart:\n    needs: plugin\n";
        plugin_comes_first(&after).expect("by way of another one");
    }
}
