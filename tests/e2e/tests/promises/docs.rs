//! The documents: names are those of the code, and no commands hide from the tests that run them. Links are checked by `cargo xtask site`.

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
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.sort();
    pages
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
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
    for page in &pages() {
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

/// The cells of a row of a table, without their quotes.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim_matches('|').replace("\\|", "\u{0}");
    row.split('|').map(|cell| cell.trim().trim_matches('`').replace('\u{0}', "|")).collect()
}

#[test]
fn the_conditions_of_the_page_on_analysis_mean_what_it_says() {
    use greenlight_api::AnalysisPhase;
    use greenlight_api::analysis::Metric;
    let text = read(&folder().join("analysis.md"));
    let table = text.split("| successCondition | failureCondition | result | Outcome |\n|---|---|---|---|\n").nth(1);
    let rows = table.expect("the table").lines().take_while(|line| line.starts_with('|'));
    let mut checked = 0;
    for row in rows {
        let [success, failure, result, outcome] = &cells(row)[..] else { panic!("four cells: {row}") };
        let condition = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let metric = Metric {
            success_condition: condition(success),
            failure_condition: condition(failure),
            ..Metric::default()
        };
        let result = serde_json::from_str(result).expect("JSON");
        let is = greenlight_core::analysis::expression::assess(&metric, &result).unwrap_or(AnalysisPhase::Error);
        assert_eq!(format!("{is:?}"), *outcome, "{row}");
        checked += 1;
    }
    assert!(checked >= 10, "only {checked} rows");
}

#[test]
fn the_manifests_of_the_page_on_analysis_are_ones() {
    let text = read(&folder().join("analysis.md"));
    let template = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a template");
    let file = std::env::temp_dir().join(format!("greenlight-analysis-{}.yaml", std::process::id()));
    std::fs::write(&file, template).expect("written");
    let plugin = greenlight_e2e::binary("kubectl-greenlight");
    let lint = std::process::Command::new(plugin).arg("lint").arg("--strict").arg(&file).output().expect("it runs");
    let _ = std::fs::remove_file(&file);
    assert!(
        lint.status.success(),
        "{}{}",
        String::from_utf8_lossy(&lint.stdout),
        String::from_utf8_lossy(&lint.stderr)
    );
}

#[test]
fn the_readme_shows_what_the_quick_start_shows() {
    let readme = read(&folder().join("../README.md"));
    let shown = readme.split("\n```\n").nth(1).expect("a block without a language");
    let outputs: String = commands("quick-start.md").into_iter().map(|block| block.shown).collect();
    assert!(outputs.contains(shown), "the suite node compares the quick start with the real output: {shown}");
}

#[test]
fn the_readme_installs_by_the_commands_of_the_quick_start() {
    let readme = read(&folder().join("../README.md"));
    let install = readme.split("\n## Install\n").nth(1).and_then(|section| section.split("```sh\n").nth(1));
    let install = install.and_then(|rest| rest.split("```").next()).expect("a block of commands");
    let blocks: Vec<String> = commands("quick-start.md").into_iter().map(|block| block.text).collect();
    let quick_start = blocks.join("\n");
    let mut compared = 0;
    for line in install.lines() {
        let command = line.split(" #").next().unwrap_or_default().trim_end();
        assert!(quick_start.lines().any(|known| known == command), "the quick start does not run: {command}");
        compared += 1;
    }
    assert!(compared >= 8, "only {compared} commands");
}

/// Every file of Rust below a folder, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| match path.extension() {
            _ if path.is_dir() => sources(&path),
            Some(kind) if kind == "rs" => vec![(path.clone(), read(&path))],
            _ => Vec::new(),
        })
        .collect()
}

/// Whether a function, from its name on, has this name; `…` stands for what the page leaves out.
fn is_named(function: &str, name: &str) -> bool {
    let function = function.split(['(', '<']).next().unwrap_or_default();
    let pieces: Vec<&str> = name.split('…').collect();
    match pieces[..] {
        [whole] => function == whole,
        _ => function.starts_with(pieces[0]) && pieces.iter().all(|piece| function.contains(piece)),
    }
}

