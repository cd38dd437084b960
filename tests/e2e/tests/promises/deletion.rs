//! Things that are deleted.

use std::time::Duration;

use greenlight_e2e::{Lab, Snapshot, binary, cluster, kubeconfig_of, rollout};
use greenlight_test_cluster::Process;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

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

/// Whether pods are left that a Service leads to is not known: the rollout waits, and says what for.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_may_not_see_endpoints_says_so_and_heals() {
    let mut lab = Lab::new("unseen").await;
    lab.deploy(json!({})).await;
    lab.kill_operator();
    lab.kubectl(&["delete", "bgr", "web", "--wait=false"]);
    lab.kubectl(&["delete", "replicasets", "--all"]);
    lab.until("its pods are gone", |now| now.sets.is_empty() && now.pods.is_empty()).await;
    let role = cluster().kubectl(&["get", "clusterrole", "greenlight", "-o", "json"]).expect("the chart's role");
    let role: Value = serde_json::from_str(&role).expect("JSON");
    let is_seen = |rule: &&Value| rule["resources"] != json!(["endpointslices"]);
    let rules: Vec<&Value> = role["rules"].as_array().expect("rules").iter().filter(is_seen).collect();
    assert_eq!(rules.len() + 1, role["rules"].as_array().map_or(0, Vec::len));
    lab.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "blind"}})).expect("applied");
    lab.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "blind"}, "rules": rules,
    }))
    .expect("applied");
    let binding = |name: &str, role: &str| {
        let account = format!("--serviceaccount={}:blind", lab.namespace);
        let role = format!("--clusterrole={role}");
        cluster().kubectl(&["create", "clusterrolebinding", name, &role, &account]).expect("bound");
    };
    binding("blind", "blind");
    let kubeconfig = cluster().dir().join("blind.kubeconfig");
    std::fs::write(&kubeconfig, kubeconfig_of(cluster(), &lab.namespace, "blind").expect("a token")).expect("written");
    // Not by a name of the lab: nothing else may be denied to an operator.
    let args = ["controller", "--namespace", &lab.namespace, "--listen", "127.0.0.1:0"].map(str::to_owned);
    let env = [("KUBECONFIG", kubeconfig.to_str().expect("a path in UTF-8"))];
    let operator = Process::start(cluster().dir(), "blind-operator", &binary("greenlight"), &args, &env);
    let _operator = operator.expect("it starts");
    let says = |now: &Snapshot| now.message().contains("may not see endpointslices");
    let told = lab.until("it says what it waits for", says).await;
    assert_eq!(told.condition("Stalled"), "True/WriteRefused", "{}", told.message());
    let events = lab.kubectl(&["get", "events.events.k8s.io", "-o", "json"]);
    assert!(events.contains("may not see endpointslices"), "{events}");
    binding("blind-sees", "greenlight");
    let end = lab.until("it is gone", |now| now.rollout.is_none()).await;
    assert_eq!((end.hash_of("web-active"), end.hash_of("web-preview")), (None, None));
}
