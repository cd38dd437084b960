//! What a cluster does to objects on their way: webhooks that rewrite them, limits that fill them in; and templates that are large or
//! written in other alphabets.

use std::fmt::Debug;
use std::time::Duration;

use greenlight_e2e::{Course, Lab, MIRROR, eventually};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::Api;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::webhook::Webhook;

/// Waits until the webhook is in force: this object would be created otherwise than it is written.
async fn until_rewritten<K>(lab: &Lab, object: Value, is: impl Fn(&K) -> bool)
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
{
    let object: K = serde_json::from_value(object).expect("an object");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let asked = async || lab.api::<K>().create(&dry, &object).await.is_ok_and(|object| is(&object));
    eventually("the webhook is in force", asked).await;
}

fn try_pod() -> Value {
    json!({"metadata": {"labels": {"app": "try"}}, "spec": {"containers": [{"name": "web", "image": "try"}]}})
}

/// The image, from another registry.
fn mirrored(container: &Value) -> String {
    format!("{MIRROR}{}", container["image"].as_str().unwrap_or_default())
}

fn is_mirrored(spec: Option<&PodSpec>) -> bool {
    spec.is_some_and(|spec| spec.containers[0].image.as_ref().is_some_and(|image| image.starts_with(MIRROR)))
}

/// A whole release, an undo, and the next release; an operator dies in the middle.
async fn goes_through_it_all(lab: &mut Lab) {
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    let course = Course::start(lab, "web-active").await;
    lab.release("web:v2").await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    lab.kill_operator();
    lab.set_image("web:v3").await;
    lab.start_operator();
    lab.until("v3 waits", |now| now.waits_in_preview("web:v3")).await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.until("v3 serves", |now| now.is_healthy_on("web:v3")).await;
    course.assert_never_below(2).await;
    let sets = lab.api::<ReplicaSet>().list(&Default::default()).await.expect("sets").items.len();
    assert_eq!(sets, 3, "one for each revision");
    let (_, mark) = lab.audit();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let writes = lab.operator_writes(mark, "replicasets").await;
    assert!(writes.is_empty(), "nobody fights over what was rewritten: {writes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_sets_that_a_webhook_rewrites_are_ours_all_the_same() {
    let mut lab = Lab::without_operator("rewritten").await;
    // A sidecar, another registry, a label: what meshes and mirrors do.
    let _webhook = Webhook::start(&lab, "apps", "replicasets", |set| {
        let template = "/spec/template";
        json!([
            {"op": "add", "path": format!("{template}/metadata/labels/mesh"), "value": "in"},
            {"op": "add", "path": format!("{template}/spec/containers/-"), "value": {"name": "sidecar", "image": "mesh:1"}},
            {
                "op": "replace", "path": format!("{template}/spec/containers/0/image"),
                "value": mirrored(&set["spec"]["template"]["spec"]["containers"][0]),
            },
        ])
    })
    .await;
    let set = json!({
        "metadata": {"generateName": "try-"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "try"}}, "template": try_pod()},
    });
    let is_rewritten = |set: &ReplicaSet| {
        let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref()?.spec.as_ref());
        is_mirrored(template) && template.is_some_and(|template| template.containers.len() == 2)
    };
    until_rewritten(&lab, set, is_rewritten).await;
    lab.start_operator();
    goes_through_it_all(&mut lab).await;
    let sets = lab.api::<ReplicaSet>().list(&Default::default()).await.expect("sets").items;
    assert!(sets.iter().all(is_rewritten), "{sets:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_a_webhook_rewrites_are_ours_all_the_same() {
    let mut lab = Lab::without_operator("rewrittenpods").await;
    let _webhook = Webhook::start(&lab, "", "pods", |pod| {
        json!([
            {"op": "add", "path": "/metadata/labels/mesh", "value": "in"},
            {"op": "add", "path": "/spec/containers/-", "value": {"name": "sidecar", "image": "mesh:1"}},
            {"op": "replace", "path": "/spec/containers/0/image", "value": mirrored(&pod["spec"]["containers"][0])},
        ])
    })
    .await;
    let mut pod = try_pod();
    pod["metadata"]["generateName"] = "try-".into();
    until_rewritten(&lab, pod, |pod: &Pod| is_mirrored(pod.spec.as_ref())).await;
    lab.start_operator();
    goes_through_it_all(&mut lab).await;
    let pods = lab.api::<Pod>().list(&Default::default()).await.expect("pods").items;
    assert!(!pods.is_empty() && pods.iter().all(|pod| is_mirrored(pod.spec.as_ref())), "{pods:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_limit_range_fills_in_is_nobodys_change() {
    let mut lab = Lab::without_operator("limits").await;
    let limit = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "defaults"},
        "spec": {"limits": [{
            "type": "Container", "default": {"cpu": "1", "memory": "64Mi"}, "defaultRequest": {"cpu": "10m", "memory": "16Mi"},
        }]},
    });
    lab.apply(&limit).expect("applied");
    lab.start_operator();
    goes_through_it_all(&mut lab).await;
    let pods = lab.api::<Pod>().list(&Default::default()).await.expect("pods").items;
    let filled = |pod: &Pod| {
        pod.spec.as_ref().is_some_and(|spec| spec.containers[0].resources.as_ref().is_some_and(|r| r.limits.is_some()))
    };
    assert!(!pods.is_empty() && pods.iter().all(filled));
}

fn large(image: &str) -> Value {
    // An object of Kubernetes may have 1.5 MB with everything; a rollout and its ReplicaSet hold the template once each.
    let env: Vec<Value> =
        (0..900).map(|n| json!({"name": format!("SETTING_{n}"), "value": "ä€🌍".repeat(100)})).collect();
    json!({"template": {"spec": {"containers": [{"name": "web", "image": image, "env": env}]}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_most_of_a_megabyte_in_other_alphabets_is_released() {
    let lab = Lab::new("large").await;
    let mut first = greenlight_e2e::rollout(large("web:v1"));
    let size = first.to_string().len();
    assert!((700_000..1_000_000).contains(&size), "{size} bytes");
    // `kubectl apply` would write it all into an annotation a second time.
    first["metadata"]["namespace"] = lab.namespace.clone().into();
    let api: Api<greenlight_api::BlueGreenRollout> = lab.api();
    api.create(&PostParams::default(), &serde_json::from_value(first).expect("a rollout")).await.expect("created");
    lab.until("healthy", |now| now.is_healthy_on("web:v1")).await;
    let course = Course::start(&lab, "web-active").await;
    lab.release("web:v2").await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    assert_eq!(course.images().await, ["web:v1", "web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}
