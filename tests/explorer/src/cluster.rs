//! The API server's truth: objects, pods, endpoints, and what becomes of them. What a write of ours does to an object is told in
//! one place, `greenlight_core::simulate`; here is what the API server and the controllers do beyond that. Nothing here decides
//! anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use greenlight_api::{
    AnalysisPhase, AntiAffinity, AutoRollback, BlueGreen, BlueGreenRolloutSpec, BlueGreenRolloutStatus, PodMetadata,
    PodTemplate, PreviewServiceIdle, Rejection, RollbackWindow, RolloutAnalysis, Strategy, SwitchMode, WorkloadRef,
    WorkloadScaleDown,
    names::{self, before_the_record},
};
use greenlight_core::simulate::{self, Written};
use greenlight_core::world::{Endpoint, Pod, ReplicaSet, Rollout, Run, Service, Template, Workload};
use greenlight_core::{Action, World, hash, metadata};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::adapter::{self, facts};
use crate::event::{Analysis, Deletion, Field, Forgery, Name, Outcome, Refused, Room, Version};

/// The name of the rollout.
pub const ROLLOUT: &str = "web";
/// What Kubernetes puts on an object whose dependents are to go first.
const FOREGROUND: &str = "foregroundDeletion";
/// What it puts on one whose dependents are to stay.
const ORPHAN: &str = "orphan";
/// The name of the other one.
pub const RIVAL: &str = "rival";
/// The Deployment of `workloadRef`.
const DEPLOYMENT: &str = "legacy";
/// How a ReplicaSet says that a quota keeps it from its pods.
const OVER_QUOTA: &str = "pods \"web-x\" is forbidden: exceeded quota: pods";

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodTruth {
    /// Its name ends with this.
    pub number: u32,
    /// Since when it gets traffic.
    pub ready_since: Option<Timestamp>,
    /// When it was created.
    pub created: Timestamp,
    /// There is room for it.
    pub on_node: bool,
    /// Its label of an overlap.
    pub label: Option<String>,
    /// The same, as the controllers of Kubernetes have seen it.
    pub seen_label: Option<String>,
}

/// A ReplicaSet, with what only the truth knows of it.
#[derive(Clone, Debug)]
pub struct SetTruth {
    /// The template that it really has.
    pub version: Version,
    /// What the API server shows of it.
    pub object: ReplicaSet,
    /// Its pods.
    pub pods: Vec<PodTruth>,
    /// It has an ownerReference to the rollout.
    pub owned: bool,
    /// The label of an overlap that its template had when its controller looked last.
    seen_label: Option<String>,
    /// Pods that were evicted, and that its controller still counts.
    evicted: Vec<PodTruth>,
    /// Pods that its controller deletes, and still counts.
    on_their_way_out: Vec<PodTruth>,
}

impl SetTruth {
    fn new(version: Version, object: ReplicaSet, owned: bool) -> SetTruth {
        let seen_label = object.pod_labels.get(names::SERVING_LABEL).cloned();
        SetTruth {
            version,
            object,
            pods: Vec::new(),
            owned,
            seen_label,
            evicted: Vec::new(),
            on_their_way_out: Vec::new(),
        }
    }

    /// The label of an overlap that its template has.
    fn label(&self) -> Option<&String> {
        self.object.pod_labels.get(names::SERVING_LABEL)
    }

    /// How many of its pods carry the labels of its template, as far as that is seen.
    fn fully_labeled(&self) -> usize {
        self.pods.iter().filter(|pod| self.label().is_none_or(|label| pod.seen_label.as_ref() == Some(label))).count()
    }

    /// It is being deleted in the foreground: its pods go first.
    pub fn drains(&self) -> bool {
        self.object.finalizers.iter().any(|finalizer| finalizer == FOREGROUND)
    }

    /// The name of one of its pods.
    pub fn pod_name(&self, pod: &PodTruth) -> String {
        format!("{}-p{}", self.object.name, pod.number)
    }

    /// How many of its pods are ready.
    pub fn ready(&self) -> usize {
        ready(&self.pods)
    }

    /// How many of its pods have room.
    pub fn on_nodes(&self) -> usize {
        self.pods.iter().filter(|pod| pod.on_node).count()
    }

    /// Some of its pods have none, and are not made or wait for it.
    pub fn lacks_room(&self) -> bool {
        self.object.failure.is_some() || self.pods.iter().any(|pod| !pod.on_node)
    }

    /// How many of its pods take some of what there is too little of.
    fn taking(&self, room: Room) -> usize {
        match room {
            Room::Enough => 0,
            Room::Nodes => self.on_nodes(),
            Room::Quota => self.pods.len(),
        }
    }

    /// How many of them have been ready for so many seconds.
    pub fn available(&self, min_ready_seconds: i32, now: Timestamp) -> usize {
        available(&self.pods, min_ready_seconds, now)
    }

    /// When the next of them will have been ready for long enough.
    pub fn available_at(&self, now: Timestamp) -> Option<Timestamp> {
        let long = SignedDuration::from_secs(self.object.min_ready_seconds.into());
        self.pods.iter().filter_map(|pod| Some(pod.ready_since? + long)).filter(|at| *at > now).min()
    }

    /// Its controller deletes pods, and counts them still.
    pub fn are_pods_leaving(&self) -> bool {
        !self.on_their_way_out.is_empty()
    }

    /// Its controller deletes what it has too many of. What was evicted counts as long as it has not seen that; and while it waits to see what it
    /// deletes, it deletes no more.
    fn take_surplus(&mut self) {
        let wanted = usize::try_from(self.object.replicas).unwrap_or(0).saturating_sub(self.evicted.len());
        if self.on_their_way_out.is_empty() && self.pods.len() > wanted {
            self.on_their_way_out = self.pods.split_off(wanted);
        }
    }

    /// What its controller counts, as far as it has seen the spec.
    fn count(&mut self, now: Timestamp) {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let least = self.object.min_ready_seconds;
        let pods = || [&self.pods, &self.evicted, &self.on_their_way_out].into_iter();
        self.object.current = number(pods().map(Vec::len).sum());
        self.object.ready = number(pods().map(|pods| ready(pods)).sum());
        self.object.available = number(pods().map(|pods| available(pods, least, now)).sum());
        self.object.fully_labeled = number(self.fully_labeled());
        self.object.count_out_what_leaves();
    }
}

fn ready(pods: &[PodTruth]) -> usize {
    pods.iter().filter(|pod| pod.ready_since.is_some()).count()
}

/// How many pods have been ready for so many seconds.
fn available(pods: &[PodTruth], min_ready_seconds: i32, now: Timestamp) -> usize {
    let long = SignedDuration::from_secs(min_ready_seconds.into());
    pods.iter().filter(|pod| pod.ready_since.is_some_and(|since| since + long <= now)).count()
}

