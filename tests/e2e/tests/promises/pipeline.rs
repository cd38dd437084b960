//! `scripts/release.sh`, as far as it goes without a cluster. The commands of docs/pipelines.md run all of it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A kubectl that prints what it is to check, and finds something in it.
const KUBECTL: &str = "#!/bin/sh\ncat \"$3\"\nexit 2\n";

#[test]
fn a_manifest_without_a_line_break_at_its_end_does_not_run_into_the_next_one() {
    let folder = std::env::temp_dir().join(format!("greenlight-pipeline-{}", std::process::id()));
    let (manifests, kubectl) = (folder.join("manifests"), folder.join("kubectl"));
    std::fs::create_dir_all(&manifests).expect("a folder");
    for name in ["a", "b"] {
        std::fs::write(manifests.join(name).with_extension("yaml"), format!("name: {name}")).expect("written");
    }
    std::fs::write(&kubectl, KUBECTL).expect("written");
    std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/release.sh");
    let mut release = Command::new("sh");
    let output = release.arg(script).arg(&manifests).args(["web", "shop"]).env("PATH", path).output().expect("it runs");
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(output.status.code(), Some(2), "nothing is applied");
    let checked = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<&str> = checked.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["---", "---", "== lint and plan", "name: a", "name: b"]);
}
