//! What is said is so: no complaint outlives its cause, and nothing is announced that did not happen. (13)

use std::time::Duration;

use greenlight_e2e::{Lab, Receiver, Snapshot, cluster, eventually, http_get, operator_kubeconfig};
use greenlight_test_cluster::Request;
use serde_json::{Value, json};

use super::{blue_green, hash_of};

/// v2 cannot be analysed, because the template of its analysis does not exist, and the status says so.
async fn analysis_refused(name: &str, auto: bool) -> Lab {
    let lab = Lab::new(name).await;
    let analysis = json!({"templates": [{"templateName": "nowhere"}]});
    lab.deploy(blue_green(json!({"autoPromotionEnabled": auto, "prePromotionAnalysis": analysis}))).await;
    lab.set_image("web:v2").await;
    lab.until("says so", |now| now.condition("Stalled") == "True/AnalysisRefused").await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_that_was_removed_is_not_complained_about() {
    let lab = analysis_refused("analysisremoved", true).await;
    lab.patch_spec(blue_green(json!({"prePromotionAnalysis": null}))).await;
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    let now = lab.settled().await;
    assert_eq!((now.condition("Stalled"), now.phase()), (String::new(), "Healthy"), "{}", now.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_analysis_of_what_was_aborted_is_not_complained_about() {
    let lab = analysis_refused("analysisaborted", false).await;
    lab.greenlight(&["abort", "web", "--timeout", "20s"]).expect("aborted");
    let now = lab.settled().await;
    assert_eq!(now.condition("Stalled"), "True/RevisionRejected", "{}", now.message());
    lab.set_image("web:v1").await;
    lab.until("healthy", |now| now.is_healthy_on("web:v1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_that_was_skipped_is_not_complained_about() {
    let lab = analysis_refused("analysisskipped", false).await;
    lab.greenlight(&["promote", "web", "--full", "--timeout", "20s"]).expect("promoted");
    let now = lab.settled().await;
    assert_eq!((now.condition("Stalled"), now.phase()), (String::new(), "Healthy"), "{}", now.message());
    assert_eq!(now.image_of("web-active"), "web:v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_was_refused_is_not_announced_until_it_is_there() {
    let sink = Receiver::start(0).await;
    let mut lab = Lab::without_operator("notcreated").await;
    let config = json!({"sinks": [{"name": "all", "url": sink.url(), "events": ["RevisionCreated"]}]});
    let file = cluster().dir().join("notcreated.yaml");
    std::fs::write(&file, config.to_string()).expect("written");
    lab.start_operator_with(&operator_kubeconfig(), &["--notifications", file.to_str().expect("a path in UTF-8")]);
    lab.deploy(json!({})).await;
    let address = lab.address();
    let (_, mark) = lab.audit();
    let template = |container: Value| json!({"template": {"spec": {"containers": [container]}}});
    lab.patch_spec(template(json!({"name": "web", "image": "web:v2", "imagePullPolicy": "Sometimes"}))).await;
    lab.until("says so", |now| now.condition("Stalled") == "True/TemplateRefused").await;
    // It is tried again and again.
    let refused = async || lab.operator_writes(mark, "replicasets").await.iter().filter(|w| w.code == 422).count();
    eventually("it is tried again", async || refused().await >= 3).await;
    let counted = || {
        let line = r#"greenlight_deployments_total{namespace="notcreated",rollout="web"} "#;
        let metrics = http_get(&address, "/metrics").expect("it answers");
        metrics.lines().find_map(|metric| metric.strip_prefix(line)).map(str::to_owned)
    };
    lab.settled().await;
    let created = lab.event_notes("RevisionCreated").await;
    assert_eq!(created.len(), 1, "{created:?}");
    assert_eq!(counted().as_deref(), Some("1"));
    assert_eq!(sink.wait_for(1).await.len(), 1);
    // Once it is there, it is said, once.
    lab.patch_spec(template(json!({"name": "web", "image": "web:v2"}))).await;
    let waits = lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    lab.settled().await;
    let created = lab.event_notes("RevisionCreated").await;
    assert_eq!(created.len(), 2, "{created:?}");
    assert!(created[1].contains(&hash_of(&waits, "web:v2")), "{created:?}");
    assert_eq!(counted().as_deref(), Some("2"));
    assert_eq!(sink.wait_for(2).await.len(), 2);
}

/// A rollout whose template is that of a Deployment named `source`.
async fn deploy_by_workload(lab: &Lab) -> Snapshot {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "source"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:v1"}]},
            },
        },
    });
    lab.apply(&deployment).expect("applied");
    let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "source"});
    lab.deploy(json!({"template": null, "workloadRef": workload})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_revision_of_a_workload_is_announced_once() {
    let lab = Lab::new("workloadcreated").await;
    let first = deploy_by_workload(&lab).await;
    lab.kubectl(&["set", "image", "deployment/source", "web=web:v2"]);
    let second = lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    lab.settled().await;
    let created = lab.event_notes("RevisionCreated").await;
    assert_eq!(created.len(), 2, "{created:?}");
    for hash in [hash_of(&first, "web:v1"), hash_of(&second, "web:v2")] {
        assert_eq!(created.iter().filter(|note| note.contains(&hash)).count(), 1, "{hash}: {created:?}");
    }
}

/// A policy that denies updates in one namespace that are not as this expression says.
fn deny(namespace: &str, group: &str, resource: &str, expression: &str, message: &str) -> [Value; 2] {
    let name = format!("denies-{namespace}");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [{
                    "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": ["UPDATE"],
                }],
            },
            "validations": [{"expression": expression, "message": message}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    [policy, binding]
}

fn allow_again(namespace: &str) {
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        cluster().kubectl(&["delete", kind, &format!("denies-{namespace}")]).expect("deleted");
    }
}

/// How often a write of these objects was refused, from the first time on, until the status was written. A second try comes two seconds after the
/// first one, and all others within five of the one before: so this is a time, by a clock that no busy machine puts forward.
async fn tries_until_told(lab: &Lab, mark: u64, resource: &str) -> usize {
    // It waits until everything is in the log.
    lab.operator_writes(mark, resource).await;
    let requests = lab.audit().0.of_namespace(mark, &lab.namespace).expect("the audit log");
    let refused = |request: &Request| request.resource == resource && request.code >= 400;
    let of_operator = requests.iter().filter(|request| request.user_agent.starts_with("greenlight/"));
    let since = of_operator.skip_while(|request| !refused(request));
    let until_told = since.take_while(|request| request.resource != "bluegreenrollouts/status" || request.code >= 400);
    until_told.filter(|request| refused(request)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_denied_is_told_and_heals_and_holds_up_nothing_else() {
    let lab = Lab::new("writedenied").await;
    lab.deploy(blue_green(json!({"autoPromotionEnabled": false}))).await;
    lab.preview("web:v2").await;
    let same = "object.metadata.name != 'web-active' || object.spec.selector == oldObject.spec.selector";
    let objects = deny("writedenied", "", "services", same, "nobody moves this Service today");
    objects.iter().for_each(|object| drop(lab.apply(object).expect("applied")));
    let moved = r#"{"spec": {"selector": {"app": "web", "x": "y"}}}"#;
    let denied = || {
        let args = ["-n", "writedenied", "patch", "service", "web-active", "--dry-run=server", "-p", moved];
        cluster().kubectl(&args).is_err()
    };
    eventually("the policy is in force", async || denied()).await;
    let (_, mark) = lab.audit();
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    let told = lab.until("says so", |now| now.condition("Stalled") == "True/WriteRefused").await;
    assert!(told.message().contains("nobody moves this Service today"), "{}", told.message());
    assert_eq!(told.image_of("web-active"), "web:v1");
    let tries = tries_until_told(&lab, mark, "services").await;
    assert!((1..=2).contains(&tries), "told at try {tries}");
    // It is tried again, and not all the time; and production can be scaled meanwhile.
    lab.scale(3);
    lab.until("v1 has three pods", |now| now.ready_pods_of_image("web:v1").len() == 3).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let tried = lab.operator_writes(mark, "services").await.len();
    assert!((2..=8).contains(&tried), "{tried} times in some ten seconds");
    let changes = lab.operator_writes(mark, "replicasets").await.len();
    assert!(changes <= 3 * tried + 4, "{changes} changes of ReplicaSets for {tried} tries");
    assert!(!lab.event_notes("WriteRefused").await.is_empty());
    allow_again("writedenied");
    eventually("the policy is gone", async || !denied()).await;
    let (_, mark) = lab.audit();
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    // One may be under way. The next one is at most five seconds later.
    let refused = lab.operator_writes(mark, "services").await.iter().filter(|write| write.code >= 400).count();
    assert!(refused <= 1, "{refused} tries were refused after that");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_down_that_is_denied_is_told_and_heals() {
    let lab = Lab::new("scaledenied").await;
    let first = lab.deploy(blue_green(json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 1}))).await;
    let old = format!("web-{}", hash_of(&first, "web:v1"));
    let stays = "object.spec.replicas >= oldObject.spec.replicas";
    let objects = deny("scaledenied", "apps", "replicasets", stays, "nobody takes pods away today");
    objects.iter().for_each(|object| drop(lab.apply(object).expect("applied")));
    let denied = || {
        let none = r#"{"spec": {"replicas": 0}}"#;
        let args = ["-n", "scaledenied", "patch", "replicaset", &old, "--dry-run=server", "-p", none];
        cluster().kubectl(&args).is_err()
    };
    eventually("the policy is in force", async || denied()).await;
    lab.set_image("web:v2").await;
    let told = lab.until("says so", |now| now.condition("Stalled") == "True/WriteRefused").await;
    assert!(told.message().contains("nobody takes pods away today"), "{}", told.message());
    assert_eq!(told.image_of("web-active"), "web:v2");
    assert_eq!(told.ready_pods_of_image("web:v1").len(), 2);
    allow_again("scaledenied");
    lab.until("v1 is gone", |now| now.is_healthy_on("web:v2") && now.ready_pods_of_image("web:v1").is_empty()).await;
}

/// Before a template of a Deployment is believed to be another one, everything is read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_refused_is_told_and_heals() {
    let mut lab = Lab::new("readdenied").await;
    deploy_by_workload(&lab).await;
    lab.kill_operator();
    let _operator = lab.operator_with_rights("unread", |rules| {
        let of_deployments = rules.iter_mut().filter(|rule| rule["resources"] == json!(["deployments"]));
        of_deployments.for_each(|rule| rule["verbs"] = json!(["list", "watch", "patch"]));
    });
    lab.kubectl(&["set", "image", "deployment/source", "web=web:v2"]);
    let told = lab.until("says so", |now| now.condition("Stalled") == "True/WriteRefused").await;
    assert!(told.message().contains("cannot read Deployment source"), "{}", told.message());
    assert_eq!(told.image_of("web-active"), "web:v1");
    eventually("an event says so", async || !lab.event_notes("WriteRefused").await.is_empty()).await;
    lab.give_rights("unread", "greenlight");
    lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
}