/// An entry of an EndpointSlice.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The revision of its pod; none, if that is the Deployment's.
    pub version: Option<Version>,
    /// The pod's number.
    pub pod: u32,
    /// The pod's name.
    pub name: String,
    /// It gets traffic.
    pub ready: bool,
}

/// The other rollout, while it exists.
#[derive(Clone, Debug, PartialEq)]
pub struct RivalTruth {
    /// The Service that it names.
    pub service: String,
    /// When it was created.
    pub created: Timestamp,
}

impl RivalTruth {
    /// Whether a Service is the other rollout's: it names it, and moved it already, or neither did and it is older than ours.
    pub fn owns(&self, service: &Service, rollout: &Rollout) -> bool {
        let older = service.managed_by.as_deref() != Some(ROLLOUT) && self.created < rollout.created;
        self.service == service.name && (service.managed_by.as_deref() == Some(RIVAL) || older)
    }
}

/// Why a write did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The object has changed since it was read, or exists already.
    Conflict,
    /// It does not exist.
    Missing,
    /// It is refused.
    Forbidden,
    /// The object that was to be created is refused: the operator remembers that.
    Invalid,
    /// The template has changed since: nothing was created, and nothing is wrong.
    Overtaken,
}

/// What exists.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The rollout, until it is gone.
    pub rollout: Arc<Rollout>,
    /// It is gone.
    pub gone: bool,
    /// How it is being deleted.
    pub deletion: Option<Deletion>,
    /// The template that the spec has.
    pub version: Version,
    /// The ReplicaSets, also those that are not owned any more.
    pub sets: Vec<Arc<SetTruth>>,
    /// The Services.
    pub services: BTreeMap<String, Arc<Service>>,
    /// The EndpointSlices of each Service, by IP family.
    pub slices: BTreeMap<String, [Arc<Vec<Entry>>; 2]>,
    /// Each Service has two families.
    pub dual_stack: bool,
    /// The analysis runs.
    pub runs: Arc<Vec<Run>>,
    /// The Deployment of `workloadRef`; all its pods are ready.
    pub workload: Option<Arc<Workload>>,
    /// The other rollout.
    pub rival: Option<RivalTruth>,
    /// Writes that are refused now.
    pub refused: Refused,
    /// Whether there is room for more pods.
    pub room: Room,
    /// Where there is not, for how many there is.
    pub room_for: usize,
    /// The time.
    pub now: Timestamp,
    version_counter: u64,
    pod_counter: u32,
}

fn begin() -> Timestamp {
    Timestamp::from_second(1_767_225_600).expect("a time")
}

fn analysis() -> RolloutAnalysis {
    serde_json::from_value(json!({"templates": [{"templateName": "smoke"}]})).expect("an analysis")
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster::new()
    }
}

impl Cluster {
    /// A rollout that was just created, with its Services and everything by default.
    pub fn new() -> Cluster {
        let now = begin();
        let spec = BlueGreenRolloutSpec {
            replicas: Some(2),
            selector: serde_json::from_value(json!({"matchLabels": {"app": "web"}})).expect("a selector"),
            template: None,
            workload_ref: None,
            min_ready_seconds: None,
            progress_deadline_seconds: None,
            progress_deadline_abort: None,
            revision_history_limit: None,
            paused: None,
            restart_at: None,
            rollback_window: None,
            strategy: Strategy {
                blue_green: BlueGreen {
                    active_service: Some(Name::Active.word().into()),
                    preview_service: Some(Name::Preview.word().into()),
                    ..BlueGreen::default()
                },
            },
        };
        let rollout = Rollout {
            namespace: "test".into(),
            name: ROLLOUT.into(),
            uid: "uid".into(),
            labels: BTreeMap::new(),
            generation: 1,
            resource_version: "rv1".into(),
            created: now,
            deleting_since: None,
            finalizers: Vec::new(),
            request: None,
            spec,
            template: facts(Version(1)).template.clone(),
            status: None,
        };
        let mut cluster = Cluster {
            rollout: Arc::new(rollout),
            gone: false,
            deletion: None,
            version: Version(1),
            sets: Vec::new(),
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            dual_stack: false,
            runs: Arc::default(),
            workload: None,
            rival: None,
            refused: Refused::Nothing,
            room: Room::Enough,
            room_for: 0,
            now,
            version_counter: 1,
            pod_counter: 0,
        };
        Name::ALL.iter().for_each(|name| cluster.create_service(*name));
        cluster
    }

    /// How many writes there were.
    pub fn writes(&self) -> u64 {
        self.version_counter
    }

    /// A new resourceVersion.
    fn bump(&mut self) -> String {
        self.version_counter += 1;
        format!("rv{}", self.version_counter)
    }

    /// The owned, not orphaned ReplicaSet of a version; the newer one, where a template was made anew because nobody knew the old one as its.
    pub fn set(&self, version: Version) -> Option<&Arc<SetTruth>> {
        let living = |set: &&Arc<SetTruth>| set.version == version && set.owned && !set.object.deleting;
        self.sets
            .iter()
            .filter(living)
            .max_by_key(|set| set.object.created)
            .or_else(|| self.sets.iter().find(|set| set.version == version))
    }

    /// The hash that people see of a version: of one that was made anew while another was going, another one.
    pub fn hash_of(&self, version: Version) -> &str {
        if let Some(set) = self.set(version) {
            return &set.object.hash;
        }
        let status = self.rollout.status.as_ref();
        let told = status.into_iter().flat_map(|status| [&status.updated_revision, &status.active_revision]);
        let mut of_version = told.filter(|hash| adapter::version_of_hash(hash) == Some(version));
        of_version.next_back().unwrap_or(&facts(version).hash)
    }

    /// A Service of production carries its rejection.
    pub fn is_rejection_carried(&self, version: Version) -> bool {
        let carries = |service: &Arc<Service>| service.rejections.contains_key(self.hash_of(version));
        self.services.values().filter(|service| service.production.is_some()).any(carries)
    }

    /// What production is with stays: its ReplicaSet is there, and nobody is deleting it.
    pub fn stays(&self, version: Version) -> bool {
        self.set(version).is_some_and(|set| set.owned && !set.object.deleting)
    }

    /// What the pods of a version carry, or will.
    pub fn pod_labels(&self, version: Version) -> &BTreeMap<String, String> {
        self.set(version).map_or(&facts(version).template.labels, |set| &set.object.pod_labels)
    }

