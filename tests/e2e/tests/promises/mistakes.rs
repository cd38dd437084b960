//! Wrong input and meddling: each ends in a clear condition, or is repaired.

use std::time::Duration;

use greenlight_api::names;
use greenlight_e2e::{Lab, cluster, rollout};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_lost_the_hash_gets_it_back() {
    let lab = Lab::new("recreated").await;
    let healthy = lab.deploy(json!({})).await;
    let hash = healthy.hash_of("web-active");
    lab.preview("web:v2").await;
    for service in ["web-active", "web-preview"] {
        let before = lab.now().await.hash_of(service);
        lab.delete_service(service).await;
        lab.create_service(service).await;
        lab.until("the hash is back", |now| now.hash_of(service) == before).await;
    }
    // As a server-side apply of the plain manifest does.
    let patch = json!([{"op": "remove", "path": "/spec/selector/rollouts-pod-template-hash"}]).to_string();
    cluster()
        .kubectl(&["-n", "recreated", "patch", "service", "web-active", "--type=json", "-p", &patch])
        .expect("patched");
    lab.until("the hash is back", |now| now.hash_of("web-active") == hash).await;
    // By hand, to nonsense.
    let patch = json!({"spec": {"selector": {names::HASH_LABEL: "nonsense"}}}).to_string();
    cluster()
        .kubectl(&["-n", "recreated", "patch", "service", "web-active", "--type=merge", "-p", &patch])
        .expect("patched");
    lab.until("the hash is back", |now| now.hash_of("web-active") == hash).await;
    lab.until("and it is told so", |now| now.phase() == "Paused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_service_is_said_and_heals() {
    let lab = Lab::new("missing").await;
    lab.delete_service("web-active").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    let stalled = lab.until("said", |now| now.condition("Stalled") == "True/ServiceMissing").await;
    assert!(
        stalled.message().contains("Service web-active does not exist in namespace missing"),
        "{}",
        stalled.message()
    );
    lab.create_service("web-active").await;
    lab.until("heals", |now| now.phase() == "Healthy").await;
    // Later, too.
    lab.delete_service("web-preview").await;
    lab.until("said", |now| now.condition("Stalled") == "True/ServiceMissing").await;
    lab.create_service("web-preview").await;
    lab.until("heals", |now| now.phase() == "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rollouts_do_not_fight_for_a_service() {
    let lab = Lab::new("claimed").await;
    let first = lab.deploy(json!({})).await;
    let mut other = rollout(json!({"template": {"spec": {"containers": [{"name": "web", "image": "other:v1"}]}}}));
    other["metadata"]["name"] = "other".into();
    lab.apply(&other).expect("applied");
    let reason = "jsonpath={.status.conditions[?(@.type=='Stalled')].reason}";
    let read = |what: &str| cluster().kubectl(&["-n", "claimed", "get", "bgr", "other", "-o", what]).expect("read");
    lab.until("said", |_| read(reason) == "ServiceClaimed").await;
    assert!(
        read("jsonpath={.status.message}").contains("moved by rollout web"),
        "{}",
        read("jsonpath={.status.message}")
    );
    lab.throughout(Duration::from_secs(1), "nothing moves", |now| {
        now.hash_of("web-active") == first.hash_of("web-active")
    })
    .await;
    // When the first leaves, the second takes over.
    cluster().kubectl(&["-n", "claimed", "delete", "bgr", "web"]).expect("deleted");
    lab.until("heals", |now| now.image_of("web-active") == "other:v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_selects_something_else_is_said() {
    let lab = Lab::new("mismatch").await;
    let patch = json!({"spec": {"selector": {"tier": "front"}}}).to_string();
    cluster()
        .kubectl(&["-n", "mismatch", "patch", "service", "web-active", "--type=merge", "-p", &patch])
        .expect("patched");
    lab.apply(&rollout(json!({}))).expect("applied");
    let stalled = lab.until("said", |now| now.condition("Stalled") == "True/ServiceSelectorMismatch").await;
    assert!(stalled.message().contains("tier=front"), "{}", stalled.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_the_api_server_refuses_is_said_and_production_stays() {
    let lab = Lab::new("refused").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true}}})).await;
    lab.patch_spec(json!({"template": {"spec": {"containers": [{"name": "web", "image": "web:v2", "imagePullPolicy": "Sometimes"}]}}})).await;
    let stalled = lab.until("said", |now| now.condition("Stalled") == "True/TemplateRefused").await;
    assert!(stalled.message().contains("imagePullPolicy"), "{}", stalled.message());
    assert_eq!(stalled.image_of("web-active"), "web:v1");
    assert_eq!(stalled.sets.len(), 1);
    lab.patch_spec(json!({"template": {"spec": {"containers": [{"name": "web", "image": "web:v2"}]}}})).await;
    lab.until("heals", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_scaled_by_hand_is_put_right() {
    let lab = Lab::new("handscaled").await;
    let now = lab.deploy(json!({})).await;
    let set = format!("rs/web-{}", now.hash_of("web-active").expect("a hash"));
    cluster().kubectl(&["-n", "handscaled", "scale", &set, "--replicas=5"]).expect("scaled");
    lab.until("two again", |now| now.replicas_of_image("web:v1") == 2).await;
    cluster().kubectl(&["-n", "handscaled", "scale", &set, "--replicas=0"]).expect("scaled");
    lab.until("two again", |now| now.replicas_of_image("web:v1") == 2 && now.phase() == "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_garbled_deadline_is_written_anew() {
    let lab = Lab::new("garbled").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 4}}})).await;
    let now = lab.release("web:v2").await;
    let old = format!("rs/web-{}", now.hash_of_image("web:v1").expect("a set"));
    let value = format!("{}=tomorrow", names::SCALE_DOWN_AT);
    cluster().kubectl(&["-n", "garbled", "annotate", &old, "--overwrite", &value]).expect("annotated");
    lab.until("rewritten", |now| {
        now.annotation_of_image("web:v1", names::SCALE_DOWN_AT)
            .is_none_or(|value| value.parse::<jiff::Timestamp>().is_ok())
    })
    .await;
    lab.until("scaled down in the end", |now| now.replicas_of_image("web:v1") == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_set_deleted_by_hand_is_made_again() {
    let lab = Lab::new("setdeleted").await;
    let now = lab.deploy(json!({})).await;
    let set = format!("rs/web-{}", now.hash_of("web-active").expect("a hash"));
    cluster().kubectl(&["-n", "setdeleted", "delete", &set]).expect("deleted");
    lab.until("healthy again", |now| now.phase() == "Healthy" && now.ready_pods_of_image("web:v1").len() == 2).await;
}

/// What the API server itself refuses, and the words in its answer.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_manifests_are_refused_where_they_are_written() {
    let lab = Lab::without_operator("wrong").await;
    let refused = |spec: Value, words: &str| {
        let error = lab.apply(&rollout(spec.clone())).expect_err(&format!("{spec} must be refused")).to_string();
        assert!(error.contains(words), "{spec}: {error}");
    };
    refused(json!({"selector": {"matchLabels": {"app": "other"}}}), "template.metadata.labels must contain");
    refused(json!({"selector": {"matchLabels": null}}), "selector must not be empty");
    refused(json!({"strategy": {"blueGreen": {"previewService": "web-active"}}}), "must be another Service");
    refused(json!({"template": {"spec": {"restartPolicy": "Never"}}}), "must be Always");
    refused(json!({"template": {"metadata": {"labels": {names::HASH_LABEL: "x"}}}}), "greenlight sets them");
    refused(json!({"minReadySeconds": 600}), "progressDeadlineSeconds must be greater");
}

