//! CRDs of yesterday admit what today's refuse, and what they admitted stays.

use greenlight_api::{BlueGreenRollout, conditions};
use greenlight_e2e::{Lab, Snapshot, http_get, rollout};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::ALONE;

/// A rollout `bad` with Services of its own.
fn bad() -> Value {
    let text = rollout(json!({})).to_string();
    serde_json::from_str(&text.replace("\"web", "\"bad")).expect("JSON")
}

/// Takes the rules of `spec.restartAt` out of the CRD.
async fn without_rules(lab: &Lab) {
    let crds: Api<CustomResourceDefinition> = Api::all(lab.client.clone());
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/restartAt/x-kubernetes-validations";
    let patch: Patch<()> =
        Patch::Json(serde_json::from_value(json!([{"op": "remove", "path": path}])).expect("a patch"));
    crds.patch("bluegreenrollouts.greenlight.dev", &PatchParams::default(), &patch).await.expect("patched");
}

struct Bad<'a> {
    lab: &'a Lab,
    api: Api<DynamicObject>,
}

impl Bad<'_> {
    fn of(lab: &Lab) -> Bad<'_> {
        let resource = ApiResource::erase::<BlueGreenRollout>(&());
        Bad { lab, api: Api::namespaced_with(lab.client.clone(), &lab.namespace, &resource) }
    }

    async fn patch(&self, patch: Value) -> bool {
        self.api.patch("bad", &PatchParams::default(), &Patch::Merge(patch)).await.is_ok()
    }

    async fn condition(&self, type_: &str) -> String {
        let object = self.api.get("bad").await.expect("it is there");
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition = conditions.into_iter().find(|condition| condition["type"] == type_).unwrap_or_default();
        format!(
            "{}: {}",
            condition["reason"].as_str().unwrap_or_default(),
            condition["message"].as_str().unwrap_or_default()
        )
    }

    async fn until(&self, type_: &str, text: &str) {
        for _ in 0..600 {
            if self.condition(type_).await.contains(text) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{type_} does not say {text:?}, but {}", self.condition(type_).await);
    }

    async fn selector(&self) -> Value {
        let services: Api<Service> = Api::namespaced(self.lab.client.clone(), &self.lab.namespace);
        json!(services.get("bad-active").await.expect("it is there").spec.and_then(|spec| spec.selector))
    }
}

/// A release takes two seconds. Beside an object that stopped the watch, others stood still for more than a minute.
async fn release_soon(lab: &Lab, image: &str) {
    let release = tokio::time::timeout(std::time::Duration::from_secs(20), lab.release(image));
    release.await.unwrap_or_else(|_| panic!("{image} waits for what cannot be read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_cannot_be_read_is_told_so_and_stops_nobody() {
    let _alone = ALONE.lock().await;
    let mut lab = Lab::new("unreadable").await;
    lab.deploy(json!({})).await;
    for service in ["bad-active", "bad-preview"] {
        lab.create_service(service).await;
        let patch = json!({"spec": {"selector": {"app": "bad"}}}).to_string();
        lab.kubectl(&["patch", "service", service, "--type=merge", "-p", &patch]);
    }
    lab.apply(&bad()).expect("applied");
    let bad = Bad::of(&lab);
    bad.until(conditions::READY, conditions::REASON_HEALTHY).await;
    let serves = bad.selector().await;

    without_rules(&lab).await;
    // The server takes a moment to forget the rule.
    let mut accepted = false;
    for _ in 0..100 {
        accepted = bad.patch(json!({"spec": {"restartAt": "9999-12-31T23:59:59Z"}})).await;
        if accepted {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(accepted, "yesterday's CRD takes it");
    for number in 0..15 {
        assert!(bad.patch(json!({"metadata": {"annotations": {"number": number.to_string()}}})).await);
    }
    release_soon(&lab, "web:v2").await;
    let bad = Bad::of(&lab);
    bad.until(conditions::READY, "Unreadable: greenlight cannot read this object").await;
    bad.until(conditions::STALLED, "spec.restartAt: ").await;
    assert!(lab.event_notes("Unreadable").await[0].contains("spec.restartAt: "));
    let listed = lab.greenlight(&["list"]).expect("the others are listed");
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("bad ").contains("Unreadable") && line("bad ").contains("spec.restartAt: "), "{listed}");
    assert!(line("web ").contains("Healthy"), "{listed}");
    lab.greenlight(&["get", "rollout", "web"]).expect("the other one is shown");
    let (code, told) = lab.greenlight(&["get", "rollout", "bad"]).expect_err("it cannot be read");
    assert!(code == 1 && told.contains("rollout bad cannot be read: spec.restartAt: "), "{told}");
    assert_eq!(bad.selector().await, serves, "production stays as it is");
    // Nobody takes its Services meanwhile.
    let mut thief = self::bad();
    thief["metadata"]["name"] = "thief".into();
    lab.apply(&thief).expect("applied");
    lab.until("the thief is refused", |_: &Snapshot| {
        lab.kubectl(&["get", "bgr", "thief", "-o", "jsonpath={.status.conditions}"]).contains("ServiceClaimed")
    })
    .await;

    // An operator that starts anew is not kept from it either.
    lab.kill_operator();
    lab.start_operator();
    lab.is_ready().await;
    let address = lab.address();
    let metrics = http_get(&address, "/metrics").expect("it answers");
    assert!(metrics.contains(r#"greenlight_unreadable_objects{kind="BlueGreenRollout"} 1"#), "{metrics}");
    release_soon(&lab, "web:v3").await;

    let bad = Bad::of(&lab);
    assert_eq!(bad.selector().await, serves, "production stays as it is");
    assert!(bad.patch(json!({"spec": {"restartAt": null}})).await);
    bad.until(conditions::READY, conditions::REASON_HEALTHY).await;
    assert_eq!(bad.condition(conditions::STALLED).await, ": ");
    assert_eq!(bad.selector().await, serves);
    drop(lab.operator().terminate());
}

/// Takes what an older CRD does not know out of the status's progress.
async fn without_ready_pods(lab: &Lab) {
    let crds: Api<CustomResourceDefinition> = Api::all(lab.client.clone());
    let progress = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/progress/properties";
    let patch: Patch<()> = Patch::Json(
        serde_json::from_value(json!([{"op": "remove", "path": format!("{progress}/readyReplicas")}]))
            .expect("a patch"),
    );
    crds.patch("bluegreenrollouts.greenlight.dev", &PatchParams::default(), &patch).await.expect("patched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_an_older_crd_cuts_is_not_written_again_and_again() {
    let _alone = ALONE.lock().await;
    let lab = Lab::new("older-crd").await;
    without_ready_pods(&lab).await;
    // The server takes a moment to forget the field.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    lab.apply(&rollout(json!({"minReadySeconds": 3600, "progressDeadlineSeconds": 7200}))).expect("applied");
    lab.until("its pods are waited for", |now: &Snapshot| {
        let status = now.rollout.as_ref().and_then(|rollout| rollout.status.as_ref());
        status.and_then(|status| status.progress.as_ref()).is_some()
            && now.sets.iter().any(|set| set.status.as_ref().and_then(|status| status.ready_replicas) == Some(2))
    })
    .await;
    // The ready pods are written once more; then nothing changes.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let (_, mark) = lab.audit();
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    let written = lab.operator_writes(mark, "bluegreenrollouts/status").await;
    assert!(written.is_empty(), "{written:?}");
}