    /// The ReplicaSet of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<SetTruth>> {
        self.sets.iter().find(|set| set.object.name == name)
    }

    /// Changes a ReplicaSet; it gets a new resourceVersion.
    fn change_set(&mut self, name: &str, change: impl FnOnce(&mut SetTruth)) {
        let (version, now) = (self.bump(), self.now);
        if let Some(set) = self.sets.iter_mut().find(|set| set.object.name == name) {
            let set = Arc::make_mut(set);
            change(set);
            set.count(now);
            set.object.resource_version = version;
        }
    }

    /// Changes the rollout; with `spec`, its generation grows.
    pub fn change_rollout(&mut self, spec: bool, change: impl FnOnce(&mut Rollout)) {
        let version = self.bump();
        let rollout = Arc::make_mut(&mut self.rollout);
        change(rollout);
        rollout.resource_version = version;
        rollout.generation += i64::from(spec);
    }

    fn change_service(&mut self, name: &str, change: impl FnOnce(&mut Service)) {
        let version = self.bump();
        if let Some(service) = self.services.get_mut(name) {
            let service = Arc::make_mut(service);
            change(service);
            service.resource_version = version;
        }
    }

    /// The Services that carry production, as the spec has it now.
    pub fn active_services(&self) -> impl Iterator<Item = &Service> {
        let named = self.rollout.spec.blue_green().active_services();
        named.filter_map(|name| self.services.get(name)).map(Arc::as_ref)
    }

    /// The first of them.
    pub fn first_active(&self) -> Option<&Service> {
        self.services.get(self.rollout.spec.blue_green().active_service.as_deref()?).map(Arc::as_ref)
    }

    /// The version that the first active Service selects, if it is one that exists.
    pub fn production(&self) -> Option<Version> {
        let hash = self.first_active()?.hash()?;
        self.sets.iter().find(|set| set.object.hash == hash).map(|set| set.version)
    }

    /// Whether a Service with this selector selects the pods of this set.
    pub fn selects(selector: &BTreeMap<String, String>, set: &SetTruth) -> bool {
        selector.iter().all(|(key, value)| match key.as_str() {
            names::HASH_LABEL => *value == set.object.hash,
            key => set.object.pod_labels.get(key) == Some(value),
        })
    }

    /// The pods of a set that a Service with this selector leads to, as far as the controllers of Kubernetes have seen their labels.
    pub fn selected_pods<'a>(
        selector: &'a BTreeMap<String, String>,
        set: &'a SetTruth,
    ) -> impl Iterator<Item = &'a PodTruth> {
        let own = |(key, value): (&String, &String)| match key.as_str() {
            names::SERVING_LABEL => true,
            names::HASH_LABEL => *value == set.object.hash,
            key => set.object.pod_labels.get(key) == Some(value),
        };
        let fits = selector.iter().all(own);
        let label = selector.get(names::SERVING_LABEL);
        set.pods.iter().filter(move |pod| fits && label.is_none_or(|label| pod.seen_label.as_ref() == Some(label)))
    }

    /// How many of them are ready.
    pub fn ready_pods(selector: &BTreeMap<String, String>, set: &SetTruth) -> usize {
        Cluster::selected_pods(selector, set).filter(|pod| pod.ready_since.is_some()).count()
    }

    /// How many ready pods a selector selects, the Deployment's included.
    pub fn ready_behind(&self, selector: &BTreeMap<String, String>) -> usize {
        let ours: usize = self.sets.iter().map(|set| Cluster::ready_pods(selector, set)).sum();
        ours + self.workload_behind(selector)
    }

    /// How many pods of the Deployment a selector selects.
    pub fn workload_behind(&self, selector: &BTreeMap<String, String>) -> usize {
        let fits = |workload: &&Arc<Workload>| {
            selector.iter().all(|(key, value)| workload.template.labels.get(key) == Some(value))
        };
        self.workload.as_ref().filter(fits).map_or(0, |workload| usize::try_from(workload.replicas).unwrap_or(0))
    }

    /// What the spec asks for comes from a Deployment that is not there, or does not fit.
    pub fn has_no_template(&self) -> bool {
        let fits = |workload: &Arc<Workload>| workload.template != facts(Version::MISFIT).template;
        self.rollout.spec.workload_ref.is_some() && !self.workload.as_ref().is_some_and(fits)
    }

    /// Whether a Service is another rollout's.
    pub fn is_foreign(&self, service: &Service) -> bool {
        self.rival.as_ref().is_some_and(|rival| rival.owns(service, &self.rollout))
    }

    /// What the slices of a Service hold.
    pub fn entries(&self, service: &str) -> impl Iterator<Item = &Entry> {
        let families = if self.dual_stack { 2 } else { 1 };
        self.slices.get(service).into_iter().flat_map(move |slices| slices.iter().take(families)).flat_map(|s| s.iter())
    }

    /// The same, as the operator reads it.
    pub fn endpoints(&self, service: &str) -> Vec<Endpoint> {
        self.entries(service).map(|entry| Endpoint { pod: entry.name.clone(), ready: entry.ready }).collect()
    }

    /// The pods of a set, as the operator reads them.
    pub fn pods(set: &SetTruth) -> Vec<Pod> {
        let pod = |pod: &PodTruth| Pod {
            name: set.pod_name(pod),
            uid: format!("uid-{}", pod.number),
            // Always the same: what an eviction is kept from by that, the search does not count on.
            resource_version: String::new(),
            created: pod.created,
            deleting: false,
            over: false,
            ready: pod.ready_since.is_some(),
            deletion_cost: 0,
            reason: if pod.on_node { "" } else { "Unschedulable" }.to_owned(),
            message: if pod.on_node { "" } else { "0/3 nodes are available: 3 Insufficient cpu" }.to_owned(),
        };
        set.pods.iter().map(pod).collect()
    }

    /// The EndpointSlices catch up; with `half`, only those of the first family.
    pub fn catch_up(&mut self, service: &str, half: bool) {
        let Some(selector) = self.services.get(service).map(|service| service.selector.clone()) else { return };
        let ours = self.sets.iter().flat_map(|set| {
            Cluster::selected_pods(&selector, set).filter(|pod| pod.on_node).map(|pod| Entry {
                version: Some(set.version),
                pod: pod.number,
                name: set.pod_name(pod),
                ready: pod.ready_since.is_some(),
            })
        });
        let theirs = (0..u32::try_from(self.workload_behind(&selector)).unwrap_or(0)).map(|number| Entry {
            version: None,
            pod: number,
            name: format!("{DEPLOYMENT}-{number}"),
            ready: true,
        });
        let entries: Arc<Vec<Entry>> = Arc::new(ours.chain(theirs).collect());
        let slices = self.slices.entry(service.to_owned()).or_default();
        slices[0] = entries.clone();
        if !half {
            slices[1] = entries;
        }
    }

    /// From now on there is room for as many pods as there are, or for all again. Those that have room keep it.
    pub fn set_room(&mut self, room: Room) {
        self.room_for = self.sets.iter().map(|set| set.taking(room)).sum();
        self.room = room;
    }

    /// How many pods of a set there can be, and how many of them have room.
    fn most(&self, set: &SetTruth) -> [usize; 2] {
        let wanted = usize::try_from(set.object.replicas).unwrap_or(0);
        if self.room == Room::Enough {
            return [wanted, wanted];
        }
        let others = self.sets.iter().filter(|other| other.object.name != set.object.name);
        let taken: usize = others.map(|other| other.taking(self.room)).sum();
        let most = wanted.min(self.room_for.saturating_sub(taken).max(set.taking(self.room)));
        [if self.room == Room::Nodes { wanted } else { most }, most]
    }

    /// Makes as many pods as there should be, and at most so many of them ready.
    pub fn run_pods(&mut self, version: Version, ready: u8) {
        let Some(name) = self.set(version).map(|set| set.object.name.clone()) else { return };
        self.run_pods_of(&name, ready);
    }

    /// The same for all sets, with all ready. Returns whether anything changed.
    pub fn run_all_pods(&mut self) -> bool {
        let unfinished = |set: &&Arc<SetTruth>| {
            if set.drains() {
                return false;
            }
            let [exist, run] = self.most(set);
            let seen = i32::try_from(set.available(set.object.min_ready_seconds, self.now)) == Ok(set.object.available);
            let unseen = set.pods.iter().any(|pod| pod.label != pod.seen_label)
                || usize::try_from(set.object.fully_labeled) != Ok(set.fully_labeled())
                || !set.evicted.is_empty()
                || set.are_pods_leaving();
            !set.object.settled || set.pods.len() != exist || set.ready() != run || !seen || unseen
        };
        let names: Vec<_> = self.sets.iter().filter(unfinished).map(|set| set.object.name.clone()).collect();
        names.iter().for_each(|name| self.run_pods_of(name, u8::MAX));
        !names.is_empty()
    }

    fn run_pods_of(&mut self, name: &str, ready: u8) {
        // What is deleted in the foreground gets no pods any more.
        let set = self.named(name).filter(|set| !set.drains());
        let Some([exist, run]) = set.map(|set| self.most(set)) else { return };
        let now = self.now;
        let created = Timestamp::from_second(now.as_second()).expect("a time");
        let mut counter = self.pod_counter;
        self.see_labels();
        self.change_set(name, |set| {
            set.evicted.clear();
            set.on_their_way_out.clear();
            set.pods.truncate(exist);
            while set.pods.len() < exist {
                counter += 1;
                // Of the template as it was when the controller looked last.
                let [label, seen_label] = [set.seen_label.clone(), set.seen_label.clone()];
                set.pods.push(PodTruth {
                    number: counter,
                    ready_since: None,
                    created,
                    on_node: false,
                    label,
                    seen_label,
                });
            }
            set.object.settled = true;
            set.seen_label = set.label().cloned();
            for (place, pod) in set.pods.iter_mut().enumerate() {
                // Those that have room come first.
                pod.on_node |= place < run;
                let since = pod.ready_since.unwrap_or(now);
                pod.ready_since = (pod.on_node && place < usize::from(ready)).then_some(since);
            }
            let wanted = usize::try_from(set.object.replicas).unwrap_or(0);
            set.object.failure = (exist < wanted).then(|| OVER_QUOTA.to_owned());
        });
        self.pod_counter = counter;
    }

    /// The controller of a ReplicaSet has seen its spec, writes what it counts, and has seen nothing more of its pods.
    pub fn recount(&mut self, version: Version) {
        if let Some(name) = self.set(version).map(|set| set.object.name.clone()) {
            self.change_set(&name, |set| set.object.settled = true);
        }
    }

    /// The controllers of Kubernetes see what pods carry: of all, since pods are seen in the order in which they were changed.
    fn see_labels(&mut self) {
        let is_unseen = |set: &&mut Arc<SetTruth>| set.pods.iter().any(|pod| pod.label != pod.seen_label);
        for set in self.sets.iter_mut().filter(is_unseen) {
            Arc::make_mut(set).pods.iter_mut().for_each(|pod| pod.seen_label.clone_from(&pod.label));
        }
    }

    /// Time passes; the controllers see which pods have been ready for long enough.
    pub fn pass_until(&mut self, at: Timestamp) {
        self.now = at;
        let changed = |set: &&Arc<SetTruth>| {
            set.object.settled
                && i32::try_from(set.available(set.object.min_ready_seconds, at)) != Ok(set.object.available)
        };
        let names: Vec<_> = self.sets.iter().filter(changed).map(|set| set.object.name.clone()).collect();
        names.iter().for_each(|name| self.change_set(name, |_| {}));
    }

    /// The pods of a set are gone; there will be others.
    pub fn lose_pods(&mut self, version: Version) {
        if let Some(name) = self.set(version).map(|set| set.object.name.clone()) {
            self.change_set(&name, |set| {
                set.pods.clear();
            });
        }
    }

    /// A Service as it is written at first.
    pub fn create_service(&mut self, name: Name) {
        if self.services.contains_key(name.word()) {
            return;
        }
        let resource_version = self.bump();
        let service = Service {
            name: name.word().into(),
            resource_version,
            deleting: false,
            selector: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            managed_by: None,
            production: None,
            moved_by: None,
            withdrawn: None,
            rejections: BTreeMap::new(),
            argo_rollout: None,
            answered: false,
        };
        self.services.insert(name.word().into(), Arc::new(service));
        self.catch_up(name.word(), false);
    }

    /// A Service is deleted, and its slices with it.
    pub fn delete_service(&mut self, name: Name) {
        self.services.remove(name.word());
        self.slices.remove(name.word());
    }

    /// Its owner asks for the label `tier` too, or no longer.
    pub fn select_tier(&mut self, name: Name, on: bool) {
        self.change_service(name.word(), |service| {
            if on {
                service.selector.insert("tier".into(), "front".into());
            } else {
                service.selector.remove("tier");
            }
            // Who writes a selector owns all of it.
            service.moved_by = service.hash().map(|_| "kubectl".to_owned());
        });
    }

    /// A person moves it.
    pub fn move_by_hand(&mut self, name: Name, version: Option<Version>) {
        let hash = match version {
            Some(version) => self.hash_of(version).to_owned(),
            None => "nonsense".to_owned(),
        };
        self.change_service(name.word(), |service| {
            service.selector.insert(names::HASH_LABEL.into(), hash);
            service.selector.remove(names::SERVING_LABEL);
            service.moved_by = Some("kubectl".into());
        });
    }

    /// A server-side apply replaces the selector.
    pub fn lose_hash(&mut self, name: Name) {
        self.change_service(name.word(), |service| {
            service.selector.remove(names::HASH_LABEL);
            service.selector.remove(names::SERVING_LABEL);
            service.moved_by = None;
        });
    }

    /// A ReplicaSet is deleted: at once, or marked if a finalizer holds it.
    pub fn delete_set(&mut self, version: Version) {
        let Some(set) = self.set(version) else { return };
        let name = set.object.name.clone();
        if set.object.finalizers.is_empty() {
            self.sets.retain(|set| set.object.name != name);
            self.collect_runs();
        } else {
            self.change_set(&name, |set| set.object.deleting = true);
        }
    }

    /// Somebody deletes a ReplicaSet in the foreground.
    pub fn drain_set(&mut self, version: Version) {
        let Some(name) = self.set(version).map(|set| set.object.name.clone()) else { return };
        self.change_set(&name, |set| {
            set.object.finalizers.push(FOREGROUND.to_owned());
            set.object.deleting = true;
            set.pods.clear();
        });
    }

    /// Somebody scales a ReplicaSet, and its controller sees what it deletes.
    pub fn scale_by_hand(&mut self, version: Version, replicas: u8) {
        if let Some(name) = self.set(version).map(|set| set.object.name.clone()) {
            self.resize(&name, replicas.into());
        }
    }

    fn resize(&mut self, name: &str, replicas: i32) {
        self.change_set(name, |set| {
            set.object.settled = replicas == set.object.replicas && set.object.settled;
            set.object.replicas = replicas;
            set.pods.truncate(usize::try_from(replicas).unwrap_or(0).saturating_sub(set.evicted.len()));
        });
    }

    /// A tenant writes our annotations.
    pub fn forge(&mut self, version: Version, forgery: Forgery) {
        if let Forgery::Carried | Forgery::Uncarried = forgery {
            self.forge_carried(version, forgery == Forgery::Carried);
            return;
        }
        let Some(name) = self.set(version).map(|set| set.object.name.clone()) else { return };
        let later = self.now + SignedDuration::from_secs(1);
        let long_ago = self.now - SignedDuration::from_secs(1000);
        let approval = |by: &str| json!({"by": by, "at": long_ago.to_string()});
        let other = Version::all().find(|other| *other != version).expect("there are some");
        self.change_set(&name, |set| {
            let annotations = &mut set.object.annotations;
            let mut put = |key: &str, value: String| drop(annotations.insert(key.to_owned(), value));
            match forgery {
                Forgery::Promoted => put(names::PROMOTED_AT, later.to_string()),
                Forgery::Returned => put(before_the_record::RETURNED, "true".into()),
                Forgery::Approvals => {
                    put(before_the_record::APPROVALS, json!([approval("ann"), approval("bob")]).to_string())
                }
                Forgery::Revision => put(names::REVISION, "99".into()),
                Forgery::Rejected => put(
                    names::REJECTED,
                    json!({"by": "tenant", "at": long_ago.to_string(), "reason": "forged"}).to_string(),
                ),
                Forgery::ScaleDownAt => put(names::SCALE_DOWN_AT, long_ago.to_string()),
                Forgery::Desired => put(names::DESIRED_REPLICAS, "7".into()),
                Forgery::PreviewReady => put(names::PREVIEW_READY_AT, long_ago.to_string()),
                Forgery::Attempt => put(before_the_record::ATTEMPT, "5".into()),
                Forgery::PlannedFrom => put(names::PLANNED_FROM, "999999999".into()),
                Forgery::Role => put(
                    names::ROLE_METADATA,
                    json!({"labels": {"tier": "front", names::SERVING_LABEL: "true"}}).to_string(),
                ),
                Forgery::Digest => {
                    put(names::TEMPLATE_DIGEST, facts(other).template.digest.to_string());
                    set.object.digest = facts(other).template.digest.to_string();
                }
                Forgery::NoDigest => {
                    annotations.remove(names::TEMPLATE_DIGEST);
                    set.object.digest = String::new();
                }
                Forgery::Carried | Forgery::Uncarried => {}
                Forgery::Unpromoted => drop(annotations.remove(names::PROMOTED_AT)),
                Forgery::Unrejected => drop(annotations.remove(names::REJECTED)),
                Forgery::Nothing => {
                    annotations.clear();
                    set.object.digest = String::new();
                }
            }
        });
    }

    /// Whoever may write Services has those of production tell, or not tell, of the rejection of a revision.
    fn forge_carried(&mut self, version: Version, is_carried: bool) {
        let (hash, at) = (self.hash_of(version).to_owned(), self.now - SignedDuration::from_secs(1000));
        let names: Vec<String> = self.services.keys().cloned().collect();
        for name in names {
            let resource_version = self.bump();
            let Some(service) = self.services.get_mut(&name).filter(|it| it.production.is_some()) else { continue };
            let service = Arc::make_mut(service);
            if is_carried {
                let rejection =
                    Rejection { by: "tenant".into(), at, reason: "forged".into(), to: None, of_attempt: false };
                service.rejections.insert(hash.clone(), rejection);
            } else {
                service.rejections.remove(&hash);
            }
            service.resource_version = resource_version;
        }
    }

    /// A field of the spec changes.
    pub fn set_field(&mut self, field: Field, value: u8) {
        let number = i32::from(value);
        let some = |none: u8| (value != none).then_some(number);
        let name = |value: u8| Name::ALL.get(usize::from(value)).map(|name| name.word().to_owned());
        if field == Field::DualStack {
            self.dual_stack = value > 0;
            return;
        }
        let before = self.rollout.spec.clone();
        let mut spec = before.clone();
        let blue_green = &mut spec.strategy.blue_green;
        match field {
            Field::Auto => blue_green.auto_promotion_enabled = Some(value > 0),
            Field::AutoSeconds => blue_green.auto_promotion_seconds = some(0),
            Field::PreviewCount => blue_green.preview_replica_count = some(0),
            Field::Delay => blue_green.scale_down_delay_seconds = Some(number),
            Field::AbortDelay => blue_green.abort_scale_down_delay_seconds = Some(number),
            Field::DelayLimit => blue_green.scale_down_delay_revision_limit = some(9),
            Field::History => spec.revision_history_limit = Some(number),
            Field::Overlap => {
                blue_green.overlap_seconds = some(0);
                blue_green.switch_mode = some(0).map(|_| SwitchMode::Overlap);
            }
            Field::AutoRollback => {
                blue_green.auto_rollback = some(0).map(|unavailable_seconds| AutoRollback { unavailable_seconds });
            }
            Field::Pre => blue_green.pre_promotion_analysis = some(0).map(|_| analysis()),
            Field::Post => blue_green.post_promotion_analysis = some(0).map(|_| analysis()),
            Field::Approvals => blue_green.required_approvals = some(0),
            Field::Paused => spec.paused = Some(value > 0),
            Field::ActiveService => blue_green.active_service = name(value),
            Field::PreviewService => blue_green.preview_service = name(value),
            Field::Exchange => std::mem::swap(&mut blue_green.active_service, &mut blue_green.preview_service),
            Field::Extra => {
                blue_green.additional_active_services = some(0).map(|_| vec![Name::Extra.word().to_owned()]);
            }
            Field::IdleNone => blue_green.preview_service_idle = some(0).map(|_| PreviewServiceIdle::None),
            Field::Window => spec.rollback_window = some(0).map(|n| RollbackWindow { revisions: n.into() }),
            Field::DeadlineAbort => {
                spec.progress_deadline_abort = Some(value > 0);
                spec.progress_deadline_seconds = some(0);
            }
            Field::Deadline => spec.progress_deadline_seconds = some(0),
            Field::MinReady => spec.min_ready_seconds = some(0),
            Field::RestartAt => spec.restart_at = Some(self.now + SignedDuration::from_secs(value.into())),
            Field::WorkloadRef => spec.workload_ref = workload_ref(value),
            Field::Retired => blue_green.retired_replica_count = some(9),
            Field::ActiveMetadata => blue_green.active_metadata = role_metadata("active", value),
            Field::PreviewMetadata => blue_green.preview_metadata = role_metadata("preview", value),
            Field::AntiAffinity => blue_green.anti_affinity = anti_affinity(value),
            Field::DualStack => {}
        }
        if spec != before && is_valid(&spec) {
            self.change_rollout(true, |rollout| rollout.spec = spec);
            self.take_template();
        }
    }

    /// The Deployment is created.
    pub fn create_workload(&mut self) {
        let resource_version = self.bump();
        let template = facts(self.version).template.clone();
        let workload = Workload { name: DEPLOYMENT.into(), resource_version, replicas: 2, template };
        self.workload.get_or_insert(Arc::new(workload));
        self.take_template();
    }

    /// It is deleted.
    pub fn delete_workload(&mut self) {
        self.workload = None;
        self.take_template();
    }

    /// The template is what the spec has, or what the Deployment has that it names. Nobody but the model remembers the one of a
    /// Deployment that is gone.
    fn take_template(&mut self) {
        let named = self.rollout.spec.workload_ref.is_some();
        if named && let Some(workload) = &self.workload {
            self.version = adapter::version_of_digest(workload.template.digest.as_str()).unwrap_or(self.version);
        } else if !named && self.version == Version::MISFIT {
            self.version = Version(1);
        }
        let template = match &self.workload {
            None if named => Template::from(&PodTemplate::default()),
            _ => facts(self.version).template.clone(),
        };
        Arc::make_mut(&mut self.rollout).template = template;
    }

    /// The spec asks for another template or another number of pods.
    pub fn ask_for(&mut self, version: Option<Version>, replicas: Option<u8>) {
        let in_spec = self.rollout.spec.workload_ref.is_none();
        let before = self.version;
        if let Some(version) = version.filter(|version| !in_spec || *version != Version::MISFIT) {
            let resource_version = self.bump();
            match &mut self.workload {
                Some(workload) if !in_spec => {
                    let workload = Arc::make_mut(workload);
                    workload.template = facts(version).template.clone();
                    workload.resource_version = resource_version;
                }
                _ if in_spec => self.version = version,
                _ => {}
            }
        }
        let replicas = replicas.map(i32::from).or(self.rollout.spec.replicas);
        if in_spec && self.version != before || self.rollout.spec.replicas != replicas {
            self.change_rollout(true, |rollout| rollout.spec.replicas = replicas);
        }
        self.take_template();
    }

    /// An analysis run ends. Returns which, and how.
    pub fn end_analysis(&mut self, analysis: Analysis, outcome: Outcome) -> Option<(String, AnalysisPhase)> {
        let suffix = if analysis == Analysis::Pre { "-pre" } else { "-post" };
        let now = self.now;
        let runs = Arc::make_mut(&mut self.runs);
        if outcome == Outcome::Deleted {
            if let Some(place) = runs.iter().rposition(|run| run.name.ends_with(suffix)) {
                runs.remove(place);
            }
            return None;
        }
        // One that was asked to stop comes to no judgement any more.
        let running = |run: &&mut Run| run.name.ends_with(suffix) && !run.phase.is_completed() && !run.terminating;
        let run = runs.iter_mut().rev().find(running)?;
        run.phase = match outcome {
            Outcome::Good | Outcome::Deleted => AnalysisPhase::Successful,
            Outcome::Bad => AnalysisPhase::Failed,
            Outcome::Inconclusive => AnalysisPhase::Inconclusive,
            Outcome::Error => AnalysisPhase::Error,
        };
        run.completed_at = Some(now);
        Some((run.name.clone(), run.phase))
    }

    /// Runs that were asked to stop do, and the others end well. Returns whether anything changed.
    pub fn finish_analyses(&mut self) -> bool {
        if self.runs.iter().all(|run| run.phase.is_completed()) {
            return false;
        }
        let now = self.now;
        for run in Arc::make_mut(&mut self.runs).iter_mut().filter(|run| !run.phase.is_completed()) {
            run.phase = AnalysisPhase::Successful;
            run.completed_at = Some(now);
        }
        true
    }

    /// The rollout is deleted.
    pub fn delete_rollout(&mut self, deletion: Deletion) {
        if self.deletion.is_some() || self.gone {
            return;
        }
        self.deletion = Some(deletion);
        let finalizer = match deletion {
            Deletion::Background => None,
            Deletion::Foreground => Some(FOREGROUND),
            Deletion::Orphan => Some(ORPHAN),
        };
        let now = self.now;
        self.change_rollout(false, |rollout| {
            rollout.deleting_since = Some(now);
            rollout.finalizers.extend(finalizer.map(str::to_owned));
        });
        self.go();
    }

    /// A rollout of the same name, with the same spec, is made: of the one before there is what that left behind.
    pub fn recreate(&mut self) {
        if !self.gone {
            return;
        }
        (self.gone, self.deletion) = (false, None);
        let (resource_version, created) = (self.bump(), self.now);
        let rollout = Arc::make_mut(&mut self.rollout);
        rollout.uid = format!("uid-{resource_version}");
        (rollout.generation, rollout.resource_version, rollout.created) = (1, resource_version, created);
        (rollout.deleting_since, rollout.request, rollout.status) = (None, None, None);
        rollout.finalizers.clear();
        for set in &mut self.sets {
            Arc::make_mut(set).owned = false;
        }
    }

    /// A tenant makes a ReplicaSet with the name and the template that this version would have, for nobody.
    pub fn plant(&mut self, version: Version) {
        let facts = facts(version);
        let name = hash::replica_set_name(ROLLOUT, &facts.hash);
        if [Version::REFUSED, Version::MISFIT].contains(&version) || self.named(&name).is_some() {
            return;
        }
        let resource_version = self.bump();
        let object = ReplicaSet {
            name,
            uid: format!("uid-{resource_version}"),
            hash: facts.hash.clone(),
            digest: facts.template.digest.to_string(),
            resource_version,
            created: self.now,
            deleting: false,
            finalizers: Vec::new(),
            annotations: BTreeMap::new(),
            pod_labels: facts.template.labels.clone(),
            replicas: 2,
            min_ready_seconds: 0,
            settled: false,
            current: 0,
            ready: 0,
            available: 0,
            fully_labeled: 0,
            failure: None,
            fresh: false,
        };
        self.sets.push(Arc::new(SetTruth::new(version, object, false)));
        self.sets.sort_by(|a, b| a.object.name.cmp(&b.object.name));
    }

    /// The garbage collector does its part: it lets dependents go, or deletes them, and then takes its finalizer away.
    pub fn collect_garbage(&mut self) {
        match self.deletion {
            Some(Deletion::Foreground) => {
                let owned: Vec<Version> = self.sets.iter().filter(|set| set.owned).map(|set| set.version).collect();
                owned.into_iter().for_each(|version| self.delete_set(version));
            }
            Some(Deletion::Orphan) if !self.gone => {
                for set in &mut self.sets {
                    Arc::make_mut(set).owned = false;
                }
            }
            _ => {}
        }
        for set in self.sets.iter_mut().filter(|set| set.drains()) {
            Arc::make_mut(set).object.finalizers.retain(|finalizer| finalizer != FOREGROUND);
        }
        if self.deletion.is_some() && !self.sets.iter().any(|set| set.owned) && !self.gone {
            self.change_rollout(false, |rollout| rollout.finalizers.retain(|f| f != FOREGROUND && f != ORPHAN));
            // In the foreground the pods have gone before, each after it was taken out of the slices.
            if self.deletion == Some(Deletion::Foreground) {
                let services: Vec<String> = self.services.keys().cloned().collect();
                services.iter().for_each(|service| self.catch_up(service, false));
            }
        }
        self.go();
    }

    /// What is deleted goes with its last finalizer; and what a rollout owns after it.
    fn go(&mut self) {
        self.sets.retain(|set| !(set.object.deleting && set.object.finalizers.is_empty()));
        if self.deletion.is_some() && self.rollout.finalizers.is_empty() {
            self.gone = true;
            for set in self.sets.iter_mut().filter(|set| set.owned) {
                Arc::make_mut(set).object.deleting = true;
            }
            self.sets.retain(|set| !(set.object.deleting && set.object.finalizers.is_empty()));
        }
        self.collect_runs();
    }

    /// Each set owns the runs that measure it.
    fn collect_runs(&mut self) {
        let is_owned = |run: &Run| self.sets.iter().any(|set| run.name.starts_with(&format!("{}-", set.object.name)));
        if !self.runs.iter().all(is_owned) {
            self.runs = Arc::new(self.runs.iter().filter(|run| is_owned(run)).cloned().collect());
        }
    }

    /// What is after an action, if the API server carries it out.
    pub fn after(&self, action: &Action) -> Result<Cluster, Failure> {
        if let Some(failure) = self.refuses(action) {
            return Err(failure);
        }
        if let Action::CreateReplicaSet { name, hash, digest, .. } = action
            && let Some(set) = self.named(name).filter(|set| !set.owned)
        {
            return self.adopt(set, hash, digest);
        }
        let mut after = self.clone();
        let (version, mut world) = (after.bump(), self.objects(action));
        match simulate::apply(&mut world, action, &version, self.now) {
            Written::Done => {
                after.take(world);
                after.label_pods(action, self);
            }
            Written::Conflict => return Err(self.why_not(action)),
        }
        after.go();
        Ok(after)
    }

    /// The pods of a set follow its template, where a change of them had begun `before`.
    fn label_pods(&mut self, action: &Action, before: &Cluster) {
        let Action::ChangePodMetadata { name, from, to, .. } = action else { return };
        if before.named(name).is_some_and(|set| metadata::has_begun(&set.object, from, to))
            && let Some(set) = self.sets.iter_mut().find(|set| set.object.name == *name)
        {
            let set = Arc::make_mut(set);
            let label = set.label().cloned();
            set.pods.iter_mut().for_each(|pod| pod.label.clone_from(&label));
        }
    }

    /// The name is taken by a set that is nobody's: it becomes ours if it is what would be made.
    fn adopt(&self, set: &SetTruth, hash: &str, digest: &str) -> Result<Cluster, Failure> {
        if digest != self.rollout.template.digest.as_str() {
            return Err(Failure::Overtaken);
        }
        let same = set.version == self.version && !set.object.pod_labels.contains_key(names::SERVING_LABEL);
        let kept = self.rollout.may_not_adopt(hash, self.services.values().map(Arc::as_ref));
        if !same || set.object.deleting || kept.is_some() {
            return Err(Failure::Invalid);
        }
        let mut after = self.clone();
        after.change_set(&set.object.name, |set| {
            set.owned = true;
            set.object.annotations.insert(names::TEMPLATE_DIGEST.to_owned(), digest.to_owned());
            digest.clone_into(&mut set.object.digest);
        });
        Ok(after)
    }

    /// What an admission plugin, a quota or a budget has against it.
    fn refuses(&self, action: &Action) -> Option<Failure> {
        let of_sets = self.refused == Refused::Sets;
        let created = of_sets || self.refused == Refused::Creation;
        match action {
            Action::CreateReplicaSet { digest, .. } => {
                let is_refused = adapter::version_of_digest(digest) == Some(Version::REFUSED);
                (created || is_refused).then_some(Failure::Invalid)
            }
            Action::ChangeReplicaSet { change, .. } if self.refused == Refused::Sizes && change.replicas.is_some() => {
                Some(Failure::Forbidden)
            }
            Action::ChangeReplicaSet { .. } | Action::DeleteReplicaSet { .. } | Action::ChangePodMetadata { .. } => {
                of_sets.then_some(Failure::Forbidden)
            }
            Action::SelectRevision { name, .. }
            | Action::WithdrawClaims { name, .. }
            | Action::RemoveMarks { name, .. } => {
                let refused = match self.refused {
                    Refused::Services => true,
                    Refused::ActiveService => name == Name::Active.word(),
                    Refused::PreviewService => name == Name::Preview.word(),
                    _ => false,
                };
                refused.then_some(Failure::Forbidden)
            }
            Action::StartAnalysis { .. } => (self.refused == Refused::Analyses).then_some(Failure::Invalid),
            Action::EvictPod { .. } => (self.refused == Refused::Evictions).then_some(Failure::Forbidden),
            _ => None,
        }
    }

    fn why_not(&self, action: &Action) -> Failure {
        match action {
            Action::CreateReplicaSet { digest, .. } if *digest != self.rollout.template.digest.to_string() => {
                Failure::Overtaken
            }
            Action::ChangeReplicaSet { name, .. } | Action::DeleteReplicaSet { name, .. }
                if self.named(name).is_none() =>
            {
                Failure::Missing
            }
            Action::EvictPod { .. } => Failure::Missing,
            _ => Failure::Conflict,
        }
    }

    /// The objects that an action may concern.
    fn objects(&self, action: &Action) -> World {
        // A ReplicaSet is made of the template that a watch brought, which may be older than the one that there is; a Deployment's is read.
        let mut rollout = (*self.rollout).clone();
        if let Action::CreateReplicaSet { digest, .. } = action
            && rollout.spec.workload_ref.is_none()
            && let Some(version) = adapter::version_of_digest(digest)
        {
            rollout.template.clone_from(&facts(version).template);
        }
        let of_pod = |set: &&Arc<SetTruth>| matches!(action, Action::EvictPod { hash, .. } if *hash == set.object.hash);
        let evicted = self.sets.iter().find(of_pod).map(|set| (set.object.hash.clone(), Cluster::pods(set)));
        World {
            replica_sets: self.sets.iter().map(|set| set.object.clone()).collect(),
            services: self.services.iter().map(|(name, service)| (name.clone(), (**service).clone())).collect(),
            workload: self.workload.as_ref().map(|workload| (**workload).clone()),
            pods: evicted.into_iter().collect(),
            runs: (*self.runs).clone(),
            ..World::of(rollout)
        }
    }

    /// Takes the objects over as an action left them.
    fn take(&mut self, world: World) {
        let World { rollout, replica_sets, services, workload, pods, runs, .. } = world;
        if rollout.resource_version != self.rollout.resource_version {
            self.rollout = Arc::new(rollout);
        }
        self.sets.retain(|set| replica_sets.iter().any(|object| object.name == set.object.name));
        let evicted: Vec<String> =
            pods.into_values().flatten().filter(|pod| pod.deleting).map(|pod| pod.name).collect();
        for object in replica_sets {
            let object = ReplicaSet { fresh: false, ..object };
            let Some(set) = self.sets.iter_mut().find(|set| set.object.name == object.name) else {
                let version = adapter::version_of_digest(&object.digest).unwrap_or(self.version);
                self.sets.push(Arc::new(SetTruth::new(version, object, true)));
                continue;
            };
            let evicts = set.pods.iter().any(|pod| evicted.contains(&set.pod_name(pod)));
            if evicts || set.object.resource_version != object.resource_version {
                let set = Arc::make_mut(set);
                let pods = std::mem::take(&mut set.pods);
                let (gone, left): (Vec<_>, Vec<_>) =
                    pods.into_iter().partition(|pod| evicted.contains(&set.pod_name(pod)));
                set.pods = left;
                set.evicted.extend(gone);
                // The ReplicaSet controller has not counted anew by another minReadySeconds.
                let recounts = object.min_ready_seconds != set.object.min_ready_seconds;
                let shrinks = object.replicas < set.object.replicas;
                set.object = object;
                if shrinks {
                    set.take_surplus();
                }
                set.object.settled &= !recounts;
                set.count(self.now);
            }
        }
        self.sets.sort_by(|a, b| a.object.name.cmp(&b.object.name));
        for (name, service) in services {
            let service = Service { answered: false, ..service };
            if self.services.get(&name).is_none_or(|before| **before != service) {
                self.services.insert(name, Arc::new(service));
            }
        }
        self.workload = workload.map(Arc::new);
        if *self.runs != runs {
            self.runs = Arc::new(runs);
        }
        self.collect_runs();
    }

    /// The operator writes the status.
    pub fn publish(&mut self, status: &BlueGreenRolloutStatus) {
        self.change_rollout(false, |rollout| rollout.status = Some(status.clone()));
    }

    /// The record is as the first version that kept one wrote it: without what later versions added.
    pub fn forget_what_later_versions_keep(&mut self) {
        self.change_rollout(false, |rollout| {
            let Some(status) = &mut rollout.status else { return };
            if let Some(progress) = &mut status.progress {
                progress.ready_replicas = None;
            }
            for revision in status.decisions.iter_mut().flat_map(|record| &mut record.revisions) {
                (revision.claim, revision.served_with, revision.turn) = (None, 0, 0);
                (revision.returned_unasked, revision.was_good) = (false, false);
                revision.approvals.iter_mut().for_each(|approval| approval.heard_at = None);
                revision.rejection.iter_mut().for_each(|rejection| rejection.of_attempt = false);
            }
        });
    }

    /// The rival's operator moves its Service to a hash of its own.
    pub fn rival_moves(&mut self) {
        if let Some(rival) = self.rival.clone() {
            self.change_service(&rival.service, |service| {
                service.managed_by = Some(RIVAL.into());
                service.selector.insert(names::HASH_LABEL.into(), "rivals".into());
            });
        }
    }

    /// The rival is deleted; where its mark stands, its operator takes its hash out.
    pub fn rival_goes(&mut self) {
        if let Some(rival) = self.rival.take()
            && self.services.get(&rival.service).is_some_and(|service| service.managed_by.as_deref() == Some(RIVAL))
        {
            self.change_service(&rival.service, |service| {
                (service.managed_by, service.production) = (None, None);
                service.selector.remove(names::HASH_LABEL);
            });
        }
    }
}

