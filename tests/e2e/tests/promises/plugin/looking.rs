//! Logs and differences, of the revisions that are meant.

use std::time::Duration;

use greenlight_e2e::{Door, Lab};
use serde_json::{Value, json};

use super::{Ended, admin, bare, ended};

/// Behind this door every log says whose it is.
async fn with_logs() -> Door {
    let instead = |uri: &str| {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let pod = path.strip_suffix("/log")?.rsplit('/').next()?;
        let of_container = query.split('&').find_map(|word| word.strip_prefix("container="))?;
        if of_container == "mute" {
            return Some((400, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "container mute is waiting to start", "code": 400}).to_string()));
        }
        Some((200, format!("{pod} says hello\nand {query}\u{1b}[2J\n")))
    };
    Door::open(Duration::ZERO, instead).await.expect("a door")
}

fn logs(door: &Door, args: &[&str]) -> Ended {
    ended(bare(&[&["logs", "web", "-n", "logs", "--server", &door.url()], args].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_come_from_the_revision_that_is_meant() {
    let lab = Lab::new("logs").await;
    lab.deploy(json!({})).await;
    let door = with_logs().await;
    let now = lab.preview("web:v2").await;
    let status = now.status();
    let (active, preview) = (status.active_revision, status.preview_revision);
    let lines = |ended: Ended| ended.well().lines().map(str::to_owned).collect::<Vec<_>>();
    let of_active = lines(logs(&door, &[]));
    assert_eq!(of_active.len(), 4, "two pods with two lines each: {of_active:?}");
    assert!(of_active.iter().all(|line| line.starts_with(&format!("[web-{active}-"))), "{of_active:?}");
    assert_eq!(lines(logs(&door, &["--active"])), of_active);
    let of_preview = lines(logs(&door, &["--preview"]));
    assert!(of_preview.iter().all(|line| line.contains(&preview)), "{of_preview:?}");
    assert_eq!(lines(logs(&door, &["--revision", "2"])), of_preview);
    let asked = logs(&door, &["--previous", "--tail", "5", "--since", "10m", "-c", "web"]).well();
    for wanted in ["previous=true", "tailLines=5", "sinceSeconds=600"] {
        assert!(asked.contains(wanted), "{wanted}: {asked}");
    }
    let none = logs(&door, &["-c", "sidecar"]).with(1);
    assert!(none.contains("has no container sidecar; there are: web"), "{none}");
    let none = logs(&door, &["--revision", "7"]).with(1);
    assert!(none.contains("has no revision 7; there are: 2, 1"), "{none}");
    let both = logs(&door, &["--active", "--preview"]).with(1);
    assert!(both.contains("cannot be used with"), "{both}");
    ended(admin(&["promote", "web", "-n", "logs"])).well();
    let nothing = logs(&door, &["--preview"]).with(1);
    assert!(nothing.contains("no revision of rollout web waits in preview"), "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_says_nothing_hides_no_other() {
    let lab = Lab::new("logmute").await;
    let containers = json!([{"name": "web", "image": "web:v1"}, {"name": "mute", "image": "mute:v1"}]);
    lab.deploy(json!({"replicas": 1, "template": {"spec": {"containers": containers}}})).await;
    let door = with_logs().await;
    let logs =
        |args: &[&str]| ended(bare(&[&["logs", "web", "-n", "logmute", "--server", &door.url()], args].concat()));
    let all = logs(&[]);
    assert_eq!(all.code, 0, "{all:?}");
    assert!(all.out.contains("/web] ") && all.err.contains("container mute is waiting to start"), "{all:?}");
    assert!(logs(&["-c", "mute"]).with(1).contains("container mute is waiting to start"));
    let alone = logs(&["-c", "web"]).well();
    assert!(alone.starts_with("web-") && alone.contains('\u{1b}'), "alone and piped it is as it was printed: {alone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_followed_also_of_pods_that_come() {
    use std::io::{BufRead, BufReader};
    let lab = Lab::new("logfollow").await;
    lab.deploy(json!({"replicas": 1})).await;
    let door = with_logs().await;
    let mut command = bare(&["logs", "web", "-f", "-n", "logfollow", "--server", &door.url()]);
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    let first = next();
    assert!(first.contains("says hello"), "{first}");
    next();
    lab.scale(2);
    let second = next();
    assert!(second.contains("says hello") && second != first, "{second}");
    child.kill().expect("it ends");
    child.wait().expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_told_field_by_field() {
    let lab = Lab::new("differs").await;
    let diff = |args: &[&str]| ended(admin(&[&["diff", "web", "-n", "differs"], args].concat()));
    lab.deploy(json!({})).await;
    let same = diff(&[]).with(1);
    assert!(same.contains("what serves is already the template of rollout web: name two revisions of 1"), "{same}");
    let container = json!({
        "name": "web", "image": "web:v2", "env": [{"name": "LEVEL", "value": "debug\u{1b}[2J"}],
        "resources": {"requests": {"cpu": "10m"}},
    });
    lab.patch_spec(json!({"template": {"spec": {"containers": [container]}}})).await;
    lab.until("paused", |now| now.phase() == "Paused").await;
    let told = diff(&[]).well();
    assert!(told.starts_with("--- revision 1 (") && told.contains("\n+++ revision 2 ("), "{told}");
    assert!(told.contains("spec.containers[web].image\n  - web:v1\n  + web:v2\n"), "{told}");
    assert!(told.contains("spec.containers[web].env") && told.contains("spec.containers[web].resources"), "{told}");
    assert!(!told.contains('\u{1b}') && !told.contains("rollouts-pod-template-hash"), "{told}");
    let back: Value = serde_json::from_str(&diff(&["2", "1", "-o", "json"]).well()).expect("JSON");
    let image = back.as_array().into_iter().flatten().find(|d| d["field"] == "spec.containers[web].image");
    assert_eq!(image.map(|d| (&d["before"], &d["after"])), Some((&json!("web:v2"), &json!("web:v1"))));
    assert!(diff(&["1", "9"]).with(1).contains("has no revision 9 to compare; there are: 1, 2"));
    assert!(diff(&["1"]).with(1).contains("2 values required"));
    assert!(diff(&["1", "1"]).with(1).contains("the same as itself"));
}
