//! `plan`: what applying a manifest to the live cluster will do. The operator's own core decides, on a copy of the world in
//! which pods start at once; nothing is changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use greenlight_api::{BlueGreenRollout, names};
use greenlight_core::retire::{Owner, ScaleDown, Selected, scale_down};
use greenlight_core::world::{Endpoint, ReplicaSet, Rollout, Service, Template};
use greenlight_core::{Action, Change, Plan, World, plan};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet as KubeSet;
use k8s_openapi::api::core::v1::{Node, Pod, Service as KubeService};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};

use crate::exit::Exit;
use crate::manifests;
use crate::session::Session;

/// A release that takes more steps than this never comes to rest.
const MOST_STEPS: usize = 200;

/// Prints the steps, the peak, and whether it fits.
pub async fn run(session: &Session, files: &[PathBuf]) -> Result<Exit> {
    let manifests = manifests::read(files)?;
    let wanted: Vec<_> = manifests.iter().filter(|manifest| manifest.kind() == "BlueGreenRollout").collect();
    let [manifest] = wanted.as_slice() else { bail!("plan takes one BlueGreenRollout; there are {}", wanted.len()) };
    let mut session = session.clone();
    if !manifest.namespace().is_empty() {
        session.namespace = manifest.namespace().to_owned();
    }
    // The server says what the object would be, defaults and all, or why it refuses.
    let api: Api<BlueGreenRollout> = session.api();
    let name = manifest.name();
    let params = PatchParams { dry_run: true, ..PatchParams::apply("kubectl-greenlight-plan").force() };
    let after = api.patch(name, &params, &Patch::Apply(&manifest.value)).await;
    let after = after.with_context(|| format!("the API server would refuse rollout {name}"))?;
    if after.spec.workload_ref.is_some() {
        bail!("rollout {name} takes its template from a Deployment: plan knows only templates of its own");
    }
    let mut simulation = Simulation::read(&session, after).await?;
    let before = simulation.pods();
    let outcome = simulation.run();
    println!("Applying {} to rollout {name} in namespace {}:", manifest.file.display(), session.namespace);
    for (number, step) in simulation.steps.iter().enumerate() {
        println!("  {}. {step}", number + 1);
    }
    if simulation.steps.is_empty() {
        println!("  nothing happens");
    }
    println!("Then: {outcome}.");
    println!("Pods: {before} now, {} at the peak, {} in the end.", simulation.peak, simulation.pods());
    capacity(&session, &simulation, before).await;
    Ok(Exit::Done)
}

/// A copy of the world.
struct Simulation {
    world: World,
    now: Timestamp,
    steps: Vec<String>,
    peak: i32,
    version: u64,
    /// What one new pod requests: CPU in cores, memory in bytes.
    requests: (f64, f64),
}

impl Simulation {
    async fn read(session: &Session, object: BlueGreenRollout) -> Result<Simulation> {
        let labelled = ListParams::default().labels(names::HASH_LABEL);
        let sets = session.api::<KubeSet>().list(&labelled).await?.items;
        let is_ours =
            |set: &KubeSet| set.owner_references().iter().any(|owner| object.metadata.uid.as_ref() == Some(&owner.uid));
        let sets: Vec<ReplicaSet> = sets.iter().filter(|set| is_ours(set)).map(set_of).collect();
        let mut services = BTreeMap::new();
        for name in object.spec.blue_green().services() {
            if let Some(service) = session.api::<KubeService>().get_opt(name).await? {
                services.insert(name.to_owned(), service_of(&service));
            }
        }
        let template = object.spec.template().into_owned();
        let mut requests = (0.0, 0.0);
        for container in template.0.get("spec").and_then(|spec| spec["containers"].as_array()).into_iter().flatten() {
            let request = |what: &str| container["resources"]["requests"][what].as_str().map_or(0.0, quantity);
            requests = (requests.0 + request("cpu"), requests.1 + request("memory"));
        }
        let meta = &object.metadata;
        let rollout = Rollout {
            namespace: session.namespace.clone(),
            name: object.name_any(),
            uid: meta.uid.clone().unwrap_or_default(),
            labels: BTreeMap::new(),
            generation: meta.generation.unwrap_or_default(),
            resource_version: "0".into(),
            created: Timestamp::now(),
            deleting: false,
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            request: object.annotations().get(names::REQUEST).cloned(),
            template: Template::from(&template),
            status: object.status.clone(),
            spec: object.spec,
        };
        let world = World {
            rollout,
            sets,
            services,
            workload: None,
            rivals: Vec::new(),
            endpoints: BTreeMap::new(),
            pods: BTreeMap::new(),
            runs: Vec::new(),
            analysis_refused: None,
            eviction_refused: None,
            refused: None,
            published_at: None,
        };
        let mut simulation =
            Simulation { world, now: Timestamp::now(), steps: Vec::new(), peak: 0, version: 0, requests };
        simulation.peak = simulation.pods();
        Ok(simulation)
    }

    fn pods(&self) -> i32 {
        self.world.sets.iter().map(|set| set.replicas).sum()
    }

