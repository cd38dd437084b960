//! `scripts/release.sh`, as far as it goes without a cluster. The commands of docs/pipelines.md run all of it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A kubectl that prints what it is to check, and finds something in it.
const FINDS_SOMETHING: &str = "#!/bin/sh\ncat \"$3\"\nexit 2\n";
/// A kubectl that finds no namespace, and cannot plan.
const FINDS_NO_NAMESPACE: &str = r#"#!/bin/sh
case "$*" in
    "get namespace shop") echo 'Error from server (NotFound): namespaces "shop" not found' >&2; exit 1 ;;
    "greenlight plan "*) exit 1 ;;
esac
"#;
/// A kubectl of a rollout that waits for this reason, with what the spec asks for and what the preview shows: before the test, and after it.
const WAITS: &str = r#"#!/bin/sh
case "$*" in
    "greenlight status "*) exit 3 ;;
    "get bluegreenrollout "*Paused*) echo REASON ;;
    "get bluegreenrollout "*) if [ -e "$0.asked" ]; then echo "AFTER"; else touch "$0.asked"; echo "BEFORE"; fi ;;
    "greenlight promote web --revision v2 "* | "greenlight abort web --revision v2 "*) echo "kubectl has to $2" ;;
esac
"#;

/// What the script does with two manifests, of which neither has a line break at its end, and with this program as kubectl.
fn release(name: &str, kubectl: &str) -> Output {
    release_tested(name, kubectl, "true")
}

/// The same, with this test of the preview.
fn release_tested(name: &str, kubectl: &str, test: &str) -> Output {
    let folder = std::env::temp_dir().join(format!("greenlight-pipeline-{name}-{}", std::process::id()));
    let (manifests, program) = (folder.join("manifests"), folder.join("kubectl"));
    std::fs::create_dir_all(&manifests).expect("a folder");
    for name in ["a", "b"] {
        std::fs::write(manifests.join(name).with_extension("yaml"), format!("name: {name}")).expect("written");
    }
    std::fs::write(&program, kubectl).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/release.sh");
    let mut release = Command::new("sh");
    release.arg(script).arg(&manifests).args(["web", "shop"]).env("PATH", path).env("PREVIEW_TEST", test);
    let output = release.output().expect("it runs");
    std::fs::remove_dir_all(&folder).expect("removed");
    output
}

#[test]
fn a_manifest_without_a_line_break_at_its_end_does_not_run_into_the_next_one() {
    let output = release("ends", FINDS_SOMETHING);
    assert_eq!(output.status.code(), Some(2), "nothing is applied");
    let checked = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<&str> = checked.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["---", "---", "== lint and plan", "name: a", "name: b"]);
}

#[test]
fn a_first_deployment_into_a_namespace_that_the_manifests_make_has_nothing_to_plan() {
    let first = release("first", FINDS_NO_NAMESPACE);
    let told = String::from_utf8_lossy(&first.stdout);
    assert_eq!(first.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&first.stderr));
    assert!(told.contains("Namespace shop does not exist yet") && told.contains("== apply"), "{told}");
    let later = release("later", &FINDS_NO_NAMESPACE.replace("get namespace shop", "get nothing"));
    assert_eq!(later.status.code(), Some(1), "the plan counts: {}", String::from_utf8_lossy(&later.stdout));
}

#[test]
fn what_was_tested_is_promoted_or_aborted_and_nothing_that_arrived_meanwhile() {
    for (number, (test, reason, before, after, done, code)) in [
        ("true", "AwaitingPromotion", "v2 v2", "v2 v2", "promote", 0),
        ("false", "AwaitingPromotion", "v2 v2", "v2 v2", "abort", 1),
        // Without a preview Service.
        ("true", "AwaitingPromotion", "v2 ", "v2 ", "promote", 0),
        ("true", "AwaitingPromotion", "v3 v2", "v3 v3", "nothing", 1),
        ("true", "AwaitingPromotion", "v2 v2", "v3 v2", "nothing", 1),
        ("false", "AwaitingPromotion", "v2 v2", "v3 v3", "nothing", 1),
        ("true", "AnalysisInconclusive", "v2 v2", "v2 v2", "nothing", 3),
    ]
    .into_iter()
    .enumerate()
    {
        let kubectl = WAITS.replace("REASON", reason).replace("BEFORE", before).replace("AFTER", after);
        let output = release_tested(&format!("tested-{number}"), &kubectl, test);
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{number}: {told}{}", String::from_utf8_lossy(&output.stderr));
        let is_done = |what: &str| told.contains(&format!("kubectl has to {what}"));
        for what in ["promote", "abort"] {
            assert_eq!(is_done(what), what == done, "{number}: {told}");
        }
    }
}
