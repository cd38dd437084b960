//! One release after the other: first deployment, preview, promotion, the old set going away.

use std::time::Duration;

use greenlight_e2e::{Lab, Snapshot, Witness, rollout};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_from_preview_to_production_and_the_old_pods_go_away() {
    let lab = Lab::new("release").await;
    let witness = Witness::start(lab.client.clone(), "release", "web-active");
    let first = lab.deploy(json!({"replicas": 3})).await;
    assert_eq!(first.image_of("web-active"), "web:v1");
    assert_eq!(first.image_of("web-preview"), "web:v1");
    assert_eq!(first.status().ready, "3/3");

    let preview = lab.preview("web:v2").await;
    assert_eq!(preview.image_of("web-active"), "web:v1");
    assert_eq!(preview.ready_pods_of_image("web:v2").len(), 3);
    assert!(preview.message().contains("waits for promotion"), "{}", preview.message());
    assert_eq!(preview.condition("Paused"), "True/AwaitingPromotion");

    lab.greenlight(&["promote", "web"]).expect("promoted");
    let promoted = lab.now().await;
    assert_eq!(promoted.image_of("web-active"), "web:v2");
    assert_eq!(promoted.replicas_of_image("web:v1"), 3, "the old set stays up for its delay");
    lab.until("the old set is down", |now| {
        now.replicas_of_image("web:v1") == 0 && now.ready_pods_of_image("web:v1").is_empty()
    })
    .await;
    let end = lab.now().await;
    let old = end.set(&end.hash_of_image("web:v1").expect("kept as history")).expect("there").clone();
    assert_eq!(old.metadata.finalizers.unwrap_or_default(), Vec::<String>::new());
    assert_eq!(end.annotation_of_image("web:v1", "greenlight.dev/scale-down-at"), None);
    assert_eq!(
        lab.event_reasons().await,
        ["RevisionCreated", "Promoted", "RevisionCreated", "PreviewReady", "Promoted"]
    );
    witness.assert_never_below(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scale_down_delay_begins_when_the_switch_is_proven() {
    let lab = Lab::new("delay").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    let now = lab.release("web:v2").await;
    let proven_at = now.status().switch.expect("a switch").proven_at.expect("a proof");
    let deadline = now.annotation_of_image("web:v1", "greenlight.dev/scale-down-at").expect("a deadline");
    let deadline: jiff::Timestamp = deadline.parse().expect("RFC 3339");
    let delay = deadline.duration_since(proven_at).as_secs_f64();
    assert!((599.0..=600.5).contains(&delay), "{delay} s from proof to deadline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_count_holds_until_the_promotion() {
    let lab = Lab::new("previewcount").await;
    lab.deploy(json!({"replicas": 3, "strategy": {"blueGreen": {"previewReplicaCount": 1}}})).await;
    let preview = lab.preview("web:v2").await;
    assert_eq!(preview.replicas_of_image("web:v2"), 1);
    let witness = Witness::start(lab.client.clone(), "previewcount", "web-active");
    lab.greenlight(&["promote", "web"]).expect("promoted");
    assert_eq!(lab.now().await.replicas_of_image("web:v2"), 3);
    witness.assert_never_below(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_promotes_by_itself_by_default_and_after_seconds_if_asked() {
    let lab = Lab::new("auto").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"autoPromotionEnabled": null}}})).await;
    lab.set_image("web:v2").await;
    lab.until("promoted by itself", |now| now.image_of("web-active") == "web:v2").await;

    lab.patch_spec(json!({"strategy": {"blueGreen": {"autoPromotionSeconds": 3}}})).await;
    lab.set_image("web:v3").await;
    let shown = lab.until("waits", |now| now.phase() == "Paused").await;
    assert_eq!(shown.condition("Paused"), "True/AwaitingAutoPromotion");
    assert_eq!(shown.image_of("web-active"), "web:v2");
    let done =
        lab.until("promoted after 3 s", |now| now.image_of("web-active") == "web:v3" && now.phase() == "Healthy").await;
    let ready_at = done.annotation_of_image("web:v3", "greenlight.dev/preview-ready-at").expect("noted");
    let ready_at: jiff::Timestamp = ready_at.parse().expect("RFC 3339");
    let waited = done.status().switch.expect("a switch").switched_at.duration_since(ready_at);
    assert!(waited.as_secs() >= 3, "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_commit_takes_the_preview_over_and_the_older_one_cannot_be_promoted() {
    let lab = Lab::new("newer").await;
    lab.deploy(json!({})).await;
    let second = lab.preview("web:v2").await;
    let second = second.hash_of_image("web:v2").expect("a set");
    let third = lab.preview("web:v3").await;
    let third_hash = third.hash_of_image("web:v3").expect("a set");
    lab.until("the older preview is cleaned up", |now| now.replicas_of_image("web:v2") == 0).await;

    let (code, output) = lab.greenlight(&["promote", "web", "--revision", &second]).expect_err("refused");
    assert_eq!(code, 2, "{output}");
    assert!(output.contains(&second) && output.contains(&third_hash), "names both: {output}");
    let now = lab.now().await;
    assert_eq!(now.image_of("web-active"), "web:v1");
    assert!(lab.event_reasons().await.contains(&"RequestRefused".to_owned()));

    // What is refused stays refused, also when the spec comes back to it.
    lab.set_image("web:v2").await;
    lab.until("back in preview", |now| now.phase() == "Paused" && now.image_of("web-preview") == "web:v2").await;
    lab.throughout(Duration::from_secs(2), "not promoted", |now| now.image_of("web-active") == "web:v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn argo_rollouts_documented_example_runs_with_two_lines_changed() {
    let lab = Lab::without_operator("argo").await;
    // https://argo-rollouts.readthedocs.io/en/stable/features/bluegreen/, with apiVersion and kind changed.
    let manifest = json!({
        "apiVersion": "greenlight.dev/v1alpha1",
        "kind": "BlueGreenRollout",
        "metadata": {"name": "rollout-bluegreen"},
        "spec": {
            "replicas": 2,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": {"app": "rollout-bluegreen"}},
            "template": {
                "metadata": {"labels": {"app": "rollout-bluegreen"}},
                "spec": {"containers": [{
                    "name": "rollouts-demo",
                    "image": "argoproj/rollouts-demo:blue",
                    "imagePullPolicy": "Always",
                    "ports": [{"containerPort": 8080}],
                }]},
            },
            "strategy": {"blueGreen": {
                "activeService": "rollout-bluegreen-active",
                "previewService": "rollout-bluegreen-preview",
                "autoPromotionEnabled": false,
            }},
        },
    });
    let service = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": "rollout-bluegreen"}, "ports": [{"port": 80, "targetPort": 8080}]},
        })
    };
    let mut lab = lab;
    lab.start_operator();
    lab.apply(&service("rollout-bluegreen-active")).expect("applied");
    lab.apply(&service("rollout-bluegreen-preview")).expect("applied");
    lab.apply(&manifest).expect("applied");
    let now = async || Snapshot::read(&lab.client, "argo", "rollout-bluegreen").await.expect("readable");
    lab.greenlight(&["status", "rollout-bluegreen", "--timeout", "60s"]).expect("healthy");
    lab.greenlight(&["set", "image", "rollout-bluegreen", "rollouts-demo=argoproj/rollouts-demo:green"]).expect("set");
    let (code, output) = lab.greenlight(&["status", "rollout-bluegreen", "--timeout", "60s"]).expect_err("waits");
    assert_eq!(code, 3, "{output}");
    assert_eq!(now().await.image_of("rollout-bluegreen-active"), "argoproj/rollouts-demo:blue");
    lab.greenlight(&["promote", "rollout-bluegreen"]).expect("promoted");
    assert_eq!(now().await.image_of("rollout-bluegreen-active"), "argoproj/rollouts-demo:green");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_kept_to_its_limit() {
    let lab = Lab::new("history").await;
    let settings = json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 0});
    lab.deploy(json!({"revisionHistoryLimit": 2, "strategy": {"blueGreen": settings}})).await;
    for version in 2..=5 {
        let image = format!("web:v{version}");
        lab.set_image(&image).await;
        lab.until(&image, |now| now.image_of("web-active") == image && now.phase() == "Healthy").await;
    }
    let end = lab.until("two old sets are left", |now| now.sets.len() == 3).await;
    assert_eq!(end.replicas_of_image("web:v3"), 0);
    assert_eq!(end.replicas_of_image("web:v4"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_old_sets_stay_up_inside_their_delay() {
    let lab = Lab::new("delaylimit").await;
    let settings =
        json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 600, "scaleDownDelayRevisionLimit": 1});
    lab.deploy(json!({"strategy": {"blueGreen": settings}})).await;
    for image in ["web:v2", "web:v3"] {
        lab.set_image(image).await;
        lab.until(image, |now| now.image_of("web-active") == image && now.phase() == "Healthy").await;
    }
    let end = lab.until("the oldest is down", |now| now.replicas_of_image("web:v1") == 0).await;
    assert_eq!(end.replicas_of_image("web:v2"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_changes_reach_production_at_once_but_not_those_of_a_new_template() {
    let lab = Lab::new("scale").await;
    lab.deploy(json!({})).await;
    // By kubectl scale, that is the scale subresource, as an autoscaler does it.
    greenlight_e2e::cluster().kubectl(&["-n", "scale", "scale", "bgr/web", "--replicas=4"]).expect("scaled");
    lab.until("4 pods serve", |now| now.status().ready == "4/4" && now.phase() == "Healthy").await;

    lab.patch_spec(json!({"replicas": 3, "template": {"spec": {"containers": [{"name": "web", "image": "web:v2"}]}}}))
        .await;
    let shown = lab.until("shown", |now| now.phase() == "Paused").await;
    assert_eq!((shown.replicas_of_image("web:v1"), shown.replicas_of_image("web:v2")), (4, 3));

    greenlight_e2e::cluster().kubectl(&["-n", "scale", "scale", "bgr/web", "--replicas=5"]).expect("scaled");
    lab.until("both are scaled", |now| now.replicas_of_image("web:v1") == 5 && now.replicas_of_image("web:v2") == 5)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_is_not_promoted() {
    let lab = Lab::new("paused").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true}}})).await;
    lab.greenlight(&["pause", "web"]).expect("paused");
    lab.set_image("web:v2").await;
    let held = lab.until("held", |now| now.phase() == "Paused").await;
    assert_eq!(held.condition("Paused"), "True/PausedBySpec");
    let (code, output) = lab.greenlight(&["promote", "web"]).expect_err("refused");
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("Resume"), "{output}");
    lab.greenlight(&["resume", "web"]).expect("resumed");
    lab.until("promoted", |now| now.image_of("web-active") == "web:v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_once_do_no_harm() {
    let mut lab = Lab::new("two").await;
    let kubeconfig = greenlight_e2e::operator_kubeconfig();
    let second = lab.operator_process("second", &kubeconfig, &[]);
    let witness = Witness::start(lab.client.clone(), "two", "web-active");
    lab.apply(&rollout(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 1}}}))).expect("applied");
    lab.until("healthy", |now| now.phase() == "Healthy").await;
    for image in ["web:v2", "web:v3", "web:v4"] {
        lab.release(image).await;
    }
    lab.greenlight(&["undo", "web"]).expect("undone");
    lab.until("v3 serves, the rest is down", |now| {
        now.image_of("web-active") == "web:v3"
            && now.replicas_of_image("web:v4") == 0
            && now.replicas_of_image("web:v2") == 0
    })
    .await;
    assert_eq!(lab.now().await.sets.len(), 4, "no set was created twice");
    witness.assert_never_below(2);
    drop(second);
    assert_eq!(lab.operator().terminate().expect("it ends"), 0);
}
