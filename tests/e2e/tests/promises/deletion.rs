//! Things that are deleted.

use std::time::Duration;

use greenlight_e2e::{Course, Lab, Snapshot, cluster, merge, rollout};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_rollout_takes_the_hash_out_of_its_services_and_its_pods_away() {
    let lab = Lab::new("deleted").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 3600}}})).await;
    lab.release("web:v2").await;
    cluster().kubectl(&["-n", "deleted", "delete", "bgr", "web", "--timeout=300s"]).expect("deleted");
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
        .kubectl(&["delete", "namespace", "nsdeleted", "--timeout=900s"])
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

/// Somebody took the selector out of one of its Services, and all but the hash out of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_not_held_up_by_services_that_select_nothing_by_themselves() {
    let mut lab = Lab::new("selectless").await;
    lab.deploy(json!({})).await;
    lab.kill_operator();
    let select =
        |service: &str, patch: &str| drop(lab.kubectl(&["patch", "service", service, "--type=merge", "-p", patch]));
    select("web-active", r#"{"spec":{"selector":null}}"#);
    select("web-preview", r#"{"spec":{"selector":{"app":null}}}"#);
    lab.kubectl(&["delete", "bgr", "web", "--wait=false"]);
    lab.start_operator();
    lab.until("it is gone", |now| now.rollout.is_none()).await;
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
    let is_seen = |rule: &Value| rule["resources"] != json!(["endpointslices"]);
    let _operator = lab.operator_with_rights("blind", |rules| rules.retain(is_seen));
    let says = |now: &Snapshot| now.message().contains("may not see endpointslices");
    let told = lab.until("it says what it waits for", says).await;
    assert_eq!(told.condition("Stalled"), "True/WriteRefused", "{}", told.message());
    let events = lab.kubectl(&["get", "events.events.k8s.io", "-o", "json"]);
    assert!(events.contains("may not see endpointslices"), "{events}");
    lab.give_rights("blind", "greenlight");
    let end = lab.until("it is gone", |now| now.rollout.is_none()).await;
    assert_eq!((end.hash_of("web-active"), end.hash_of("web-preview")), (None, None));
}

fn set_named<'a>(now: &'a Snapshot, hash: &str) -> &'a k8s_openapi::api::apps::v1::ReplicaSet {
    now.set(hash).expect("a ReplicaSet of this hash")
}

/// The rollout is deleted and its pods stay.
async fn leave_behind(lab: &Lab) {
    lab.kubectl(&["delete", "bgr", "web", "--cascade=orphan", "--timeout=300s"]);
    let owned = |now: &Snapshot| now.sets.iter().any(|set| set.metadata.owner_references.is_some());
    lab.until("the sets belong to nobody", |now| now.rollout.is_none() && !owned(now)).await;
}

