//! The behaviours that Argo Rollouts' own end-to-end suite checks for blue-green, by the same idea, where no other file of ours
//! has them already.

use std::time::Duration;

use greenlight_e2e::{Lab, cluster};
use greenlight_test_cluster::BEHAVIOUR;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn bad_to_good_and_good_to_bad_and_bad_to_bad() {
    let lab = Lab::new("badgood").await;
    let auto = json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true, "scaleDownDelaySeconds": 0}}});
    let mut first = greenlight_e2e::rollout(auto);
    first["spec"]["template"]["metadata"]["annotations"] = json!({BEHAVIOUR: "crash"});
    lab.apply(&first).expect("applied");
    // The first one is bad: nothing serves.
    let bad = lab.until("bad", |now| now.message().contains("CrashLoopBackOff")).await;
    assert_eq!(bad.hash_of("web-active"), None);
    lab.set_template("web:v2", &[]).await;
    lab.until("bad to good", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v2").await;
    lab.until("the bad one is gone", |now| now.replicas_of_image("web:v1") == 0).await;
    lab.set_template("web:v3", &[(BEHAVIOUR, "crash")]).await;
    lab.until("good to bad", |now| now.message().contains("CrashLoopBackOff")).await;
    lab.set_template("web:v4", &[(BEHAVIOUR, "image")]).await;
    lab.until("bad to bad", |now| now.message().contains("ImagePullBackOff")).await;
    lab.until("the older bad one is gone", |now| now.replicas_of_image("web:v3") == 0).await;
    assert_eq!(lab.now().await.image_of("web-active"), "web:v2");
    lab.set_template("web:v5", &[]).await;
    lab.until("good again", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_waits_for_paused_and_for_completed() {
    let lab = Lab::new("kubectlwait").await;
    lab.deploy(json!({})).await;
    let wait = |condition: &str| {
        let condition = format!("--for={condition}");
        cluster().kubectl(&["-n", "kubectlwait", "wait", &condition, "bgr/web", "--timeout=60s"]).expect("in time")
    };
    lab.set_image("web:v2").await;
    wait("condition=Paused");
    assert_eq!(lab.now().await.image_of("web-preview"), "web:v2");
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    wait("jsonpath={.status.phase}=Healthy");
    wait("condition=Ready");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_waits_for_a_person_does_not_exceed_its_deadline() {
    let lab = Lab::new("deadlinepaused").await;
    lab.deploy(json!({"progressDeadlineSeconds": 2, "progressDeadlineAbort": true})).await;
    lab.preview("web:v2").await;
    lab.throughout(Duration::from_secs(4), "waits", |now| now.phase() == "Paused").await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_corrected_is_released() {
    let lab = Lab::new("specfixed").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true}}})).await;
    let wrong =
        json!([{"name": "web", "image": "web:v2", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]);
    lab.patch_spec(json!({"template": {"spec": {"containers": wrong}}})).await;
    lab.until("refused", |now| now.condition("Stalled") == "True/TemplateRefused").await;
    lab.patch_spec(json!({"template": {"spec": {"containers": [{"name": "web", "image": "web:v2"}]}}})).await;
    lab.until("released", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_horizontal_pod_autoscaler_and_the_preview_count_do_not_fight() {
    let lab = Lab::new("autoscaler").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"previewReplicaCount": 1}}})).await;
    lab.preview("web:v2").await;
    // Without metrics, the real autoscaler still keeps its minimum.
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web"},
            "minReplicas": 4, "maxReplicas": 6,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
        },
    });
    lab.apply(&autoscaler).expect("applied");
    lab.until("scaled", |now| now.ready_pods_of_image("web:v1").len() == 4).await;
    lab.throughout(Duration::from_secs(4), "nothing flaps", |now| {
        now.replicas_of_image("web:v1") == 4 && now.replicas_of_image("web:v2") == 1 && now.phase() == "Paused"
    })
    .await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    let promoted = lab.now().await;
    assert_eq!((promoted.image_of("web-active"), promoted.ready_pods_of_image("web:v2").len()), ("web:v2".into(), 4));
}
