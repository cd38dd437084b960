//! An operator process: what it has heard of, what it remembers, and the plan that it is carrying out. Its caches are the
//! truth unless a watch stands still; then they are as they were, and only its own answers change them.

use std::collections::BTreeMap;
use std::sync::Arc;

use greenlight_core::world::{Refusal, RefusedWrite, Rival, Rollout, Run, Service, Workload};
use greenlight_core::{Action, Watches, World};
use jiff::{SignedDuration, Timestamp};

use crate::cluster::{Cluster, Entry, RIVAL, SetTruth};
use crate::event::{Cache, Version};

type Sets = Vec<Arc<SetTruth>>;
type Services = BTreeMap<String, Arc<Service>>;
type Slices = BTreeMap<String, [Arc<Vec<Entry>>; 2]>;

/// Caches that stand still.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    rollout: Option<Arc<Rollout>>,
    sets: Option<Sets>,
    services: Option<Services>,
    runs: Option<Arc<Vec<Run>>>,
    endpoints: Option<Slices>,
    pods: Option<Sets>,
    workload: Option<Option<Arc<Workload>>>,
}

/// What an operator remembers until it dies.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// When it last wrote the status.
    pub published_at: Option<Timestamp>,
    /// The template that was refused.
    pub refused: Option<Refusal>,
    /// Other writes that were refused, and analyses that could not begin.
    pub refused_writes: Vec<RefusedWrite>,
    /// The Services that it changed itself, as they were then: name and resourceVersion.
    pub moved: BTreeMap<String, String>,
}

/// What a plan was made from, as far as predicates ask.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The rollout.
    pub rollout: Arc<Rollout>,
    /// The version that it asked for.
    pub version: Option<Version>,
    /// For each version, whether production could reach its pods in truth.
    pub reached: [bool; 8],
    /// No watch stood still.
    pub fresh: bool,
    /// Another rollout named one of its Services.
    pub rival: bool,
    /// Nothing that the API server said keeps it from making a set of the template.
    pub creates: bool,
    /// The sets that are deleted by it.
    pub pruned: Vec<String>,
    /// The sets that the operator had just been answered about, and whether all their pods were available then.
    pub answers: Vec<(String, bool)>,
}

/// A plan that is being carried out.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its actions.
    pub actions: Arc<Vec<Action>>,
    /// The next of them.
    pub next: usize,
    /// What it was made from.
    pub seen: Arc<Seen>,
}

/// An operator process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Watches that stand still.
    pub frozen: Frozen,
    /// Sets whose state it has just been answered: name and resourceVersion.
    pub live: Vec<(String, String)>,
    /// For each of them, whether all pods were available then.
    pub answers: Vec<(String, bool)>,
    /// The plan that it is carrying out.
    pub held: Option<Held>,
    /// What its last plan asked to watch.
    pub watches: Watches,
    /// What it remembers.
    pub memory: Memory,
    /// How far its clock is ahead.
    pub skew: u8,
    /// It has read everything live, in this reconcile.
    pub read_live: bool,
}

impl Process {
    /// Its time.
    pub fn now(&self, cluster: &Cluster) -> Timestamp {
        cluster.now + SignedDuration::from_secs(self.skew.into())
    }

    /// A watch stands still from now on.
    pub fn freeze(&mut self, cluster: &Cluster, cache: Cache) {
        let frozen = &mut self.frozen;
        match cache {
            Cache::Rollout => drop(frozen.rollout.get_or_insert_with(|| cluster.rollout.clone())),
            Cache::Sets => drop(frozen.sets.get_or_insert_with(|| cluster.sets.clone())),
            Cache::Services => drop(frozen.services.get_or_insert_with(|| cluster.services.clone())),
            Cache::Runs => drop(frozen.runs.get_or_insert_with(|| cluster.runs.clone())),
            Cache::Endpoints => drop(frozen.endpoints.get_or_insert_with(|| cluster.slices.clone())),
            Cache::Pods => drop(frozen.pods.get_or_insert_with(|| cluster.sets.clone())),
            Cache::Workload => drop(frozen.workload.get_or_insert_with(|| cluster.workload.clone())),
        }
    }

    /// All watches catch up.
    pub fn thaw(&mut self) {
        self.frozen = Frozen::default();
    }

    /// It reads the rollout, its ReplicaSets and its Services, and knows them until it rests.
    pub fn read_live(&mut self, cluster: &Cluster) {
        let frozen = &mut self.frozen;
        frozen.rollout = frozen.rollout.as_ref().map(|_| cluster.rollout.clone());
        frozen.sets = frozen.sets.as_ref().map(|_| cluster.sets.clone());
        frozen.services = frozen.services.as_ref().map(|_| cluster.services.clone());
        frozen.workload = frozen.workload.as_ref().map(|_| cluster.workload.clone());
        self.read_live = true;
    }

    /// No watch stands still.
    pub fn is_fresh(&self) -> bool {
        let Frozen { runs, endpoints, pods, workload, .. } = &self.frozen;
        self.sees_services() && runs.is_none() && endpoints.is_none() && pods.is_none() && workload.is_none()
    }

    /// The watches do not stand still that tell where production is.
    fn sees_services(&self) -> bool {
        let Frozen { rollout, sets, services, .. } = &self.frozen;
        rollout.is_none() && sets.is_none() && services.is_none()
    }