fn with_image(image: &str, more: Value) -> Value {
    let mut made = rollout(json!({"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}));
    merge(&mut made["spec"], &more);
    made
}

/// What `plan` says would come of a manifest.
fn plan_of(lab: &Lab, manifest: &Value) -> String {
    let file = cluster().dir().join(format!("{}.json", lab.namespace));
    std::fs::write(&file, manifest.to_string()).expect("written");
    lab.greenlight(&["plan", "-f", &file.display().to_string()]).expect("planned")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_made_anew_takes_over_what_the_one_before_left_behind() {
    let lab = Lab::new("leftbehind").await;
    let roles = json!({"strategy": {"blueGreen": {
        "scaleDownDelaySeconds": 600,
        "activeMetadata": {"labels": {"role": "active"}}, "previewMetadata": {"labels": {"role": "preview"}},
    }}});
    lab.deploy(roles.clone()).await;
    let before = lab.release("web:v2").await;
    lab.preview("web:v3").await;
    let course = Course::start(&lab, "web-active").await;
    let pods = before.pod_uids_of_image("web:v2");
    leave_behind(&lab).await;
    // The one that served is what is asked for: it goes on serving, with the pods that it has.
    let manifest = with_image("web:v2", roles);
    let plan = plan_of(&lab, &manifest);
    assert!(plan.contains("take over ReplicaSet") && !plan.contains("create ReplicaSet"), "{plan}");
    lab.apply(&manifest).expect("applied");
    let now = lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    assert_eq!(now.pod_uids_of_image("web:v2"), pods);
    let v2 = now.hash_of_image("web:v2").expect("a set");
    assert!(set_named(&now, &v2).metadata.owner_references.is_some());
    assert_eq!(now.status().active_revision, v2);
    course.assert_only("web:v2", 2).await;
    // What waited waits again, and is promoted by nobody but people; what served before has to be promoted, too.
    for image in ["web:v3", "web:v1"] {
        let now = lab.preview(image).await;
        let hash = now.hash_of_image(image).expect("a set");
        assert!(set_named(&now, &hash).metadata.owner_references.is_some());
        course.assert_only("web:v2", 2).await;
    }
    lab.greenlight(&["promote", "web", "--timeout", "90s"]).expect("promoted");
    lab.until("v1 serves", |now| now.is_healthy_on("web:v1")).await;
    lab.greenlight(&["undo", "web", "--timeout", "90s"]).expect("undone");
    course.assert_never_below(2).await;
    assert_eq!(course.images().await, ["web:v2", "web:v1", "web:v2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_behind_for_a_service_that_is_not_named_stays_until_that_is_named() {
    let lab = Lab::new("leftunnamed").await;
    lab.deploy(json!({})).await;
    let course = Course::start(&lab, "web-active").await;
    leave_behind(&lab).await;
    // Who may make rollouts gets no hold of the pods of a Service that they may not touch.
    let manifest = with_image("web:v1", json!({"replicas": 0, "strategy": {"blueGreen": {"activeService": null}}}));
    let plan = plan_of(&lab, &manifest);
    assert!(plan.contains("Service web-active, which leads to its pods"), "{plan}");
    lab.apply(&manifest).expect("applied");
    let says = |now: &Snapshot| now.message().contains("Service web-active, which leads to its pods");
    let now = lab.until("it says what to do", says).await;
    assert!(now.sets.iter().all(|set| set.metadata.owner_references.is_none()));
    lab.throughout(Duration::from_secs(3), "the pods stay", |now| now.ready_pods_of_image("web:v1").len() == 2).await;
    lab.patch_spec(json!({"replicas": 2, "strategy": {"blueGreen": {"activeService": "web-active"}}})).await;
    lab.until("v1 serves", |now| now.is_healthy_on("web:v1")).await;
    course.assert_only("web:v1", 2).await;
    assert_eq!(course.images().await, ["web:v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_put_in_the_place_of_what_is_asked_for_is_not_taken_over() {
    let lab = Lab::new("leftforged").await;
    lab.deploy(json!({})).await;
    let preview = lab.preview("web:v2").await;
    let v2 = preview.hash_of_image("web:v2").expect("a set");
    let mut forged = serde_json::to_value(set_named(&preview, &v2)).expect("JSON");
    lab.set_image("web:v1").await;
    lab.until("v1 is asked for", |now| now.is_healthy_on("web:v1")).await;
    lab.kubectl(&["delete", "replicaset", &format!("web-{v2}")]);
    let metadata = forged["metadata"].as_object_mut().expect("metadata");
    metadata.retain(|key, _| ["name", "namespace", "labels", "annotations"].contains(&key.as_str()));
    forged.as_object_mut().expect("an object").remove("status");
    forged["apiVersion"] = "apps/v1".into();
    forged["kind"] = "ReplicaSet".into();
    forged["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:v1".into();
    lab.apply(&forged).expect("applied");
    lab.set_image("web:v2").await;
    let says = |now: &Snapshot| now.message().contains("belongs to nobody, and is not what the operator would create");
    let now = lab.until("it says so", says).await;
    assert!(set_named(&now, &v2).metadata.owner_references.is_none());
    assert_eq!(now.image_of("web-active"), "web:v1");
    lab.kubectl(&["delete", "replicaset", &format!("web-{v2}")]);
    lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
}
