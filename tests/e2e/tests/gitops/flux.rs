//! A real Flux on the test cluster: its source-controller and its kustomize-controller.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use greenlight_e2e::cluster;
use greenlight_test_cluster::{FLUX, Process, free_ports};
use serde_json::{Value, json};

use greenlight_e2e::argo_cd::{apply, install_crds, repository};
use greenlight_e2e::git;

const PATIENCE: Duration = Duration::from_secs(120);
const NAMESPACE: &str = "flux-system";

/// Flux.
pub struct Flux {
    // In the order in which they end.
    processes: Vec<Process>,
}

impl Flux {
    /// Starts it as docs/gitops.md says: a commit that comes while a revision waits is not kept waiting.
    pub fn start() -> Result<Flux> {
        let tools = greenlight_test_cluster::ensure(&FLUX)?;
        let dir = cluster().dir().join("flux");
        std::fs::create_dir_all(dir.join("artifacts"))?;
        let sources =
            ["buckets", "externalartifacts", "gitrepositories", "helmcharts", "helmrepositories", "ocirepositories"];
        let crd = |group: &str, kind: &str| format!("config/crd/bases/{group}.toolkit.fluxcd.io_{kind}.yaml");
        install_crds(&FLUX, "github.com/fluxcd/source-controller", &sources.map(|kind| crd("source", kind)))?;
        install_crds(&FLUX, "github.com/fluxcd/kustomize-controller", &[crd("kustomize", "kustomizations")])?;
        cluster().kubectl(&["create", "namespace", NAMESPACE])?;
        let [storage] = free_ports()?;
        let kubeconfig = cluster().kubeconfig().display().to_string();
        let temporary = dir.display().to_string();
        let env = [
            ("KUBECONFIG", kubeconfig.as_str()),
            ("RUNTIME_NAMESPACE", NAMESPACE),
            ("HOME", temporary.as_str()),
            ("TMPDIR", temporary.as_str()),
        ];
        let start = |name: &str, more: &[String]| {
            let common = ["--metrics-addr=0".to_owned(), "--health-addr=127.0.0.1:0".to_owned()];
            Process::start(&dir, name, &tools.path(name), &[&common[..], more].concat(), &env)
        };
        let processes = vec![
            start("kustomize-controller", &["--feature-gates=CancelHealthCheckOnNewRevision=true".to_owned()])?,
            start(
                "source-controller",
                &[
                    format!("--storage-path={}", dir.join("artifacts").display()),
                    format!("--storage-addr=127.0.0.1:{storage}"),
                    format!("--storage-adv-addr=127.0.0.1:{storage}"),
                ],
            )?,
        ];
        Ok(Flux { processes })
    }

    /// The Kustomization of our example, for a repository and a namespace of this name, impatient.
    pub fn create_kustomization(&self, name: &str) -> Result<()> {
        apply(&json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"url": git::url(name), "ref": {"branch": "main"}, "interval": "2s"},
        }))?;
        let example = std::fs::read_to_string(repository().join("deploy/examples/flux/kustomization.yaml"))?;
        let mut example: Value = serde_saphyr::from_str(&example)?;
        example["metadata"]["name"] = name.into();
        let spec = &mut example["spec"];
        spec["interval"] = "3s".into();
        spec["path"] = "./".into();
        spec["targetNamespace"] = name.into();
        spec["sourceRef"]["name"] = name.into();
        spec["healthChecks"][0]["name"] = "web".into();
        spec["healthChecks"][0]["namespace"] = name.into();
        apply(&example)
    }

    /// Waits until its condition Ready is this, and the commit the one that was last tried.
    pub async fn until(&self, name: &str, commit: &str, ready: &str) -> Result<String> {
        let started = Instant::now();
        loop {
            let (tried, state, message) = read(name)?;
            if tried.ends_with(commit) && state == ready {
                return Ok(message);
            }
            if started.elapsed() > PATIENCE {
                let logs: Vec<_> = self.processes.iter().map(Process::log_tail).collect();
                bail!("waited in vain for {ready} at {commit}: {state} at {tried}: {message}\n{}", logs.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// The commit that was last tried, the condition Ready, and its message.
fn read(name: &str) -> Result<(String, String, String)> {
    let read =
        cluster().kubectl(&["-n", NAMESPACE, "get", "kustomization.kustomize.toolkit.fluxcd.io", name, "-o", "json"]);
    let status = serde_json::from_str::<Value>(&read?)?["status"].clone();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&status["lastAttemptedRevision"]), text(&ready["status"]), text(&ready["message"])))
}