    /// Until a person, an analysis or nothing is waited for. Says what.
    fn run(&mut self) -> String {
        let mut message = String::new();
        for _ in 0..MOST_STEPS {
            self.endpoints();
            let Plan { actions, status, next, .. } = plan(&self.world, self.now);
            message.clone_from(&status.message);
            let analysis = actions.iter().any(|action| matches!(action, Action::StartAnalysis { .. }));
            if analysis {
                self.steps.push("start an analysis".to_owned());
                return "it goes on when the analysis was good".to_owned();
            }
            for action in &actions {
                self.carry_out(action);
            }
            if !actions.is_empty() {
                continue;
            }
            let changed = self.world.rollout.status.as_ref() != Some(&status);
            self.world.rollout.status = Some(status);
            if changed || self.start_pods() || self.scale_down() {
                continue;
            }
            let retires = self.world.sets.iter().filter_map(ReplicaSet::scale_down_at);
            match retires.chain(next).filter(|at| *at > self.now).min() {
                Some(at) => self.now = at + SignedDuration::from_millis(1),
                None => break,
            }
        }
        message
    }

    fn carry_out(&mut self, action: &Action) {
        self.version += 1;
        let version = format!("s{}", self.version);
        match action {
            Action::HoldServices => self.world.rollout.finalizers.push(names::SERVICES_FINALIZER.to_owned()),
            Action::CompleteRequest { value } => self.world.rollout.request = Some(value.clone()),
            Action::CreateReplicaSet { name, hash, digest, replicas, annotations, .. } => {
                let image = &self.world.rollout.template.image;
                self.steps.push(format!("create ReplicaSet {name} ({image}) with {replicas} pods"));
                self.world.sets.push(ReplicaSet {
                    name: name.clone(),
                    hash: hash.clone(),
                    digest: digest.clone(),
                    resource_version: version,
                    created: self.now,
                    deleting: false,
                    finalizers: Vec::new(),
                    annotations: annotations.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
                    replicas: *replicas,
                    min_ready_seconds: self.world.rollout.spec.min_ready_seconds(),
                    settled: false,
                    current: 0,
                    ready: 0,
                    available: 0,
                    failure: None,
                    live: false,
                });
            }
            Action::ChangeReplicaSet { name, change, .. } => self.change(name, change, version),
            Action::DeleteReplicaSet { name, .. } => {
                self.steps.push(format!("delete ReplicaSet {name} from the history"));
                self.world.sets.retain(|set| set.name != *name);
            }
            Action::PointService { name, hash, overlap, .. } => {
                let shown = if *overlap { "both revisions" } else { hash.as_deref().unwrap_or("no revision") };
                self.steps.push(format!("point Service {name} at {shown}"));
                if let Some(service) = self.world.services.get_mut(name) {
                    service.resource_version = version;
                    service.managed_by = Some(self.world.rollout.name.clone());
                    match hash {
                        Some(hash) => service.selector.insert(names::HASH_LABEL.to_owned(), hash.clone()),
                        None => service.selector.remove(names::HASH_LABEL),
                    };
                    if *overlap {
                        service.selector.insert(names::SERVING_LABEL.to_owned(), "true".to_owned());
                    } else {
                        service.selector.remove(names::SERVING_LABEL);
                    }
                }
            }
            Action::ChangePodMetadata { name, to, .. } => {
                let mut change = Change::default();
                change.set(names::ROLE_METADATA, serde_json::to_string(to).unwrap_or_default());
                self.change(name, &change, version);
            }
            _ => {}
        }
        self.peak = self.peak.max(self.pods());
    }

    fn change(&mut self, name: &str, change: &Change, version: String) {
        let Some(set) = self.world.sets.iter_mut().find(|set| set.name == name) else { return };
        if let Some(replicas) = change.replicas {
            self.steps.push(format!("scale ReplicaSet {name} from {} to {replicas}", set.replicas));
            set.replicas = replicas;
            (set.current, set.ready, set.available) =
                (set.current.min(replicas), set.ready.min(replicas), set.available.min(replicas));
        }
        if let Some(Some(at)) = change.annotations.get(names::SCALE_DOWN_AT) {
            let seconds = at.parse::<Timestamp>().map_or(0, |at| at.duration_since(self.now).as_secs());
            self.steps.push(format!("keep ReplicaSet {name} for {seconds} s more"));
        }
        for (key, value) in &change.annotations {
            match value {
                Some(value) => set.annotations.insert((*key).to_owned(), value.clone()),
                None => set.annotations.remove(*key),
            };
        }
        if let Some(finalizers) = &change.finalizers {
            set.finalizers.clone_from(finalizers);
        }
        set.resource_version = version;
        set.live = true;
    }

    /// The pods that should be there start, and are ready at once.
    fn start_pods(&mut self) -> bool {
        let waiting = |set: &&mut ReplicaSet| !set.settled || set.available != set.replicas;
        let mut started = false;
        for set in self.world.sets.iter_mut().filter(waiting) {
            set.settled = true;
            (set.current, set.ready, set.available) = (set.replicas, set.replicas, set.replicas);
            started = true;
            if set.replicas > 0 {
                self.steps.push(format!("wait until {} pods of ReplicaSet {} are available", set.replicas, set.name));
            }
        }
        started
    }

