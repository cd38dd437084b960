//! What a second version of the kind would take, where its shape is that of the first: docs/versions.md tells of it.

use greenlight_e2e::{Lab, Snapshot, cluster};
use serde_json::{Value, json};

use crate::ALONE;

const CRD: &str = "bluegreenrollouts.greenlight.dev";
const OF_NEXT_VERSION: &str = "bluegreenrollouts.v1beta1.greenlight.dev";

fn crd() -> Value {
    serde_json::from_str(&cluster().kubectl(&["get", "crd", CRD, "-o", "json"]).expect("the CRD")).expect("JSON")
}

fn patch_crd(patch: &Value, more: &[&str]) {
    let patch = format!("--patch={patch}");
    cluster().kubectl(&[&["patch", "crd", CRD, "--type=json", &patch], more].concat()).expect("patched");
}

fn set_stored_versions(versions: &[&str]) {
    let patch = json!([{"op": "replace", "path": "/status/storedVersions", "value": versions}]);
    patch_crd(&patch, &["--subresource=status"]);
}

/// Moves what is stored from one version to another: the place of each in `spec.versions`.
fn store_as(version: usize, instead_of: usize) {
    let flag =
        |version, value| json!({"op": "replace", "path": format!("/spec/versions/{version}/storage"), "value": value});
    patch_crd(&json!([flag(instead_of, false), flag(version, true)]), &[]);
}

fn set_image(lab: &Lab, image: &str) {
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
    lab.kubectl(&["patch", OF_NEXT_VERSION, "web", "--type=merge", &format!("--patch={patch}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_version_of_the_same_shape_takes_no_webhook_and_moves_nothing() {
    let _alone = ALONE.lock().await;
    let mut lab = Lab::new("next-version").await;
    let first = lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    let pods = first.pod_uids_of_image("web:v1");

    // Both are served, the first is stored: what is there is readable as both.
    let mut next = crd()["spec"]["versions"][0].clone();
    next["name"] = "v1beta1".into();
    next["storage"] = false.into();
    patch_crd(&json!([{"op": "add", "path": "/spec/versions/-", "value": next}]), &[]);
    greenlight_e2e::eventually("the next version is served", async || {
        cluster().kubectl(&["-n", "next-version", "get", OF_NEXT_VERSION, "web"]).is_ok()
    })
    .await;
    set_image(&lab, "web:v2");
    lab.until("in preview", |now: &Snapshot| now.waits_in_preview("web:v2")).await;
    lab.greenlight(&["promote", "web"]).expect("promoted");

    // The next one is stored. What is there is stored so with its next write.
    store_as(1, 0);
    set_image(&lab, "web:v3");
    lab.until("in preview", |now: &Snapshot| now.waits_in_preview("web:v3")).await;
    assert_eq!(crd()["status"]["storedVersions"], json!(["v1alpha1", "v1beta1"]));
    set_stored_versions(&["v1beta1"]);
    lab.kill_operator();
    lab.start_operator();
    lab.is_ready().await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.greenlight(&["undo", "web"]).expect("undone");
    lab.until("production is back", |now: &Snapshot| now.image_of("web-active") == "web:v2").await;

    // A field that one of the versions did not have would be gone by now.
    let delay = ["get", "bgr", "web", "-o", "jsonpath={.spec.strategy.blueGreen.scaleDownDelaySeconds}"];
    assert_eq!(lab.kubectl(&delay), "600");

    // Owners are named by the first version, and the garbage collector finds them: nobody's pods were deleted.
    let now = lab.now().await;
    assert_eq!(now.pod_uids_of_image("web:v1"), pods);
    let owner = ["get", "replicasets", "-o", "jsonpath={.items[*].metadata.ownerReferences[*].apiVersion}"];
    assert!(lab.kubectl(&owner).split(' ').all(|version| version == "greenlight.dev/v1alpha1"));

    // And back, for the tests after this one.
    store_as(0, 1);
    set_image(&lab, "web:v2");
    lab.until("healthy", |now: &Snapshot| now.is_healthy_on("web:v2")).await;
    set_stored_versions(&["v1alpha1"]);
    patch_crd(&json!([{"op": "remove", "path": "/spec/versions/1"}]), &[]);
}
