//! A small model of a cluster: what the API server, the ReplicaSet and EndpointSlice controllers and people do, as far as the
//! core can tell. It checks, at every write of the operator, that production is not harmed.

use std::collections::BTreeMap;

use greenlight_api::{BlueGreen, BlueGreenRolloutSpec, PodTemplate, Request, Strategy, Verb, names};
use greenlight_core::hash::is_pod_of;
use greenlight_core::retire::{Owner, ScaleDown, Selected, scale_down};
use greenlight_core::world::{Endpoint, Pod, ReplicaSet, Rollout, Service, Template};
use greenlight_core::{Action, Change, Plan, Watches, World, plan};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// Git asks for this template.
    Template(u8),
    /// Somebody scales.
    Replicas(i32),
    /// Somebody asks for something, of the revision of the moment.
    Ask(u8),
    /// Somebody wants to go back to this very set.
    UndoTo {
        /// Which.
        set: usize,
    },
    /// The pods of one set become available, or all of them fail.
    Pods { set: usize, up: bool },
    /// The EndpointSlices catch up.
    Endpoints,
    /// Time passes.
    Seconds(u32),
    /// The operator works until it rests, or dies after so many writes.
    Operator { dies_after: Option<usize> },
    /// The scale-down controller looks at every set.
    ScaleDown,
    /// Somebody deletes the status.
    WipeStatus,
    /// Somebody takes the hash out of a Service.
    LoseHash { active: bool },
    /// Somebody points the active Service at another set that is up.
    PointByHand {
        /// Which.
        set: usize,
    },
    /// A second operator that observed the world earlier carries out the plan it made then.
    Sleeper,
}

/// The cluster.
#[derive(Clone, Debug)]
pub struct Model {
    rollout: Rollout,
    sets: Vec<ReplicaSet>,
    services: BTreeMap<String, Service>,
    endpoints: BTreeMap<String, Vec<Endpoint>>,
    /// By set.
    pods: BTreeMap<String, Vec<Pod>>,
    watches: Watches,
    version: u64,
    now: Timestamp,
    /// A plan that somebody made and has not carried out.
    slept: Vec<Action>,
}

/// The end that must not depend on how it was reached.
#[derive(Debug, PartialEq)]
pub struct End {
    /// Image behind the active and the preview Service.
    pub shown: [Option<String>; 2],
    /// Pods by template.
    pub pods: BTreeMap<String, i32>,
    /// Phase.
    pub phase: &'static str,
}

fn template(number: u8) -> PodTemplate {
    serde_json::from_value(json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": format!("web:v{number}")}]},
    }))
    .expect("a template")
}

