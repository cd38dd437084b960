//! A real Argo CD on the test cluster: application controller, repo server and redis, without its web server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use greenlight_test_cluster::{ARGO_CD, Module, Process, free_ports};
use serde_json::{Value, json};

use crate::{cluster, git};

const PATIENCE: Duration = Duration::from_secs(120);
const REFRESH: &str = "argocd.argoproj.io/refresh=normal";

/// Argo CD.
pub struct ArgoCd {
    // In the order in which they end.
    processes: Vec<Process>,
}

impl ArgoCd {
    /// Starts it.
    pub fn start() -> Result<ArgoCd> {
        let tools = greenlight_test_cluster::ensure(&ARGO_CD)?;
        let dir = cluster().dir().join("argocd");
        for folder in ["bin", "tls", "ssh", "gpg", "home"] {
            std::fs::create_dir_all(dir.join(folder))?;
        }
        let at = |name: &str| dir.join(name).display().to_string();
        for name in ["argocd-repo-server", "argocd-application-controller"] {
            std::os::unix::fs::symlink(tools.path("argocd"), dir.join("bin").join(name))?;
        }
        let [redis, repo, repo_metrics, controller_metrics] = free_ports()?;
        install()?;
        let tls = at("tls");
        let ssh = at("ssh");
        let home = at("home");
        // The repo server takes its namespace from here.
        let text = std::fs::read_to_string(cluster().kubeconfig())?;
        std::fs::write(dir.join("kubeconfig"), text.replace("user: admin}", "user: admin, namespace: argocd}"))?;
        let kubeconfig = at("kubeconfig");
        let env = [
            ("ARGOCD_GPG_ENABLED", "false"),
            ("ARGOCD_TLS_DATA_PATH", tls.as_str()),
            ("ARGOCD_SSH_DATA_PATH", ssh.as_str()),
            ("HOME", home.as_str()),
            ("TMPDIR", home.as_str()),
            ("KUBECONFIG", kubeconfig.as_str()),
            // Client and server are one control plane here; waiting for the cluster's cache is what takes time.
            ("ARGOCD_RECONCILIATION_JITTER", "0"),
        ];
        let redis_args = ["--bind 127.0.0.1", &format!("--port {redis}"), "--save", "", "--appendonly no"];
        let redis_args: Vec<String> = redis_args.iter().flat_map(|arg| arg.split(' ')).map(str::to_owned).collect();
        let address = |port: u16| format!("127.0.0.1:{port}");
        let repo_args = [
            "--redis".to_owned(),
            address(redis),
            "--disable-tls".to_owned(),
            "--address=127.0.0.1".to_owned(),
            format!("--port={repo}"),
            format!("--metrics-port={repo_metrics}"),
        ];
        let controller_args = [
            format!("--kubeconfig={kubeconfig}"),
            "--namespace=argocd".to_owned(),
            "--redis".to_owned(),
            address(redis),
            "--repo-server".to_owned(),
            address(repo),
            "--repo-server-plaintext".to_owned(),
            "--app-resync=10".to_owned(),
            "--self-heal-timeout-seconds=1".to_owned(),
            format!("--metrics-port={controller_metrics}"),
        ];
        let start = |name: &str, program: &Path, args: &[String]| Process::start(&dir, name, program, args, &env);
        let bin = |name: &str| dir.join("bin").join(name);
        let processes = vec![
            start("redis", Path::new("redis-server"), &redis_args)?,
            start("repo-server", &bin("argocd-repo-server"), &repo_args)?,
            start("application-controller", &bin("argocd-application-controller"), &controller_args)?,
        ];
        Ok(ArgoCd { processes })
    }

    /// An Application that keeps a namespace as a repository says, by itself.
    pub fn create_application(&self, name: &str, options: &[&str], annotations: &Value) -> Result<()> {
        let (server, _) = cluster().endpoint();
        apply(&json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd", "annotations": annotations},
            "spec": {
                "project": "default",
                "source": {
                    "repoURL": git::url(name),
                    "targetRevision": "main", "path": ".",
                },
                "destination": {"server": server, "namespace": name},
                "syncPolicy": {"automated": {"selfHeal": true, "prune": true}, "syncOptions": options},
            },
        }))
    }

    /// Waits until it reports this health, in sync with that commit.
    ///
    /// # Errors
    /// It does not come to that in time.
    pub async fn until(&self, name: &str, commit: &str, health: &str) -> Result<()> {
        self.until_status(name, commit, health, |status| status["health"]["status"] == health).await
    }

    /// Waits until it is in sync with that commit, whatever the health of what it is responsible for.
    ///
    /// # Errors
    /// It does not come to that in time.
    pub async fn until_synced(&self, name: &str, commit: &str) -> Result<()> {
        self.until_status(name, commit, "Synced", |_| true).await
    }

    async fn until_status(&self, name: &str, commit: &str, what: &str, is: impl Fn(&Value) -> bool) -> Result<()> {
        let started = Instant::now();
        loop {
            let application = application(name)?;
            let status = &application["status"];
            let synced = status["sync"]["status"] == "Synced" && status["sync"]["revision"] == commit;
            if synced && is(status) {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!("waited in vain for {what} at {commit}: {status:#}\n{}", self.logs());
            }
            // What a webhook of the Git server does.
            refresh(name)?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn logs(&self) -> String {
        self.processes.iter().map(Process::log_tail).collect::<Vec<_>>().join("\n")
    }
}

/// Asks Argo CD to look at the repository and the cluster now.
pub fn refresh(name: &str) -> Result<()> {
    cluster().kubectl(&["-n", "argocd", "annotate", "application", name, REFRESH, "--overwrite"]).map(drop)
}

/// The Application as it is now.
pub fn application(name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&cluster().kubectl(&["-n", "argocd", "get", "application", name, "-o", "json"])?)?)
}

