//! Replacing pods without a new revision.

use std::collections::BTreeSet;
use std::time::Duration;

use greenlight_api::names;
use greenlight_e2e::{Course, Lab, Snapshot, Witness};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::PostParams;
use serde_json::{Value, json};

/// Pods are as old as whole seconds.
async fn grow_older() {
    tokio::time::sleep(Duration::from_millis(1100)).await;
}

fn available(now: &Snapshot) -> i32 {
    now.set(&now.hash_of("web-active").unwrap_or_default())
        .and_then(|set| set.status.as_ref()?.available_replicas)
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_replaces_every_pod_and_never_has_fewer() {
    let lab = Lab::new("restart").await;
    let before = lab.deploy(json!({"replicas": 1})).await;
    grow_older().await;
    let course = Course::start(&lab, "web-active").await;
    let output = lab.greenlight(&["restart", "web"]).expect("restarted");
    assert!(output.contains("one by one"), "{output}");
    let after = lab.until("back to one pod", |now| now.pods.len() == 1 && now.phase() == "Healthy").await;
    assert!(after.pod_uids_of_image("web:v1").is_disjoint(&before.pod_uids_of_image("web:v1")), "new pods");
    assert_eq!(after.sets.len(), 1, "no new revision");
    let spec = |now: &Snapshot| now.rollout.as_ref().map(|rollout| rollout.spec.clone());
    assert_eq!(spec(&after), spec(&before), "the spec is not edited");
    assert_eq!(after.annotation_of_image("web:v1", names::EVICTING), None);
    course.assert_only("web:v1", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_carried_out_once_and_taken_up_again_by_the_next_operator() {
    let mut lab = Lab::new("restartonce").await;
    let before = lab.deploy(json!({"replicas": 3})).await.pod_uids_of_image("web:v1");
    grow_older().await;
    lab.annotate_request("restart").await;
    let replaced = |now: &Snapshot| before.difference(&now.pod_uids_of_image("web:v1")).count();
    lab.until("one replaced", |now| replaced(now) >= 1).await;
    lab.kill_operator();
    lab.start_operator();
    let after = lab.until("done", |now| replaced(now) == 3 && now.phase() == "Healthy" && now.pods.len() == 3).await;
    let pods = after.pod_uids_of_image("web:v1");
    // The annotation still says so, and neither a new operator nor a lost status makes it happen again.
    lab.kill_operator();
    lab.wipe_status().await;
    lab.start_operator();
    lab.until("restored", |now| now.phase() == "Healthy").await;
    lab.throughout(Duration::from_secs(2), "the pods stay", |now| now.pod_uids_of_image("web:v1") == pods).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_respects_a_disruption_budget_and_the_order_of_deletion_cost() {
    let lab = Lab::new("restartpdb").await;
    let before = lab.deploy(json!({})).await;
    let budget: PodDisruptionBudget = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "web"}}},
    }))
    .expect("a budget");
    lab.api::<PodDisruptionBudget>().create(&PostParams::default(), &budget).await.expect("created");
    let pods: BTreeSet<String> = before.ready_pods_of_image("web:v1");
    let cheapest = pods.last().expect("two pods").clone();
    lab.annotate_pod(&cheapest, "controller.kubernetes.io/pod-deletion-cost", "-10").await;
    grow_older().await;
    // The other way to ask, by the spec.
    lab.patch_spec(json!({"restartAt": Timestamp::from_second(Timestamp::now().as_second()).expect("a time")})).await;
    let held = lab.until("held", |now| now.message().contains("disruption budget")).await;
    assert_eq!(held.condition("Reconciling"), "True/Restarting");
    assert!(held.message().contains(&cheapest), "{}", held.message());
    lab.throughout(Duration::from_secs(2), "no pod is taken", |now| pods.is_subset(&now.ready_pods_of_image("web:v1")))
        .await;
    lab.api::<PodDisruptionBudget>().delete("web", &Default::default()).await.expect("deleted");
    lab.until("replaced", |now| {
        now.phase() == "Healthy" && now.pods.len() == 2 && pods.is_disjoint(&now.ready_pods_of_image("web:v1"))
    })
    .await;
}

/// By universal time that is in the year before the first one, which not everything that writes times can write.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_before_the_first_year_replaces_nothing_and_the_operator_goes_on() {
    let mut lab = Lab::new("restartlongago").await;
    let pods = lab.deploy(json!({})).await.pod_uids_of_image("web:v1");
    lab.patch_spec(json!({"restartAt": "0000-01-01T00:00:00+14:00"})).await;
    // An operator that lists it, and sees it change.
    lab.kill_operator();
    lab.start_operator();
    lab.patch_spec(json!({"progressDeadlineSeconds": 601})).await;
    lab.throughout(Duration::from_secs(2), "the pods stay", |now| now.pod_uids_of_image("web:v1") == pods).await;
    lab.release("web:v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_whose_pods_do_not_start_takes_no_old_one() {
    let lab = Lab::new("restartstuck").await;
    lab.deploy(json!({"progressDeadlineSeconds": 6})).await;
    let witness = Witness::start(lab.client.clone(), "restartstuck", "web-active");
    grow_older().await;
    // The node has no room for another pod.
    lab.limit_pods(2).await;
    lab.greenlight(&["restart", "web", "--no-wait"]).expect("asked");
    let stuck = lab.until("stuck", |now| now.condition("Stalled") == "True/ProgressDeadlineExceeded").await;
    assert!(stuck.message().contains("restarting") && stuck.message().contains("quota"), "{}", stuck.message());
    assert_eq!(available(&stuck), 2);
    lab.limit_pods(9).await;
    lab.until("done", |now| now.phase() == "Healthy" && now.status().restarted_at.is_some()).await;
    witness.assert_never_below(2);
}

/// What the operator relies on: an eviction that names an older version of the pod is a conflict.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_evicts_no_pod_that_has_changed_since_it_was_seen() {
    let lab = Lab::new("restartfence").await;
    let before = lab.deploy(json!({})).await;
    let pods = before.ready_pods_of_image("web:v1");
    let pod = pods.first().expect("two pods");
    let evict = async |preconditions: Value| {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod},
            "deleteOptions": {"preconditions": preconditions},
        });
        lab.api::<Pod>().create_subresource::<_, Value>("eviction", pod, &PostParams::default(), &eviction).await
    };
    let code = |refused: kube::Error| match refused {
        kube::Error::Api(status) => status.code,
        error => panic!("{error:?}"),
    };
    for older in [json!({"resourceVersion": "1"}), json!({"uid": "another"})] {
        let refused = evict(older).await.expect_err("it is not as it was seen");
        assert_eq!(code(refused), 409);
    }
    assert!(lab.now().await.ready_pods_of_image("web:v1").is_superset(&pods));
    let seen = lab.api::<Pod>().get(pod).await.expect("it is there").metadata;
    evict(json!({"uid": seen.uid, "resourceVersion": seen.resource_version})).await.expect("it is as it was seen");
    lab.until("it is replaced", |now| now.phase() == "Healthy" && !now.ready_pods_of_image("web:v1").contains(pod))
        .await;
}
