//! Pods that crash, hang, or lose their readiness: production does not move, and the status says which pod and why.

use std::time::Duration;

use greenlight_api::names;
use greenlight_e2e::{Course, Lab, Snapshot, Write, WriteCountingProxy};
use greenlight_test_cluster::BEHAVIOUR;
use serde_json::json;

async fn stuck(name: &str, behaviour: &str, reason: &str) {
    let lab = Lab::new(name).await;
    lab.deploy(json!({"progressDeadlineSeconds": 8, "strategy": {"blueGreen": {"autoPromotionEnabled": true}}})).await;
    lab.set_template("web:v2", &[(BEHAVIOUR, behaviour)]).await;
    let says_why = |now: &Snapshot| now.message().contains(reason) && now.message().contains("pod web-");
    lab.until("says which pod and why", |now| now.phase() == "Progressing" && says_why(now)).await;
    let late = lab.until("gives up", |now| now.phase() == "Degraded").await;
    assert!(says_why(&late), "{}", late.message());
    assert_eq!(late.condition("Stalled"), "True/ProgressDeadlineExceeded");
    assert_eq!(late.image_of("web-active"), "web:v1");
    assert_eq!(late.image_of("web-preview"), "web:v1", "a preview that is not ready is not shown");
    assert_eq!(late.ready_pods_of_image("web:v1").len(), 2);
    // It heals with a better template.
    lab.set_template("web:v3", &[]).await;
    lab.until("healthy again", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_whose_image_is_missing_keep_production_where_it_is() {
    stuck("badimage", "image", "ImagePullBackOff").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_crash_keep_production_where_it_is() {
    stuck("crashing", "crash", "CrashLoopBackOff").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_never_become_ready_keep_production_where_it_is() {
    stuck("unready", "unready", "readiness probe").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_without_progress_is_rejected_if_so_asked() {
    let lab = Lab::new("deadlineabort").await;
    lab.deploy(json!({"progressDeadlineSeconds": 7, "progressDeadlineAbort": true,
        "strategy": {"blueGreen": {"abortScaleDownDelaySeconds": 1}}}))
        .await;
    lab.set_template("web:v2", &[(BEHAVIOUR, "crash")]).await;
    let rejected = lab.until("rejected", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    assert!(rejected.message().contains("no progress for 7 s"), "{}", rejected.message());
    assert!(rejected.message().contains("CrashLoopBackOff"), "{}", rejected.message());
    lab.until("taken down", |now| now.replicas_of_image("web:v2") == 0).await;
    // A retry is carried out once: when it fails too, it stays rejected.
    lab.greenlight(&["retry", "web"]).expect("retried");
    lab.until("rejected again", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    lab.throughout(Duration::from_secs(2), "stays so", |now| now.condition("Stalled") == "True/RevisionRejected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_lost_its_readiness_is_not_promoted() {
    let lab = Lab::new("lostpreview").await;
    lab.deploy(json!({"progressDeadlineSeconds": 60})).await;
    let preview = lab.preview("web:v2").await;
    let pods = preview.ready_pods_of_image("web:v2");
    lab.set_readiness(pods.clone(), false).await;
    lab.until("noticed", |now| now.phase() == "Progressing").await;
    let (code, output) = lab.greenlight(&["promote", "web", "--timeout", "8s"]).expect_err("cannot be done now");
    assert_eq!(code, 4, "{output}");
    assert!(output.contains("0 of 2 pods"), "{output}");
    let now = lab.until("says why", |now| now.message().contains("pod web-")).await;
    assert_eq!(now.image_of("web-active"), "web:v1");
    // The request stands: once the pods are back, it is carried out.
    lab.set_readiness(pods, true).await;
    lab.until("promoted", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_lost_one_of_its_pods_is_not_promoted() {
    let lab = Lab::new("lostone").await;
    lab.deploy(json!({"replicas": 3})).await;
    let one: Vec<String> = lab.preview("web:v2").await.ready_pods_of_image("web:v2").into_iter().take(1).collect();
    let course = Course::start(&lab, "web-active").await;
    lab.set_readiness(one.clone(), false).await;
    lab.until("one is lost", |now| now.ready_pods_of_image("web:v2").len() == 2).await;
    let (code, output) = lab.greenlight(&["promote", "web", "--timeout", "5s"]).expect_err("cannot be done now");
    assert_eq!(code, 4, "{output}");
    assert!(output.contains("2 of 3 pods"), "{output}");
    course.assert_only("web:v1", 3).await;
    lab.set_readiness(one, true).await;
    lab.until("promoted", |now| now.is_healthy_on("web:v2")).await;
    assert_eq!(course.images().await, ["web:v1", "web:v2"]);
    course.assert_never_below(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_pods_lose_readiness_right_after_the_switch_nothing_is_scaled_down() {
    let mut lab = Lab::new("lostafter").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 0}}})).await;
    let preview = lab.preview("web:v2").await;
    let hash = preview.hash_of_image("web:v2").expect("a set");
    let pods = preview.ready_pods_of_image("web:v2");
    // The operator dies at the very switch, and the pods fail before another one comes.
    lab.kill_operator();
    let is_switch = |write: &Write| write.path.ends_with("/services/web-active");
    let proxy = WriteCountingProxy::start(is_switch).await.expect("a proxy");
    lab.start_operator_with(&proxy.kubeconfig("lostafter").expect("a kubeconfig"), &[]);
    lab.annotate_request("promote").await;
    proxy.withheld().await;
    lab.kill_operator();
    assert_eq!(lab.now().await.hash_of("web-active").as_ref(), Some(&hash), "switched");
    lab.set_readiness(pods.clone(), false).await;
    lab.until("lost", |now| now.ready_pods_of_image("web:v2").is_empty()).await;

    lab.start_operator();
    let held = lab.until("noticed", |now| now.phase() == "Progressing" && now.status().active_revision == hash).await;
    assert!(held.message().contains("0 of 2"), "{}", held.message());
    lab.throughout(Duration::from_secs(3), "the old set stays up", |now| {
        now.replicas_of_image("web:v1") == 2 && now.annotation_of_image("web:v1", names::SCALE_DOWN_AT).is_none()
    })
    .await;
    lab.set_readiness(pods, true).await;
    lab.until("done", |now| now.phase() == "Healthy" && now.replicas_of_image("web:v1") == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_pods_are_waited_for() {
    let lab = Lab::new("late").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true}}})).await;
    lab.set_template("web:v2", &[(BEHAVIOUR, "late")]).await;
    lab.until("starting", |now| now.phase() == "Progressing").await;
    lab.throughout(Duration::from_secs(3), "v1 serves meanwhile", |now| now.image_of("web-active") == "web:v1").await;
    lab.until("promoted", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy").await;
}
