//! Two rollouts with the same template, or with templates of the same hash, in one namespace leave each other's pods alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use greenlight_api::{BlueGreenRollout, PodTemplate, names};
use greenlight_core::hash::Digest;
use greenlight_e2e::{Lab, eventually, rollout};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

/// The pods of the ReplicaSets whose names begin so, and that stay: UID and labels.
async fn pods_of(lab: &Lab, rollout: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let pods: Api<Pod> = lab.api();
    let owned = |pod: &Pod| pod.owner_references().iter().any(|owner| owner.name.starts_with(&format!("{rollout}-")));
    let pods = pods.list(&Default::default()).await.expect("pods").items;
    let stays = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
    pods.into_iter()
        .filter(owned)
        .filter(stays)
        .map(|pod| (pod.uid().unwrap_or_default(), pod.labels().clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_neither_evicts_nor_labels_the_pods_of_another_with_the_same_template() {
    let lab = Lab::new("neighbours").await;
    let workers = || json!({"strategy": {"blueGreen": {"activeService": null, "previewService": null}}});
    let mut other = rollout(workers());
    other["metadata"]["name"] = "other".into();
    lab.apply(&other).expect("applied");
    let mut labelled = workers();
    labelled["strategy"]["blueGreen"]["activeMetadata"] = json!({"labels": {"role": "active"}});
    lab.deploy(labelled).await;
    let api: Api<BlueGreenRollout> = lab.api();
    let is_healthy =
        |rollout: BlueGreenRollout| rollout.status.is_some_and(|status| status.phase.as_str() == "Healthy");
    eventually("the other is healthy", async || is_healthy(api.get("other").await.expect("it is there"))).await;
    let theirs = pods_of(&lab, "other").await;
    let ours = pods_of(&lab, "web").await;
    assert_eq!((theirs.len(), ours.len()), (2, 2));
    assert!(ours.values().all(|labels| labels.get("role").is_some_and(|role| role == "active")), "{ours:?}");
    // A pod's age is known to the second: one that began in the second of the request counts as begun after it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.greenlight(&["restart", "web"]).expect("asked");
    lab.until("restarted", |now| now.status().restarted_at.is_some() && now.phase() == "Healthy").await;
    assert!(pods_of(&lab, "web").await.keys().all(|uid| !ours.contains_key(uid)), "each was replaced");
    assert_eq!(pods_of(&lab, "other").await, theirs, "and none of the other's was touched");
    // The labels of a role are given to pods that run.
    let ours = json!({"strategy": {"blueGreen": {"activeMetadata": {"labels": {"role": "production"}}}}});
    lab.patch_spec(ours).await;
    let labelled = |labels: &BTreeMap<String, String>| labels.get("role").is_some_and(|role| role == "production");
    while !pods_of(&lab, "web").await.values().all(labelled) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(pods_of(&lab, "other").await, theirs, "nor did they get the labels");
}

/// The same template, and so the same labels: a Service selects by the hash which of the two it leads to.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_leads_to_no_pods_of_another_rollout_with_the_same_template() {
    let lab = Lab::new("twins").await;
    lab.create_service("their-active").await;
    let of = |service: &str| json!({"strategy": {"blueGreen": {"activeService": service, "previewService": null}}});
    let mut theirs = rollout(of("their-active"));
    theirs["metadata"]["name"] = "theirs".into();
    lab.apply(&theirs).expect("applied");
    lab.deploy(of("web-active")).await;
    let api: Api<BlueGreenRollout> = lab.api();
    let is_healthy =
        |rollout: BlueGreenRollout| rollout.status.is_some_and(|status| status.phase.as_str() == "Healthy");
    eventually("theirs is healthy", async || is_healthy(api.get("theirs").await.expect("it is there"))).await;
    for (service, rollout) in [("web-active", "web"), ("their-active", "theirs")] {
        let services: Api<Service> = lab.api();
        let selector = services.get(service).await.expect("it is there").spec.and_then(|spec| spec.selector);
        let selector: Vec<String> =
            selector.unwrap_or_default().iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pods: Api<Pod> = lab.api();
        let selected = pods.list(&ListParams::default().labels(&selector.join(","))).await.expect("pods").items;
        let selected: BTreeSet<String> = selected.iter().filter_map(ResourceExt::uid).collect();
        assert_eq!(selected, pods_of(&lab, rollout).await.into_keys().collect(), "{service} by {selector:?}");
        assert_eq!(lab.endpoints(service).await, 2, "{service}");
    }
}

/// A rollout of somebody else, whose pods have the labels that our Service selects and who is in an overlap at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_leads_to_no_pods_of_another_rollout() {
    let lab = Lab::new("overlaps").await;
    lab.create_service("their-active").await;
    let overlapping = |service: &str| {
        json!({"strategy": {"blueGreen": {
            "activeService": service, "previewService": null, "autoPromotionEnabled": true, "switchMode": "Overlap", "overlapSeconds": 600,
        }}})
    };
    let mut theirs = rollout(overlapping("their-active"));
    theirs["metadata"]["name"] = "theirs".into();
    theirs["spec"]["template"]["spec"]["containers"][0]["image"] = "theirs:v1".into();
    lab.apply(&theirs).expect("applied");
    lab.deploy(overlapping("web-active")).await;
    let overlaps = async |service: &str| {
        let services: Api<Service> = lab.api();
        let spec = services.get(service).await.expect("it is there").spec.unwrap_or_default();
        spec.selector.is_some_and(|selector| selector.contains_key(names::SERVING_LABEL))
    };
    let api: Api<BlueGreenRollout> = lab.api();
    let serves = |rollout: BlueGreenRollout| rollout.status.is_some_and(|status| !status.active_revision.is_empty());
    eventually("theirs serves", async || serves(api.get("theirs").await.expect("it is there"))).await;
    theirs["spec"]["template"]["spec"]["containers"][0]["image"] = "theirs:v2".into();
    lab.apply(&theirs).expect("applied");
    lab.set_image("web:v2").await;
    eventually("both overlap", async || overlaps("their-active").await && overlaps("web-active").await).await;
    let services: Api<Service> = lab.api();
    let selector = services.get("web-active").await.expect("it is there").spec.and_then(|spec| spec.selector);
    let selector: Vec<String> =
        selector.unwrap_or_default().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let pods: Api<Pod> = lab.api();
    let pods = pods.list(&ListParams::default().labels(&selector.join(","))).await.expect("pods").items;
    let images: BTreeSet<String> =
        pods.into_iter().filter_map(|pod| pod.spec?.containers.into_iter().next()?.image).collect();
    assert_eq!(images, BTreeSet::from(["web:v1".to_owned(), "web:v2".to_owned()]), "by {selector:?}");
}

/// Two images by which otherwise equal templates have the same hash, the one in `web` and the other in `theirs`. Found in two minutes, among
/// some twenty million of each.
const APPROVED: &str = "web:g1184730";
const SMUGGLED: &str = "evil:b27856292";

/// Whoever writes the template that is approved writes another one of the same hash beside it, in a rollout that names no Service.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_with_the_hash_of_what_serves_gets_no_pods_in_another_rollout() {
    let lab = Lab::new("collision").await;
    lab.deploy(json!({"template": {"spec": {"containers": [{"name": "web", "image": APPROVED}]}}})).await;
    let mut theirs = rollout(json!({
        "strategy": {"blueGreen": {"activeService": null, "previewService": null, "autoPromotionEnabled": true}},
        "template": {"spec": {"containers": [{"name": "web", "image": SMUGGLED}]}},
    }));
    theirs["metadata"]["name"] = "theirs".into();
    let template = |image: &str| json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}});
    let hash = |image: &str, rollout: &str| {
        let template: PodTemplate = serde_json::from_value(template(image)).expect("a template");
        Digest::of(&template).hash(rollout, 0)
    };
    assert_eq!(hash(APPROVED, "web"), hash(SMUGGLED, "theirs"), "the attack is one");
    lab.apply(&theirs).expect("applied");
    let api: Api<BlueGreenRollout> = lab.api();
    let message = async || {
        let status = api.get("theirs").await.expect("it is there").status;
        status.map(|status| status.message).unwrap_or_default()
    };
    eventually("it is told", async || message().await.contains("another template in rollout web has the same hash"))
        .await;
    assert!(pods_of(&lab, "theirs").await.is_empty());
    assert_eq!(lab.endpoints("web-active").await, 2);
    // An annotation is all it takes, if it was bad luck.
    theirs["spec"]["template"]["metadata"]["annotations"] = json!({"changed": "true"});
    lab.apply(&theirs).expect("applied");
    eventually("it runs", async || pods_of(&lab, "theirs").await.len() == 2).await;
    assert_eq!(lab.endpoints("web-active").await, 2);
}
