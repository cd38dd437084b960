//! What many rollouts cost: the operator's CPU and memory, its API requests by the API server's own account, and the time from a
//! request to the move of a Service as a watch sees it.
//!
//! Everything runs on the same machine, so times say how the phases compare, not how fast a cluster is. Counts are exact.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use greenlight_api::{BlueGreenRollout, Phase, Request, Verb, names};
use greenlight_test_cluster::{Cluster, Process};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::generate;
use crate::shell::build_binaries;

const USER_AGENT: &str = "greenlight/";
/// Writes of the benchmark under way at once: enough to keep the operator busy.
const AT_ONCE: usize = 20;
/// For each thousand rollouts begun.
const PHASE_TIMEOUT: Duration = Duration::from_secs(900);
const IDLE: Duration = Duration::from_secs(30);

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct BenchOptions {
    /// How many rollouts
    #[arg(long, default_value_t = 1000)]
    rollouts: usize,
    /// Pods of each
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Create them and let them rest, without a release: for the memory of more than a small control plane can release
    #[arg(long)]
    create_only: bool,
    /// Also write the figures here, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The figures of one phase.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    phase: &'static str,
    seconds: f64,
    cpu_ms_each: f64,
    rss_mb: f64,
    peak_rss_mb: f64,
    requests_each: f64,
    requests: BTreeMap<String, usize>,
    switch_ms_p50: Option<f64>,
    switch_ms_p99: Option<f64>,
}

/// Runs the benchmark.
pub(crate) async fn run(options: BenchOptions) -> Result<()> {
    let bin = build_binaries(true)?;
    let cluster = Cluster::start().await?;
    cluster.install_crds(&generate::crds()?)?;
    let operator = start_operator(&cluster, &bin, "greenlight", &[])?;
    let client = cluster.client().await?;
    let mut bench = Bench { operator, bin, cluster, client, options, moves: Arc::default() };
    let figures = tokio::select! {
        figures = bench.measure() => figures?,
        result = crate::shell::interrupted() => return result,
    };
    print_table(&figures, &bench.options);
    if let Some(path) = &bench.options.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}

/// Starts the operator that was built there, under this name in the logs, with these options more.
pub(crate) fn start_operator(cluster: &Cluster, bin: &Path, name: &str, more: &[&str]) -> Result<Process> {
    let kubeconfig = cluster.kubeconfig();
    let env = [("KUBECONFIG", kubeconfig.to_str().context("a path in UTF-8")?)];
    let args = ["controller", "--listen", "127.0.0.1:0", "--log", "warn"];
    let args: Vec<String> = args.iter().chain(more).map(|arg| (*arg).to_owned()).collect();
    Process::start(cluster.dir(), name, &bin.join("greenlight"), &args, &env)
}