impl Model {
    /// A rollout that was just created, with both Services.
    pub fn new(blue_green: BlueGreen) -> Model {
        let service = |name: &str| Service {
            name: name.into(),
            resource_version: "1".into(),
            deleting: false,
            selector: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            managed_by: None,
        };
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
                    active_service: Some("active".into()),
                    preview_service: Some("preview".into()),
                    ..blue_green
                },
            },
        };
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let rollout = Rollout {
            namespace: "test".into(),
            name: "web".into(),
            uid: "uid".into(),
            labels: BTreeMap::new(),
            generation: 1,
            resource_version: "1".into(),
            created: now,
            deleting: false,
            finalizers: Vec::new(),
            request: None,
            spec,
            template: Template::from(&template(1)),
            status: None,
        };
        Model {
            rollout,
            sets: Vec::new(),
            services: ["active", "extra", "preview"].map(|name| (name.to_owned(), service(name))).into(),
            endpoints: BTreeMap::new(),
            pods: BTreeMap::new(),
            watches: Watches::default(),
            version: 1,
            now,
            slept: Vec::new(),
        }
    }

    /// The world as an operator sees it; `live` names the sets whose state it has just been answered.
    pub fn observe(&self, live: &[String]) -> World {
        let mut sets = self.sets.clone();
        for set in &mut sets {
            set.live = live.contains(&set.name);
        }
        let endpoints = self.endpoints.iter().filter(|(name, _)| self.watches.endpoints.contains(*name));
        World {
            rollout: self.rollout.clone(),
            sets,
            services: self.services.clone(),
            workload: None,
            rivals: Vec::new(),
            endpoints: endpoints.map(|(name, endpoints)| (name.clone(), endpoints.clone())).collect(),
            pods: self
                .sets
                .iter()
                .filter(|set| self.watches.pods.contains(&set.hash))
                .map(|set| (set.hash.clone(), self.pods.get(&set.name).cloned().unwrap_or_default()))
                .collect(),
            eviction_refused: None,
            runs: Vec::new(),
            analysis_refused: None,
            refused: None,
            published_at: None,
        }
    }

    /// The plan of the moment.
    pub fn plan(&self) -> Plan {
        plan(&self.observe(&[]), self.now)
    }

    /// Lets something happen.
    pub fn happen(&mut self, event: &Event) {
        match event {
            Event::Template(number) => {
                self.rollout.template = Template::from(&template(*number));
                self.touch_rollout(true);
            }
            Event::Replicas(replicas) => {
                self.rollout.spec.replicas = Some(*replicas);
                self.touch_rollout(true);
            }
            Event::Ask(verb) => self.ask(Verb::ALL[usize::from(*verb) % Verb::ALL.len()], None),
            Event::UndoTo { set } => {
                let to = self.sets.get(set % self.sets.len().max(1)).map(|set| set.hash.clone());
                self.ask(Verb::Rollback, to);
            }
            Event::Pods { set, up } => {
                let count = self.sets.len().max(1);
                self.replica_set_controller(set % count, *up);
            }
            Event::Endpoints => self.catch_up(),
            Event::Seconds(seconds) => self.now += SignedDuration::from_secs(i64::from(*seconds)),
            Event::Operator { dies_after } => {
                self.operate(*dies_after);
            }
            Event::ScaleDown => self.scale_down(),
            Event::WipeStatus => {
                self.rollout.status = None;
                self.touch_rollout(false);
            }
            Event::LoseHash { active } => {
                let version = self.bump();
                let name = if *active { "active" } else { "preview" };
                let service = self.services.get_mut(name).expect("it exists");
                service.selector.remove(names::HASH_LABEL);
                service.selector.remove(names::SERVING_LABEL);
                service.resource_version = version;
            }
            Event::PointByHand { set } => {
                let up: Vec<_> = self.sets.iter().filter(|set| set.available > 0).collect();
                if let Some(set) = up.get(set % up.len().max(1)) {
                    let hash = set.hash.clone();
                    let version = self.bump();
                    let service = self.services.get_mut("active").expect("it exists");
                    service.selector.insert(names::HASH_LABEL.into(), hash);
                    service.selector.remove(names::SERVING_LABEL);
                    service.resource_version = version;
                    self.catch_up();
                }
            }
            Event::Sleeper => {
                let fresh = self.plan().actions;
                let slept = std::mem::replace(&mut self.slept, fresh);
                for action in slept {
                    if self.execute(&action).is_none() {
                        break;
                    }
                }
            }
        }
    }

    /// Makes as many pods as there should be, and all of them ready or none.
    fn replica_set_controller(&mut self, set: usize, up: bool) {
        let version = self.bump();
        let Some(set) = self.sets.get_mut(set) else { return };
        set.settled = true;
        set.resource_version = version;
        let pods = self.pods.entry(set.name.clone()).or_default();
        let wanted = usize::try_from(set.replicas).expect("not negative");
        pods.truncate(wanted);
        while pods.len() < wanted {
            let uid = format!("{}{}", set.resource_version, pods.len());
            pods.push(Pod {
                name: format!("{}-p{uid}", set.name),
                uid,
                created: Timestamp::from_second(self.now.as_second()).expect("a time"),
                deleting: false,
                ready: false,
                deletion_cost: 0,
                reason: String::new(),
                message: String::new(),
            });
        }
        pods.iter_mut().for_each(|pod| pod.ready = up);
        count(set, pods);
    }

    fn ask(&mut self, action: Verb, to: Option<String>) {
        let digest = self.rollout.template.digest.as_str();
        let Some(asked) = self.sets.iter().find(|set| set.digest == digest) else { return };
        let revision = asked.hash.clone();
        // No two requests are made at the same moment.
        self.now += SignedDuration::from_millis(1);
        let request = Request { action, revision, to, by: "test".into(), at: self.now };
        self.rollout.request = Some(request.to_value());
        self.touch_rollout(false);
    }

    /// An operator works until it rests or dies. Returns false if it never rests.
    pub fn operate(&mut self, dies_after: Option<usize>) -> bool {
        let mut live = Vec::new();
        let mut writes = 0;
        for _ in 0..60 {
            self.now += SignedDuration::from_millis(3);
            let plan = plan(&self.observe(&live), self.now);
            self.watches = plan.watches.clone();
            if plan.actions.is_empty() {
                if plan.publish_at.is_some_and(|at| at <= self.now) {
                    self.rollout.status = Some(plan.status);
                    self.touch_rollout(false);
                }
                return true;
            }
            live.clear();
            for action in &plan.actions {
                if dies_after == Some(writes) {
                    return true;
                }
                let Some(changed) = self.execute(action) else { break };
                live.extend(changed);
                writes += 1;
            }
        }
        false
    }

    /// Carries out a write, as the API server would. `None` if it is a conflict; else the sets that the answer shows.
    fn execute(&mut self, action: &Action) -> Option<Vec<String>> {
        let version = self.bump();
        match action {
            Action::HoldServices => {
                if !self.rollout.finalizers.iter().any(|finalizer| finalizer == names::SERVICES_FINALIZER) {
                    self.rollout.finalizers.push(names::SERVICES_FINALIZER.into());
                }
                self.touch_rollout(false);
            }
            Action::CompleteRequest { value } => {
                self.rollout.request = Some(value.clone());
                self.touch_rollout(false);
            }
            Action::CreateReplicaSet { name, hash, digest, replicas, annotations, .. } => {
                if self.sets.iter().any(|set| set.name == *name) || self.rollout.template.digest.as_str() != digest {
                    return None;
                }
                self.sets.push(ReplicaSet {
                    name: name.clone(),
                    hash: hash.clone(),
                    digest: digest.clone(),
                    resource_version: version,
                    created: self.now,
                    deleting: false,
                    finalizers: Vec::new(),
                    annotations: annotations.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
                    replicas: *replicas,
                    min_ready_seconds: 0,
                    settled: false,
                    current: 0,
                    ready: 0,
                    available: 0,
                    failure: None,
                    live: false,
                });
            }
            Action::ChangeReplicaSet { name, resource_version, change } => {
                self.change(name, resource_version, change, version)?;
                return Some(vec![name.clone()]);
            }
            Action::DeleteReplicaSet { name, resource_version } => {
                let position = self.sets.iter().position(|set| set.name == *name)?;
                let set = &self.sets[position];
                if set.resource_version != *resource_version {
                    return None;
                }
                assert_eq!(set.replicas, 0, "a set with pods is never deleted");
                self.sets.remove(position);
            }
            Action::PointService { name, resource_version, hash, overlap } => {
                let service = self.services.get(name)?;
                if service.resource_version != *resource_version {
                    return None;
                }
                if name != "preview" {
                    if *overlap {
                        self.check_overlap();
                    } else {
                        self.check_move(hash.as_deref());
                    }
                }
                let service = self.services.get_mut(name).expect("it exists");
                service.resource_version = version;
                service.managed_by = Some("web".into());
                match hash {
                    Some(hash) => service.selector.insert(names::HASH_LABEL.into(), hash.clone()),
                    None => service.selector.remove(names::HASH_LABEL),
                };
                if *overlap {
                    service.selector.insert(names::SERVING_LABEL.into(), "true".into());
                } else {
                    service.selector.remove(names::SERVING_LABEL);
                }
            }
            Action::EvictPod { hash, name, uid } => {
                let selected = self.services["active"].hash() == Some(hash);
                let set = self.sets.iter_mut().find(|set| set.hash == *hash)?;
                let pods = self.pods.get_mut(&set.name)?;
                let position = pods.iter().position(|pod| pod.name == *name && pod.uid == *uid)?;
                let was_ready = pods.remove(position).ready;
                count(set, pods);
                let enough = set.desired_replicas().min(set.replicas);
                assert!(!selected || !was_ready || set.available >= enough, "a restart takes too many pods: {set:?}");
                set.resource_version = version;
            }
            Action::ChangePodMetadata { name, resource_version, to, .. } => {
                let mut change = Change::default();
                change.set(names::ROLE_METADATA, serde_json::to_string(to).expect("strings"));
                self.change(name, resource_version, &change, version)?;
                return Some(vec![name.clone()]);
            }
            Action::Record(_)
            | Action::LetGo
            | Action::ScaleWorkload { .. }
            | Action::StartAnalysis { .. }
            | Action::StopAnalysis { .. } => {}
        }
        Some(Vec::new())
    }

    /// Promise 1, at the very write: the set that production moves to is there, and not about to go.
    fn check_move(&self, hash: Option<&str>) {
        let hash = hash.expect("production is never pointed at nothing while the rollout lives");
        let set =
            self.sets.iter().find(|set| set.hash == hash).expect("production is only pointed at a set that exists");
        assert!(!set.retired(), "production is moved to a set that is retiring: {set:?}");
        let restored = self.rollout.status.as_ref().is_some_and(|status| status.active_revision == hash);
        if restored {
            assert!(set.available > 0, "production is put back on a set without pods: {set:?}");
        } else {
            assert!(set.settled && set.available >= set.replicas, "production is moved to an unavailable set: {set:?}");
        }
    }

    /// Before both serve, the set that served and the one that was promoted last carry the label, and all pods are there.
    fn check_overlap(&self) {
        let served = self.services["active"].hash();
        let newest = self.sets.iter().max_by_key(|set| set.promoted_at()).expect("there is a set");
        assert!(
            newest.settled && newest.available >= newest.replicas,
            "an unavailable set is to serve too: {newest:?}"
        );
        let both = self.sets.iter().filter(|set| set.name == newest.name || Some(set.hash.as_str()) == served);
        both.for_each(|set| assert!(carries_label(set), "without the label it serves no more: {set:?}"));
    }

    fn change(&mut self, name: &str, resource_version: &str, change: &Change, version: String) -> Option<()> {
        let selected = self.selected();
        let set = self.sets.iter_mut().find(|set| set.name == name)?;
        if set.resource_version != resource_version {
            return None;
        }
        let newly_retired = change.annotations.get(names::SCALE_DOWN_AT).is_some_and(Option::is_some) && !set.retired();
        if newly_retired && set.promoted_at().is_some() {
            let traffic = self.endpoints.get("active").into_iter().flatten();
            let reached = traffic.filter(|endpoint| endpoint.ready && is_pod_of(&endpoint.pod, &set.name)).count();
            assert_eq!(reached, 0, "a set is retired that production may still reach: {set:?}");
        }
        set.resource_version = version;
        for (key, value) in &change.annotations {
            match value {
                Some(value) => set.annotations.insert((*key).to_owned(), value.clone()),
                None => set.annotations.remove(*key),
            };
        }
        if let Some(finalizers) = &change.finalizers {
            set.finalizers.clone_from(finalizers);
        }
        if let Some(replicas) = change.replicas {
            assert!(
                replicas > 0 && !set.retired() || !selected.contains(&set.hash),
                "pods are taken from a set that a Service selects: {set:?}"
            );
            set.settled = replicas == set.replicas;
            set.replicas = replicas;
            let pods = self.pods.entry(set.name.clone()).or_default();
            pods.truncate(usize::try_from(replicas).expect("not negative"));
            count(set, pods);
        }
        Some(())
    }

    fn scale_down(&mut self) {
        for set in self.sets.clone() {
            let selected = self.selected();
            let by = selected.iter().find(|hash| **hash == set.hash);
            let selected = by.map_or(Selected::No, |_| Selected::By("a Service".into()));
            match scale_down(&set, Owner::Living, &selected, self.now) {
                ScaleDown::Finish(change) => {
                    assert!(
                        set.scale_down_at().is_some_and(|at| at <= self.now),
                        "scaled down before its time: {set:?}"
                    );
                    let version = self.bump();
                    self.change(&set.name, &set.resource_version, &change, version);
                }
                ScaleDown::Shrink(change) => {
                    let version = self.bump();
                    self.change(&set.name, &set.resource_version, &change, version);
                }
                ScaleDown::LetGo(_) => panic!("the rollout is alive"),
                ScaleDown::Nothing | ScaleDown::Wait(_) | ScaleDown::CheckServices => {}
            }
        }
    }

    fn selected(&self) -> Vec<String> {
        self.services.values().filter_map(|service| service.hash().map(str::to_owned)).collect()
    }

    fn catch_up(&mut self) {
        for service in self.services.values() {
            let overlapping = service.is_overlapping();
            let by_hash = |set: &ReplicaSet| service.hash().is_none_or(|hash| hash == set.hash);
            let sets = self.sets.iter().filter(|set| if overlapping { carries_label(set) } else { by_hash(set) });
            let pods = sets.flat_map(|set| self.pods.get(&set.name).into_iter().flatten());
            let endpoints = pods.map(|pod| Endpoint { pod: pod.name.clone(), ready: pod.ready }).collect();
            self.endpoints.insert(service.name.clone(), endpoints);
        }
    }

    /// Everything outside is well, and time passes: what should come to rest does. Returns false if it does not.
    pub fn settle(&mut self) -> bool {
        for _ in 0..40 {
            if !self.operate(None) {
                return false;
            }
            for set in 0..self.sets.len() {
                self.happen(&Event::Pods { set, up: true });
            }
            self.catch_up();
            self.scale_down();
            self.now += SignedDuration::from_secs(40);
        }
        self.operate(None)
    }

    /// The end, without times and names.
    pub fn end(&self) -> End {
        let image = |hash: &str| self.sets.iter().find(|set| set.hash == hash).map(|set| set.digest.clone());
        let shown = |service: &str| self.services[service].hash().and_then(image);
        End {
            shown: ["active", "preview"].map(shown),
            pods: self
                .sets
                .iter()
                .filter(|set| set.replicas > 0)
                .map(|set| (set.digest.clone(), set.replicas))
                .collect(),
            phase: self.rollout.status.as_ref().map_or("", |status| status.phase.as_str()),
        }
    }

    /// What production selects.
    pub fn served(&self) -> Option<&str> {
        self.services["active"].hash()
    }

    /// Production selects two revisions at once.
    pub fn overlaps(&self) -> bool {
        self.services["active"].is_overlapping()
    }

    /// The hash that production selects is of a set that exists.
    pub fn serves_something(&self) -> bool {
        let service = &self.services["active"];
        let serves = |set: &ReplicaSet| match service.hash() {
            Some(hash) => set.hash == hash,
            None => service.is_overlapping() && carries_label(set),
        };
        self.sets.iter().any(|set| serves(set) && set.replicas > 0)
    }

    /// Whether a set was promoted and has all its pods.
    pub fn has_good_set(&self) -> bool {
        self.sets.iter().any(|set| set.promoted_at().is_some() && set.replicas > 0 && set.is_available(set.replicas))
    }

    fn bump(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn touch_rollout(&mut self, spec: bool) {
        self.rollout.resource_version = self.bump();
        if spec {
            self.rollout.generation += 1;
        }
    }
}

fn carries_label(set: &ReplicaSet) -> bool {
    set.annotation(names::ROLE_METADATA).is_some_and(|metadata| metadata.contains(names::SERVING_LABEL))
}

fn count(set: &mut ReplicaSet, pods: &[Pod]) {
    let number = |n: usize| i32::try_from(n).expect("few");
    set.current = number(pods.len());
    set.ready = number(pods.iter().filter(|pod| pod.ready).count());
    set.available = set.ready;
}
