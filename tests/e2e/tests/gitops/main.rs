//! Fed by Git: a real Argo CD with self-heal on, its own engine for our scripts, and a real Flux.

mod flux;
mod scripts;

use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex, Once};
use std::time::Duration;

use flux::Flux;
use futures::TryStreamExt;
use greenlight_api::names;
use greenlight_e2e::argo_cd::{self, ArgoCd, overrides, repository};
use greenlight_e2e::git::Repository;
use greenlight_e2e::{Lab, cluster, rollout};
use k8s_openapi::api::core::v1::Service;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};

static ARGO: LazyLock<ArgoCd> =
    LazyLock::new(|| ArgoCd::start().unwrap_or_else(|error| panic!("Argo CD did not start: {error:#}")));
static FLUX: LazyLock<Flux> =
    LazyLock::new(|| Flux::start().unwrap_or_else(|error| panic!("Flux did not start: {error:#}")));

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_ends_in_production_with_client_side_apply() {
    commit_to_production("client-side", &[], &json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_ends_in_production_with_server_side_apply() {
    install_selector_policy();
    // A diff by dry run, with what admission makes of it: see docs/gitops.md.
    let compare = json!({"argocd.argoproj.io/compare-options": "ServerSideDiff=true,IncludeMutationWebhook=true"});
    commit_to_production("server-side", &["ServerSideApply=true"], &compare).await;
}

async fn commit_to_production(name: &str, options: &[&str], annotations: &Value) {
    let lab = Lab::new(name).await;
    leave_services_to_git(&lab).await;
    let argo = &*ARGO;
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
        argo_cd::refresh(name).expect("refreshed");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(lab.now().await.image_of("web-active"), "web:v1", "undone stays undone");
    }
    let application = argo_cd::application(name).expect("there");
    assert_eq!(application["status"]["sync"]["status"], "Synced", "{application:#}");

    let reverted = repository.revert().expect("reverted");
    argo.until(name, &reverted, "Healthy").await.expect("Git asks for what serves");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    assert_never_without_hash(&hashes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_ends_in_production_with_flux() {
    install_selector_policy();
    let lab = Lab::new("flux").await;
    leave_services_to_git(&lab).await;
    let flux = &*FLUX;
    let repository = Repository::create("flux").expect("a repository");
    let first = repository.commit("v1", &files("web:v1")).expect("committed");
    flux.create_kustomization("flux").expect("a Kustomization");
    flux.until("flux", &first, "True").await.expect("the first deployment");
    // An object without a status, as a new one is for a moment, is ready for kstatus.
    lab.until("v1 serves", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v1").await;
    let hashes = watch_hash(lab.client.clone(), "flux");

    let second = repository.commit("v2", &files("web:v2")).expect("committed");
    flux.until("flux", &second, "Unknown").await.expect("it waits for the promotion of v2");
    lab.until("v2 in preview", |now| now.image_of("web-preview") == "web:v2").await;
    // A newer commit does not wait until that is over.
    let third = repository.commit("v3", &files("web:v3")).expect("committed");
    lab.until("v3 in preview", |now| now.image_of("web-preview") == "web:v3").await;
    flux.until("flux", &third, "Unknown").await.expect("it waits for the promotion of v3");
    lab.greenlight(&["promote", "web"]).expect("promoted");
    flux.until("flux", &third, "True").await.expect("v3 was promoted");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v3");

    lab.greenlight(&["undo", "web"]).expect("undone");
    let message = flux.until("flux", &third, "False").await.expect("what Git asks for was rejected");
    assert!(message.contains("BlueGreenRollout/flux/web"), "{message}");
    // It applies every three seconds.
    lab.throughout(Duration::from_secs(12), "undone stays undone", |now| now.image_of("web-active") == "web:v1").await;

    let back = repository.commit("back to v1", &files("web:v1")).expect("committed");
    flux.until("flux", &back, "True").await.expect("Git asks for what serves");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    assert_never_without_hash(&hashes);
}

/// The examples for both tools are what their API servers take.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_valid() {
    LazyLock::force(&ARGO);
    LazyLock::force(&FLUX);
    for example in ["argocd/application.yaml", "flux/kustomization.yaml"] {
        let file = repository().join("deploy/examples").join(example).display().to_string();
        cluster()
            .kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &file])
            .unwrap_or_else(|error| panic!("{error:#}"));
    }
}

/// What stands in the repository; YAML may be written as JSON.
fn files(image: &str) -> [(&'static str, String); 3] {
    let service = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        })
    };
    let spec = json!({"template": {"spec": {"containers": [{"name": "web", "image": image}]}}});
    [
        ("active.yaml", service("web-active").to_string()),
        ("preview.yaml", service("web-preview").to_string()),
        ("rollout.yaml", rollout(spec).to_string()),
    ]
}

async fn leave_services_to_git(lab: &Lab) {
    for service in ["web-active", "web-preview"] {
        lab.delete_service(service).await;
    }
}

/// The policy of the chart that keeps the hash when a Service is applied server-side.
fn install_selector_policy() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let policy = repository().join("deploy/selector-policy.yaml").display().to_string();
        cluster().kubectl(&["apply", "-f", &policy]).expect("the policy that keeps the hash");
    });
}

fn assert_never_without_hash(hashes: &Mutex<Vec<Option<String>>>) {
    let hashes = hashes.lock().expect("not poisoned").clone();
    assert!(hashes.len() >= 3, "there, the new one, and back: {hashes:?}");
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
