//! Completion by the real kubectl, the manual pages, and the archive that krew installs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use greenlight_e2e::{Lab, binary, cluster, rollout};
use greenlight_test_cluster::KREW;
use serde_json::json;

use super::{admin, ended};

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_completes_commands_flags_and_the_names_that_there_are() {
    let lab = Lab::without_operator("completes").await;
    for name in ["shop", "shop-eu", "stock"] {
        let mut object = rollout(json!({"strategy": {"blueGreen": {"activeService": null, "previewService": null}}}));
        object["metadata"]["name"] = name.into();
        lab.apply(&object).expect("applied");
    }
    let folder = cluster().dir().join("completes");
    std::fs::create_dir_all(&folder).expect("a folder");
    let script = folder.join("kubectl_complete-greenlight");
    std::fs::write(&script, ended(admin(&["completion", "kubectl"])).well()).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let kubectl = cluster().tools().path("kubectl");
    for (link, target) in [("kubectl-greenlight", binary("kubectl-greenlight")), ("kubectl", kubectl.clone())] {
        drop(std::os::unix::fs::symlink(target, folder.join(link)));
    }
    // As the shell's completion asks kubectl.
    let complete = |words: &[&str]| {
        let output = Command::new(&kubectl)
            .args([&["__complete", "greenlight"], words].concat())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
            .env("KUBECONFIG", cluster().kubeconfig())
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["promote", "-n", "completes", "sh"]), ["shop", "shop-eu", ":4"]);
    assert_eq!(complete(&["--namespace=completes", "get", "rollout", "st"]), ["stock", ":4"]);
    assert_eq!(
        complete(&["undo", "--dry-run", "--to-revision", "3", "-n", "completes", ""]),
        ["shop", "shop-eu", "stock", ":4"]
    );
    assert_eq!(complete(&["set", "image", "-n", "completes", "sto"]), ["stock", ":4"]);
    assert!(complete(&["hist"]).contains(&"history".to_owned()));
    assert!(complete(&["status", "--un"]).contains(&"--until".to_owned()));
    assert!(complete(&["status", "x", "--until", "p"]).contains(&"paused".to_owned()));
    assert_eq!(complete(&["promote", "-n", "nowhere", ""]), [":4"], "nothing is no error");
    assert_eq!(complete(&["promote", "--server", "https://127.0.0.1:1", ""]), [":4"], "nor is a server that is away");
}

#[test]
fn the_real_krew_installs_what_is_packed_for_it() {
    let folder = std::env::temp_dir().join(format!("greenlight-krew-{}", std::process::id()));
    let (packed, root) = (folder.join("packed"), folder.join("root"));
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/krew/pack.sh");
    let output = Command::new(pack).arg(binary("kubectl-greenlight")).arg(&packed).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let archives = std::fs::read_dir(&packed).expect("archives").flatten().map(|entry| entry.path());
    let archive = archives.into_iter().find(|path| path.extension().is_some_and(|e| e == "gz")).expect("an archive");
    let manifest = packed.join("greenlight.yaml");
    let path = format!("{}:{}", root.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let krew = |archive: &Path| {
        let mut krew = Command::new(greenlight_test_cluster::ensure(&KREW).expect("krew").path("krew"));
        krew.arg("install").arg(format!("--manifest={}", manifest.display()));
        krew.arg(format!("--archive={}", archive.display())).stdin(Stdio::null());
        // Nothing of it is looked up anywhere.
        krew.env("KREW_ROOT", &root).env("KREW_NO_UPGRADE_CHECK", "1").env("PATH", &path);
        krew.output().expect("krew runs")
    };
    let other = folder.join("other.tar.gz");
    std::fs::write(&other, "not what the manifest promises").expect("written");
    assert!(!krew(&other).status.success(), "the sum in the manifest counts");
    let output = krew(&archive);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kubectl = |args: &[&str]| {
        let mut kubectl = Command::new(cluster().tools().path("kubectl"));
        kubectl.args(args).env("PATH", &path);
        ended(kubectl).well()
    };
    assert!(kubectl(&["greenlight", "version"]).starts_with("kubectl-greenlight "));
    assert!(kubectl(&["plugin", "list", "--name-only"]).contains("kubectl-greenlight"));
    let store = root.join("store/greenlight").join(format!("v{}", env!("CARGO_PKG_VERSION")));
    for file in ["LICENSE", "kubectl_complete-greenlight", "man/kubectl-greenlight-promote.1"] {
        assert!(store.join(file).exists(), "{file}");
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let folder = std::env::temp_dir().join(format!("greenlight-man-{}", std::process::id()));
    let folder_name = folder.display().to_string();
    let mut command = Command::new(binary("kubectl-greenlight"));
    command.args(["man", &folder_name]);
    ended(command).well();
    let pages: Vec<String> = std::fs::read_dir(&folder)
        .expect("pages")
        .flatten()
        .map(|page| page.file_name().to_string_lossy().into_owned())
        .collect();
    for command in ["", "-get-rollout", "-logs", "-diff", "-status", "-promote", "-set-image"] {
        assert!(pages.contains(&format!("kubectl-greenlight{command}.1")), "{command}: {pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("__complete")), "{pages:?}");
    let main = std::fs::read_to_string(folder.join("kubectl-greenlight.1")).expect("the page");
    std::fs::remove_dir_all(&folder).expect("removed");
    assert!(main.contains("Exit codes: 0 done") && main.contains("kubectl greenlight"), "{main}");
}