fn workload_ref(value: u8) -> Option<WorkloadRef> {
    let modes = [WorkloadScaleDown::Never, WorkloadScaleDown::Onsuccess, WorkloadScaleDown::Progressively];
    let mode = modes.get(usize::from(value).checked_sub(1)?).copied().unwrap_or_default();
    let named = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": DEPLOYMENT});
    let workload_ref: WorkloadRef = serde_json::from_value(named).expect("a reference");
    Some(WorkloadRef { scale_down: Some(mode), ..workload_ref })
}

/// What the pods of a role carry. Each role has the same label, with values of its own.
fn role_metadata(role: &str, value: u8) -> Option<PodMetadata> {
    let metadata = json!({"labels": {"role": format!("{role}-{value}")}, "annotations": {"example.com/role": role}});
    (value > 0).then(|| serde_json::from_value(metadata).expect("metadata"))
}

fn anti_affinity(value: u8) -> Option<AntiAffinity> {
    let how = match value {
        0 => return None,
        1 => json!({"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 1}}),
        _ => json!({"requiredDuringSchedulingIgnoredDuringExecution": {}}),
    };
    Some(serde_json::from_value(how).expect("an antiAffinity"))
}

/// What the rules of the CRD let through, as far as this model can break them.
fn is_valid(spec: &BlueGreenRolloutSpec) -> bool {
    let blue_green = spec.blue_green();
    let distinct = blue_green.preview_service.is_none() || blue_green.preview_service != blue_green.active_service;
    let additional = blue_green.additional_active_services.as_deref().unwrap_or_default();
    let once = !additional.iter().any(|name| {
        Some(name) == blue_green.active_service.as_ref() || Some(name) == blue_green.preview_service.as_ref()
    });
    let anchored = additional.is_empty() || blue_green.active_service.is_some();
    let people = blue_green.required_approvals() == 1
        || blue_green.auto_promotion_enabled == Some(false) && blue_green.auto_promotion_seconds.unwrap_or(0) == 0;
    let idle = blue_green.preview_service_idle.is_none() || blue_green.preview_service.is_some();
    distinct && once && anchored && people && idle
}
