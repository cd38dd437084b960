//! Beside a real Argo Rollouts controller: each leaves alone what is the other's, and production moves from one to the other and
//! back under a watch of its endpoints, which are always there and always of one version.

mod argo_rollouts;
mod production;

use std::time::Duration;

use greenlight_api::names;
use greenlight_e2e::{Lab, Snapshot, rollout};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use production::Production;
use serde_json::json;

/// So long nothing may happen where nothing is to happen.
const QUIET: Duration = Duration::from_secs(3);

/// The ReplicaSet that a Service leads to.
fn set_behind(now: &Snapshot, service: &str) -> String {
    let hash = now.hash_of(service).expect("a hash");
    now.set(&hash).unwrap_or_else(|| panic!("no ReplicaSet of {hash}")).name_any()
}

/// The Argo Rollout whose name stands on a Service.
fn argo_on(now: &Snapshot, service: &str) -> Option<String> {
    now.services[service].annotations().get(names::MANAGED_BY_ARGO).cloned()
}

/// Lets the Services of a lab go by hand, as docs/migrating.md says.
fn let_go(lab: &Lab) {
    lab.kubectl(&["annotate", "services", "web-active", "web-preview", &format!("{}-", names::MANAGED_BY_ARGO)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_an_argo_rollout_is_left_alone_until_it_is_let_go() {
    let lab = Lab::new("handover").await;
    let _argo = argo_rollouts::start(&lab);
    argo_rollouts::deploy(&lab, json!({})).await;
    lab.until_endpoints("web-active", 2).await;
    let theirs = set_behind(&lab.now().await, "web-active");
    let production = Production::watch(lab.api::<EndpointSlice>()).await;
    let (_, mark) = lab.audit();

    lab.apply(&rollout(json!({}))).expect("applied");
    let is_ready = |now: &Snapshot| now.status().available_replicas == 2 || now.sets.len() == 2;
    let claimed = lab.until("says so", |now| now.condition("Stalled") == "True/ServiceClaimed" && is_ready(now)).await;
    assert!(
        claimed.message().contains("Service web-active is moved by the Argo Rollout web."),
        "{}",
        claimed.message()
    );
    lab.until("the first revision is ready", |now| now.ready_pods_of_image("web:v1").len() == 4).await;
    lab.throughout(QUIET, "nothing moves", |now| set_behind(now, "web-active") == theirs).await;
    let writes = lab.operator_writes(mark, "services").await;
    assert!(writes.is_empty(), "it touches nothing: {writes:#?}");

    argo_rollouts::pause(&lab, "web", true);
    let_go(&lab);
    let moved = lab.until("production moves", |now| now.phase() == "Healthy").await;
    let ours = set_behind(&moved, "web-active");
    assert_ne!(ours, theirs);
    lab.throughout(QUIET, "Argo's controller leaves it alone", |now| {
        set_behind(now, "web-active") == ours && argo_on(now, "web-active").is_none()
    })
    .await;
    lab.kubectl(&["delete", "rollouts.argoproj.io", "web"]);
    lab.until("its pods go", |now| now.pods.len() == 2).await;
    lab.throughout(QUIET, "nothing moves", |now| set_behind(now, "web-active") == ours).await;
    assert_eq!(production.course("web-active").await, [theirs, ours]);
    lab.release("web:v2").await;
    assert_eq!(production.course("web-active").await.len(), 3);
}