    /// What it knows of where production is, is so: also if it hears no more.
    pub fn knows_production(&self, cluster: &Cluster) -> bool {
        let Frozen { rollout, sets, services, .. } = &self.frozen;
        let same = |known: &Sets| {
            let objects = |sets: &Sets| sets.iter().map(|set| set.object.clone()).collect::<Vec<_>>();
            objects(known) == objects(&cluster.sets)
        };
        rollout.as_ref().is_none_or(|known| *known == cluster.rollout)
            && sets.as_ref().is_none_or(same)
            && services.as_ref().is_none_or(|known| *known == cluster.services)
    }

    /// It dies, and starts again: caches are filled anew, memories are gone.
    pub fn die(&mut self) {
        *self = Process { skew: self.skew, ..Process::default() };
    }

    /// The rollout as it knows it.
    pub fn rollout<'a>(&'a self, cluster: &'a Cluster) -> &'a Arc<Rollout> {
        self.frozen.rollout.as_ref().unwrap_or(&cluster.rollout)
    }

    /// The Deployment as it knows it.
    fn workload<'a>(&'a self, cluster: &'a Cluster) -> Option<&'a Arc<Workload>> {
        self.frozen.workload.as_ref().unwrap_or(&cluster.workload).as_ref()
    }

    /// What the answer of a write shows goes into the caches, also into those that stand still.
    pub fn hear_answer(&mut self, cluster: &Cluster, set: Option<&str>, service: Option<&str>, rollout: bool) {
        if rollout && self.frozen.rollout.is_some() {
            self.frozen.rollout = Some(cluster.rollout.clone());
        }
        if let (Some(services), Some(name)) = (&mut self.frozen.services, service)
            && let Some(service) = cluster.services.get(name)
        {
            services.insert(name.to_owned(), service.clone());
        }
        if let (Some(sets), Some(name)) = (&mut self.frozen.sets, set) {
            sets.retain(|set| set.object.name != name);
            sets.extend(cluster.named(name).cloned());
            sets.sort_by(|a, b| a.object.name.cmp(&b.object.name));
        }
    }

    /// The answer about an analysis run goes into the cache.
    pub fn hear_runs(&mut self, cluster: &Cluster) {
        if self.frozen.runs.is_some() {
            self.frozen.runs = Some(cluster.runs.clone());
        }
    }

    /// The answer about the Deployment goes into the cache.
    pub fn hear_workload(&mut self, cluster: &Cluster) {
        if self.frozen.workload.is_some() {
            self.frozen.workload = Some(cluster.workload.clone());
        }
    }

    /// A pod that was evicted is known to be gone.
    pub fn hear_pods(&mut self, cluster: &Cluster) {
        if self.frozen.pods.is_some() {
            self.frozen.pods = Some(cluster.sets.clone());
        }
    }

    /// The world as it sees it.
    pub fn observe(&self, cluster: &Cluster) -> World {
        let rollout = self.rollout(cluster);
        let spec = &rollout.spec;
        let workload = if spec.workload_ref.is_some() { self.workload(cluster) } else { None };
        let template = workload.map_or(&rollout.template, |workload| &workload.template);
        let sets = self.frozen.sets.as_ref().unwrap_or(&cluster.sets);
        let services = self.frozen.services.as_ref().unwrap_or(&cluster.services);
        let with_pods = self.frozen.pods.as_ref().unwrap_or(&cluster.sets);
        let runs = self.frozen.runs.as_ref().unwrap_or(&cluster.runs);
        let is_live = |set: &SetTruth| {
            self.live.iter().any(|(name, version)| *name == set.object.name && *version == set.object.resource_version)
        };
        let object = |set: &Arc<SetTruth>| {
            let mut object = set.object.clone();
            object.fresh = is_live(set);
            object
        };
        let has = |hash: &str| sets.iter().any(|set| set.owned && set.object.hash == hash);
        let endpoints = self.watches.endpoints.iter().map(|service| {
            let entries = match &self.frozen.endpoints {
                Some(slices) => {
                    let families = if cluster.dual_stack { 2 } else { 1 };
                    let slices = slices.get(service).into_iter().flat_map(|slices| slices.iter().take(families));
                    let entry = |entry: &Entry| greenlight_core::world::Endpoint {
                        pod: entry.name.clone(),
                        ready: entry.ready,
                    };
                    slices.flat_map(|slice| slice.iter()).map(entry).collect()
                }
                None => cluster.endpoints(service),
            };
            (service.clone(), entries)
        });
        let Watches { pods: restarted, stuck, .. } = &self.watches;
        let is_watched = |hash| restarted.contains(hash) || stuck.contains(hash);
        let pods = with_pods.iter().filter(|set| is_watched(&set.object.hash));
        let rival = |rival: &crate::cluster::RivalTruth| Rival {
            name: RIVAL.into(),
            created: rival.created,
            services: vec![rival.service.clone()],
        };
        World {
            rollout: Rollout { template: template.clone(), ..(**rollout).clone() },
            replica_sets: sets.iter().filter(|set| set.owned).map(object).collect(),
            services: services
                .iter()
                .filter(|(_, service)| rollout.looks_after(service, has))
                .map(|(name, service)| {
                    let answered = self.memory.moved.get(name) == Some(&service.resource_version);
                    (name.clone(), Service { answered, ..(**service).clone() })
                })
                .collect(),
            workload: workload.map(|workload| (**workload).clone()),
            rivals: cluster.rival.iter().map(rival).collect(),
            endpoints: endpoints.collect(),
            pods: pods.map(|set| (set.object.hash.clone(), Cluster::pods(set))).collect(),
            runs: (**runs).clone(),
            refused: self.memory.refused.clone(),
            refused_writes: self.memory.refused_writes.clone(),
            troubles: Vec::new(),
            blind: false,
            published_at: self.memory.published_at,
            live: self.read_live,
        }
    }
}
