//! Whatever becomes of the Services and of the rollouts that name them, production serves what somebody promoted, and somebody
//! is always there. (14, 15, 16)

use std::time::Duration;

use greenlight_e2e::{Course, Lab, Snapshot, Write, WriteCountingProxy, eventually, rollout};
use greenlight_test_cluster::DUAL_STACK;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use super::{blue_green, hash_of, long_delay};

#[tokio::test(flavor = "multi_thread")]
async fn an_active_service_that_gets_another_name_leads_to_what_serves() {
    let lab = Lab::new("renamed").await;
    lab.deploy(long_delay()).await;
    lab.preview("web:v2").await;
    let old = Course::start(&lab, "web-active").await;
    lab.create_service("web-live").await;
    lab.patch_spec(blue_green(json!({"activeService": "web-live"}))).await;
    lab.until("the new one leads somewhere", |now| now.hash_of("web-live").is_some()).await;
    let new = Course::start(&lab, "web-live").await;
    let now = lab.settled().await;
    // Clients of the old name are still there: they do not get what nobody promoted.
    old.assert_only("web:v1", 2).await;
    assert_eq!(new.images().await, ["web:v1"]);
    assert!(now.waits_in_preview("web:v2"), "{}", now.message());
    lab.greenlight(&["promote", "web", "--timeout", "20s"]).expect("promoted");
    assert_eq!(new.images().await, ["web:v1", "web:v2"]);
    new.assert_never_below(2).await;
    old.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_service_that_gets_the_name_of_none_goes_on_serving() {
    let lab = Lab::new("renamednone").await;
    lab.deploy(long_delay()).await;
    lab.preview("web:v2").await;
    let old = Course::start(&lab, "web-active").await;
    lab.patch_spec(blue_green(json!({"activeService": "web-live"}))).await;
    lab.until("says so", |now| now.condition("Stalled") == "True/ServiceMissing").await;
    let now = lab.settled().await;
    assert_eq!(now.image_of("web-active"), "web:v1", "nobody else is there to serve");
    old.assert_only("web:v1", 2).await;
    let (code, output) = lab.greenlight(&["promote", "web", "--timeout", "5s"]).expect_err("it would serve nobody");
    assert!([2, 4].contains(&code), "{output}");
    old.assert_only("web:v1", 2).await;
    // Git takes it back.
    lab.patch_spec(blue_green(json!({"activeService": "web-active"}))).await;
    lab.until("no complaint", |now| now.condition("Stalled").is_empty() && !now.phase().is_empty()).await;
    lab.greenlight(&["promote", "web", "--timeout", "20s"]).expect("promoted");
    assert_eq!(old.images().await, ["web:v1", "web:v2"]);
    old.assert_never_below(2).await;
    // And again, and this time the Service comes.
    lab.preview("web:v3").await;
    let old = Course::start(&lab, "web-active").await;
    lab.patch_spec(blue_green(json!({"activeService": "web-live"}))).await;
    lab.until("says so", |now| now.condition("Stalled") == "True/ServiceMissing").await;
    lab.create_service("web-live").await;
    lab.until("it leads to what serves", |now| now.image_of("web-live") == "web:v2").await;
    assert!(lab.settled().await.waits_in_preview("web:v3"));
    old.assert_only("web:v2", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_service_that_is_left_out_goes_on_serving_what_was_promoted() {
    let lab = Lab::new("leftout").await;
    lab.deploy(long_delay()).await;
    lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    lab.patch_spec(blue_green(json!({"activeService": null}))).await;
    let now = lab.settled().await;
    assert_eq!(now.status().active_revision, hash_of(&now, "web:v1"));
    assert!(now.waits_in_preview("web:v2"), "{}", now.message());
    course.assert_only("web:v1", 2).await;
    // And it is taken up again where it was.
    lab.patch_spec(blue_green(json!({"activeService": "web-active"}))).await;
    let now = lab.settled().await;
    assert_eq!(now.image_of("web-active"), "web:v1");
    assert!(now.waits_in_preview("web:v2"), "{}", now.message());
    course.assert_only("web:v1", 2).await;
    lab.greenlight(&["promote", "web", "--timeout", "20s"]).expect("promoted");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v2");
    course.assert_never_below(2).await;
}

/// v2 waits in preview when the two Services change places in the spec, while the operator is there or not.
async fn exchanged(name: &str, is_down: bool) {
    let mut lab = Lab::new(name).await;
    lab.deploy(long_delay()).await;
    let v1 = hash_of(&lab.preview("web:v2").await, "web:v1");
    let [first, second] = [Course::start(&lab, "web-active").await, Course::start(&lab, "web-preview").await];
    if is_down {
        lab.kill_operator();
    }
    lab.patch_spec(blue_green(json!({"activeService": "web-preview", "previewService": "web-active"}))).await;
    if is_down {
        lab.start_operator();
    }
    lab.until("both lead to what serves", |now| now.image_of("web-preview") == "web:v1").await;
    let now = lab.settled().await;
    // One carried production, and the other one does from now on: neither shows a preview.
    first.assert_only("web:v1", 2).await;
    assert_eq!(first.images().await, ["web:v1"]);
    assert_eq!(second.images().await, ["web:v2", "web:v1"]);
    second.assert_never_below(2).await;
    assert_eq!(now.status().active_revision, v1);
    let stalled = now.condition("Stalled");
    assert!(stalled.starts_with("True/Service") && stalled.ends_with("Mismatch"), "{stalled}: {}", now.message());
    assert!(now.message().contains("web-active"), "{}", now.message());
    // Back again, and it goes on as before.
    lab.patch_spec(blue_green(json!({"activeService": "web-active", "previewService": "web-preview"}))).await;
    let now = lab.settled().await;
    first.assert_only("web:v1", 2).await;
    assert_eq!(now.status().active_revision, v1);
    second.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_exchanged_both_lead_to_what_serves() {
    exchanged("exchanged", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_exchanged_while_nobody_looks_both_lead_to_what_serves() {
    exchanged("exchangeddown", true).await;
}

/// v1 retires, v2 serves and v3 waits in preview when the rollout is deleted and its pods stay; the operator is there or comes
/// only when the garbage collector has done its part.
async fn orphaned(name: &str, is_down: bool) -> (Lab, Course) {
    let mut lab = Lab::new(name).await;
    lab.deploy(long_delay()).await;
    lab.release("web:v2").await;
    lab.preview("web:v3").await;
    let course = Course::start(&lab, "web-active").await;
    let delete = ["delete", "bgr", "web", "--cascade=orphan"];
    if is_down {
        lab.kill_operator();
        lab.kubectl(&[&delete[..], &["--wait=false"]].concat());
        let orphans = |now: &Snapshot| {
            now.rollout.as_ref().is_some_and(|rollout| !rollout.finalizers().contains(&"orphan".to_owned()))
        };
        lab.until("the garbage collector is done", orphans).await;
        lab.start_operator();
    } else {
        lab.kubectl(&[&delete[..], &["--timeout=300s"]].concat());
    }
    let owned = |now: &Snapshot| now.sets.iter().any(|set| set.metadata.owner_references.is_some());
    lab.until("the sets belong to nobody", |now| now.rollout.is_none() && !owned(now)).await;
    (lab, course)
}

async fn leaves_its_pods_behind(name: &str, is_down: bool) {
    let (lab, course) = orphaned(name, is_down).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    course.assert_only("web:v2", 2).await;
    assert_eq!(course.images().await, ["web:v2"]);
    let now = lab.now().await;
    let pods = |image: &str| now.ready_pods_of_image(image).len();
    assert_eq!((pods("web:v1"), pods("web:v2"), pods("web:v3")), (2, 2, 2));
    // Nothing is left that holds them.
    lab.kubectl(&["delete", "replicaset", "--all", "--timeout=300s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_leaves_its_pods_behind_leaves_production_to_those_that_served() {
    leaves_its_pods_behind("orphaned", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_left_its_pods_behind_while_nobody_looked_leaves_production_to_those_that_served() {
    leaves_its_pods_behind("orphaneddown", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rollout_does_not_take_production_over_before_somebody_says_so() {
    let (lab, course) = orphaned("takeover", false).await;
    let mut other = rollout(json!({"template": {"spec": {"containers": [{"name": "web", "image": "other:v1"}]}}}));
    other["metadata"]["name"] = "other".into();
    lab.apply(&other).expect("applied");
    let reads = async || Snapshot::read(&lab.client, "takeover", "other").await.expect("it can be read");
    eventually("the other rollout waits", async || reads().await.phase() == "Paused").await;
    assert_eq!(reads().await.ready_pods_of_image("other:v1").len(), 2, "it is ready, and waits for somebody");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(reads().await.phase(), "Paused");
    course.assert_only("web:v2", 2).await;
    lab.greenlight(&["promote", "other", "--timeout", "20s"]).expect("promoted");
    assert_eq!(reads().await.image_of("web-active"), "other:v1");
    assert_eq!(course.images().await, ["web:v2", "other:v1"]);
    course.assert_never_below(2).await;
}

/// Ready endpoints of the Service in the slices of each family.
async fn ready_by_family(lab: &Lab, service: &str) -> Vec<(String, usize)> {
    let labelled = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = lab.api::<EndpointSlice>().list(&labelled).await.expect("slices").items;
    let ready = |slice: &EndpointSlice| {
        let endpoints = slice.endpoints.iter().flatten();
        endpoints.filter(|endpoint| endpoint.conditions.as_ref().is_some_and(|c| c.ready != Some(false))).count()
    };
    let mut ready: Vec<_> = slices.iter().map(|slice| (slice.address_type.clone(), ready(slice))).collect();
    ready.sort();
    ready
}

async fn until_ready_by_family(lab: &Lab, service: &str, pods: usize) {
    let wanted = [("IPv4".to_owned(), pods), ("IPv6".to_owned(), pods)];
    let what = format!("{pods} ready endpoints in each family");
    eventually(&what, async || ready_by_family(lab, service).await == wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_two_addresses_counts_once_when_a_switch_is_proven() {
    let mut lab = Lab::new("dualstack").await;
    lab.kubectl(&["patch", "service", "web-active", "-p", r#"{"spec": {"ipFamilyPolicy": "RequireDualStack"}}"#]);
    let mut spec = blue_green(json!({"scaleDownDelaySeconds": 0}));
    spec["replicas"] = 4.into();
    spec["template"] = json!({"metadata": {"annotations": {DUAL_STACK: "true"}}});
    lab.deploy(spec).await;
    until_ready_by_family(&lab, "web-active", 4).await;
    lab.set_template("web:v2", &[(DUAL_STACK, "true")]).await;
    let preview = lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    // The operator dies at the very switch, and half of the pods are lost before another one comes.
    lab.kill_operator();
    let is_switch = |write: &Write| write.path.ends_with("/services/web-active");
    let proxy = WriteCountingProxy::start(is_switch).await.expect("a proxy");
    lab.start_operator_with(&proxy.kubeconfig("dualstack").expect("a kubeconfig"), &[]);
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    proxy.withheld().await;
    lab.kill_operator();
    let half: Vec<String> = preview.ready_pods_of_image("web:v2").into_iter().take(2).collect();
    lab.set_readiness(half.clone(), false).await;
    until_ready_by_family(&lab, "web-active", 2).await;

    let (_, mark) = lab.audit();
    lab.start_operator();
    let v2 = hash_of(&preview, "web:v2");
    let noticed = |now: &Snapshot| now.status().active_revision == v2 && now.message().contains("2 of 4");
    lab.until("it waits for the rest", noticed).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let old = format!("web-{}", hash_of(&preview, "web:v1"));
    let writes = lab.operator_writes(mark, "replicasets").await;
    assert!(writes.iter().all(|write| write.name != old), "nobody touches the old pods: {writes:?}");
    let now = lab.now().await;
    assert_eq!(now.status().switch.and_then(|switch| switch.proven_at), None);
    assert_eq!(now.ready_pods_of_image("web:v1").len(), 4);
    // With all of them, in both families, it is proven.
    lab.set_readiness(half, true).await;
    lab.until("v1 is down", |now| now.is_healthy_on("web:v2") && now.is_down("web:v1")).await;
    assert_eq!(ready_by_family(&lab, "web-active").await.iter().map(|(_, ready)| ready).sum::<usize>(), 8);
}