    fn endpoints(&mut self) {
        let sets = &self.world.sets;
        let of_service = |service: &Service| {
            let selected = sets.iter().filter(|set| service.hash().is_none_or(|hash| hash == set.hash));
            let pods = selected.flat_map(|set| (0..set.available).map(|n| format!("{}-{n}", set.name)));
            pods.map(|pod| Endpoint { pod, ready: true }).collect()
        };
        let endpoints =
            self.world.services.values().map(|service| (service.name.clone(), of_service(service))).collect();
        self.world.endpoints = endpoints;
    }

    fn scale_down(&mut self) -> bool {
        let mut done = false;
        for set in self.world.sets.clone() {
            let by = self.world.services.values().find(|service| service.hash() == Some(&set.hash));
            let selected = by.map_or(Selected::No, |service| Selected::By(service.name.clone()));
            if let ScaleDown::Finish(change) | ScaleDown::Shrink(change) =
                scale_down(&set, Owner::Living, &selected, self.now)
            {
                self.version += 1;
                self.change(&set.name, &change, format!("s{}", self.version));
                done = true;
            }
        }
        done
    }
}

/// What the peak takes beyond now, against what the nodes have free.
async fn capacity(session: &Session, simulation: &Simulation, running: i32) {
    let (cpu, memory) = simulation.requests;
    let pods = f64::from(simulation.peak);
    let free = async {
        let nodes = Api::<Node>::all(session.client.clone()).list(&ListParams::default()).await?;
        let pods = Api::<Pod>::all(session.client.clone()).list(&ListParams::default()).await?;
        Ok::<_, kube::Error>(free(&nodes.items, &pods.items))
    };
    let gibibytes = |bytes: f64| bytes / f64::from(1 << 30);
    println!("At the peak they request {:.2} CPU and {:.2} GiB.", cpu * pods, gibibytes(memory) * pods);
    match free.await {
        Ok((free_cpu, free_memory)) => {
            println!("The nodes have {free_cpu:.2} CPU and {:.2} GiB free.", gibibytes(free_memory));
            let more = f64::from((simulation.peak - running).max(0));
            if cpu * more > free_cpu || memory * more > free_memory {
                println!("It does not fit: pods would wait for nodes. Add nodes, or set previewReplicaCount.");
            }
        }
        Err(_) => println!("You may not read nodes and pods of all namespaces, so nobody knows here whether it fits."),
    }
}

/// What all schedulable nodes have left.
fn free(nodes: &[Node], pods: &[Pod]) -> (f64, f64) {
    let usable = nodes.iter().filter(|node| node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true));
    let mut free = (0.0, 0.0);
    for allocatable in usable.filter_map(|node| node.status.as_ref()?.allocatable.as_ref()) {
        free.0 += allocatable.get("cpu").map_or(0.0, |amount| quantity(&amount.0));
        free.1 += allocatable.get("memory").map_or(0.0, |amount| quantity(&amount.0));
    }
    let over = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    };
    for container in pods.iter().filter(over).flat_map(|pod| pod.spec.iter().flat_map(|spec| &spec.containers)) {
        let requests =
            container.resources.as_ref().and_then(|resources| resources.requests.clone()).unwrap_or_default();
        free.0 -= requests.get("cpu").map_or(0.0, |amount| quantity(&amount.0));
        free.1 -= requests.get("memory").map_or(0.0, |amount| quantity(&amount.0));
    }
    free
}

/// A Kubernetes quantity as a number: `250m`, `1.5`, `64Mi`.
fn quantity(text: &str) -> f64 {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().unwrap_or(0.0);
    let factor = match &text[digits..] {
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        _ => 1.0,
    };
    number * factor
}

fn set_of(set: &KubeSet) -> ReplicaSet {
    let spec = set.spec.clone().unwrap_or_default();
    let status = set.status.clone().unwrap_or_default();
    let annotations: BTreeMap<String, String> = set
        .annotations()
        .iter()
        .filter(|(key, _)| key.starts_with("greenlight.dev/"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    ReplicaSet {
        name: set.name_any(),
        hash: set.labels().get(names::HASH_LABEL).cloned().unwrap_or_default(),
        digest: annotations.get(names::TEMPLATE_DIGEST).cloned().unwrap_or_default(),
        resource_version: set.resource_version().unwrap_or_default(),
        created: set.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        deleting: set.metadata.deletion_timestamp.is_some(),
        finalizers: set.metadata.finalizers.clone().unwrap_or_default(),
        annotations,
        replicas: spec.replicas.unwrap_or(1),
        min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
        settled: true,
        current: status.replicas,
        ready: status.ready_replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
        failure: None,
        live: false,
    }
}

fn service_of(service: &KubeService) -> Service {
    Service {
        name: service.name_any(),
        resource_version: service.resource_version().unwrap_or_default(),
        deleting: service.metadata.deletion_timestamp.is_some(),
        selector: service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default(),
        managed_by: service.annotations().get(names::MANAGED_BY).cloned(),
    }
}
