//! What many rollouts cost: CPU and memory of whoever is measured, its API requests by the API server's own account, and the time from
//! a request to the move of a Service as a watch sees it.
//!
//! Everything runs on one machine, and times on it are noisy. So another controller is measured in the same run (`--beside`), and so is
//! what the API server takes from a bare client, which is the limit for everybody. Counts are exact.
//!
//! | question | file |
//! |---|---|
//! | what is measured, and how its releases are driven | `subject` |
//! | what one sees from outside | `observer` |
//! | what a process used | `process` |
//! | how figures are shown and compared | `report` |
//! | a picture of how they grow | `plot` |

mod observer;
mod plot;
mod process;
mod report;
mod subject;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use greenlight_api::analysis::AnalysisRun;
use greenlight_api::names;
use greenlight_test_cluster::{Cluster, Process};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use observer::Observer;
pub(crate) use process::resident_megabytes;
use process::{cpu_ms, kinds_of_memory, peak_megabytes};
use report::{Figures, Report, Round};
use subject::{Program, Subject};

/// Rollouts of a namespace. Kubernetes' own controllers look through all pods of one for each of its Services, so thousands in one would measure
/// them.
const IN_A_NAMESPACE: usize = 50;
/// Writes of the benchmark under way at once: enough to keep a controller busy.
const AT_ONCE: usize = 20;
/// For each thousand rollouts begun.
const PHASE_TIMEOUT: Duration = Duration::from_secs(900);
const IDLE: Duration = Duration::from_secs(60);
/// How long a controller takes until it is at rest, after a phase or its start.
const SETTLES: Duration = Duration::from_secs(5);
/// Patches for the limit of the API server.
const PATCHES: usize = 2000;
/// Releases by themselves, one after the other.
const SINGLE: usize = 5;
/// Rollouts that are created at most while one is undone.
const AMID: usize = 600;
const SCRAPES: usize = 10;
/// Before each of them. Whoever asks within 200 ms gets the text of the one before (`SAME_TEXT` in the operator's `telemetry/server.rs`), and that says
/// nothing about what a text costs.
const BETWEEN_SCRAPES: Duration = Duration::from_millis(300);
/// Patches of one Service, one after the other.
const ONE_BY_ONE: usize = 15;

/// What a release goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Create,
    Update,
    Promote,
    Undo,
}

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct BenchOptions {
    /// How many rollouts; several numbers, and it says how the cost grows
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    rollouts: Vec<usize>,
    /// Pods of each
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Create them and let them rest, without a release: for the memory of more than a small control plane can release
    #[arg(long)]
    create_only: bool,
    /// Finished AnalysisRuns of 2 KB of each rollout, for what they take at a restart (Greenlight only)
    #[arg(long, default_value_t = 0)]
    analyses: usize,
    /// Measure this one too, on a control plane of its own each, in turn
    #[arg(long)]
    beside: Option<Subject>,
    /// Measure this operator, built before, instead of building it
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Also write the figures here, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measure nothing, and compare two files that `--json` wrote
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    compare: Option<Vec<PathBuf>>,
    /// Write a picture here of how cost grows, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure nothing, and show what `--json` wrote: several files are taken together
    #[arg(long, num_args = 1.., value_name = "FILE")]
    read: Vec<PathBuf>,
}

/// Runs the benchmark.
pub(crate) async fn run(options: BenchOptions) -> Result<()> {
    if let Some([a, b]) = options.compare.as_deref() {
        Report::read(a)?.compare(&Report::read(b)?);
        return Ok(());
    }
    let mut report = Report { date: jiff::Timestamp::now().to_string(), rounds: Vec::new() };
    for path in &options.read {
        report.rounds.extend(Report::read(path)?.rounds);
    }
    let sizes = if options.read.is_empty() { options.rollouts.as_slice() } else { &[] };
    for rollouts in sizes {
        for subject in [Subject::Greenlight].into_iter().chain(options.beside) {
            eprintln!("{}, {rollouts} rollouts", subject.name());
            let round = tokio::select! {
                round = measure(subject, *rollouts, &options) => round?,
                result = crate::shell::interrupted() => return result,
            };
            report.rounds.push(round);
            // What is measured so far is not lost with what comes.
            if let Some(path) = &options.json {
                report.write(path)?;
            }
        }
    }
    report.print();
    match &options.plot {
        Some(path) => Ok(std::fs::write(path, plot::svg(&report.rounds))?),
        None => Ok(()),
    }
}

