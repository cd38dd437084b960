//! Every field of a rollout is either open to who may edit it, or takes `promote`. The table is compared with the CRD: a new field has to
//! be entered, and is closed until somebody opens it in the policy as well.

use std::collections::BTreeSet;

use greenlight_api::BlueGreenRollout;
use greenlight_e2e::{Lab, cluster, eventually, rollout};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::attack::{How, Step};
use super::range::{Words, send};
use crate::chart::{chart, helm};

/// Whether who may edit may change a field of a rollout that waits for its promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Open,
    Closed,
    /// Refused by the CRD, whoever asks.
    Immutable,
}
use Is::{Closed, Immutable, Open};

/// Each field with another value than the rollout of the test has, as a merge patch.
fn fields() -> Vec<(&'static str, Value, Is)> {
    let analysis = || json!({"templates": [{"templateName": "x"}]});
    vec![
        ("spec.minReadySeconds", json!(1), Open),
        ("spec.paused", json!(true), Open),
        ("spec.progressDeadlineAbort", json!(true), Open),
        ("spec.progressDeadlineSeconds", json!(601), Open),
        ("spec.replicas", json!(3), Open),
        ("spec.restartAt", json!("2026-11-27T00:00:00Z"), Closed),
        ("spec.revisionHistoryLimit", json!(1), Closed),
        ("spec.rollbackWindow", json!({"revisions": 3}), Closed),
        ("spec.selector", json!({"matchLabels": {"tier": "web"}}), Immutable),
        ("spec.template", json!({"metadata": {"annotations": {"x": "y"}}}), Open),
        ("spec.workloadRef", json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "others"}), Closed),
        ("spec.strategy.blueGreen.abortScaleDownDelaySeconds", json!(0), Closed),
        ("spec.strategy.blueGreen.activeMetadata", json!({"labels": {"role": "active"}}), Closed),
        ("spec.strategy.blueGreen.activeService", json!("another"), Closed),
        ("spec.strategy.blueGreen.additionalActiveServices", json!(["another"]), Closed),
        ("spec.strategy.blueGreen.antiAffinity", json!({"requiredDuringSchedulingIgnoredDuringExecution": {}}), Open),
        ("spec.strategy.blueGreen.autoPromotionEnabled", json!(true), Closed),
        ("spec.strategy.blueGreen.autoPromotionSeconds", json!(60), Closed),
        ("spec.strategy.blueGreen.autoRollback", json!({"unavailableSeconds": 60}), Closed),
        ("spec.strategy.blueGreen.overlapSeconds", json!(60), Closed),
        ("spec.strategy.blueGreen.postPromotionAnalysis", analysis(), Closed),
        ("spec.strategy.blueGreen.prePromotionAnalysis", analysis(), Closed),
        ("spec.strategy.blueGreen.previewMetadata", json!({"labels": {"role": "preview"}}), Closed),
        ("spec.strategy.blueGreen.previewReplicaCount", json!(1), Open),
        ("spec.strategy.blueGreen.previewService", json!("another"), Closed),
        ("spec.strategy.blueGreen.previewServiceIdle", json!("None"), Closed),
        ("spec.strategy.blueGreen.requiredApprovals", json!(2), Closed),
        ("spec.strategy.blueGreen.retiredReplicaCount", json!(1), Closed),
        ("spec.strategy.blueGreen.scaleDownDelayRevisionLimit", json!(1), Closed),
        ("spec.strategy.blueGreen.scaleDownDelaySeconds", json!(60), Closed),
        ("spec.strategy.blueGreen.switchMode", json!("Swap"), Closed),
    ]
}

/// The fields of the CRD, as deep as the policy looks.
fn of_the_crd() -> BTreeSet<String> {
    let crds = greenlight_api::crds();
    let crd = crds.iter().find(|crd| crd.spec.names.kind == "BlueGreenRollout").expect("it is there");
    let schema = json!(crd.spec.versions[0].schema)["openAPIV3Schema"].take();
    let mut found = BTreeSet::new();
    let mut open = vec![("spec".to_owned(), schema["properties"]["spec"].clone())];
    while let Some((path, schema)) = open.pop() {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if ["spec.strategy", "spec.strategy.blueGreen"].contains(&path.as_str()) {
                open.push((path, field.clone()));
            } else {
                found.insert(path);
            }
        }
    }
    found
}

