//! The cluster with the example on it, as a person would work with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use greenlight_test_cluster::{Cluster, HELM};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::traffic::{self, Traffic};

/// Namespace of the example.
pub const NAMESPACE: &str = "canary-blue-green";
/// Its hosts.
pub const ACTIVE_HOST: &str = "blue-green.local";
/// Of the preview.
pub const PREVIEW_HOST: &str = "blue-green-preview.local";
/// Where the ingress controller listens.
pub const INGRESS: &str = "127.0.0.1:80";
/// Its rollout.
pub const ROLLOUT: &str = "blue-green-app";
const PATIENCE: Duration = Duration::from_secs(90);

/// The top of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Today's chart.
pub fn chart() -> PathBuf {
    repository().join("charts/greenlight")
}

/// A cluster and what is on it.
pub struct Site(Cluster);

impl Site {
    pub fn new(cluster: Cluster) -> Site {
        Site(cluster)
    }

    pub fn cluster(&self) -> &Cluster {
        &self.0
    }

    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.0.kubectl(args)
    }

    pub fn helm(&self, args: &[&str]) -> Result<String> {
        let home = self.0.dir().join("helm");
        let mut command = Command::new(greenlight_test_cluster::ensure(&HELM)?.path("helm"));
        command.envs(["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map(|name| (name, home.join(name))));
        self.run(command.args(args))
    }

    /// Installs a chart, or upgrades to it, and waits until its pods are ready.
    pub fn install(&self, chart: &Path, more: &[&str]) -> Result<()> {
        let chart = chart.display().to_string();
        let place = ["-n", "greenlight", "--wait", "--timeout", "120s"];
        self.helm(&[&["upgrade", "--install", "greenlight", &chart], &place[..], more].concat()).map(drop)
    }

    /// Takes the example and the chart away again; the CRDs stay.
    pub fn uninstall(&self) -> Result<()> {
        self.kubectl(&["delete", "namespace", NAMESPACE, "--timeout=60s"])?;
        self.helm(&["uninstall", "greenlight", "-n", "greenlight", "--wait"]).map(drop)
    }

    pub fn greenlight(&self, args: &[&str]) -> Result<String> {
        self.run(Command::new(greenlight_e2e::binary("kubectl-greenlight")).args(["-n", NAMESPACE]).args(args))
    }

    fn run(&self, command: &mut Command) -> Result<String> {
        let output = command.env("KUBECONFIG", self.0.kubeconfig()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    }

    pub fn json(&self, args: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&[args, &["-o", "json"]].concat())?)?)
    }

    /// A namespace whose pods must keep to Kubernetes' strictest standard.
    pub fn create_restricted_namespace(&self, name: &str) -> Result<()> {
        self.kubectl(&["create", "namespace", name])?;
        self.kubectl(&["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"]).map(drop)
    }

    /// The operator's pods run as the chart says: not as root, nothing to write to, no more rights than needed.
    pub async fn check_operator_pods(&self) -> Result<()> {
        // Those of before the upgrade take a moment to go.
        self.until("two of the operator's pods, both ready", async || {
            let args = ["get", "pods", "-n", "greenlight", "-l", "app.kubernetes.io/name=greenlight"];
            let pods = self.json(&args).unwrap_or_default();
            let pods = pods["items"].as_array().cloned().unwrap_or_default();
            pods.len() == 2 && pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["ready"] == true)
        })
        .await?;
        self.check_processes("^/greenlight controller")?;
        println!("both run as 65532, without capabilities, with seccomp, on a read-only root");
        Ok(())
    }

    /// What runs by this command line in pods runs as the chart says: not as root, nothing to write to, no more rights than needed.
    pub fn check_processes(&self, programs: &str) -> Result<()> {
        let pids = self.run(Command::new("pgrep").args(["-f", programs]))?;
        for pid in pids.lines() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
            ensure!(line("Uid:").contains("65532"), "{}", line("Uid:"));
            ensure!(line("CapEff:").ends_with("0000000000000000"), "{}", line("CapEff:"));
            ensure!(line("NoNewPrivs:").ends_with('1'), "{}", line("NoNewPrivs:"));
            ensure!(line("Seccomp:").ends_with('2'), "{}", line("Seccomp:"));
            let mounts = std::fs::read_to_string(format!("/proc/{pid}/mounts"))?;
            let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).context("a root")?;
            ensure!(root.split(' ').nth(3).is_some_and(|options| options.starts_with("ro")), "{root}");
        }
        Ok(())
    }

    /// Applies the example with another delay, and waits until it is healthy.
    pub async fn deploy(&self, delay: Duration) -> Result<()> {
        let example = repository().join("deploy/examples/blue-green").display().to_string();
        self.kubectl(&["apply", "-k", &example])?;
        let blue_green = json!({"scaleDownDelaySeconds": delay.as_secs()});
        self.patch("merge", &json!({"spec": {"strategy": {"blueGreen": blue_green}}}))?;
        print!("{}", self.greenlight(&["status", ROLLOUT, "--timeout", "120s"])?);
        Ok(())
    }

    /// Patches the rollout.
    pub fn patch(&self, kind: &str, patch: &Value) -> Result<()> {
        let (kind, patch) = (format!("--type={kind}"), patch.to_string());
        self.kubectl(&["patch", "bgr", ROLLOUT, "-n", NAMESPACE, &kind, "-p", &patch]).map(drop)
    }

    /// What a commit would change.
    pub fn set_version(&self, version: &str, colour: &str) -> Result<()> {
        let label = "/spec/template/metadata/labels/app.kubernetes.io~1version";
        self.patch(
            "json",
            &json!([
                {"op": "replace", "path": label, "value": version},
                {"op": "replace", "path": "/spec/template/spec/containers/0/env/0/value", "value": colour},
            ]),
        )
    }

    /// Asks for another version, and waits until its preview answers.
    pub async fn preview(&self, version: &str, colour: &str) -> Result<()> {
        self.set_version(version, colour)?;
        self.until_in_preview(version).await
    }

    /// Waits until the preview answers with this version, and waits for its promotion.
    pub async fn until_in_preview(&self, version: &str) -> Result<()> {
        let address = format!("{}:80", self.address("blue-green-preview")?);
        self.until(&format!("{version} in preview"), async || {
            traffic::version(&address, "blue-green-preview").await.is_ok_and(|shown| shown == version)
                && self.status()["phase"] == "Paused"
        })
        .await?;
        self.answers(PREVIEW_HOST, version).await
    }

    /// The status of the example's rollout.
    pub fn status(&self) -> Value {
        self.json(&["get", "bgr", ROLLOUT, "-n", NAMESPACE])
            .map(|rollout| rollout["status"].clone())
            .unwrap_or_default()
    }

    /// Both hosts of the ingress answer with these versions.
    pub async fn shows(&self, active: &str, preview: &str) -> Result<()> {
        for (host, version) in [(ACTIVE_HOST, active), (PREVIEW_HOST, preview)] {
            self.answers(host, version).await?;
            println!("http://{host} answers with {version}");
        }
        Ok(())
    }

    /// Runs a command that moves production, and waits until the old version answers no more; how long that took from the
    /// command's start to the last request that the old version answered.
    pub async fn switch(&self, command: &[&str], from: &str, to: &str, traffic: &Traffic) -> Result<Duration> {
        self.switch_while(command, from, to, traffic, || Ok(())).await
    }

    /// Promotes what waits in preview; when its pods are being started and production has not moved yet, something happens.
    pub async fn promote_while(
        &self,
        from: &str,
        to: &str,
        traffic: &Traffic,
        happens: impl FnOnce() -> Result<()>,
    ) -> Result<Duration> {
        let command = ["promote", ROLLOUT, "--no-wait"];
        let in_the_middle = || {
            let set = format!("{ROLLOUT}-{}", self.status()["updatedRevision"].as_str().unwrap_or_default());
            let started = Instant::now();
            while self.json(&["get", "rs", &set, "-n", NAMESPACE])?["spec"]["replicas"] != 3 {
                ensure!(started.elapsed() < PATIENCE, "{set} does not grow");
            }
            ensure!(self.status()["activeRevision"] != self.status()["updatedRevision"], "it is over already");
            happens()
        };
        self.switch_while(&command, from, to, traffic, in_the_middle).await
    }

    async fn switch_while(
        &self,
        command: &[&str],
        from: &str,
        to: &str,
        traffic: &Traffic,
        then: impl FnOnce() -> Result<()>,
    ) -> Result<Duration> {
        let began = Instant::now();
        tokio::task::block_in_place(|| self.greenlight(command).and_then(|_| then()))?;
        self.until_served(to).await?;
        self.quiet().await;
        let last = traffic.last_of(from).context("it has served")?;
        self.answers(ACTIVE_HOST, to).await?;
        Ok(last.saturating_duration_since(began))
    }

    /// Until requests that were under way are answered.
    async fn quiet(&self) {
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }

    /// The ingress has followed.
    async fn answers(&self, host: &str, version: &str) -> Result<()> {
        self.until(&format!("http://{host} shows {version}"), async || {
            traffic::version(INGRESS, host).await.is_ok_and(|shown| shown == version)
        })
        .await
    }

    /// Waits until the active Service provably serves this version.
    pub async fn until_served(&self, version: &str) -> Result<()> {
        let address = format!("{}:80", self.active_address()?);
        self.until(&format!("{version} serves"), async || {
            traffic::version(&address, "blue-green-active").await.is_ok_and(|shown| shown == version)
                && self.status()["switch"]["provenAt"].is_string()
        })
        .await
    }

    /// Waits until only the active ReplicaSet has pods.
    pub async fn until_scaled_down(&self) -> Result<()> {
        self.until("the old ones are scaled down", async || {
            let sets = self.json(&["get", "rs", "-n", NAMESPACE]).unwrap_or_default();
            let sets = sets["items"].as_array().cloned().unwrap_or_default();
            sets.iter().filter(|set| set["status"]["replicas"] != 0).count() == 1
        })
        .await
    }

    /// UIDs and restarts of the pods.
    pub fn pods(&self) -> Result<Vec<String>> {
        let pods = self.json(&["get", "pods", "-n", NAMESPACE])?;
        let pods = pods["items"].as_array().context("a list")?;
        let mut pods: Vec<String> = pods
            .iter()
            .map(|pod| format!("{} {}", pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]))
            .collect();
        pods.sort();
        Ok(pods)
    }

    /// UIDs and restarts of the pods of a version that nobody has deleted.
    pub fn pods_of(&self, version: &str) -> Result<Vec<String>> {
        let label = format!("app.kubernetes.io/version={version}");
        let pods = self.json(&["get", "pods", "-n", NAMESPACE, "-l", &label])?;
        let pods = pods["items"].as_array().context("a list")?.iter();
        let stay = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0);
        let mut pods: Vec<String> = stay.map(|pod| format!("{} {}", pod["metadata"]["uid"], restarts(pod))).collect();
        pods.sort();
        Ok(pods)
    }

    /// The version that production answers with.
    pub async fn version_served(&self) -> Result<String> {
        traffic::version(&format!("{}:80", self.active_address()?), "blue-green-active").await
    }

    pub fn active_address(&self) -> Result<String> {
        self.address("blue-green-active")
    }

    fn address(&self, service: &str) -> Result<String> {
        self.address_in(NAMESPACE, service)
    }

    /// The cluster IP of a Service.
    pub fn address_in(&self, namespace: &str, service: &str) -> Result<String> {
        let service = self.json(&["get", "service", service, "-n", namespace])?;
        Ok(service["spec"]["clusterIP"].as_str().context("an address")?.to_owned())
    }

    /// A download of the active version that takes so long; the bytes that arrive.
    pub fn start_download(&self, duration: Duration) -> Result<JoinHandle<Result<u64>>> {
        let address = format!("{}:80", self.active_address()?);
        let path = format!("/download?seconds={}", duration.as_secs());
        Ok(tokio::spawn(async move {
            // HTTP/1.0: the end of the connection is the end of the body.
            Ok(traffic::get(&address, "blue-green-active", &path).await?.len().try_into()?)
        }))
    }

    /// The pod that holds the lease.
    pub fn leader(&self) -> Result<String> {
        let lease = self.json(&["get", "lease", "greenlight", "-n", "greenlight"])?;
        let holder = lease["spec"]["holderIdentity"].as_str().context("nobody leads")?;
        Ok(holder.split('_').next().unwrap_or_default().to_owned())
    }

    /// Kills the leader without a word.
    pub fn kill_leader(&self) -> Result<()> {
        let leader = format!("HOSTNAME={}\0", self.leader()?);
        let pids = self.run(Command::new("pgrep").args(["-f", "^/greenlight controller"]))?;
        let is_leader = |pid: &&str| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|text| text.windows(leader.len()).any(|window| window == leader.as_bytes()))
        };
        let pid = pids.lines().find(is_leader).context("the leader runs on this node")?;
        self.run(Command::new("kill").args(["-KILL", pid])).map(drop)
    }

    pub async fn until(&self, what: &str, is: impl AsyncFn() -> bool) -> Result<()> {
        let started = Instant::now();
        while !is().await {
            if started.elapsed() > PATIENCE {
                bail!("waited in vain for: {what}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// What there is, for whoever has to find out why a test failed.
    pub fn describe(&self) {
        for args in [
            vec!["get", "all,bgr,ing,lease", "-A", "-o", "wide"],
            vec!["get", "events", "-A", "--sort-by=.lastTimestamp"],
            vec!["describe", "pods", "-n", "greenlight"],
            vec!["logs", "-n", "greenlight", "-l", "app.kubernetes.io/name=greenlight", "--tail=40"],
            vec!["logs", "-n", "greenlight", "-l", "app.kubernetes.io/name=greenlight-dashboard", "--tail=40"],
        ] {
            eprintln!(
                "$ kubectl {}\n{}",
                args.join(" "),
                self.kubectl(&args).unwrap_or_else(|error| error.to_string())
            );
        }
    }
}
