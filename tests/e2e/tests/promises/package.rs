//! What a release publishes, as far as it can be made here: the packaged chart with what Artifact Hub reads of it, and the notes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use greenlight_e2e::cluster;
use kube::ResourceExt;
use serde_json::Value;

use crate::chart::{chart, helm};
use crate::use_image::images;

/// The kinds of changes that Artifact Hub knows.
const CHANGES: [&str; 6] = ["added", "changed", "deprecated", "removed", "fixed", "security"];

/// A list in an annotation of the chart.
fn list(chart: &Value, annotation: &str) -> Vec<Value> {
    let annotation = format!("artifacthub.io/{annotation}");
    let text = chart["annotations"][&annotation].as_str().unwrap_or_else(|| panic!("no {annotation}"));
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{annotation}: {error}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}: {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packaged_chart_is_the_chart_and_tells_artifact_hub_what_is_in_it() {
    let version = env!("CARGO_PKG_VERSION");
    let folder = cluster().dir().join("package").display().to_string();
    let original = chart().display().to_string();
    helm(&["package", &original, "--destination", &folder]).expect("packaged");
    let package = format!("{folder}/greenlight-{version}.tgz");
    let everything = ["--set", "dashboard.enabled=true"];
    let rendered =
        |chart: &str| helm(&[&["template", "greenlight", chart], &everything[..]].concat()).expect("rendered");
    let manifests = rendered(&package);
    assert!(manifests == rendered(&original), "the package renders something else than its chart");

    let chart: Value = serde_saphyr::from_str(&helm(&["show", "chart", &package]).expect("shown")).expect("YAML");
    let listed = list(&chart, "images");
    let listed: BTreeSet<&str> = listed.iter().map(|image| text(image, "image")).collect();
    let run: BTreeSet<&str> = images(&manifests).into_iter().collect();
    assert_eq!(listed, run, "Artifact Hub scans the images that the chart runs");

    let crds = list(&chart, "crds");
    let crds: BTreeSet<[&str; 3]> =
        crds.iter().map(|crd| [text(crd, "name"), text(crd, "kind"), text(crd, "version")]).collect();
    let real = greenlight_api::crds();
    let real: Vec<[String; 3]> = real
        .iter()
        .flat_map(|crd| {
            let versions = crd.spec.versions.iter().map(|version| version.name.clone());
            versions.map(move |version| [crd.name_any(), crd.spec.names.kind.clone(), version])
        })
        .collect();
    let real: BTreeSet<[&str; 3]> = real.iter().map(|crd| crd.each_ref().map(String::as_str)).collect();
    assert_eq!(crds, real);

    let changes = list(&chart, "changes");
    assert!(!changes.is_empty());
    for change in &changes {
        assert!(CHANGES.contains(&text(change, "kind")) && !text(change, "description").is_empty(), "{change}");
        let links = change["links"].as_array().expect("links");
        let is_of_this_version = |link: &Value| text(link, "url").contains(&format!("/blob/v{version}/CHANGELOG.md"));
        assert!(links.iter().any(is_of_this_version), "{change}");
    }
    for link in &list(&chart, "links") {
        assert!(!text(link, "name").is_empty());
        let (_, path) = text(link, "url").split_once(&format!("/blob/v{version}/")).expect("a page of this version");
        assert!(repository().join(path).exists(), "{path}");
    }
    assert_eq!(text(&chart["annotations"], "artifacthub.io/license"), env!("CARGO_PKG_LICENSE"));
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The notes of a version, by the script in a copy with this changelog.
fn notes(copy: &Path, changelog: &str, args: &[&str]) -> Output {
    std::fs::create_dir_all(copy.join("scripts")).expect("a folder");
    for file in ["scripts/release-notes.sh", "Cargo.toml"] {
        std::fs::copy(repository().join(file), copy.join(file)).expect("copied");
    }
    std::fs::write(copy.join("CHANGELOG.md"), changelog).expect("written");
    Command::new("sh").arg(copy.join("scripts/release-notes.sh")).args(args).output().expect("it runs")
}

#[test]
fn the_notes_of_a_release_are_its_section_of_the_changelog() {
    let copy = std::env::temp_dir().join(format!("greenlight-notes-{}", std::process::id()));
    let version = env!("CARGO_PKG_VERSION");
    let changelog = std::fs::read_to_string(repository().join("CHANGELOG.md")).expect("the changelog");
    let heading = changelog.lines().find(|line| line.starts_with(&format!("## {version}"))).expect("a section");
    let outcomes = [
        (changelog.replace(heading, &format!("## {version}, 3 January 2027")), vec![version]),
        (changelog.replace(heading, &format!("## {version}, not released yet")), vec![version]),
        (changelog.clone(), vec!["9.9.9"]),
        (changelog.clone(), vec![]),
    ]
    .map(|(changelog, args)| {
        let older = "\n## 0.0.1, 1 January 2026\n\nAn older version.\n";
        notes(&copy, &format!("{changelog}{older}"), &args)
    });
    std::fs::remove_dir_all(&copy).expect("removed");
    let codes = outcomes.each_ref().map(|output| output.status.code());
    assert_eq!(codes, [Some(0), Some(1), Some(1), Some(64)]);
    let notes = String::from_utf8_lossy(&outcomes[0].stdout);
    let section = changelog.split(heading).nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let pages = format!("]({}/blob/v{version}/docs/", env!("CARGO_PKG_REPOSITORY"));
    let section = section.trim().replace("](docs/", &pages);
    assert_eq!(notes.trim(), section, "all of it, and nothing of other versions");
}
