//! The real Argo Rollouts controller on the test cluster, for one namespace.

use anyhow::Result;
use greenlight_e2e::{Lab, argo_cd, cluster, eventually};
use greenlight_test_cluster::{ARGO_ROLLOUTS, Process, free_ports};
use serde_json::{Value, json};

const KINDS: [&str; 5] = ["rollout", "experiment", "analysis-run", "analysis-template", "cluster-analysis-template"];

/// Its controller, as it is by default, in the namespace of a lab.
pub fn start(lab: &Lab) -> Process {
    install().unwrap_or_else(|error| panic!("Argo Rollouts does not install: {error:#}"));
    let program = greenlight_test_cluster::ensure(&ARGO_ROLLOUTS).expect("Argo Rollouts builds").path("argo-rollouts");
    let [metrics, health] = free_ports().expect("free ports");
    let kubeconfig = cluster().kubeconfig().display().to_string();
    let args = [
        format!("--kubeconfig={kubeconfig}"),
        "--namespaced".to_owned(),
        format!("--namespace={}", lab.namespace),
        format!("--metricsport={metrics}"),
        format!("--healthzPort={health}"),
        "--leader-elect=false".to_owned(),
    ];
    let name = format!("{}-argo-rollouts", lab.namespace);
    Process::start(cluster().dir(), &name, &program, &args, &[("KUBECONFIG", &kubeconfig)]).expect("it starts")
}

/// An Argo Rollout named `web` with the Services of a lab, as [`greenlight_e2e::rollout`] is.
pub fn rollout(spec: Value) -> Value {
    let mut rollout = greenlight_e2e::rollout(spec);
    rollout["apiVersion"] = "argoproj.io/v1alpha1".into();
    rollout["kind"] = "Rollout".into();
    rollout
}

/// Creates an Argo Rollout from [`rollout`] with these settings, and waits until it is healthy.
pub async fn deploy(lab: &Lab, spec: Value) {
    lab.apply(&rollout(spec)).expect("applied");
    until_healthy(lab, "web").await;
}

/// Waits until an Argo Rollout is healthy.
pub async fn until_healthy(lab: &Lab, name: &str) {
    let is = async || {
        let rollout: Value =
            serde_json::from_str(&lab.kubectl(&["get", "rollouts.argoproj.io", name, "-o", "json"])).expect("JSON");
        let seen = rollout["status"]["observedGeneration"] == json!(rollout["metadata"]["generation"].to_string());
        seen && rollout["status"]["phase"] == "Healthy"
    };
    eventually("the Argo Rollout is healthy", is).await;
}

/// `spec.paused` of an Argo Rollout: paused, its controller moves no Service.
pub fn pause(lab: &Lab, name: &str, paused: bool) {
    let patch = json!({"spec": {"paused": paused}}).to_string();
    lab.kubectl(&["patch", "rollouts.argoproj.io", name, "--type=merge", "-p", &patch]);
}

fn install() -> Result<()> {
    let files = KINDS.map(|kind| format!("manifests/crds/{kind}-crd.yaml"));
    argo_cd::install_crds(&ARGO_ROLLOUTS, "github.com/argoproj/argo-rollouts", &files)
}
