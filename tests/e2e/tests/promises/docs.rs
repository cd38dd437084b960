//! The documents: links lead somewhere, names are those of the code, and no commands hide from the tests that run them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use greenlight_e2e::docs::{RUNBOOKS_ON_A_NODE, anchor, commands, folder};

/// The pages whose commands the suite `node` runs.
const RUN: [&str; 8] = [
    "gitops.md",
    "guide.md",
    "migrating.md",
    "monitoring.md",
    "pipelines.md",
    "quick-start.md",
    "runbooks.md",
    "security.md",
];

fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(folder()).expect("the documents").flatten().map(|entry| entry.path());
    let top = ["../README.md", "../CONTRIBUTING.md"].map(|path| folder().join(path));
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).chain(top).collect();
    pages.sort();
    pages
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            checked += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            assert!(target.exists(), "{}: {link} does not exist", page.display());
            let found = anchor.is_empty() || anchors(&read(&target)).contains(anchor);
            assert!(found, "{}: {link} has no such heading", page.display());
        }
    }
    assert!(checked > 40, "only {checked} links");
}

/// Each alert, and the address of its runbook.
fn alerts() -> Vec<(String, String)> {
    let text = read(&folder().join("../deploy/monitoring/alerts.yaml"));
    let of = |key: &'static str| text.lines().filter_map(move |line| line.trim().strip_prefix(key)).map(str::trim);
    let alerts: Vec<_> = of("- alert:").map(str::to_owned).zip(of("runbook_url:").map(str::to_owned)).collect();
    assert_eq!(alerts.len(), of("- alert:").count(), "an alert without a runbook");
    alerts
}

#[test]
fn every_alert_has_its_section_in_the_runbooks_of_this_version() {
    let text = read(&folder().join("runbooks.md"));
    let blocks = commands("runbooks.md");
    let version = concat!("/blob/v", env!("CARGO_PKG_VERSION"), "/docs/runbooks.md#");
    for (alert, url) in alerts() {
        let (_, section) = url.split_once(version).unwrap_or_else(|| panic!("{alert}: {url} is not of this version"));
        let heading = text.lines().filter_map(|line| line.strip_prefix("## ")).find(|line| anchor(line) == section);
        let heading = heading.unwrap_or_else(|| panic!("{alert}: no section {section}"));
        assert!(text.contains(&format!("| {alert} | [{heading}](#{section}) |")), "{alert} is not in the first table");
        let body = text.split(&format!("\n## {heading}\n")).nth(1).expect("the section");
        let body = body.split("\n## ").next().unwrap_or_default();
        for part in
            [&format!("**Alert:** {alert}."), "**Argo CD:**", "**Role:**", "**If refused:**", "**It is over when**"]
        {
            assert!(body.contains(part), "{heading} has no {part}");
        }
        let run = blocks.iter().filter(|block| block.section == section && block.not_run.is_empty()).count();
        assert!(run >= 2, "{heading}: only {run} blocks are run");
    }
}

#[test]
fn every_section_of_the_runbooks_is_run_by_a_suite() {
    let sections: BTreeSet<String> = commands("runbooks.md")
        .into_iter()
        .filter(|block| block.not_run.is_empty())
        .map(|block| block.section)
        .collect();
    let run: BTreeSet<String> =
        RUNBOOKS_ON_A_NODE.iter().chain(&crate::runbooks::SECTIONS).map(|section| (*section).to_owned()).collect();
    assert_eq!(sections, run);
}

#[test]
fn every_command_is_run_or_says_why_not() {
    for page in pages().iter().filter(|page| page.parent() == Some(&folder())) {
        let name = page.file_name().and_then(|name| name.to_str()).expect("a name");
        let run = commands(name).iter().filter(|block| block.not_run.is_empty()).count();
        assert_eq!(run > 0, RUN.contains(&name), "{name}: {run} blocks");
    }
}

#[test]
fn the_documents_name_the_metrics_that_there_are() {
    let code = ["mod.rs", "rollouts.rs"]
        .map(|file| read(&folder().join("../crates/operator/src/telemetry/metrics").join(file)));
    let code = code.join("\n");
    // A test may have a whole series: its name is what comes before the labels.
    let words = code.split('"').filter_map(|word| word.split('{').next());
    let real: BTreeSet<&str> = words.filter(|word| word.starts_with("greenlight_") && !word.contains(' ')).collect();
    let text = read(&folder().join("monitoring.md"));
    let named: BTreeSet<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("greenlight_"))
        .collect();
    assert_eq!(named, real);
}

#[test]
fn the_documents_name_the_events_that_there_are() {
    let text = read(&folder().join("notifications.md")) + &read(&folder().join("runbooks.md"));
    for reason in greenlight_core::events::REASONS {
        assert!(text.contains(reason), "{reason}");
    }
}
