//! Fed by Git: a real Argo CD with self-heal on, and its own engine for our scripts. And what Flux looks at.

mod argo;
mod scripts;

use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use argo::{Argo, Repository, overrides};
use futures::TryStreamExt;
use greenlight_api::names;
use greenlight_e2e::{Lab, cluster, rollout};
use k8s_openapi::api::core::v1::Service;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};

static ARGO: LazyLock<Argo> =
    LazyLock::new(|| Argo::start().unwrap_or_else(|error| panic!("Argo CD did not start: {error:#}")));

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_ends_in_production_with_client_side_apply() {
    commit_to_production("client-side", &[], &json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_ends_in_production_with_server_side_apply() {
    let policy = argo::repository().join("deploy/selector-policy.yaml").display().to_string();
    cluster().kubectl(&["apply", "-f", &policy]).expect("the policy that keeps the hash");
    // A diff by dry run, with what admission makes of it: see docs/gitops.md.
    let compare = json!({"argocd.argoproj.io/compare-options": "ServerSideDiff=true,IncludeMutationWebhook=true"});
    commit_to_production("server-side", &["ServerSideApply=true"], &compare).await;
}

async fn commit_to_production(name: &str, options: &[&str], annotations: &Value) {
    let lab = Lab::new(name).await;
    for service in ["web-active", "web-preview"] {
        lab.delete_service(service).await;
    }
    let argo = &*ARGO;
    let files = |image: &str| {
        let service = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
            })
        };
        let spec = json!({"template": {"spec": {"containers": [{"name": "web", "image": image}]}}});
        [
            ("active.json", service("web-active").to_string()),
            ("preview.json", service("web-preview").to_string()),
            ("rollout.json", rollout(spec).to_string()),
        ]
    };
    let repository = Repository::create(name).expect("a repository");
    let first = repository.commit("v1", &files("web:v1")).expect("committed");
    argo.create_application(name, options, annotations).expect("an Application");
    argo.until(name, &first, "Healthy").await.expect("the first deployment");
    let hashes = watch_hash(lab.client.clone(), name);

    let second = repository.commit("v2", &files("web:v2")).expect("committed");
    argo.until(name, &second, "Suspended").await.expect("v2 waits for its promotion");
    let waiting = lab.until("v2 in preview", |now| now.image_of("web-preview") == "web:v2").await;
    assert_eq!(waiting.image_of("web-active"), "web:v1");

    act(&lab, "promote");
    argo.until(name, &second, "Healthy").await.expect("v2 was promoted");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v2");

    lab.greenlight(&["undo", "web"]).expect("undone");
    argo.until(name, &second, "Degraded").await.expect("what Git asks for was rejected");
    // Self-heal has nothing to heal: nothing differs from Git.
    for _ in 0..12 {
        argo::refresh(name).expect("refreshed");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(lab.now().await.image_of("web-active"), "web:v1", "undone stays undone");
    }
    let application = argo::application(name).expect("there");
    assert_eq!(application["status"]["sync"]["status"], "Synced", "{application:#}");

    let reverted = repository.revert().expect("reverted");
    argo.until(name, &reverted, "Healthy").await.expect("Git asks for what serves");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    let hashes = hashes.lock().expect("not poisoned").clone();
    assert!(hashes.len() >= 3, "v1, v2, v1: {hashes:?}");
    assert!(hashes.iter().all(Option::is_some), "production never had both versions: {hashes:?}");
}

/// Runs a resource action as Argo CD's server would, with its engine and our script.
fn act(lab: &Lab, action: &str) {
    let live = cluster().kubectl(&["-n", &lab.namespace, "get", "bgr", "web", "-o", "yaml"]).expect("there");
    let file = cluster().dir().join(format!("{}-{action}.yaml", lab.namespace));
    std::fs::write(&file, live).expect("written");
    let after = overrides(&["run-action", file.to_str().expect("a path in UTF-8"), action]).expect("it runs");
    let after = after.split_once("\n\n").map_or(after.as_str(), |(_, after)| after).to_owned();
    let after: Value = serde_saphyr::from_str(&after).expect("YAML");
    std::fs::write(&file, after.to_string()).expect("written");
    // As it is: `kubectl replace` would write another last-applied-configuration.
    let url = format!("/apis/greenlight.dev/v1alpha1/namespaces/{}/bluegreenrollouts/web", lab.namespace);
    cluster().kubectl(&["replace", "--raw", &url, "-f", &file.display().to_string()]).expect("the object is valid");
}

/// Every hash that the active Service selects from now on, in order; `None` where there is none.
fn watch_hash(client: Client, namespace: &str) -> Arc<Mutex<Vec<Option<String>>>> {
    let seen: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let services: Api<Service> = Api::namespaced(client, namespace);
    let hashes = seen.clone();
    tokio::spawn(async move {
        let config = watcher::Config::default().fields("metadata.name=web-active");
        let mut changes = pin!(watcher(services, config).default_backoff().applied_objects());
        while let Ok(Some(service)) = changes.try_next().await {
            let hash = service.spec.and_then(|spec| spec.selector?.get(names::HASH_LABEL).cloned());
            hashes.lock().expect("not poisoned").push(hash);
        }
    });
    seen
}
