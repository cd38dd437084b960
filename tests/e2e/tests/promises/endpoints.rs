//! Where a Service's traffic goes is written in EndpointSlices, of which there are many shapes. A switch is proven by them all.

use std::collections::BTreeSet;
use std::time::Duration;

use greenlight_e2e::{Course, Lab, Snapshot, cluster};
use greenlight_test_cluster::BEHAVIOUR;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

async fn slices(lab: &Lab, service: &str) -> Vec<EndpointSlice> {
    let labelled = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    lab.api::<EndpointSlice>().list(&labelled).await.expect("slices").items
}

/// Changes the active Service's spec before anything is released.
async fn set_service(lab: &Lab, spec: Value) {
    let api: Api<Service> = lab.api();
    let patch = Patch::Merge(json!({"spec": spec}));
    api.patch("web-active", &PatchParams::default(), &patch).await.expect("patched");
}

fn is_proven(now: &Snapshot) -> bool {
    now.status().switch.is_some_and(|switch| switch.proven_at.is_some())
}

/// A slice has a hundred endpoints at most.
const SEVERAL_SLICES: usize = 110;

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_proven_by_all_of_several_slices() {
    let lab = Lab::new("manyslices").await;
    lab.deploy(json!({"replicas": SEVERAL_SLICES})).await;
    assert!(slices(&lab, "web-active").await.len() > 1);
    let course = Course::start(&lab, "web-active").await;
    let now = lab.release("web:v2").await;
    assert!(is_proven(&now));
    assert_eq!(lab.endpoints("web-active").await, SEVERAL_SLICES);
    assert_eq!(course.images().await, ["web:v1", "web:v2"]);
    // Kubernetes writes one slice after the other, so there is a moment with fewer: the next test shows what to do against that.
    course.assert_never_below(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_overlap_there_is_no_moment_with_fewer_pods_however_many_slices_there_are() {
    let lab = Lab::new("overlappedslices").await;
    let overlap = json!({"switchMode": "Overlap", "overlapSeconds": 1});
    lab.deploy(json!({"replicas": SEVERAL_SLICES, "strategy": {"blueGreen": overlap}})).await;
    let course = Course::start(&lab, "web-active").await;
    let mark = cluster().audit().mark();
    assert!(is_proven(&lab.release("web:v2").await));
    assert_eq!(course.images().await, ["web:v1", "both revisions", "web:v2"]);
    course.assert_never_below(SEVERAL_SLICES).await;
    // The pods of both get a label, those of one lose it. What interrupts that, a conflict say, does not make it begin anew.
    let patched = lab.operator_writes(mark, "pods").await.len();
    assert!(patched <= 3 * SEVERAL_SLICES, "{patched} changes of pods");
}

/// Who changes a label of a pod by hand keeps the controller of ReplicaSets from counting it among those that carry all of their template.
#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_begins_only_once_kubernetes_has_seen_its_label_on_every_pod() {
    let lab = Lab::new("seenlabels").await;
    let template = json!({"metadata": {"labels": {"tier": "front"}}});
    let settings = json!({"switchMode": "Overlap", "overlapSeconds": 600});
    let first = lab.deploy(json!({"template": template, "strategy": {"blueGreen": settings}})).await;
    lab.preview("web:v2").await;
    let pod = first.ready_pods_of_image("web:v1").pop_first().expect("two pods");
    let set_tier = |tier: &str| lab.kubectl(&["label", "--overwrite", "pod", &pod, &format!("tier={tier}")]);
    set_tier("by-hand");
    let course = Course::start(&lab, "web-active").await;
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    lab.until("it says what it waits for", |now| now.message().contains("on 1 of 2 pods of revision 1")).await;
    lab.throughout(Duration::from_secs(2), "v1 serves", |now| now.image_of("web-active") == "web:v1").await;
    set_tier("front");
    lab.until_endpoints("web-active", 4).await;
    course.assert_never_below(2).await;
    assert_eq!(course.images().await, ["web:v1", "both revisions"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_headless_service_is_switched_and_proven() {
    let lab = Lab::without_operator("headless").await;
    lab.delete_service("web-active").await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web-active"},
        "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    lab.apply(&service).expect("applied");
    let mut lab = lab;
    lab.start_operator();
    lab.deploy(json!({})).await;
    let course = Course::start(&lab, "web-active").await;
    assert!(is_proven(&lab.release("web:v2").await));
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_has_another_number_in_the_next_revision_is_proven_by_the_slices_of_both() {
    let lab = Lab::new("namedports").await;
    set_service(&lab, json!({"ports": [{"port": 80, "targetPort": "http"}]})).await;
    let container = |image: &str, port: u16| {
        json!({"template": {"spec": {"containers": [{
            "name": "web", "image": image, "ports": [{"name": "http", "containerPort": port}],
        }]}}})
    };
    lab.deploy(container("web:v1", 8080)).await;
    let course = Course::start(&lab, "web-active").await;
    lab.patch_spec(container("web:v2", 9090)).await;
    lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    assert!(is_proven(&lab.now().await));
    let with_endpoints =
        slices(&lab, "web-active").await.into_iter().filter(|slice| slice.endpoints.iter().flatten().next().is_some());
    let ports: BTreeSet<Option<i32>> =
        with_endpoints.flat_map(|slice| slice.ports.into_iter().flatten()).map(|port| port.port).collect();
    assert_eq!(ports, [Some(9090)].into());
    lab.greenlight(&["undo", "web"]).expect("undone");
    assert!(is_proven(&lab.until("back", |now| now.image_of("web-active") == "web:v1").await));
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_shows_pods_before_they_are_ready_does_not_make_them_available() {
    let lab = Lab::new("notready").await;
    set_service(&lab, json!({"publishNotReadyAddresses": true})).await;
    lab.deploy(json!({})).await;
    let preview = lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    // Every endpoint says that it is ready, whatever its pod says.
    let one: Vec<String> = preview.ready_pods_of_image("web:v2").into_iter().take(1).collect();
    lab.set_readiness(one.clone(), false).await;
    lab.until("one is lost", |now| now.ready_pods_of_image("web:v2").len() == 1).await;
    let (code, output) = lab.greenlight(&["promote", "web", "--timeout", "4s"]).expect_err("cannot be done now");
    assert_eq!(code, 4, "{output}");
    course.assert_only("web:v1", 2).await;
    lab.set_readiness(one, true).await;
    lab.until("promoted", |now| now.is_healthy_on("web:v2") && is_proven(now)).await;
}

/// As a load balancer's controller does with each pod that it has registered.
fn register(lab: &Lab, pod: &str) {
    let condition = json!({"status": {"conditions": [{"type": "example.com/registered", "status": "True"}]}});
    lab.kubectl(&["patch", "pod", pod, "--subresource=status", "-p", &condition.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_wait_for_a_readiness_gate_get_no_traffic_and_the_status_says_for_which() {
    let lab = Lab::new("gated").await;
    lab.deploy(json!({})).await;
    let course = Course::start(&lab, "web-active").await;
    let previews = Course::start(&lab, "web-preview").await;
    lab.patch_spec(json!({"template": {
        "metadata": {"annotations": {BEHAVIOUR: "gated"}},
        "spec": {
            "containers": [{"name": "web", "image": "web:v2"}],
            "readinessGates": [{"conditionType": "example.com/registered"}],
        },
    }}))
    .await;
    let gate = "pod readiness gate \"example.com/registered\"";
    let now = lab.until("it is told", |now| now.message().contains(gate)).await;
    let of_next = now.pods.iter().filter(|pod| pod.annotations().get(BEHAVIOUR).is_some_and(|it| it == "gated"));
    let pods: Vec<String> = of_next.map(ResourceExt::name_any).collect();
    register(&lab, &pods[0]);
    lab.until("one is ready", |now| now.ready_pods_of_image("web:v2").len() == 1).await;
    // It counts one of two by then, and has decided.
    lab.until("one is counted", |now| now.message().contains("1 of 2")).await;
    assert_eq!(previews.images().await, ["web:v1"], "half of them are registered");
    pods[1..].iter().for_each(|pod| register(&lab, pod));
    lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    assert!(is_proven(&lab.now().await));
    assert_eq!(course.images().await, ["web:v1", "web:v2"]);
    course.assert_never_below(2).await;
}

/// A slice that somebody has made by hand for the active Service.
fn by_hand(target: &Value) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "by-hand", "labels": {
            "kubernetes.io/service-name": "web-active", "endpointslice.kubernetes.io/managed-by": "somebody",
        }},
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": ["10.9.9.9"], "conditions": {"ready": true}, "targetRef": target}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_that_goes_to_other_pods_by_hand_is_told_and_keeps_the_old_ones_up_and_hinders_no_undo() {
    let lab = Lab::new("byhand").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 0}}})).await;
    lab.preview("web:v2").await;
    lab.apply(&by_hand(&json!({"kind": "Pod", "name": "elsewhere", "namespace": lab.namespace}))).expect("applied");
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    let says = |now: &Snapshot| now.message().contains("Service web-active still has 1 ready endpoints of other pods");
    lab.until("it is told", |now| now.image_of("web-active") == "web:v2" && !is_proven(now) && says(now)).await;
    lab.throughout(Duration::from_secs(3), "v1 is kept up", |now| now.ready_pods_of_image("web:v1").len() == 2).await;
    // Whoever wants to go back is not held up by it.
    lab.greenlight(&["undo", "web", "--no-wait"]).expect("asked");
    lab.until("back on v1", |now| now.image_of("web-active") == "web:v1").await;
    lab.kubectl(&["delete", "endpointslice", "by-hand"]);
    lab.until("proven", |now| now.image_of("web-active") == "web:v1" && is_proven(now) && now.is_down("web:v2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_by_hand_that_leads_to_no_pod_holds_up_no_release() {
    let lab = Lab::new("nopod").await;
    lab.deploy(json!({})).await;
    lab.apply(&by_hand(&Value::Null)).expect("applied");
    assert!(is_proven(&lab.release("web:v2").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_terminates_and_is_not_ready_any_more_does_not_count() {
    let lab = Lab::new("terminating").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let mut slice = by_hand(&json!({"kind": "Pod", "name": "old", "namespace": lab.namespace}));
    slice["endpoints"][0]["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
    lab.apply(&slice).expect("applied");
    assert_eq!(slices(&lab, "web-active").await.iter().filter(|slice| slice.name_any() == "by-hand").count(), 1);
    lab.greenlight(&["promote", "web"]).expect("promoted");
    assert!(is_proven(&lab.now().await));
}