#[tokio::test(flavor = "multi_thread")]
async fn typos_and_numbers_out_of_range_are_refused() {
    let lab = Lab::without_operator("typos").await;
    let refused = |spec: Value, words: &str| {
        let error = lab.apply(&rollout(spec.clone())).expect_err(&format!("{spec} must be refused")).to_string();
        assert!(error.contains(words), "{spec}: {error}");
    };
    refused(json!({"replica": 3}), "unknown field \"spec.replica\"");
    refused(json!({"template": {"spec": {"contaners": []}}}), "unknown field \"spec.template.spec.contaners\"");
    refused(json!({"replicas": -1}), "spec.replicas");
    refused(json!({"replicas": 3_000_000_000_u32}), "spec.replicas");
    refused(json!({"restartAt": "9999-12-31T23:59:59Z"}), "write a time such as");
    refused(json!({"restartAt": "2026-11-25T00:00:00+99:99"}), "spec.restartAt");
    for field in ["count", "failureLimit", "inconclusiveLimit", "consecutiveErrorLimit"] {
        for number in [json!(3_000_000_000_u32), json!(-1), json!(1e30)] {
            let metric = json!({"name": "m", "provider": {"web": {"url": "http://a"}}, field: number});
            let template = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "m"},
                "spec": {"metrics": [metric]},
            });
            let error = lab.apply(&template).expect_err(field).to_string();
            assert!(error.contains(field), "{field}: {error}");
        }
    }
    refused(json!({"strategy": {"blueGreen": {"previewReplicaCount": 0}}}), "previewReplicaCount");
    let blue_green = |settings: Value| json!({"strategy": {"blueGreen": settings}});
    refused(blue_green(json!({"activeService": null, "additionalActiveServices": ["web-b"]})), "needs activeService");
    refused(blue_green(json!({"additionalActiveServices": ["web-preview"]})), "name each Service once");
    refused(blue_green(json!({"previewService": null, "previewServiceIdle": "None"})), "add previewService");
    refused(blue_green(json!({"previewServiceIdle": "Maybe"})), "previewServiceIdle");
    refused(blue_green(json!({"antiAffinity": {}})), "exactly one of");
    refused(blue_green(json!({"activeMetadata": {"labels": {"app": "x"}}})), "must not have labels of the template");
    refused(json!({"template": null}), "write either template or workloadRef");
    let workload = |kind: &str| json!({"apiVersion": "apps/v1", "kind": kind, "name": "web"});
    refused(json!({"workloadRef": workload("Deployment")}), "write either template or workloadRef");
    refused(json!({"template": null, "workloadRef": workload("StatefulSet")}), "takes a Deployment of apps/v1");
    // What looks wrong and is not: a null creationTimestamp, as Go clients write it, and numbers as quantities.
    lab.apply(&rollout(json!({"template": {
        "metadata": {"annotations": {"a": "b"}},
        "spec": {"containers": [{"name": "web", "image": "web:v1", "resources": {"limits": {"cpu": 1}}}]},
    }})))
    .expect("accepted");
    let error = lab.apply(&rollout(json!({
        "selector": {"matchLabels": {"app": "other"}},
        "template": {"metadata": {"labels": {"app": "other"}}},
    })));
    let error = error.expect_err("immutable").to_string();
    assert!(error.contains("selector is immutable"), "{error}");
}
