//! What a cluster does to objects on their way: policies that rewrite them, limits that fill them in; and templates that are large or
//! written in other alphabets.

use std::time::Duration;

use greenlight_e2e::{Course, Lab, eventually};
use greenlight_test_cluster::has_mutating_policies;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

/// A policy of the cluster that changes objects of this kind in the lab's namespace as they are created.
fn rewriting(lab: &Lab, resource: &str, group: &str, expression: &str) {
    let name = format!("{}-{resource}", lab.namespace);
    let policy = json!({
        "apiVersion": "v1", "kind": "List", "items": [{
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "reinvocationPolicy": "IfNeeded",
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource],
                }]},
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
            },
        }, {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": lab.namespace}}},
            },
        }],
    });
    lab.apply(&policy).expect("applied");
}

async fn until_rewritten(lab: &Lab, is: impl Fn(&ReplicaSet) -> bool) {
    let set = json!({
        "metadata": {"generateName": "try-"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "try"}},
            "template": {
                "metadata": {"labels": {"app": "try"}}, "spec": {"containers": [{"name": "web", "image": "try"}]},
            },
        },
    });
    let set: ReplicaSet = serde_json::from_value(set).expect("a ReplicaSet");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policy is in force", async || lab.api().create(&dry, &set).await.is_ok_and(|set| is(&set))).await;
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
async fn replica_sets_that_a_policy_rewrites_are_ours_all_the_same() {
    let mut lab = Lab::without_operator("rewritten").await;
    if has_mutating_policies() {
        // A sidecar, another registry, a label: what meshes and mirrors do.
        let sidecar = "Object{spec: Object.spec{template: Object.spec.template{\
            metadata: Object.spec.template.metadata{labels: {'mesh': 'in'}}, \
            spec: Object.spec.template.spec{containers: [\
            Object.spec.template.spec.containers{name: 'sidecar', image: 'mesh:1'}]}}}}";
        rewriting(&lab, "replicasets", "apps", sidecar);
        until_rewritten(&lab, |set| {
            let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref()?.spec.as_ref());
            template.is_some_and(|template| template.containers.len() == 2)
        })
        .await;
        lab.start_operator();
        goes_through_it_all(&mut lab).await;
    } else {
        println!("SKIPPED: a policy that rewrites ReplicaSets takes Kubernetes 1.36");
    }
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
