//! Pods that crash, hang, or lose their readiness: production does not move, and the status says which pod and why.

use std::time::Duration;

use greenlight_e2e::{Lab, Snapshot};
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
async fn when_pods_lose_readiness_right_after_the_switch_nothing_is_scaled_down() {
    let lab = Lab::new("lostafter").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 0}}})).await;
    // minReadySeconds is 0 and the EndpointSlice controller takes a moment: take the readiness away at the very switch.
    let preview = lab.preview("web:v2").await;
    let hash = preview.hash_of_image("web:v2").expect("a set");
    let pods = preview.ready_pods_of_image("web:v2");
    greenlight_e2e::cluster()
        .kubectl(&[
            "-n",
            "lostafter",
            "patch",
            "service",
            "web-active",
            "--type=merge",
            "-p",
            &json!({"spec": {"publishNotReadyAddresses": false}}).to_string(),
        ])
        .expect("patched");
    lab.annotate_request("promote").await;
    lab.set_readiness(pods.clone(), false).await;
    let now = lab
        .until("switched or held", |now| {
            now.hash_of("web-active").as_ref() == Some(&hash) || now.phase() == "Progressing"
        })
        .await;
    if now.hash_of("web-active").as_ref() == Some(&hash)
        && now.status().switch.is_some_and(|s| s.to == hash && s.proven_at.is_some())
    {
        // Proven before the pods failed: the delay of 0 s was already over, which is what was asked for.
        println!("the proof was quicker than the loss; the other order is tested by the properties of greenlight-core");
        return;
    }
    lab.throughout(Duration::from_secs(3), "the old set stays up", |now| now.replicas_of_image("web:v1") == 2).await;
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
