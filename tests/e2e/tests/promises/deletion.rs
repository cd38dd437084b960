//! Things that are deleted.

use std::time::Duration;

use greenlight_e2e::{Lab, Snapshot, cluster};
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
    cluster().kubectl(&["delete", "namespace", "nsdeleted", "--timeout=60s"]).expect("gone within a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_set_deleted_by_hand_keeps_its_pods_until_the_deadline() {
    let lab = Lab::new("retireddeleted").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 6}}})).await;
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
