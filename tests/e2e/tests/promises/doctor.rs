//! `doctor` finds what is planted, names the cause, and is silent on a healthy rollout.

use greenlight_api::names;
use greenlight_e2e::{Lab, ingress};
use greenlight_test_cluster::BEHAVIOUR;
use serde_json::json;

/// What the doctor says, once it says this.
async fn finds(lab: &Lab, symptom: &str, cause: &str) {
    let said = |text: &str| text.contains(symptom) && text.contains(cause);
    let mut last = String::new();
    for _ in 0..120 {
        last = match lab.greenlight(&["doctor", "web"]) {
            Ok(text) => text,
            Err((code, text)) => {
                assert_eq!(code, 2, "{text}");
                text
            }
        };
        if said(&last) {
            assert!(last.contains("fix:   "), "{last}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    panic!("{symptom:?} because of {cause:?} was not found; the doctor says:\n{last}");
}

async fn silent(lab: &Lab) {
    let text = lab.greenlight(&["doctor", "web"]).expect("nothing is found");
    assert!(text.contains("is in order"), "{text}");
}

fn with_ingress(lab: &Lab, service: &str, port: i32) {
    let hosts = [("web.local", "web-active", 80), ("other.local", service, port)];
    lab.apply(&ingress(&hosts)).expect("applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_what_is_wrong_with_pods() {
    let lab = Lab::new("doctorpods").await;
    lab.deploy(json!({})).await;
    silent(&lab).await;
    for (behaviour, symptom, cause) in [
        ("image", "cannot pull", "the image does not exist"),
        ("crash", "crashes", "restarting failed container"),
        ("unready", "runs, but is not ready", "readiness probe fails"),
        ("hang", "is not made", "a volume, a secret or a config map is missing"),
    ] {
        lab.set_template("web:v2", &[(BEHAVIOUR, behaviour)]).await;
        finds(&lab, symptom, cause).await;
    }
    // No node has so much.
    lab.patch_spec(json!({"template": {"metadata": {"annotations": null}}})).await;
    let huge = json!([{"name": "web", "image": "web:v3", "resources": {"requests": {"cpu": "90k"}}}]);
    lab.patch_spec(json!({"template": {"spec": {"containers": huge}}})).await;
    finds(&lab, "finds no node", "Insufficient cpu").await;
    lab.limit_pods(2).await;
    lab.set_image("web:v4").await;
    finds(&lab, "cannot create pods", "exceeded quota").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_what_is_wrong_with_services_and_ingresses() {
    let lab = Lab::new("doctorsvc").await;
    lab.deploy(json!({})).await;
    with_ingress(&lab, "web-preview", 80);
    silent(&lab).await;
    with_ingress(&lab, "web-preview", 8081);
    finds(&lab, "Ingress web does not reach Service web-preview", "it names port 8081; the Service has 80").await;
    with_ingress(&lab, "web-typo", 80);
    finds(&lab, "Ingress web leads nowhere", "Service web-typo does not exist").await;
    lab.kubectl(&["delete", "ingress", "web"]);
    lab.set_target_port("web-active", "https");
    finds(&lab, "Service web-active does not answer on port 80", "targetPort https is the name of no port").await;
    lab.set_target_port("web-active", 8080);
    lab.patch_service("web-active", &json!({"selector": {"app": "shop"}}));
    finds(&lab, "Service web-active can have no endpoints", "its selector requires app=shop").await;
    lab.patch_service("web-active", &json!({"selector": {"app": "web"}}));
    lab.delete_service("web-preview").await;
    finds(&lab, "Service web-preview is not there", "the rollout names it").await;
    lab.create_service("web-preview").await;
    lab.until("healthy", |now| now.phase() == "Healthy").await;
    let pods = lab.now().await.ready_pods_of_image("web:v1");
    lab.set_readiness(pods.clone(), false).await;
    finds(&lab, "Service web-active has no ready endpoint", "none of the 2 pods").await;
    lab.set_readiness(pods, true).await;
    lab.until("healthy", |now| now.phase() == "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_what_is_wrong_with_the_release_and_the_operator() {
    let mut lab = Lab::new("doctorop").await;
    // Long enough to end the operator before.
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 4}}})).await;
    lab.preview("web:v2").await;
    silent(&lab).await;
    lab.patch_spec(json!({"paused": true})).await;
    finds(&lab, "the release is held back", "spec.paused").await;
    lab.patch_spec(json!({"paused": false})).await;
    lab.annotate_request("retry").await;
    finds(&lab, "the last request was refused", "nothing to retry").await;
    lab.greenlight(&["abort", "web"]).expect("aborted");
    finds(&lab, "the spec has a revision that was rejected", "was rejected by admin").await;
    lab.greenlight(&["retry", "web"]).expect("retried");
    lab.until("waits", |now| now.phase() == "Paused").await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.until("retired", |now| now.annotation_of_image("web:v1", names::SCALE_DOWN_AT).is_some()).await;
    lab.kill_operator();
    finds(&lab, "do not go away", "the operator has not acted").await;
    lab.set_image("web:v3").await;
    lab.annotate_request("promote").await;
    finds(&lab, "the spec was changed, and the status does not speak of it", "the operator is not running").await;
    finds(&lab, "a request was made, and is not answered", "the operator is not running").await;
    lab.kubectl(&["delete", "bgr", "web", "--wait=false"]);
    finds(&lab, "the rollout is being deleted, and its finalizer", "the operator is not running").await;
    lab.start_operator();
    lab.until("gone", |now| now.rollout.is_none()).await;
}
