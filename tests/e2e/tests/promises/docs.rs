//! The documents: links lead somewhere, names are those of the code, and no commands hide from the tests that run them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use greenlight_e2e::docs::{commands, folder};

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
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    headings.map(anchor).collect()
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
    let alerts = read(&folder().join("../deploy/monitoring/alerts.yaml"));
    let runbooks = anchors(&read(&folder().join("runbooks.md")));
    for url in alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook_url:")) {
        let anchor = url.rsplit('#').next().expect("an anchor");
        assert!(runbooks.contains(anchor), "the runbook of an alert: {anchor}");
    }
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
    for reason in greenlight_core_reasons() {
        assert!(text.contains(&reason), "{reason}");
    }
}

/// Read from the source: the tests do not depend on the core.
fn greenlight_core_reasons() -> Vec<String> {
    let code = read(&folder().join("../crates/core/src/events.rs"));
    let list = code.split("REASONS: [&str;").nth(1).and_then(|rest| rest.split("];").next()).expect("the list");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
