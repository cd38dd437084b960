//! Waiting for what is named, saying why, and only trying.

use std::process::{Command, Stdio};
use std::time::Duration;

use greenlight_e2e::{Door, Lab, eventually, rollout};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{admin, bare, ended};

#[tokio::test(flavor = "multi_thread")]
async fn status_waits_for_what_is_named() {
    let lab = Lab::new("untilwhat").await;
    lab.deploy(json!({})).await;
    let status = |until: &str, timeout: &str| {
        ended(admin(&["status", "web", "-n", "untilwhat", "--until", until, "--timeout", timeout])).code
    };
    assert_eq!((status("healthy", "30s"), status("promoted", "30s")), (0, 0));
    assert_eq!(status("paused", "1s"), 4, "nothing waits for anybody");
    lab.set_image("web:v2").await;
    assert_eq!(status("paused", "60s"), 0);
    assert_eq!(status("promoted", "1s"), 4, "a person may still come");
    let waits = ended(admin(&["status", "web", "-n", "untilwhat"]));
    assert_eq!(waits.code, 3, "without a wish it is as it was: {waits:?}");
    let waiting = std::thread::spawn(|| {
        ended(admin(&["status", "web", "-n", "untilwhat", "--until", "promoted", "--timeout", "60s"]))
    });
    ended(admin(&["promote", "web", "-n", "untilwhat"])).well();
    let waited = waiting.join().expect("it ends");
    assert_eq!(waited.code, 0, "{waited:?}");
    ended(admin(&["undo", "web", "-n", "untilwhat"])).well();
    assert_eq!(status("healthy", "60s"), 2, "what was rejected does not become healthy by itself");
    let wrong = ended(admin(&["status", "web", "--until", "done"])).with(1);
    assert!(wrong.contains("paused, promoted, healthy"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_is_kept_where_it_is_looked_for() {
    let lab = Lab::new("why").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"requiredApprovals": 2}}})).await;
    let now = lab.preview("web:v2").await;
    let hash = now.status().updated_revision;
    let plugin = |args: &[&str]| ended(admin(&[args, &["-n", "why"]].concat()));
    let half = plugin(&["promote", "web", "--reason", "the smoke test was good"]);
    assert_eq!(half.code, 3, "{half:?}");
    assert!(half.out.contains("1 of 2: the smoke test was good"), "{half:?}");
    let record = lab.now().await.status().decisions.expect("a record").revision(&hash).cloned().expect("an entry");
    assert_eq!(record.approvals[0].reason.as_deref(), Some("the smoke test was good"));
    plugin(&["abort", "web", "--reason", "the price is wrong"]).well();
    let history = plugin(&["history", "web"]).well();
    assert!(history.contains("by admin: aborted: the price is wrong"), "{history}");
    let tree = plugin(&["get", "rollout", "web"]).well();
    assert!(tree.contains("aborted: the price is wrong"), "{tree}");
    let retried = plugin(&["retry", "web", "--reason", "it was right"]).well();
    assert!(retried.contains("over: it was right"), "{retried}");
    let long = plugin(&["promote", "web", "--reason", &"x".repeat(2000)]).with(1);
    assert!(long.contains("give a shorter --reason"), "{long}");
    let empty = plugin(&["promote", "web", "--reason", ""]).with(1);
    assert!(empty.contains("a value is required"), "{empty}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_production_went_back_and_why_its_pods_were_replaced_is_kept() {
    let lab = Lab::new("whyback").await;
    lab.deploy(json!({})).await;
    let undone = lab.release("web:v2").await.status().updated_revision;
    let plugin = |args: &[&str]| ended(admin(&[args, &["-n", "whyback"]].concat())).well();
    let told = plugin(&["undo", "web", "--reason", "the basket is empty"]);
    assert!(told.contains("the basket is empty"), "{told}");
    let record = lab.now().await.status().decisions.expect("a record").revision(&undone).cloned().expect("an entry");
    assert_eq!(record.rejection.expect("rejected").reason, "rolled back: the basket is empty");
    let history = plugin(&["history", "web"]);
    assert!(history.contains("by admin: rolled back: the basket is empty"), "{history}");
    let told = plugin(&["restart", "web", "--reason", "it leaks memory"]);
    assert!(told.contains(": it leaks memory."), "{told}");
    let observed = lab.now().await.status().observed_request.expect("an answer");
    let request: Value = serde_json::from_str(&observed.value).expect("JSON");
    assert_eq!((&request["action"], &request["reason"]), (&json!("restart"), &json!("it leaks memory")));
    assert!(observed.answer.ends_with(": it leaks memory"), "{}", observed.answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_the_spec_was_changed_is_kept_until_it_is_changed_again() {
    let lab = Lab::without_operator("cause").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    let plugin = |args: &[&str]| ended(admin(&[args, &["-n", "cause"]].concat())).well();
    let cause =
        || lab.kubectl(&["get", "bgr", "web", "-o", "jsonpath={.metadata.annotations.kubernetes\\.io/change-cause}"]);
    plugin(&["set", "image", "web", "web=web:v2", "--reason", "only to see", "--dry-run"]);
    assert_eq!(cause(), "", "nothing was written");
    // The first time there may be no annotations at all.
    lab.kubectl(&["annotate", "bgr", "web", "kubectl.kubernetes.io/last-applied-configuration-"]);
    plugin(&["set", "image", "web", "web=web:v2", "--reason", "CVE-2026-1"]);
    assert_eq!(cause(), "image set by admin: CVE-2026-1");
    plugin(&["pause", "web", "--reason", "the sale has begun"]);
    assert_eq!(cause(), "paused by admin: the sale has begun");
    let tree = plugin(&["get", "rollout", "web"]);
    assert!(tree.contains("Change cause: paused by admin: the sale has begun"), "{tree}");
    let facts: Value = serde_json::from_str(&plugin(&["get", "rollout", "web", "-o", "json"])).expect("JSON");
    assert_eq!(facts["changeCause"], "paused by admin: the sale has begun");
    plugin(&["resume", "web"]);
    assert_eq!(cause(), "", "what was said of the pause says nothing of its end");
    plugin(&["pause", "web"]);
    plugin(&["resume", "web", "--reason", "the sale is over"]);
    assert_eq!(cause(), "resumed by admin: the sale is over");
    // What others wrote there is theirs.
    lab.kubectl(&["annotate", "bgr", "web", "kubernetes.io/change-cause=release 4.2"]);
    plugin(&["pause", "web"]);
    assert_eq!(cause(), "release 4.2");
    plugin(&["set", "image", "web", "web=web:v3", "--reason", "and back"]);
    assert_eq!(cause(), "image set by admin: and back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_come_and_changes_nothing() {
    let lab = Lab::new("tried").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let before = lab.now().await.rollout.expect("it is there");
    let plugin = |args: &[&str]| ended(admin(&[args, &["-n", "tried", "--dry-run"]].concat()));
    let promote = plugin(&["promote", "web"]).well();
    assert!(promote.contains("Nothing was changed. Asking rollout web to promote is allowed"), "{promote}");
    assert!(promote.contains("point Service web-active at"), "{promote}");
    assert!(plugin(&["abort", "web", "--reason", "only to see"]).well().contains("was rejected by admin"));
    // A pod's age is in whole seconds: one of this second needs no restart.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let restart = plugin(&["restart", "web"]).well();
    assert!(restart.contains("evict pod"), "{restart}");
    assert!(plugin(&["set", "image", "web", "web=web:v3"]).well().contains("(web:v3)"));
    assert!(plugin(&["pause", "web"]).well().contains("To pause rollout web is allowed"));
    plugin(&["resume", "web"]).well();
    let undo = plugin(&["undo", "web"]);
    assert_eq!(undo.code, 2, "{undo:?}");
    assert!(undo.err.contains("The operator would refuse: There is no earlier revision"), "{undo:?}");
    let retry = plugin(&["retry", "web"]);
    assert!(retry.code == 2 && retry.err.contains("was not rejected"), "{retry:?}");
    let after = lab.now().await.rollout.expect("it is there");
    assert_eq!(before.resource_version(), after.resource_version(), "nothing was written");
    let refused = ended(admin(&["promote", "web", "-n", "tried", "--dry-run=server", "--as", "ann"])).with(1);
    assert!(refused.contains("What would allow it"), "the API server is asked: {refused}");
    let refused = ended(admin(&["promote", "web", "--dry-run=client"])).with(1);
    assert!(refused.contains("write --dry-run or --dry-run=server"), "{refused}");
    // What the operator said of an earlier request is no answer to something else.
    assert!(ended(admin(&["retry", "web", "-n", "tried"])).with(2).contains("was not rejected"));
    assert!(plugin(&["pause", "web"]).well().contains("To pause rollout web is allowed"));
    assert!(plugin(&["set", "image", "web", "web=web:v3"]).well().contains("(web:v3)"));
    assert!(ended(admin(&["promote", "web", "-n", "tried", "--dry-run=none"])).well().contains("is active"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_not_made_in_the_past_where_the_clock_is_behind() {
    let lab = Lab::without_operator("clockbehind").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    // To the API server it is much later than here.
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
        "metadata": {"creationTimestamp": "2099-01-01T00:00:00Z"}, "status": {"userInfo": {"username": "ann"}},
    });
    let instead = move |uri: &str| uri.contains("/selfsubjectreviews").then(|| (201, review.to_string()));
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let promote = ["promote", "web", "-n", "clockbehind", "--revision", "abc", "--no-wait"];
    ended(bare(&[promote.as_slice(), &["--server", &door.url()]].concat())).well();
    let request = "jsonpath={.metadata.annotations.greenlight\\.dev/request}";
    let request: Value = serde_json::from_str(&lab.kubectl(&["get", "bgr", "web", "-o", request])).expect("JSON");
    assert_eq!((&request["by"], &request["at"]), (&json!("ann"), &json!("2099-01-01T00:00:00Z")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_any_more_is_told_that_the_request_stands() {
    let mut lab = Lab::new("standing").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    lab.kill_operator();
    let mut command = admin(&["promote", "web", "-n", "standing"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let request = "jsonpath={.metadata.annotations.greenlight\\.dev/request}";
    eventually("it is asked for", async || lab.kubectl(&["get", "bgr", "web", "-o", request]).contains("promote"))
        .await;
    // By then it waits.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("The request stands: kubectl greenlight status web -n standing"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_deleted_is_not_waited_for() {
    let lab = Lab::without_operator("goneaway").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    let waiting = std::thread::spawn(|| ended(admin(&["status", "web", "-n", "goneaway", "--timeout", "60s"])));
    let following = std::thread::spawn(|| ended(admin(&["get", "rollout", "web", "-n", "goneaway", "--watch"])));
    tokio::time::sleep(Duration::from_secs(3)).await;
    lab.kubectl(&["delete", "bgr", "web"]);
    for ended in [waiting.join().expect("it ends"), following.join().expect("it ends")] {
        assert!(ended.code == 1 && ended.err.contains("rollout web was deleted"), "{ended:?}");
    }
}