#[test]
fn the_tests_that_the_documents_name_exist() {
    assert!(is_named("is_read(now: u8)", "is_read") && is_named("is_read<T>(now: T)", "is_re…"));
    assert!(!is_named("is_read_twice()", "is_read") && !is_named("is_read_twice()", "…once…"));
    let top = folder().join("..");
    let sources: Vec<_> = ["tests", "crates"].iter().flat_map(|folder| sources(&top.join(folder))).collect();
    let is_file = |name: &str| sources.iter().any(|(path, _)| path.ends_with(name));
    // `release::a_newer_commit…`: a function or a file, below a file or a folder of that name.
    let is_test = |name: &str| {
        let (module, test) = name.rsplit_once("::").unwrap_or_default();
        let module = module.rsplit("::").next().unwrap_or_default();
        sources.iter().any(|(path, text)| {
            let within = path.with_extension("");
            within.components().any(|part| part.as_os_str() == module)
                && (within.ends_with(test) || text.split("fn ").skip(1).any(|function| is_named(function, test)))
        })
    };
    let is_function =
        |name: &str| sources.iter().any(|(_, text)| text.split("fn ").skip(1).any(|function| is_named(function, name)));
    let mut named = 0;
    let others = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| top.join(name));
    for page in pages().into_iter().chain(others) {
        let text = read(&page);
        for word in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let is_name = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_/:.…".contains(c));
            // A test is named by a sentence, and a metric is not.
            let is_sentence = word.matches('_').count() > 3 && !word.starts_with("greenlight_");
            if is_name && (word.contains("::") || word.ends_with(".rs") || is_sentence) {
                named += 1;
                assert!(is_file(word) || is_test(word) || is_function(word), "{} names {word}", page.display());
            }
        }
    }
    assert!(named > 100, "only {named} names were found");
}

#[test]
fn the_documents_have_the_numbers_that_the_budget_is_checked_against() {
    let budget = read(&folder().join("../tests/e2e/tests/promises/budget.rs"));
    let limit =
        |line: &str| Some(line.trim().strip_prefix("check(\"")?.strip_suffix(");")?.rsplit_once(", ")?.1.to_owned());
    let limits: Vec<String> = budget.lines().filter_map(limit).collect();
    let [create, update, promote, undo, after_undo] = &limits[..] else { panic!("{limits:?}") };
    for (page, told) in [
        ("../README.md", format!("at most {create}, {update}, {promote} and {undo} requests")),
        ("argo-rollouts.md", format!("| {create}, {update}, {promote}, {undo} |")),
        ("performance.md", format!("An update after an undo takes {after_undo},")),
        (
            "capacity.md",
            format!(
                "at most {create} requests to create a rollout, {update} for an update up to the preview, {promote} for the promotion, and {undo} for an undo"
            ),
        ),
    ] {
        let text = read(&folder().join(page)).replace('\n', " ");
        assert!(text.contains(&told), "{page} does not say: {told}");
    }
}

#[test]
fn the_supported_versions_are_those_that_are_pinned() {
    let pinned = read(&folder().join("../tests/cluster/src/tools.rs"));
    let is_version = |word: &&str| word.starts_with("v1.") && word.matches('.').count() == 2;
    let versions: BTreeSet<&str> = pinned.split('"').filter(is_version).map(|version| &version[1..]).collect();
    assert!(versions.len() >= 4, "{versions:?}");
    let (page, readme) = (read(&folder().join("supported.md")), read(&folder().join("../README.md")));
    for version in versions {
        assert!(page.contains(version), "supported.md has no {version}");
        let minor = version.rsplit_once('.').expect("a patch version").0;
        assert!(readme.contains(minor), "the README has no {minor}");
    }
}