/// What Argo CD's own engine makes of an object with our scripts: `health`, `list-actions`, or `run-action`, which prints the object
/// as the action leaves it.
pub fn overrides(arguments: &[&str]) -> Result<String> {
    let config = repository().join("deploy/argocd/argocd-cm.yaml");
    let output = Command::new(greenlight_test_cluster::ensure(&ARGO_CD)?.path("argocd"))
        .args(["admin", "settings", "resource-overrides"])
        .args(arguments)
        .arg("--argocd-cm-path")
        .arg(config)
        .env("ARGOCD_BINARY_NAME", "argocd")
        .env("KUBECTL_EXTERNAL_DIFF", r#"sh -c 'cat "$1"'"#)
        .env("HOME", cluster().dir())
        .env("TMPDIR", cluster().dir())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Its kinds, its configuration with our scripts, and the cluster it works on.
fn install() -> Result<()> {
    let crds = ["application", "appproject", "applicationset"].map(|kind| format!("manifests/crds/{kind}-crd.yaml"));
    install_crds(&ARGO_CD, "github.com/argoproj/argo-cd/v3", &crds)?;
    cluster().kubectl(&["create", "namespace", "argocd"])?;
    let ours = repository().join("deploy/argocd/argocd-cm.yaml");
    cluster().kubectl(&["apply", "-n", "argocd", "-f", &ours.display().to_string()])?;
    let faster = r#"{"data": {"timeout.reconciliation": "10s"}}"#;
    cluster().kubectl(&["-n", "argocd", "patch", "configmap", "argocd-cm", "--type=merge", "-p", faster])?;
    let part = json!({"app.kubernetes.io/part-of": "argocd"});
    for name in [
        "argocd-rbac-cm",
        "argocd-cmd-params-cm",
        "argocd-tls-certs-cm",
        "argocd-gpg-keys-cm",
        "argocd-ssh-known-hosts-cm",
    ] {
        apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "argocd", "labels": part},
        }))?;
    }
    apply(&json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "argocd-secret", "namespace": "argocd", "labels": part},
        "stringData": {"server.secretkey": "only for a test"},
    }))?;
    let (server, token) = cluster().endpoint();
    let config = json!({"bearerToken": token, "tlsClientConfig": {"insecure": true}});
    apply(&json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "cluster", "namespace": "argocd", "labels": {"argocd.argoproj.io/secret-type": "cluster"},
        },
        "stringData": {"name": "test", "server": server, "config": config.to_string()},
    }))?;
    apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "default", "namespace": "argocd"},
        "spec": {
            "sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }))?;
    Ok(())
}

/// CRDs that come with the source of a Go module.
///
/// # Errors
/// There are none at these paths, or the API server does not take them.
pub fn install_crds(module: &Module, path: &str, files: &[String]) -> Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let source = greenlight_test_cluster::source(module, path)?;
    let crds = files.iter().map(|file| std::fs::read_to_string(source.join(file))).collect::<Result<Vec<_>, _>>()?;
    let _turn = ONE_AT_A_TIME.lock().expect("not poisoned");
    cluster().install_crds(&crds.join("\n---\n"))
}

/// The top of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Applies a manifest that names its namespace.
///
/// # Errors
/// The API server does not take it.
pub fn apply(manifest: &Value) -> Result<()> {
    let text = |key: &str| manifest["metadata"][key].as_str().unwrap_or_default().to_owned();
    let kind = manifest["kind"].as_str().unwrap_or_default();
    let file = cluster().dir().join(format!("{kind}-{}-{}.json", text("namespace"), text("name")));
    std::fs::write(&file, manifest.to_string())?;
    cluster().kubectl(&["apply", "-f", &file.display().to_string()]).map(drop)
}
