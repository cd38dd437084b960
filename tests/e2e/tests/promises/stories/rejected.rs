//! What was rejected stays rejected, and what is tried again is tried as if it were new. (1, 8, 9)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use greenlight_api::{Verb, names};
use greenlight_e2e::{Course, Lab, Web, Write, WriteCountingProxy, operator_kubeconfig};
use serde_json::{Value, json};

use super::{apply_analysis, blue_green, good, hash_of, long_delay};

/// v2 was promoted by itself, turned out bad and was undone; its pods have gone.
async fn undone(name: &str) -> Lab {
    let lab = Lab::new(name).await;
    lab.deploy(blue_green(json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 1}))).await;
    lab.set_image("web:v2").await;
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    lab.until("v2 is down", |now| now.is_down("web:v2") && now.image_of("web-active") == "web:v1").await;
    lab
}

/// Nothing moved, v2 is still rejected, and it takes a person to change that.
async fn still_undone(lab: &Lab, course: &Course) {
    let now = lab.settled().await;
    assert_eq!(course.images().await, ["web:v1"]);
    course.assert_only("web:v1", 2).await;
    assert_eq!(now.condition("Stalled"), "True/RevisionRejected");
    assert!(now.message().contains("rejected by admin (rolled back)"), "{}", now.message());
    lab.greenlight(&["retry", "web"]).expect("retried");
    lab.until("v2 serves again", |now| now.is_healthy_on("web:v2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_revision_stays_rejected_when_its_replica_set_is_deleted() {
    let lab = undone("rejecteddeleted").await;
    let course = Course::start(&lab, "web-active").await;
    let set = format!("web-{}", hash_of(&lab.now().await, "web:v2"));
    lab.kubectl(&["delete", "replicaset", &set]);
    still_undone(&lab, &course).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_revision_stays_rejected_when_its_replica_set_is_deleted_while_nobody_looks() {
    let mut lab = undone("rejecteddown").await;
    let course = Course::start(&lab, "web-active").await;
    lab.kill_operator();
    let set = format!("web-{}", hash_of(&lab.now().await, "web:v2"));
    lab.kubectl(&["delete", "replicaset", &set]);
    lab.start_operator();
    still_undone(&lab, &course).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_revision_stays_rejected_when_its_mark_or_the_status_is_taken_away() {
    let mut lab = undone("rejectedunmarked").await;
    let course = Course::start(&lab, "web-active").await;
    // Nor is it the request that rejects it time and again.
    lab.annotate_request("nonsense").await;
    lab.answered().await;
    let set = format!("replicaset/web-{}", hash_of(&lab.now().await, "web:v2"));
    lab.kubectl(&["annotate", &set, &format!("{}-", names::REJECTED)]);
    lab.settled().await;
    lab.until("the mark is back", |now| now.annotation_of_image("web:v2", names::REJECTED).is_some()).await;
    // Now the mark is all that is left.
    lab.wipe_status().await;
    lab.until("the status is back", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    lab.kill_operator();
    lab.wipe_status().await;
    lab.start_operator();
    lab.until("the status is back", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    still_undone(&lab, &course).await;
}

/// The operator dies on the move of an undo. Then the request and the ReplicaSet go, so that the Service alone tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_undone_stays_rejected_when_the_operator_dies_on_the_move() {
    let name = "rejectedbymove";
    let lab = Lab::without_operator(name).await;
    let undoes = Arc::new(AtomicBool::new(false));
    let is_asked_for = undoes.clone();
    let is_move =
        move |write: &Write| is_asked_for.load(Ordering::Relaxed) && write.kind() == "PATCH services/web-active";
    let proxy = WriteCountingProxy::start(is_move).await.expect("a proxy");
    let mut first = lab.operator_process("first", &proxy.kubeconfig(name).expect("a kubeconfig"), &[]);
    lab.deploy(blue_green(json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 600}))).await;
    lab.set_image("web:v2").await;
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    let course = Course::start(&lab, "web-active").await;
    let two = hash_of(&lab.now().await, "web:v2");
    undoes.store(true, Ordering::Relaxed);
    let request = json!({"action": "rollback", "revision": two, "by": "ann", "at": jiff::Timestamp::now()});
    lab.annotate_request(&request.to_string()).await;
    proxy.withheld().await;
    first.kill();
    let now = lab.now().await;
    assert_eq!((now.image_of("web-active").as_str(), now.status().rejected_revision.as_str()), ("web:v1", ""));
    lab.annotate_request("nonsense").await;
    lab.kubectl(&["delete", "replicaset", &format!("web-{two}")]);
    let _second = lab.operator_process("second", &operator_kubeconfig(), &[]);
    lab.until("it is told", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    let now = lab.settled().await;
    assert!(now.message().contains("rejected by ann, as its Service says (rolled back)"), "{}", now.message());
    assert_eq!(now.hash_of_image("web:v2"), None, "it is not made anew");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_revision_is_not_started_again_when_its_replica_set_is_deleted() {
    let lab = Lab::new("aborteddeleted").await;
    let settings = json!({"autoPromotionEnabled": true, "autoPromotionSeconds": 600, "abortScaleDownDelaySeconds": 1});
    lab.deploy(blue_green(settings)).await;
    lab.preview("web:v2").await;
    lab.greenlight(&["abort", "web"]).expect("aborted");
    lab.until("v2 is down", |now| now.is_down("web:v2")).await;
    // Whoever takes the timer away does not promote it either.
    lab.patch_spec(blue_green(json!({"autoPromotionSeconds": null}))).await;
    let [active, preview] = [Course::start(&lab, "web-active").await, Course::start(&lab, "web-preview").await];
    let set = format!("web-{}", hash_of(&lab.now().await, "web:v2"));
    lab.kubectl(&["delete", "replicaset", &set]);
    let now = lab.settled().await;
    assert_eq!(now.condition("Stalled"), "True/RevisionRejected", "{}", now.message());
    assert!(now.is_down("web:v2"), "no pod was started for it");
    active.assert_only("web:v1", 2).await;
    preview.assert_only("web:v1", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_that_a_revision_waits_begins_anew_when_it_is_tried_again() {
    let lab = Lab::new("timedanew").await;
    let settings = json!({"autoPromotionEnabled": true, "autoPromotionSeconds": 5, "scaleDownDelaySeconds": 600});
    lab.deploy(blue_green(settings)).await;
    lab.set_image("web:v2").await;
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    // Its time has long been over.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let again = jiff::Timestamp::now();
    lab.greenlight(&["retry", "web", "--timeout", "20s"]).expect("retried");
    let waits = lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    assert_eq!(waits.condition("Paused"), "True/AwaitingAutoPromotion");
    let serves = lab.until("v2 serves again", |now| now.is_healthy_on("web:v2")).await;
    let waited = serves.status().switch.expect("a switch").switched_at.duration_since(again);
    assert!(waited.as_secs() >= 5, "it waited for {waited:?}");
}

/// Settings with both analyses, the one before the promotion short and the one after it long.
fn both_analyses(web: &Web, lab: &Lab, settings: Value) -> Value {
    apply_analysis(lab, "before", web.url(), 2);
    apply_analysis(lab, "after", web.url(), 20);
    let named = |template: &str| json!({"templates": [{"templateName": template}]});
    let mut all = json!({
        "scaleDownDelaySeconds": 600,
        "prePromotionAnalysis": named("before"), "postPromotionAnalysis": named("after"),
    });
    all.as_object_mut().expect("an object").extend(settings.as_object().cloned().unwrap_or_default());
    blue_green(all)
}

/// Names of the analysis runs.
async fn run_names(lab: &Lab) -> Vec<String> {
    lab.runs().await.iter().map(kube::ResourceExt::name_any).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_failed_is_analysed_and_gated_anew_when_it_is_tried_again() {
    let lab = Lab::new("triedagain").await;
    let web = Web::start(&good(true)).await;
    lab.deploy(both_analyses(&web, &lab, json!({}))).await;
    lab.preview("web:v2").await;
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    let measured = |now: &greenlight_e2e::Snapshot| {
        now.image_of("web-active") == "web:v2" && now.condition("Reconciling") == "True/PostPromotionAnalysis"
    };
    lab.until("v2 is measured in production", measured).await;
    web.answer(&good(false));
    let back = lab.until("v1 serves", |now| now.image_of("web-active") == "web:v1" && now.phase() == "Degraded").await;
    assert_eq!(back.replicas_of_image("web:v2"), 2, "v2 is still up");
    assert_eq!(run_names(&lab).await.len(), 2);

    // It may be tried again, from the beginning: analysed first, and then it waits for a person.
    let course = Course::start(&lab, "web-active").await;
    web.answer(&good(true));
    lab.greenlight(&["retry", "web"]).expect("retried");
    lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    assert_eq!(lab.settled().await.condition("Paused"), "True/AwaitingPromotion");
    assert_eq!(course.images().await, ["web:v1"]);
    assert_eq!(run_names(&lab).await.len(), 3, "its analysis before the promotion was made again");
    // And in production it is measured again.
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    lab.until("v2 is measured in production again", measured).await;
    web.answer(&good(false));
    lab.until("v1 serves again", |now| now.image_of("web-active") == "web:v1" && now.phase() == "Degraded").await;
    assert_eq!(run_names(&lab).await.len(), 4);
    assert_eq!(course.images().await, ["web:v1", "web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_cannot_bring_back_what_two_have_to_approve() {
    let lab = Lab::new("approvedanew").await;
    let settings = json!({"requiredApprovals": 2, "scaleDownDelaySeconds": 600});
    lab.deploy(blue_green(settings)).await;
    let v2 = hash_of(&lab.preview("web:v2").await, "web:v2");
    lab.ask(Verb::Promote, &v2, "ann").await;
    lab.ask(Verb::Promote, &v2, "bob").await;
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    lab.ask(Verb::Rollback, &v2, "cid").await;
    let back = lab.until("v1 serves", |now| now.image_of("web-active") == "web:v1" && now.phase() == "Degraded").await;
    assert_eq!(back.replicas_of_image("web:v2"), 2, "v2 is still up");

    let course = Course::start(&lab, "web-active").await;
    assert!(lab.ask(Verb::Retry, &v2, "ann").await.accepted);
    let waits = lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    assert!(waits.message().contains("(0 of 2 approvals)"), "{}", waits.message());
    let answer = lab.ask(Verb::Promote, &v2, "ann").await.answer;
    assert!(answer.contains("1 of 2"), "{answer}");
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v1"]);
    lab.ask(Verb::Promote, &v2, "dan").await;
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_is_not_analysed_again_because_git_went_back_to_it() {
    let lab = Lab::new("revert").await;
    let web = Web::start(&good(true)).await;
    apply_analysis(&lab, "after", web.url(), 2);
    let analysis = json!({"templates": [{"templateName": "after"}]});
    lab.deploy(blue_green(json!({"scaleDownDelaySeconds": 600, "postPromotionAnalysis": analysis}))).await;
    lab.release("web:v2").await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");

    // The metrics are red, whichever revision serves.
    web.answer(&good(false));
    let course = Course::start(&lab, "web-active").await;
    let (runs, questions) = (run_names(&lab).await, web.questions());
    lab.set_image("web:v1").await;
    lab.until("v1 is asked for and serves", |now| now.is_healthy_on("web:v1")).await;
    let now = lab.settled().await;
    assert_eq!(now.phase(), "Healthy", "{}", now.message());
    assert_eq!(course.images().await, ["web:v1"]);
    assert_eq!((run_names(&lab).await, web.questions()), (runs, questions), "nothing was measured");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_revisions_is_rejected_by_itself() {
    let lab = Lab::new("bothrejected").await;
    lab.deploy(long_delay()).await;
    lab.release("web:v2").await;
    lab.preview("web:v3").await;
    let course = Course::start(&lab, "web-active").await;
    // The one that waits, then the one that serves.
    lab.greenlight(&["abort", "web", "--timeout", "20s"]).expect("aborted");
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    let now = lab.settled().await;
    assert_eq!(now.rejection_of_image("web:v2").expect("rejected").reason, "rolled back");
    assert_eq!(now.rejection_of_image("web:v3").expect("rejected").reason, "aborted");
    assert_eq!(now.condition("Stalled"), "True/RevisionRejected");
    assert_eq!(now.image_of("web-preview"), "web:v1");
    // What is tried again is the one that the spec asks for.
    lab.greenlight(&["retry", "web", "--timeout", "20s"]).expect("retried");
    lab.until("v3 waits", |now| now.waits_in_preview("web:v3")).await;
    assert_eq!(lab.now().await.rejection_of_image("web:v2").expect("rejected").reason, "rolled back");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
}
