//! One operator for all namespaces, as the chart installs it if nobody says otherwise.

use greenlight_e2e::{Lab, cluster, operator_kubeconfig, operator_of_all, rollout};
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