/// Measures one subject with so many rollouts, on a control plane of its own.
async fn measure(subject: Subject, rollouts: usize, options: &BenchOptions) -> Result<Round> {
    let cluster = Cluster::start().await?;
    let given = options.operator.as_deref().filter(|_| subject == Subject::Greenlight);
    let program = subject.prepare(&cluster, given).await?;
    let client = cluster.client().await?;
    for number in (0..rollouts + AMID).step_by(IN_A_NAMESPACE) {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace(number)}}))?;
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    }
    let process = subject.start(&cluster, &program)?;
    let mut bench = Bench {
        process,
        program,
        observer: Observer::start(&client, subject),
        cluster,
        client,
        subject,
        rollouts,
        replicas: options.replicas,
        analyses: options.analyses,
        phases: Vec::new(),
    };
    let patches_per_second = bench.limit().await?;
    bench.empty().await?;
    bench.all(Phase::Create).await?;
    if !options.create_only {
        bench.all(Phase::Update).await?;
        bench.all(Phase::Promote).await?;
        bench.all(Phase::Undo).await?;
        // Whoever copies annotations of a rollout to its ReplicaSets would write as much again.
        if subject == Subject::Greenlight {
            bench.least().await?;
        }
        bench.one_by_itself().await?;
        bench.some_amid_others().await?;
    }
    bench.idle().await?;
    bench.scrape().await?;
    bench.restart().await?;
    Ok(Round {
        subject: subject.name().to_owned(),
        rollouts,
        replicas: options.replicas,
        patches_per_second,
        phases: bench.phases,
    })
}

struct Bench {
    // Before the cluster, so that it ends before it.
    process: Process,
    program: Program,
    observer: Observer,
    cluster: Cluster,
    client: Client,
    subject: Subject,
    rollouts: usize,
    replicas: usize,
    analyses: usize,
    phases: Vec<Figures>,
}

/// Where an account of a phase begins.
struct Mark {
    audit: u64,
    cpu_ms: f64,
    at: Instant,
}