/// The chart for the lab's namespace, and people with its roles there. Its editor may also patch what a rollout may name, so that only `promote`
/// is in question.
fn install(lab: &Lab, people: &[(&str, &str)]) {
    let (namespace, chart) = (lab.namespace.as_str(), chart().display().to_string());
    let args = ["install", namespace, &chart, "--namespace", namespace, "--set", "crds.install=false"];
    let watch = format!("watchNamespace={namespace}");
    helm(&[&args[..], &["--set", &watch, "--set", "selectorPolicy.enabled=false"]].concat()).expect("installed");
    for (user, role) in people {
        let role = format!("--clusterrole={namespace}.{namespace}-{role}");
        lab.kubectl(&["create", "rolebinding", user, &role, &format!("--user={user}")]);
    }
    lab.kubectl(&["create", "role", "names", "--verb=patch", "--resource=services,deployments.apps"]);
    lab.kubectl(&["create", "rolebinding", "names", "--role=names", "--user=ed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_open_to_who_may_edit_or_takes_promote_and_a_new_one_takes_promote() {
    let listed: BTreeSet<String> = fields().into_iter().map(|(path, ..)| path.to_owned()).collect();
    assert_eq!(
        of_the_crd(),
        listed,
        "enter new fields in this table, and open them in the policy if they are harmless"
    );
    let lab = Lab::without_operator("fields").await;
    install(&lab, &[("ed", "editor")]);
    lab.apply(&rollout(json!({"strategy": {"blueGreen": {"switchMode": "Overlap"}}}))).expect("applied");
    let change = |path: &str, value: &Value| {
        let mut patch = path.rsplit('.').fold(value.clone(), |inner, key| json!({ key: inner }));
        if path == "spec.workloadRef" {
            patch["spec"]["template"] = Value::Null;
        }
        let patch = patch.to_string();
        let args = ["patch", "bgr", "web", "--dry-run=server", "--type=merge", "-p", &patch, "--as", "ed"];
        cluster().kubectl(&[&["-n", "fields"], &args[..]].concat()).map_err(|error| error.to_string())
    };
    let is_closed = async || change("spec.restartAt", &json!("2026-11-27T00:00:00Z")).is_err();
    eventually("the policy is in force", is_closed).await;
    for (path, value, is) in fields() {
        let answer = change(path, &value);
        let field = path.rsplit('.').next().unwrap_or_default();
        match is {
            Open => drop(answer.unwrap_or_else(|error| panic!("{path} is open: {error}"))),
            Closed => {
                let refused = answer.expect_err(path);
                assert!(refused.contains("not what its promotion depends on") && refused.contains(field), "{refused}");
            }
            Immutable => assert!(answer.expect_err(path).contains("immutable"), "{path}"),
        }
    }
    helm(&["uninstall", "fields", "--namespace", "fields"]).expect("uninstalled");
}

/// Fields of the CRD may be null. Whoever writes them so has not locked anybody out, and opened nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_null_is_as_if_it_were_not_there() {
    let lab = Lab::without_operator("nulls").await;
    install(&lab, &[("ed", "editor"), ("paula", "promoter")]);
    let ask = async |who: &str, how: How, path: &str, body: Value| {
        let step = Step { how, path: path.to_owned(), body, may_fail: false, by: None };
        send(&lab, who, &step, &Words::of(Vec::new())).await
    };
    let patch = async |who: &str, body: Value| ask(who, How::Merge, "bluegreenrollouts/web?dryRun=All", body).await;
    let closed =
        async || patch("ed", json!({"spec": {"strategy": {"blueGreen": {"scaleDownDelaySeconds": 77}}}})).await;
    lab.apply(&rollout(json!({}))).expect("applied");
    eventually("the policy is in force", async || closed().await.is_err()).await;
    let api: Api<BlueGreenRollout> = lab.api();
    for (path, ..) in fields().into_iter().filter(|(.., is)| *is != Immutable) {
        drop(api.delete("web", &DeleteParams::default()).await);
        let mut object = rollout(json!({}));
        let pointer = format!("/{}", path.replace('.', "/"));
        let (parent, field) = pointer.rsplit_once('/').expect("a path");
        object.pointer_mut(parent).expect("it is there")[field] = Value::Null;
        if field == "template" {
            object["spec"]["workloadRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "others"});
        }
        let made = ask("ed", How::Create, "bluegreenrollouts", object).await;
        // Some the API server does not take itself: a scale, or a time.
        if let Err(refused) = made {
            assert!(!refused.contains("ValidatingAdmissionPolicy"), "{path}: {refused}");
            continue;
        }
        let asked = patch("paula", json!({"metadata": {"annotations": {"greenlight.dev/request": "promote"}}})).await;
        asked.unwrap_or_else(|error| panic!("{path}: nobody may promote: {error}"));
        let scaled = patch("ed", json!({"spec": {"replicas": 3}})).await;
        scaled.unwrap_or_else(|error| panic!("{path}: {error}"));
        match closed().await {
            // Without it the rollout waits for nobody.
            Ok(()) => assert_eq!(field, "autoPromotionEnabled", "{path} opens what is closed"),
            Err(refused) => assert!(refused.contains("not what its promotion depends on"), "{path}: {refused}"),
        }
    }
    helm(&["uninstall", "nulls", "--namespace", "nulls"]).expect("uninstalled");
}
