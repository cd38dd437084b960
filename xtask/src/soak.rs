//! Whether the operator's memory grows: release after release on the leader, and a day's events on a standby that only listens.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use greenlight_api::{BlueGreenRollout, Phase};
use greenlight_test_cluster::{Cluster, Process};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::bench::{name, resident_megabytes, start_operator, template};
use crate::generate;
use crate::shell::{build_binaries, interrupted};

const NAMESPACE: &str = "soak";
/// Writes of the soak under way at once.
const AT_ONCE: usize = 20;
/// How long all rollouts may take to be healthy.
const CYCLE: Duration = Duration::from_secs(600);
/// What is gained or lost after the third measurement is within this share.
const TOLERANCE: f64 = 0.05;
/// The first measurements are those of caches that fill.
const SETTLED: usize = 3;
/// How often the memory is measured while events come.
const MEASUREMENTS: usize = 10;
/// What is measured is what stays: the least of several looks, since what is under way takes some for a moment.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// How long, and how much.
#[derive(clap::Args)]
pub(crate) struct SoakOptions {
    /// How many rollouts
    #[arg(long, default_value_t = 200)]
    rollouts: usize,
    /// How many releases of each, one after the other
    #[arg(long, default_value_t = 20)]
    cycles: usize,
    /// How many changes of Services and rollouts come to the standby afterwards: by default one for each second of a day
    #[arg(long, default_value_t = 86_400)]
    events: usize,
    /// Take programs that are not optimised, as tests do: they are built sooner
    #[arg(long)]
    debug: bool,
}

/// Runs the soak.
///
/// # Errors
/// The memory of the leader or of the standby has grown.
pub(crate) async fn run(options: SoakOptions) -> Result<()> {
    let bin = build_binaries(!options.debug)?;
    let cluster = Cluster::start().await?;
    cluster.install_crds(&generate::crds()?)?;
    let client = cluster.client().await?;
    let leader = start_operator(&cluster, &bin, "leader", &["--leader-elect"])?;
    leads(&client).await?;
    let standby = start_operator(&cluster, &bin, "standby", &["--leader-elect"])?;
    let soak = Soak { leader, standby, client, options };
    tokio::select! {
        result = soak.measure() => result,
        result = interrupted() => result,
    }
}

async fn leads(client: &Client) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "default");
    let started = Instant::now();
    while leases.get_opt("greenlight").await?.is_none() {
        if started.elapsed() > Duration::from_secs(60) {
            bail!("nobody leads");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

struct Soak {
    leader: Process,
    standby: Process,
    client: Client,
    options: SoakOptions,
}

/// Resident memory in MB.
#[derive(Clone, Copy)]
struct Memory {
    leader: f64,
    standby: f64,
}

impl Soak {
    async fn measure(&self) -> Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        self.each(self.options.rollouts, |number| self.create(number)).await?;
        self.all_serve("app:v0").await?;
        println!(
            "{} rollouts of 2 replicas, created in {} cycles and {} events",
            self.options.rollouts, self.options.cycles, self.options.events
        );
        println!("{:<28} {:>10} {:>10}", "after", "leader MB", "standby MB");
        self.print("creation").await?;
        let mut cycles = Vec::new();
        for cycle in 1..=self.options.cycles {
            let image = format!("app:v{cycle}");
            self.each(self.options.rollouts, |number| self.release(number, &image)).await?;
            self.all_serve(&image).await?;
            cycles.push(self.print(&format!("release {cycle}")).await?);
        }
        let mut days = Vec::new();
        for part in 1..=MEASUREMENTS {
            let events = self.options.events / MEASUREMENTS;
            self.each(events, |number| self.change(part * events + number)).await?;
            days.push(self.print(&format!("{} events", part * events)).await?);
        }
        holds("the leader, release after release", &cycles, |memory| memory.leader)?;
        holds("the standby, release after release", &cycles, |memory| memory.standby)?;
        holds("the standby, a day of events", &days, |memory| memory.standby)?;
        holds("the leader, a day of events", &days, |memory| memory.leader)
    }

    async fn print(&self, after: &str) -> Result<Memory> {
        let mut memory = Memory { leader: f64::MAX, standby: f64::MAX };
        for _ in 0..LOOKS {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            memory.leader = memory.leader.min(resident_megabytes(&self.leader)?);
            memory.standby = memory.standby.min(resident_megabytes(&self.standby)?);
        }
        println!("{after:<28} {:>10.1} {:>10.1}", memory.leader, memory.standby);
        Ok(memory)
    }

    async fn each<F>(&self, count: usize, work: impl Fn(usize) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        stream::iter(0..count).map(|number| Ok(work(number))).try_buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn create(&self, number: usize) -> Result<()> {
        let labels = json!({"app": format!("app-{number}")});
        let service = json!({
            "metadata": {"name": name(number)},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        self.services().create(&PostParams::default(), &serde_json::from_value(service)?).await?;
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": name(number)},
            "spec": {
                "replicas": 2, "revisionHistoryLimit": 2,
                "selector": {"matchLabels": labels},
                "strategy": {"blueGreen": {"activeService": name(number), "scaleDownDelaySeconds": 1}},
                "template": template(number, "app:v0"),
            },
        });
        self.rollouts().create(&PostParams::default(), &serde_json::from_value(rollout)?).await?;
        Ok(())
    }

    async fn release(&self, number: usize, image: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"template": template(number, image)}}));
        self.rollouts().patch(&name(number), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// What comes along in a day: somebody touches a Service, or a rollout, and means nothing by it.
    async fn change(&self, event: usize) -> Result<()> {
        let patch: Patch<Value> =
            Patch::Merge(json!({"metadata": {"annotations": {"example.com/seen": event.to_string()}}}));
        let name = name(event / 2 % self.options.rollouts);
        if event.is_multiple_of(2) {
            self.services().patch(&name, &PatchParams::default(), &patch).await?;
        } else {
            self.rollouts().patch(&name, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// Waits until every rollout is healthy with this image.
    async fn all_serve(&self, image: &str) -> Result<()> {
        let started = Instant::now();
        let serves = |rollout: &BlueGreenRollout| {
            let asked = serde_json::to_value(&rollout.spec.template).is_ok_and(|template| {
                template.pointer("/spec/containers/0/image").and_then(Value::as_str) == Some(image)
            });
            let status = rollout.status.as_ref();
            let is_current = status.map(|status| status.observed_generation) == rollout.metadata.generation;
            asked && is_current && status.is_some_and(|status| status.phase == Phase::Healthy)
        };
        while !self.rollouts().list(&Default::default()).await?.items.iter().all(serves) {
            if started.elapsed() > CYCLE {
                bail!("after {} s not all rollouts serve {image}", CYCLE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    fn rollouts(&self) -> Api<BlueGreenRollout> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }
}

/// Fails if the memory has grown since it was settled.
fn holds(what: &str, measured: &[Memory], of: fn(&Memory) -> f64) -> Result<()> {
    let (Some(settled), Some(last)) = (measured.get(SETTLED - 1).map(of), measured.last().map(of)) else {
        println!("{what}: not measured, it takes at least {SETTLED} measurements");
        return Ok(());
    };
    let growth = last / settled - 1.0;
    println!(
        "{what}: {settled:.1} MB after the third measurement, {last:.1} MB after the last, {:+.1} %",
        growth * 100.0
    );
    if growth > TOLERANCE {
        bail!("{what}: the memory has grown by {:.1} %", growth * 100.0);
    }
    Ok(())
}