impl Bench {
    /// How many patches of Services the API server takes in a second from a bare client. Also creates the Services.
    async fn limit(&self) -> Result<f64> {
        eprintln!("creating the Services");
        each(0..self.rollouts.max(1), |number| self.create_services(number)).await?;
        let started = Instant::now();
        each(0..PATCHES, |number| {
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"bench": number.to_string()}}}));
            let number = number % self.rollouts.max(1);
            let (api, name) = (self.services(number), active_service(number));
            async move {
                api.patch(&name, &PatchParams::default(), &patch).await?;
                Ok(())
            }
        })
        .await?;
        Ok(PATCHES as f64 / started.elapsed().as_secs_f64())
    }

    /// What it takes with no rollout.
    async fn empty(&mut self) -> Result<()> {
        tokio::time::sleep(SETTLES).await;
        let mark = self.mark()?;
        self.account("empty", mark, self.rollouts)
    }

    /// A phase of all rollouts at once.
    async fn all(&mut self, phase: Phase) -> Result<()> {
        let name = format!("{phase:?}").to_lowercase();
        eprintln!("{name}");
        self.observer.begin(phase);
        let mark = self.mark()?;
        let asked: Vec<Instant> = stream::iter(0..self.rollouts)
            .map(|number| {
                let asked = Instant::now();
                let work = self.carry_out(phase, number);
                async move { work.await.map(|()| (number, asked)) }
            })
            .buffer_unordered(AT_ONCE)
            .try_fold(vec![mark.at; self.rollouts], |mut all, (number, asked)| async move {
                all[number] = asked;
                Ok(all)
            })
            .await?;
        let asked_within = mark.at.elapsed();
        let over = self.observer.end(self.rollouts, self.timeout()).await?;
        let began = mark.at;
        self.account(&name, mark, self.rollouts)?;
        let figures = self.phases.last_mut().expect("one was just added");
        let mut ends: Vec<f64> = over.values().map(|at| (*at - began).as_secs_f64()).collect();
        ends.sort_by(f64::total_cmp);
        figures.seconds = ends.last().copied().unwrap_or_default();
        figures.half_seconds = ends.get(ends.len() / 2).copied();
        let service = |number| if phase == Phase::Update { preview_service(number) } else { active_service(number) };
        let moves = (0..self.rollouts).filter_map(|number| {
            let moved = self.observer.moved(&service(number), asked[number])?;
            Some((moved - asked[number], moved - began))
        });
        let (latencies, times): (Vec<_>, Vec<_>) = moves.unzip();
        figures.last_switch_seconds = times.iter().max().map(Duration::as_secs_f64);
        figures.other.insert("all asked s".into(), asked_within.as_secs_f64());
        set_latencies(figures, latencies);
        // What follows is not the next phase's.
        tokio::time::sleep(SETTLES).await;
        Ok(())
    }

    async fn carry_out(&self, phase: Phase, number: usize) -> Result<()> {
        match phase {
            Phase::Create => {
                let rollout = serde_json::from_value(self.subject.rollout(number, self.replicas))?;
                self.subject.api(&self.client, number).create(&PostParams::default(), &rollout).await?;
                Ok(())
            }
            Phase::Update => self.subject.update(&self.client, number, "app:v2").await,
            Phase::Promote => self.subject.promote(&self.client, number).await,
            Phase::Undo => self.subject.undo(&self.client, number, "app:v1").await,
        }
    }

    /// What an undo of all takes at least: a bare client makes the requests of the observer that asks, and then the two writes of an operator that has
    /// seen from a ReplicaSet that its pods are available. It writes annotations and moves nothing, so no EndpointSlice follows, as it does after a move.
    async fn least(&mut self) -> Result<()> {
        eprintln!("the least that an undo of all takes");
        let listed = Api::<ReplicaSet>::all(self.client.clone()).list(&ListParams::default()).await?;
        let one_of = |set: &ReplicaSet| Some((set.labels().get("app")?.clone(), set.name_any()));
        let sets: HashMap<String, String> = listed.iter().filter_map(one_of).collect();
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"bench": "least"}}}));
        let mark = self.mark()?;
        let (bench, sets, patch, params) = (&*self, &sets, &patch, &PatchParams::default());
        each(0..self.rollouts, |number| async move {
            let rollouts = bench.subject.api(&bench.client, number);
            rollouts.get_status(&name(number)).await?;
            rollouts.patch(&name(number), params, patch).await?;
            Ok(())
        })
        .await?;
        let asked_within = mark.at.elapsed();
        each(0..self.rollouts, |number| async move {
            let set = sets.get(&name(number)).context("each rollout has a ReplicaSet")?;
            let replica_sets: Api<ReplicaSet> = Api::namespaced(bench.client.clone(), &namespace(number));
            replica_sets.patch(set, params, patch).await?;
            bench.services(number).patch(&active_service(number), params, patch).await?;
            Ok(())
        })
        .await?;
        self.account("least", mark, self.rollouts)?;
        let figures = self.phases.last_mut().expect("one was just added");
        figures.other.insert("all asked s".into(), asked_within.as_secs_f64());
        // What follows is not the next phase's.
        tokio::time::sleep(SETTLES).await;
        Ok(())
    }

    /// Releases of single rollouts while all others rest.
    async fn one_by_itself(&mut self) -> Result<()> {
        eprintln!("{SINGLE} releases by themselves");
        let mark = self.mark()?;
        let mut latencies = Vec::new();
        let releases = SINGLE.min(self.rollouts);
        for number in 0..releases {
            self.single(Phase::Update, number, "app:v3").await?;
            self.single(Phase::Promote, number, "").await?;
            latencies.push(self.single(Phase::Undo, number, "app:v1").await?);
        }
        self.account("one", mark, releases)?;
        let patch = self.patch_one_by_one().await?;
        let figures = self.phases.last_mut().expect("one was just added");
        set_latencies(figures, latencies);
        set_patch(figures, patch);
        Ok(())
    }

    /// Undos of single rollouts, one after the other, while many others are created: none begins when all of these serve.
    async fn some_amid_others(&mut self) -> Result<()> {
        let (others, undos) = (AMID.min(self.rollouts), SINGLE.min(self.rollouts));
        eprintln!("{undos} undos, one after the other, while {others} others are created");
        for number in 0..undos {
            self.single(Phase::Update, number, "app:v4").await?;
            self.single(Phase::Promote, number, "").await?;
        }
        let numbers = self.rollouts..self.rollouts + others;
        each(numbers.clone(), |number| self.create_services(number)).await?;
        let mark = self.mark()?;
        let all_serve =
            || numbers.clone().all(|number| self.observer.moved(&active_service(number), mark.at).is_some());
        let create = each(numbers.clone(), |number| self.carry_out(Phase::Create, number));
        let undo = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let undone = async {
                let mut latencies = Vec::new();
                for number in 0..undos {
                    if all_serve() {
                        break;
                    }
                    latencies.push(self.single(Phase::Undo, number, "app:v1").await?);
                }
                Ok(latencies)
            };
            // What one request takes at that moment, from a client that waits for nothing else.
            tokio::try_join!(undone, self.patch_one_by_one())
        };
        let ((), (latencies, patch)) = tokio::try_join!(create, undo)?;
        self.account("amid", mark, others)?;
        let figures = self.phases.last_mut().expect("one was just added");
        figures.other.insert("undos".into(), latencies.len() as f64);
        set_latencies(figures, latencies);
        set_patch(figures, patch);
        Ok(())
    }

    /// How long a bare client waits for a patch of a Service, half of the times.
    async fn patch_one_by_one(&self) -> Result<Duration> {
        // One that is not undone meanwhile.
        let (other, mut times) = (self.rollouts - 1, Vec::new());
        for number in 0..ONE_BY_ONE {
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"bench": format!("again-{number}")}}}));
            let asked = Instant::now();
            self.services(other).patch(&active_service(other), &PatchParams::default(), &patch).await?;
            times.push(asked.elapsed());
        }
        times.sort();
        Ok(times[ONE_BY_ONE / 2])
    }

    /// Takes one rollout through a phase. Returns how long it took until its Service moved.
    async fn single(&self, phase: Phase, number: usize, image: &str) -> Result<Duration> {
        let service = if phase == Phase::Update { preview_service(number) } else { active_service(number) };
        self.observer.begin(phase);
        let asked = Instant::now();
        match phase {
            Phase::Update => self.subject.update(&self.client, number, image).await?,
            Phase::Undo => self.subject.undo(&self.client, number, image).await?,
            Phase::Create | Phase::Promote => self.carry_out(phase, number).await?,
        }
        loop {
            if let Some(moved) = self.observer.moved(&service, asked) {
                // What follows the move is part of the release.
                tokio::time::sleep(Duration::from_secs(2)).await;
                return Ok(moved - asked);
            }
            if asked.elapsed() > PHASE_TIMEOUT {
                anyhow::bail!("{service} has not moved");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until it has made no request for a while: those that were created amid an undo are begun one after the other. If it makes requests for as
    /// long as a phase may take, the next figures show them.
    async fn until_at_rest(&self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < self.timeout() {
            let mark = self.cluster.audit().mark();
            tokio::time::sleep(SETTLES).await;
            if self.cluster.audit().counts(mark, self.subject.user_agent(), None)?.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Nothing happens.
    async fn idle(&mut self) -> Result<()> {
        eprintln!("idle");
        self.until_at_rest().await?;
        let mark = self.mark()?;
        tokio::time::sleep(IDLE).await;
        self.account("idle", mark, self.rollouts)
    }

    /// What it takes to read the metrics, each time a text that is made for it.
    async fn scrape(&mut self) -> Result<()> {
        eprintln!("scrape");
        let mark = self.mark()?;
        let (mut bytes, mut times) = (0, Vec::new());
        for _ in 0..SCRAPES {
            tokio::time::sleep(BETWEEN_SCRAPES).await;
            let started = Instant::now();
            let mut stream = TcpStream::connect(("127.0.0.1", self.program.port)).await?;
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            bytes = answer.len();
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        self.account("scrape", mark, SCRAPES)?;
        let figures = self.phases.last_mut().expect("one was just added");
        figures.seconds = times.iter().sum::<f64>() / 1e3;
        figures.other.insert("median ms".into(), times[SCRAPES / 2]);
        figures.other.insert("most ms".into(), times[SCRAPES - 1]);
        figures.other.insert("KB".into(), bytes as f64 / 1024.0);
        Ok(())
    }

    /// What it takes to begin, with all of them there: until a change that waits for it is carried out.
    async fn restart(&mut self) -> Result<()> {
        eprintln!("restart");
        self.process.terminate()?;
        if self.subject == Subject::Greenlight {
            each(0..self.rollouts * self.analyses, |number| self.create_finished_run(number)).await?;
        }
        self.subject.update(&self.client, 0, "app:v5").await?;
        let started = Instant::now();
        let audit = self.cluster.audit().mark();
        self.process = self.subject.start(&self.cluster, &self.program)?;
        while self.observer.moved(&preview_service(0), started).is_none() {
            if started.elapsed() > PHASE_TIMEOUT {
                anyhow::bail!("the first change after a start is not carried out");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let works_after = started.elapsed().as_secs_f64();
        tokio::time::sleep(IDLE).await;
        self.account("restart", Mark { audit, cpu_ms: 0.0, at: started }, self.rollouts)?;
        self.phases.last_mut().expect("one was just added").other.insert("works after s".into(), works_after);
        Ok(())
    }

    fn mark(&self) -> Result<Mark> {
        Ok(Mark { audit: self.cluster.audit().mark(), cpu_ms: cpu_ms(&self.process)?, at: Instant::now() })
    }

    /// Adds what it took since the mark, by so many rollouts.
    fn account(&mut self, phase: &str, since: Mark, rollouts: usize) -> Result<()> {
        let audit = self.cluster.audit();
        let requests = audit.counts(since.audit, self.subject.user_agent(), None)?;
        let is_watch = |request: &&greenlight_test_cluster::Request| {
            request.verb == "watch" && request.user_agent.starts_with(self.subject.user_agent())
        };
        let each = |total: f64| total / rollouts as f64;
        let figures = Figures {
            phase: phase.to_owned(),
            seconds: since.at.elapsed().as_secs_f64(),
            cpu_ms_each: each(cpu_ms(&self.process)? - since.cpu_ms),
            requests_each: each(requests.values().sum::<usize>() as f64),
            watches: audit.since(since.audit)?.iter().filter(is_watch).count(),
            requests,
            rss_mb: resident_megabytes(&self.process)?,
            peak_rss_mb: peak_megabytes(&self.process)?,
            other: kinds_of_memory(&self.process)?.map(|(kind, size)| (kind.to_owned(), size)).into(),
            ..Figures::default()
        };
        // With thousands it takes an hour until the table is printed.
        eprintln!(
            "{phase}: {:.0} s, {:.2} ms of CPU and {:.2} requests each, {:.1} MB",
            figures.seconds, figures.cpu_ms_each, figures.requests_each, figures.peak_rss_mb
        );
        self.phases.push(figures);
        Ok(())
    }

    fn timeout(&self) -> Duration {
        PHASE_TIMEOUT * self.rollouts.div_ceil(1000).max(1) as u32
    }

    fn services(&self, number: usize) -> Api<Service> {
        Api::namespaced(self.client.clone(), &namespace(number))
    }

    async fn create_services(&self, number: usize) -> Result<()> {
        for name in [active_service(number), preview_service(number)] {
            let service = json!({
                "metadata": {"name": name},
                // The API server takes longer for each address the more there are, and nobody here needs one.
                "spec": {"clusterIP": "None", "selector": {"app": format!("app-{number}")}, "ports": [{"port": 80, "targetPort": 8080}]},
            });
            self.services(number).create(&PostParams::default(), &serde_json::from_value(service)?).await?;
        }
        Ok(())
    }

    /// An analysis that was over long ago. While it has no status it asks to be measured: no operator may be running.
    async fn create_finished_run(&self, number: usize) -> Result<()> {
        let (run, number) = (format!("run-{number}"), number % self.rollouts);
        let api: Api<AnalysisRun> = Api::namespaced(self.client.clone(), &namespace(number));
        let object = json!({
            "metadata": {"name": run, "annotations": {names::ROLLOUT: name(number)}},
            "spec": {"metrics": [{
                "name": "errors", "interval": "10s", "count": 10, "successCondition": "result < 1",
                "provider": {"prometheus": {"address": "http://prometheus.example", "query": "q".repeat(300)}},
            }]},
        });
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        let time = "2026-11-23T23:04:43Z";
        let measurement = json!({"phase": "Successful", "value": "0", "startedAt": time, "finishedAt": time});
        let status = json!({"status": {
            "phase": "Successful", "startedAt": time, "completedAt": time,
            "metricResults": [{
                "name": "errors", "phase": "Successful", "successful": 10, "count": 10, "measurements": vec![measurement; 10],
            }],
        }});
        api.patch_status(&run, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }
}

/// Starts the operator that was built there, under this name in the logs, with these options more.
pub(crate) fn start_operator(cluster: &Cluster, bin: &Path, name: &str, more: &[&str]) -> Result<Process> {
    let kubeconfig = cluster.kubeconfig();
    let env = [("KUBECONFIG", kubeconfig.to_str().context("a path in UTF-8")?)];
    let args = ["controller", "--listen", "127.0.0.1:0", "--log", "warn"];
    let args: Vec<String> = args.iter().chain(more).map(|arg| (*arg).to_owned()).collect();
    Process::start(cluster.dir(), name, &bin.join("greenlight"), &args, &env)
}

async fn each<F>(numbers: std::ops::Range<usize>, work: impl Fn(usize) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    stream::iter(numbers).map(|number| Ok(work(number))).try_buffer_unordered(AT_ONCE).try_collect().await
}

fn set_latencies(figures: &mut Figures, mut latencies: Vec<Duration>) {
    latencies.sort();
    let at = |share: f64| {
        let index = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map(|latency| latency.as_secs_f64() * 1e3)
    };
    (figures.switch_ms_p50, figures.switch_ms_p99) = (at(0.5), at(0.99));
}

/// What one request took meanwhile.
fn set_patch(figures: &mut Figures, patch: Duration) {
    figures.other.insert("a patch ms".into(), patch.as_secs_f64() * 1e3);
}

pub(crate) fn name(number: usize) -> String {
    format!("app-{number}")
}

fn namespace(number: usize) -> String {
    format!("bench-{}", number / IN_A_NAMESPACE)
}

fn active_service(number: usize) -> String {
    format!("active-{number}")
}

fn preview_service(number: usize) -> String {
    format!("preview-{number}")
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
