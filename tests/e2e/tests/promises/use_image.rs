//! The quick start's image: named once, and everything that runs it follows.

use std::path::Path;
use std::process::Command;

use greenlight_e2e::cluster;

const OTHER: &str = "registry.example.com:5000/team/blue-green:9.1.0-rc.1";
const FOLDERS: [&str; 3] = ["charts", "deploy", "scripts"];

/// Standard output of a command in the copy.
fn run(copy: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(copy).output().expect("it runs");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Every `image:` in a text.
pub(crate) fn images(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image: ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_follows_the_name_of_the_image() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = cluster().dir().join("use-image");
    std::fs::create_dir_all(&copy).expect("a folder");
    for folder in FOLDERS {
        run(&repository, "cp", &["-r", folder, &copy.display().to_string()]);
    }
    run(&copy, "scripts/use-image.sh", &[OTHER]);
    let copied = |path: &str| copy.join(path).display().to_string();
    let kubectl = |path: &str| cluster().kubectl(&["kustomize", &copied(path)]).expect("kubectl kustomize");
    let install = std::fs::read_to_string(copy.join("deploy/install.yaml")).expect("install.yaml");
    let chart = crate::chart::helm(&["template", "greenlight", &copied("charts/greenlight")]).expect("helm template");
    let rendered = [
        ("install.yaml", install),
        ("the example", kubectl("deploy/examples/blue-green-v2")),
        ("the Job", kubectl("deploy/examples/smoke-test")),
        ("the chart, with its test and its hook", chart),
    ];
    for (what, text) in &rendered {
        let images = images(text);
        assert!(!images.is_empty(), "{what} names no image");
        assert!(images.iter().all(|image| *image == OTHER), "{what}: {images:?}");
    }
    let chart = copied("charts/greenlight");
    let only = ["--set", "dashboard.enabled=true", "--show-only", "templates/dashboard.yaml"];
    let dashboard = crate::chart::helm(&[&["template", "greenlight", chart.as_str()][..], &only[..]].concat())
        .expect("helm template");
    let (repository_of, tag) = OTHER.rsplit_once(':').expect("a tag");
    assert_eq!(images(&dashboard), [format!("{repository_of}-dashboard:{tag}")]);
    let described = std::fs::read_to_string(copy.join("charts/greenlight/Chart.yaml")).expect("Chart.yaml");
    assert_eq!(images(&described), [OTHER, &format!("{repository_of}-dashboard:{tag}")], "what Artifact Hub scans");
    // And back: nothing is left of it.
    run(&copy, "scripts/use-image.sh", &["greenlight:0.1.0"]);
    for folder in FOLDERS {
        let original = repository.join(folder).display().to_string();
        run(&copy, "diff", &["--recursive", folder, &original]);
    }
    let wrong = Command::new("scripts/use-image.sh").arg("registry:5000/untagged").current_dir(&copy).output();
    assert_eq!(wrong.expect("it runs").status.code(), Some(64));
}
