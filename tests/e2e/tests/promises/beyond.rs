//! What Argo's users ask for and do not have: one test for each complaint, with its issue number there.

use std::time::Duration;

use greenlight_api::names;
use greenlight_e2e::{Course, Lab, Snapshot, Witness, cluster, rollout};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

fn blue_green(settings: Value) -> Value {
    json!({"strategy": {"blueGreen": settings}})
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_moves_only_when_ready_2641() {
    let lab = Lab::new("previewready").await;
    let first = lab.deploy(json!({})).await;
    let witness = Witness::start(lab.client.clone(), "previewready", "web-preview");
    lab.set_template("web:v2", &[(greenlight_test_cluster::BEHAVIOUR, "late")]).await;
    lab.until("starting", |now| now.hash_of_image("web:v2").is_some()).await;
    assert_eq!(lab.now().await.hash_of("web-preview"), first.hash_of_image("web:v1"), "it keeps what it had");
    lab.until("in preview", |now| now.image_of("web-preview") == "web:v2").await;
    witness.assert_never_below(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_preview_can_select_nothing_4131() {
    let lab = Lab::new("idlenone").await;
    let healthy = lab.deploy(blue_green(json!({"previewServiceIdle": "None"}))).await;
    assert_eq!(healthy.hash_of("web-preview").as_deref(), Some(names::NO_HASH));
    assert_eq!(healthy.status().preview_revision, "");
    lab.preview("web:v2").await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.until("idle again", |now| now.hash_of("web-preview").as_deref() == Some(names::NO_HASH)).await;
    let tree = lab.greenlight(&["get", "rollout", "web"]).expect("shown");
    assert!(tree.contains("no revision"), "{tree}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_come_with_a_template_wait_for_promotion_4302_4552() {
    let lab = Lab::new("replicaswait").await;
    lab.deploy(json!({})).await;
    lab.patch_spec(json!({"replicas": 4, "template": {"metadata": {"labels": {"app": "web", "tier": "b"}}}})).await;
    let waiting = lab.until("in preview", |now| now.phase() == "Paused" && now.sets.len() == 2).await;
    let active = waiting.hash_of("web-active").expect("a hash");
    let size = |now: &Snapshot, hash: &str| now.set(hash).and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(-1);
    assert_eq!(size(&waiting, &active), 2, "production is untouched");
    assert_eq!(size(&waiting, &waiting.status().updated_revision), 4);
    // A change of scale alone holds for production at once.
    lab.patch_spec(json!({"replicas": 3})).await;
    lab.until("scaled", |now| size(now, &active) == 3 && size(now, &now.status().updated_revision) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_need_no_service_2498() {
    let lab = Lab::new("workers").await;
    let spec = blue_green(json!({"activeService": null, "previewService": null}));
    lab.deploy(spec).await;
    lab.set_image("web:v2").await;
    let paused = lab.until("waits", |now| now.phase() == "Paused").await;
    assert_eq!(paused.status().active_revision, paused.hash_of_image("web:v1").expect("a set"));
    lab.greenlight(&["promote", "web"]).expect("promoted");
    let promoted = lab.until("promoted", |now| now.phase() == "Healthy").await;
    assert_eq!(promoted.status().active_revision, promoted.hash_of_image("web:v2").expect("a set"));
    lab.greenlight(&["undo", "web"]).expect("undone");
    let undone = lab.now().await;
    assert_eq!(undone.status().active_revision, undone.hash_of_image("web:v1").expect("a set"));
    lab.until("the rejected one goes", |now| now.replicas_of_image("web:v2") == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_active_services_move_together_451() {
    let lab = Lab::new("several").await;
    lab.create_service("web-internal").await;
    lab.create_service("web-admin").await;
    lab.deploy(blue_green(json!({"additionalActiveServices": ["web-internal", "web-admin"]}))).await;
    let witnesses =
        ["web-active", "web-internal", "web-admin"].map(|name| Witness::start(lab.client.clone(), "several", name));
    lab.release("web:v2").await;
    for service in ["web-active", "web-internal", "web-admin"] {
        assert_eq!(lab.now().await.image_of(service), "web:v2", "{service}");
    }
    // Recreated without the hash, it is pointed again.
    lab.delete_service("web-admin").await;
    lab.until("says so", |now| now.message().contains("web-admin does not exist")).await;
    lab.create_service("web-admin").await;
    lab.until("restored", |now| now.image_of("web-admin") == "web:v2" && now.phase() == "Healthy").await;
    // Left out of the spec, it gets the hash taken out again.
    lab.patch_spec(blue_green(json!({"additionalActiveServices": ["web-internal"]}))).await;
    lab.until("released", |now| now.hash_of("web-admin").is_none()).await;
    witnesses.iter().for_each(|witness| witness.assert_never_below(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_of_zero_scales_down_at_once_1992() {
    let lab = Lab::new("delayzero").await;
    lab.deploy(blue_green(json!({"scaleDownDelaySeconds": 0}))).await;
    lab.release("web:v2").await;
    lab.until("down", |now| now.replicas_of_image("web:v1") == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_set_can_keep_fewer_pods_2167() {
    let lab = Lab::new("retiredcount").await;
    lab.deploy(
        json!({"replicas": 3, "strategy": {"blueGreen": {"scaleDownDelaySeconds": 600, "retiredReplicaCount": 1}}}),
    )
    .await;
    lab.release("web:v2").await;
    lab.throughout(Duration::from_secs(5), "proxies may not have followed", |now| now.replicas_of_image("web:v1") == 3)
        .await;
    let shrunk = lab.until("shrunk", |now| now.replicas_of_image("web:v1") == 1).await;
    assert!(shrunk.annotation_of_image("web:v1", names::SCALE_DOWN_AT).is_some(), "it stays until the deadline");
    let witness = Witness::start(lab.client.clone(), "retiredcount", "web-active");
    lab.greenlight(&["undo", "web"]).expect("undone");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    witness.assert_never_below(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn production_goes_back_by_itself_when_the_new_pods_fail() {
    let lab = Lab::new("autorollback").await;
    lab.deploy(blue_green(json!({"scaleDownDelaySeconds": 600, "autoRollback": {"unavailableSeconds": 2}}))).await;
    let promoted = lab.release("web:v2").await;
    let pods = promoted.ready_pods_of_image("web:v2");
    lab.set_readiness(pods.clone(), false).await;
    let back = lab.until("back", |now| now.image_of("web-active") == "web:v1" && now.phase() == "Degraded").await;
    assert!(back.message().contains("rejected by greenlight (no available pod for 2 s"), "{}", back.message());
    // It does not go forth again when they recover: a person says retry.
    lab.set_readiness(pods, true).await;
    lab.throughout(Duration::from_secs(2), "stays", |now| now.image_of("web-active") == "web:v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_within_the_rollback_window_needs_no_gate() {
    let lab = Lab::new("window").await;
    lab.deploy(json!({"rollbackWindow": {"revisions": 1}, "strategy": {"blueGreen": {"scaleDownDelaySeconds": 0}}}))
        .await;
    lab.release("web:v2").await;
    lab.release("web:v3").await;
    lab.until("down", |now| now.replicas_of_image("web:v2") == 0 && now.replicas_of_image("web:v1") == 0).await;
    lab.set_image("web:v2").await;
    lab.until("v2 is back without a promotion", |now| now.image_of("web-active") == "web:v2").await;
    lab.set_image("web:v1").await;
    lab.until("v1 is too old, it waits", |now| now.phase() == "Paused" && now.image_of("web-preview") == "web:v1")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anti_affinity_keeps_revisions_apart() {
    let lab = Lab::new("apart").await;
    let settings = json!({"antiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}});
    lab.deploy(json!({"replicas": 1, "strategy": {"blueGreen": settings}})).await;
    let preview = lab.preview("web:v2").await;
    let nodes: Vec<_> = preview.pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
    assert_eq!(nodes.len(), 2);
    assert_ne!(nodes[0], nodes[1], "the real scheduler kept them apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_carry_the_metadata_of_their_role() {
    let lab = Lab::new("metadata").await;
    let role = |role: &str| json!({"labels": {"role": role}, "annotations": {"example.com/role": role}});
    let settings = json!({"activeMetadata": role("active"), "previewMetadata": role("preview")});
    let first = lab.deploy(blue_green(settings)).await;
    let roles = |now: &Snapshot, image: &str| -> Vec<String> {
        let has_image = |pod: &&Pod| pod.spec.as_ref().is_some_and(|s| s.containers[0].image.as_deref() == Some(image));
        let role = |pod: &Pod| pod.labels().get("role").cloned().unwrap_or_default();
        now.pods.iter().filter(has_image).map(role).collect()
    };
    assert_eq!(roles(&first, "web:v1"), ["active", "active"]);
    let uids = first.pod_uids_of_image("web:v1");
    let preview = lab.preview("web:v2").await;
    assert_eq!(roles(&preview, "web:v2"), ["preview", "preview"]);
    lab.greenlight(&["promote", "web"]).expect("promoted");
    let after = lab.until("changed", |now| roles(now, "web:v2") == ["active", "active"]).await;
    assert_eq!(after.pod_uids_of_image("web:v2"), preview.pod_uids_of_image("web:v2"), "no pod was restarted");
    lab.until("the old ones have none", |now| roles(now, "web:v1").iter().all(String::is_empty)).await;
    assert!(uids.is_superset(&after.pod_uids_of_image("web:v1")));
}

/// A Deployment that runs behind the active Service.
async fn running_deployment(lab: &Lab) {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "old-web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:v1"}]},
            },
        },
    });
    lab.apply(&deployment).expect("applied");
    lab.until("running", |now| now.ready_pods_of_image("web:v1").len() == 2).await;
    lab.until_endpoints("web-active", 2).await;
}

fn deployment_replicas(lab: &Lab) -> String {
    let args = ["-n", &lab.namespace, "get", "deployment", "old-web", "-o", "jsonpath={.spec.replicas}"];
    cluster().kubectl(&args).expect("read")
}

fn workload_rollout(scale_down: &str) -> Value {
    rollout(json!({
        "template": null,
        "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "old-web", "scaleDown": scale_down},
    }))
}

async fn adopt(name: &str, scale_down: &str, replicas_after: &str) -> Lab {
    let lab = Lab::new(name).await;
    running_deployment(&lab).await;
    let course = Course::start(&lab, "web-active").await;
    lab.apply(&workload_rollout(scale_down)).expect("applied");
    lab.until("adopted", |now| now.phase() == "Healthy").await;
    lab.until("the Deployment has its size", |_| deployment_replicas(&lab) == replicas_after).await;
    course.assert_never_below(2).await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_adopted_without_a_moment_without_endpoints_1731_335() {
    let lab = adopt("adoptnever", "never", "2").await;
    // Its template is what the rollout follows.
    let args = ["-n", "adoptnever", "set", "image", "deployment/old-web", "web=web:v2"];
    cluster().kubectl(&args).expect("set");
    lab.until("v2 in preview", |now| now.phase() == "Paused" && now.image_of("web-preview") == "web:v2").await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v2");
    // Without the Deployment nobody knows what is asked for; what serves goes on to serve.
    cluster().kubectl(&["-n", "adoptnever", "delete", "deployment", "old-web"]).expect("deleted");
    let missing = lab.until("says so", |now| now.condition("Stalled") == "True/WorkloadMissing").await;
    assert!(missing.message().contains("Deployment old-web does not exist"), "{}", missing.message());
    lab.throughout(Duration::from_secs(1), "serves", |now| now.image_of("web-active") == "web:v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_deployment_can_go_on_success() {
    adopt("adoptsuccess", "onsuccess", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_deployment_can_go_progressively() {
    adopt("adoptprogress", "progressively", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_workload_ref_a_deployment_beside_it_keeps_serving_until_we_are_ready() {
    let lab = Lab::new("beside").await;
    running_deployment(&lab).await;
    let course = Course::start(&lab, "web-active").await;
    lab.apply(&rollout(
        json!({"template": {"metadata": {"annotations": {greenlight_test_cluster::BEHAVIOUR: "late"}}}}),
    ))
    .expect("applied");
    lab.until("healthy", |now| now.phase() == "Healthy").await;
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_an_argo_rollout_keep_serving_until_we_are_ready() {
    let lab = Lab::new("fromargo").await;
    running_deployment(&lab).await;
    // As Argo Rollouts leaves them: pods and selector carry a hash that it made.
    let kubectl = |args: &[&str]| cluster().kubectl(&[&["-n", "fromargo"], args].concat()).expect("done");
    let label = format!("{}=57d7c6b8", names::HASH_LABEL);
    kubectl(&["label", "pods", "-l", "app=web", &label]);
    let selector = json!({"spec": {"selector": {names::HASH_LABEL: "57d7c6b8"}}}).to_string();
    kubectl(&["patch", "service", "web-active", "--type=merge", "-p", &selector]);
    lab.until_endpoints("web-active", 2).await;
    let course = Course::start(&lab, "web-active").await;
    lab.apply(&rollout(
        json!({"template": {"metadata": {"annotations": {greenlight_test_cluster::BEHAVIOUR: "late"}}}}),
    ))
    .expect("applied");
    lab.until("our pods start", |now| !now.sets.is_empty()).await;
    assert_eq!(lab.now().await.hash_of("web-active").as_deref(), Some("57d7c6b8"), "Argo's pods serve");
    lab.until("healthy", |now| now.phase() == "Healthy").await;
    course.assert_never_below(2).await;
    assert_ne!(lab.now().await.hash_of("web-active").as_deref(), Some("57d7c6b8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_revisions_serve_while_a_load_balancer_registers_the_new_one_4834_4259() {
    let lab = Lab::new("overlap").await;
    let settings = json!({"switchMode": "Overlap", "overlapSeconds": 4, "scaleDownDelaySeconds": 600});
    let first = lab.deploy(blue_green(settings)).await;
    let pods = first.pod_uids_of_image("web:v1");
    // An old revision that is still up inside its delay must not serve again.
    lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    let both = lab
        .until("both serve", |now| {
            let service = now.services["web-active"].spec.as_ref().and_then(|spec| spec.selector.clone());
            service.is_some_and(|selector| selector.contains_key(names::SERVING_LABEL))
        })
        .await;
    assert_ne!(both.phase(), "Healthy", "{}", both.message());
    lab.until_endpoints("web-active", 4).await;
    assert!(both.annotation_of_image("web:v1", names::SCALE_DOWN_AT).is_none(), "nothing is retired meanwhile");
    lab.until("healthy", |now| now.is_healthy_on("web:v2")).await;
    course.assert_never_below(2).await;
    assert_eq!(lab.endpoints("web-active").await, 2, "then only the new one");
    let third = lab.preview("web:v3").await;
    assert_eq!(third.pod_uids_of_image("web:v1"), pods);
    let course = Course::start(&lab, "web-active").await;
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    lab.until("v3", |now| now.is_healthy_on("web:v3")).await;
    let ready = ["web:v2", "web:v3"].map(str::to_owned);
    assert_eq!(course.served().await, ready.into(), "and never v1, whose pods are still there");
    assert_eq!((course.fewest().await, course.most().await), (2, 4), "all of both, at a time");
    let course = Course::start(&lab, "web-active").await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    assert_eq!(course.images().await, ["web:v3", "web:v2"], "back goes straight");
}
