//! What needs a control plane of its own: API servers as they are out there (without streaming lists, upgraded under a running operator,
//! with yesterday's CRDs), controllers that hear of changes late, and an operator for all namespaces.
//! What is done to it would disturb other tests. One after the other.

mod all_namespaces;
mod bombs;
mod hanging;
mod late_controllers;
mod old_crds;
mod streaming_lists;
mod versions;

use greenlight_e2e::{Lab, Web, operator_kubeconfig, operator_of_all};
use greenlight_test_cluster::Process;
use serde_json::json;
use tokio::sync::Mutex;

/// Who holds it has the control plane for itself.
static ALONE: Mutex<()> = Mutex::const_new(());

/// An operator for all namespaces, which may measure what is on this machine.
fn operator(name: &str) -> Process {
    let more = ["--log", "greenlight=info,warn", "--analysis-allow", "127.0.0.0/8"];
    operator_of_all(name, &operator_kubeconfig(), &more)
}

/// The template by which releases in this town are measured, with a condition that takes a process.
fn apply_template(town: &Lab, web: &Web) {
    let metric =
        json!({"name": "ok", "successCondition": "result.exists(x, x == 1)", "provider": {"web": {"url": web.url()}}});
    town.apply(&json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "ok"}, "spec": {"metrics": [metric]},
    }))
    .expect("applied");
}

/// Deploys a rollout whose releases go through by themselves once that is good.
async fn deploy_measured(town: &Lab) {
    town.deploy(json!({"strategy": {"blueGreen": {
        "autoPromotionEnabled": true, "scaleDownDelaySeconds": 0, "prePromotionAnalysis": {"templates": [{"templateName": "ok"}]},
    }}}))
    .await;
}
