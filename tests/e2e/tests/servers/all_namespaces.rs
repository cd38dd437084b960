//! One operator for all namespaces, as the chart installs it if nobody says otherwise.

use std::time::Duration;

use greenlight_e2e::{Lab, cluster, eventually, operator_kubeconfig, operator_of_all, rollout};
use kube::ResourceExt;
use serde_json::json;

use crate::ALONE;

/// The same names, the same templates and so the same hashes everywhere; one namespace goes in the middle of a release.
#[tokio::test(flavor = "multi_thread")]
async fn rollouts_of_one_name_in_three_namespaces_do_not_touch_each_other() {
    let _alone = ALONE.lock().await;
    let mut labs = Vec::new();
    for namespace in ["everywhere-a", "everywhere-b", "everywhere-c"] {
        labs.push(Lab::without_operator(namespace).await);
    }
    let levels = ["--log", "greenlight=debug,warn"];
    let _operator = operator_of_all("everywhere-operator", &operator_kubeconfig(), &levels);

    for lab in &labs {
        lab.apply(&rollout(json!({}))).expect("applied");
    }
    for lab in &labs {
        lab.until("v1 serves", |now| now.is_healthy_on("web:v1")).await;
        lab.preview("web:v2").await;
    }
    let [a, b, c] = &labs[..] else { unreachable!("there are three") };
    let hash = a.now().await.hash_of("web-preview");
    assert!(hash.is_some());
    assert_eq!((b.now().await.hash_of("web-preview"), c.now().await.hash_of("web-preview")), (hash.clone(), hash));
    let untouched = c.now().await;

    b.greenlight(&["promote", "web"]).expect("promoted");
    cluster().kubectl(&["delete", "namespace", &b.namespace, "--timeout=60s"]).expect("gone within a minute");
    a.greenlight(&["promote", "web"]).expect("promoted");
    a.until("v2 serves, v1 is down", |now| now.is_healthy_on("web:v2") && now.is_down("web:v1")).await;
    a.greenlight(&["undo", "web"]).expect("undone");
    a.until("v1 serves again", |now| now.image_of("web-active") == "web:v1" && now.phase() == "Degraded").await;

    let now = c.now().await;
    assert_eq!((now.image_of("web-active"), now.image_of("web-preview")), ("web:v1".into(), "web:v2".into()));
    for image in ["web:v1", "web:v2"] {
        assert_eq!(now.pod_uids_of_image(image), untouched.pod_uids_of_image(image), "{image}");
    }
    c.greenlight(&["promote", "web"]).expect("promoted");
    c.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
}

/// Whoever may do everything in a namespace of their own makes there what would count here: by its name, its marks, its hash or its owner.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_the_names_marks_and_owner_of_a_rollout_in_another_namespace_moves_nothing_here() {
    let _alone = ALONE.lock().await;
    let here = Lab::without_operator("everywhere-here").await;
    let there = Lab::without_operator("everywhere-there").await;
    let _operator = operator_of_all("everywhere-forged", &operator_kubeconfig(), &["--log", "greenlight=debug,warn"]);

    // The analysis never ends, since nobody may be asked there, and nothing else is waited for.
    here.apply(&json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "endless"},
        "spec": {"metrics": [{
            "name": "endless", "interval": "5s", "consecutiveErrorLimit": 1000,
            "provider": {"web": {"url": "http://127.0.0.1:1/"}},
        }]},
    }))
    .expect("applied");
    here.deploy(json!({})).await;
    let analysis = json!({"templates": [{"templateName": "endless"}]});
    here.patch_spec(
        json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true, "prePromotionAnalysis": analysis}}}),
    )
    .await;
    here.set_image("web:v2").await;
    here.until("v2 is shown", |now| now.image_of("web-preview") == "web:v2").await;
    eventually("it is measured", async || !here.runs().await.is_empty()).await;
    let (before, run) = (here.now().await, here.runs().await.remove(0).name_any());
    let uid = before.rollout.as_ref().and_then(ResourceExt::uid).expect("a UID");
    let [serves, waits] = ["web-active", "web-preview"].map(|service| before.hash_of(service).expect("a hash"));

    let evil = json!([{"name": "web", "image": "evil:v1"}]);
    let of_theirs = rollout(json!({
        "strategy": {"blueGreen": {"autoPromotionEnabled": true}}, "template": {"spec": {"containers": evil}},
    }));
    there.apply(&of_theirs).expect("applied");
    there.until("theirs serves", |now| now.is_healthy_on("evil:v1")).await;
    let owner = json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "uid": uid, "controller": true,
    });
    for hash in [&serves, &waits] {
        let labels = json!({"app": "web", "rollouts-pod-template-hash": hash});
        let due = json!({"greenlight.dev/scale-down-at": "2020-01-01T00:00:00Z", "greenlight.dev/returned": "true"});
        there
            .apply(&json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {"name": format!("web-{hash}"), "labels": labels, "annotations": due, "ownerReferences": [owner]},
                "spec": {
                    "replicas": 1, "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": evil}},
                },
            }))
            .expect("applied");
    }
    there
        .apply(&json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": run, "annotations": {"greenlight.dev/rollout": "web"}, "ownerReferences": [owner]},
            "spec": {"metrics": []},
        }))
        .expect("applied");
    let production = format!("greenlight.dev/production={waits}");
    there.kubectl(&["annotate", "service", "web-active", "--overwrite", "greenlight.dev/managed-by=web", &production]);
    there.kubectl(&["delete", "service", "web-preview"]);

    here.throughout(Duration::from_secs(6), "v1 serves and v2 waits", |now| {
        now.image_of("web-active") == "web:v1" && now.image_of("web-preview") == "web:v2"
    })
    .await;
    let after = here.now().await;
    for image in ["web:v1", "web:v2"] {
        assert_eq!(after.pod_uids_of_image(image), before.pod_uids_of_image(image), "{image}");
    }
    here.set_image("web:v3").await;
    let now = here.until("v3 is shown", |now| now.image_of("web-preview") == "web:v3").await;
    assert_eq!(now.image_of("web-active"), "web:v1", "it is measured, too");
}
