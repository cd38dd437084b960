//! The main job, from nothing, as a person would do it: every line that starts with `$` is the command that ran.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use greenlight_test_cluster::{Cluster, Process};

use crate::generate;
use crate::shell::{build_binaries, interrupted, root};

const NAMESPACE: &str = "canary-blue-green";
const ROLLOUT: &str = "blue-green-app";

/// Runs the demo; with `keep` it stays up at the end.
pub(crate) async fn run(keep: bool) -> Result<()> {
    let bin = build_binaries(false)?;
    let shown = tokio::select! {
        shown = show(&bin) => shown?,
        result = interrupted() => return result,
    };
    if keep {
        println!("\nIt stays up until Ctrl-C. In another shell:");
        println!("  export KUBECONFIG={} PATH={}:$PATH", shown.cluster.kubeconfig().display(), bin.display());
        println!("  kubectl greenlight get rollout {ROLLOUT} -n {NAMESPACE} --watch");
        interrupted().await?;
    }
    drop(shown.operator);
    shown.cluster.stop();
    println!("\nStopped; nothing is left running.");
    Ok(())
}

struct Shown {
    cluster: Cluster,
    operator: Process,
}

async fn show(bin: &Path) -> Result<Shown> {
    say("A real control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler; kwok plays the nodes");
    let started = Instant::now();
    let cluster = Cluster::start().await?;
    println!("up after {:.1} s", started.elapsed().as_secs_f64());
    say("The CRD, and the operator");
    cluster.install_crds(&generate::crds()?)?;
    let args = ["controller", "--listen", "127.0.0.1:0"].map(str::to_owned);
    let kubeconfig = cluster.kubeconfig();
    let env = [("KUBECONFIG", kubeconfig.to_str().context("a path in UTF-8")?)];
    let operator = Process::start(cluster.dir(), "greenlight", &bin.join("greenlight"), &args, &env)?;
    let stage = Stage { bin: bin.to_owned(), kubeconfig, kubectl: cluster.tools().path("kubectl") };

    say("First deployment");
    stage.apply("blue-green")?;
    stage.greenlight(&["status", ROLLOUT, "--timeout", "60s"], &[0])?;
    stage.tree()?;

    say("A new version goes to the preview; production stays");
    stage.apply("blue-green-v2")?;
    stage.greenlight(&["status", ROLLOUT, "--timeout", "60s"], &[3])?;
    stage.tree()?;

    say("Promotion: the active Service moves, and the move is proven");
    stage.greenlight(&["promote", ROLLOUT], &[0])?;
    stage.tree()?;

    say("After 30 s the old pods go away");
    stage.until_gone(Duration::from_secs(60)).await?;
    stage.tree()?;

    say("Another version, promoted");
    stage.apply("blue-green-v3")?;
    stage.greenlight(&["status", ROLLOUT, "--timeout", "60s"], &[3])?;
    stage.greenlight(&["promote", ROLLOUT], &[0])?;

    say("And back: no pod is restarted, the spec is not touched");
    stage.greenlight(&["undo", ROLLOUT], &[0])?;
    stage.tree()?;
    stage.greenlight(&["history", ROLLOUT], &[0])?;
    Ok(Shown { cluster, operator })
}

fn say(text: &str) {
    println!("\n── {text}\n");
}

/// Where the commands run.
struct Stage {
    bin: PathBuf,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

impl Stage {
    /// Applies one of `deploy/examples`.
    fn apply(&self, example: &str) -> Result<()> {
        let path = format!("deploy/examples/{example}");
        println!("$ kubectl apply -k {path}");
        self.run(&self.kubectl, &["apply", "-k", &root().join(path).display().to_string()], &[0])
    }

    fn greenlight(&self, args: &[&str], codes: &[i32]) -> Result<()> {
        println!("$ kubectl greenlight {} -n {NAMESPACE}", args.join(" "));
        let args = [args, &["-n", NAMESPACE]].concat();
        self.run(&self.bin.join("kubectl-greenlight"), &args, codes)
    }

    fn tree(&self) -> Result<()> {
        self.greenlight(&["get", "rollout", ROLLOUT], &[0])
    }

    fn run(&self, program: &Path, args: &[&str], codes: &[i32]) -> Result<()> {
        let status = Command::new(program).env("KUBECONFIG", &self.kubeconfig).args(args).status()?;
        if !status.code().is_some_and(|code| codes.contains(&code)) {
            bail!("{} {}: {status}", program.display(), args.join(" "));
        }
        Ok(())
    }

    /// Waits until no set is retiring any more.
    async fn until_gone(&self, patience: Duration) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < patience {
            let output = Command::new(self.bin.join("kubectl-greenlight"))
                .env("KUBECONFIG", &self.kubeconfig)
                .args(["history", ROLLOUT, "-n", NAMESPACE, "-o", "json"])
                .output()?;
            let revisions: serde_json::Value = serde_json::from_slice(&output.stdout)?;
            let is_up = |revision: &serde_json::Value| revision["role"] != "active" && revision["pods"][0].is_object();
            if !revisions.as_array().context("a list")?.iter().any(is_up) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        bail!("the old pods are still there after {} s", patience.as_secs())
    }
}
