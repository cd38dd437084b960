//! Things that are deleted.

use std::time::Duration;

use greenlight_e2e::{Lab, Snapshot, cluster, rollout};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_rollout_takes_the_hash_out_of_its_services_and_its_pods_away() {
    let lab = Lab::new("deleted").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 3600}}})).await;
    lab.release("web:v2").await;
    cluster().kubectl(&["-n", "deleted", "delete", "bgr", "web", "--timeout=30s"]).expect("deleted");
    let end = lab
        .until("everything is gone", |now| now.rollout.is_none() && now.sets.is_empty() && now.pods.is_empty())
        .await;
    assert_eq!((end.hash_of("web-active"), end.hash_of("web-preview")), (None, None));
    let annotations = end.services["web-active"].metadata.annotations.clone().unwrap_or_default();
    assert!(!annotations.contains_key("greenlight.dev/managed-by"), "{annotations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_namespace_is_not_held_up_by_a_long_delay() {
    let lab = Lab::new("nsdeleted").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 3600}}})).await;
    lab.release("web:v2").await;
    cluster()
        .kubectl(&["delete", "namespace", "nsdeleted", "--timeout=180s"])
        .expect("gone long before the delay is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_replaced_by_force_serves_again() {
    let lab = Lab::new("forced").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    lab.release("web:v2").await;
    let uid = lab.now().await.rollout.and_then(|rollout| rollout.metadata.uid);
    // Its ReplicaSets are still there when the next one begins, and have the names that it would give.
    let file = cluster().dir().join("forced.json");
    std::fs::write(&file, rollout(json!({})).to_string()).expect("written");
    lab.kubectl(&["replace", "--force", "-f", file.to_str().expect("a path in UTF-8")]);
    let again = |now: &Snapshot| now.rollout.as_ref().is_some_and(|rollout| rollout.metadata.uid != uid);
    lab.until("v1 serves", |now| again(now) && now.is_healthy_on("web:v1")).await;
    lab.until("nothing of the other one is left", |now| now.sets.len() == 1 && now.pods.len() == 2).await;
    lab.release("web:v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_set_deleted_by_hand_keeps_its_pods_until_the_deadline() {
    let lab = Lab::new("retireddeleted").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 30}}})).await;
    let now = lab.release("web:v2").await;
    let pods = now.ready_pods_of_image("web:v1");
    assert_eq!(pods.len(), 2);
    let sets: Api<k8s_openapi::api::apps::v1::ReplicaSet> = lab.api();
    let name = format!("web-{}", now.hash_of_image("web:v1").expect("a set"));
    sets.delete(&name, &DeleteParams::background()).await.expect("deleted");
    lab.throughout(Duration::from_secs(3), "its pods are there", |now| now.ready_pods_of_image("web:v1") == pods).await;
    let gone = |now: &Snapshot| now.ready_pods_of_image("web:v1").is_empty() && now.hash_of_image("web:v1").is_none();
    lab.until("gone at the deadline", gone).await;
}