struct Bench {
    // Before the cluster, so that it ends before it.
    operator: Process,
    bin: PathBuf,
    cluster: Cluster,
    client: Client,
    options: BenchOptions,
    /// When a watch last saw each active Service move.
    moves: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Bench {
    async fn measure(&mut self) -> Result<Vec<Figures>> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "bench"}}))?;
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        eprintln!("creating the Services of {} rollouts", self.options.rollouts);
        self.each(|number| self.create_services(number)).await?;
        let watching = self.watch_services();
        let mut figures = Vec::new();
        figures.push(self.phase("create", Phase::Healthy, |number| self.create(number), false).await?);
        if !self.options.create_only {
            self.release(&mut figures).await?;
        }
        figures.push(self.idle().await?);
        figures.push(self.restart().await?);
        watching.abort();
        Ok(figures)
    }

    async fn release(&self, figures: &mut Vec<Figures>) -> Result<()> {
        figures.push(self.phase("update", Phase::Paused, |number| self.update(number), false).await?);
        figures.push(self.phase("promote", Phase::Healthy, |number| self.ask(number, Verb::Promote), true).await?);
        figures.push(self.phase("undo", Phase::Degraded, |number| self.ask(number, Verb::Rollback), true).await?);
        Ok(())
    }

    /// Does something to every rollout and waits until all are in this phase.
    async fn phase<F>(
        &self,
        name: &'static str,
        end: Phase,
        work: impl Fn(usize) -> F,
        moves_traffic: bool,
    ) -> Result<Figures>
    where
        F: Future<Output = Result<()>>,
    {
        eprintln!("{name}");
        let audit = self.cluster.audit();
        let (mark, cpu, started) = (audit.mark(), self.cpu_ms()?, Instant::now());
        let asked: Mutex<HashMap<String, Instant>> = Mutex::default();
        self.each(|number| {
            asked.lock().expect("no panic while locked").insert(active_service(number), Instant::now());
            work(number)
        })
        .await?;
        self.wait_for(end).await?;
        let seconds = started.elapsed().as_secs_f64();
        let mut latencies: Vec<f64> = Vec::new();
        if moves_traffic {
            let moves = self.moves.lock().expect("no panic while locked");
            let asked = asked.lock().expect("no panic while locked");
            let latency =
                |(service, asked): (&String, &Instant)| Some((*moves.get(service)? - *asked).as_secs_f64() * 1e3);
            latencies.extend(asked.iter().filter_map(latency));
            latencies.sort_by(f64::total_cmp);
        }
        let at = |share: f64| {
            latencies.get(((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1))).copied()
        };
        self.figures(name, seconds, self.cpu_ms()? - cpu, mark, at(0.5), at(0.99))
    }

    /// Nothing happens; the old sets are scaled down before.
    async fn idle(&self) -> Result<Figures> {
        eprintln!("idle, after the old sets are scaled down");
        let sets: Api<k8s_openapi::api::apps::v1::ReplicaSet> = Api::namespaced(self.client.clone(), "bench");
        let started = Instant::now();
        loop {
            let list = sets.list_metadata(&Default::default()).await?;
            let retired =
                list.items.iter().filter(|set| set.finalizers().iter().any(|f| f == names::SCALE_DOWN_FINALIZER));
            if retired.count() == 0 {
                break;
            }
            if started.elapsed() > self.timeout() {
                bail!("old sets are still up");
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (mark, cpu) = (self.cluster.audit().mark(), self.cpu_ms()?);
        tokio::time::sleep(IDLE).await;
        self.figures("idle", IDLE.as_secs_f64(), self.cpu_ms()? - cpu, mark, None, None)
    }

    /// What it takes to begin, with all of them there.
    async fn restart(&mut self) -> Result<Figures> {
        eprintln!("restart");
        self.operator.terminate()?;
        let mark = self.cluster.audit().mark();
        self.operator = start_operator(&self.cluster, &self.bin, "greenlight", &[])?;
        tokio::time::sleep(IDLE).await;
        self.figures("restart", IDLE.as_secs_f64(), self.cpu_ms()?, mark, None, None)
    }

    fn figures(
        &self,
        phase: &'static str,
        seconds: f64,
        cpu_ms: f64,
        mark: u64,
        switch_ms_p50: Option<f64>,
        switch_ms_p99: Option<f64>,
    ) -> Result<Figures> {
        let requests = self.cluster.audit().counts(mark, USER_AGENT, None)?;
        let each = |total: f64| total / self.options.rollouts as f64;
        Ok(Figures {
            phase,
            seconds,
            cpu_ms_each: each(cpu_ms),
            rss_mb: resident_megabytes(&self.operator)?,
            peak_rss_mb: megabytes(&self.operator, "VmHWM:")?,
            requests_each: each(requests.values().sum::<usize>() as f64),
            requests,
            switch_ms_p50,
            switch_ms_p99,
        })
    }

    /// CPU time of the operator so far.
    fn cpu_ms(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.operator.pid()?))
            .context("the operator has ended")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        // User and system time, in ticks of 10 ms.
        Ok((ticks(11) + ticks(12)) * 10.0)
    }

    async fn each<F>(&self, work: impl Fn(usize) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        stream::iter(0..self.options.rollouts)
            .map(|number| Ok(work(number)))
            .try_buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn wait_for(&self, phase: Phase) -> Result<()> {
        let started = Instant::now();
        loop {
            let list = self.rollouts().list(&Default::default()).await?.items;
            let there = |rollout: &&BlueGreenRollout| {
                let status = rollout.status.as_ref();
                let current = status.map(|status| status.observed_generation) == rollout.metadata.generation;
                let settled = status.is_some_and(|status| {
                    let switch = status.switch.as_ref().is_some_and(|switch| switch.proven_at.is_some());
                    let request = rollout.annotations().get(names::REQUEST);
                    let answered = request == status.observed_request.as_ref().map(|observed| &observed.value);
                    let undone = phase != Phase::Degraded || status.active_revision != status.updated_revision;
                    status.phase == phase && switch && answered && undone
                });
                current && settled
            };
            if list.iter().filter(there).count() == self.options.rollouts {
                return Ok(());
            }
            if started.elapsed() > self.timeout() {
                bail!("after {} s not all rollouts are {}", self.timeout().as_secs(), phase.as_str());
            }
            // Reading thousands takes the API server from what is measured.
            tokio::time::sleep(Duration::from_millis(500) * self.thousands()).await;
        }
    }

    fn timeout(&self) -> Duration {
        PHASE_TIMEOUT * self.thousands()
    }

    fn thousands(&self) -> u32 {
        self.options.rollouts.div_ceil(1000).max(1) as u32
    }

    fn watch_services(&self) -> tokio::task::JoinHandle<()> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), "bench");
        let moves = self.moves.clone();
        tokio::spawn(async move {
            let mut hashes: HashMap<String, Option<String>> = HashMap::new();
            let mut changes = pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
            while let Ok(Some(service)) = changes.try_next().await {
                let hash =
                    service.spec.as_ref().and_then(|spec| spec.selector.as_ref()?.get(names::HASH_LABEL).cloned());
                let name = service.name_any();
                if hashes.get(&name) != Some(&hash) {
                    moves.lock().expect("no panic while locked").insert(name.clone(), Instant::now());
                    hashes.insert(name, hash);
                }
            }
        })
    }

    fn rollouts(&self) -> Api<BlueGreenRollout> {
        Api::namespaced(self.client.clone(), "bench")
    }

    async fn create_services(&self, number: usize) -> Result<()> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), "bench");
        for name in [active_service(number), format!("preview-{number}")] {
            let service = json!({
                "metadata": {"name": name},
                "spec": {"selector": {"app": format!("app-{number}")}, "ports": [{"port": 80, "targetPort": 8080}]},
            });
            api.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
        }
        Ok(())
    }

    async fn create(&self, number: usize) -> Result<()> {
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": name(number)},
            "spec": {
                "replicas": self.options.replicas,
                "selector": {"matchLabels": {"app": format!("app-{number}")}},
                "strategy": {"blueGreen": {
                    "activeService": active_service(number),
                    "previewService": format!("preview-{number}"),
                    "autoPromotionEnabled": false,
                }},
                "template": template(number, "app:v1"),
            },
        });
        self.rollouts().create(&PostParams::default(), &serde_json::from_value(rollout)?).await?;
        Ok(())
    }

    async fn update(&self, number: usize) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"template": template(number, "app:v2")}}));
        self.rollouts().patch(&name(number), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn ask(&self, number: usize, action: Verb) -> Result<()> {
        // Every rollout asks for the same template but for its label, so the hash has to be looked up.
        let status = self.rollouts().get_status(&name(number)).await?.status.unwrap_or_default();
        let request = Request {
            action,
            revision: status.updated_revision,
            to: None,
            by: "bench".into(),
            at: jiff::Timestamp::now(),
            reason: None,
        };
        let patch = Patch::Merge(json!({"metadata": {"annotations": {names::REQUEST: request.to_value()}}}));
        self.rollouts().patch(&name(number), &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// How much memory a process takes at this moment.
pub(crate) fn resident_megabytes(process: &Process) -> Result<f64> {
    megabytes(process, "VmRSS:")
}

fn megabytes(process: &Process, key: &str) -> Result<f64> {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", process.pid()?)).context("the operator has ended")?;
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0)
}

pub(crate) fn name(number: usize) -> String {
    format!("app-{number}")
}

fn active_service(number: usize) -> String {
    format!("active-{number}")
}

/// A template of about 3 KB, as real ones are.
pub(crate) fn template(number: usize, image: &str) -> Value {
    let env: Vec<Value> = (0..30)
        .map(|n| json!({"name": format!("SETTING_{n}"), "value": "a value of some length, as they are in real life"}))
        .collect();
    json!({
        "metadata": {"labels": {"app": format!("app-{number}")}},
        "spec": {"containers": [{
            "name": "app", "image": image, "env": env,
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        }]},
    })
}

fn print_table(figures: &[Figures], options: &BenchOptions) {
    println!("{} rollouts of {} replicas", options.rollouts, options.replicas);
    println!(
        "{:8} {:>8} {:>12} {:>8} {:>9} {:>14} {:>11} {:>11}",
        "phase", "seconds", "CPU ms each", "RSS MB", "peak MB", "requests each", "switch p50", "switch p99"
    );
    let ms = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.0} ms"));
    for row in figures {
        println!(
            "{:8} {:>8.1} {:>12.2} {:>8.1} {:>9.1} {:>14.2} {:>11} {:>11}",
            row.phase,
            row.seconds,
            row.cpu_ms_each,
            row.rss_mb,
            row.peak_rss_mb,
            row.requests_each,
            ms(row.switch_ms_p50),
            ms(row.switch_ms_p99)
        );
    }
    for row in figures {
        let counts: Vec<String> = row.requests.iter().map(|(what, count)| format!("{count} {what}")).collect();
        println!("{}: {}", row.phase, if counts.is_empty() { "no requests".to_owned() } else { counts.join(", ") });
    }
}
