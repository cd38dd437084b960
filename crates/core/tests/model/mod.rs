//! A small model of a cluster, around [`greenlight_core::simulate`]: what an action does to a world is said there, and shown by
//! `kubectl greenlight plan`. Here is what the simulation does not know:
//!
//! | question | file |
//! |---|---|
//! | what people, Git and accidents do | here |
//! | how stories begin and end | [`people`] |
//! | how the operator and the scale-down controller work, and what they see | [`operator`] |
//! | pods, endpoints and measurements | [`pods`] |
//! | what must hold at every write | [`promises`] |
#![allow(dead_code, reason = "each test binary uses its own part of the model")]

pub mod operator;
pub mod people;
pub mod pods;
pub mod promises;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use greenlight_api::{
    AnalysisPhase, AutoRollback, BlueGreen, BlueGreenRolloutSpec, BlueGreenRolloutStatus, PodMetadata, PodTemplate,
    PreviewServiceIdle, Request, RollbackWindow, Strategy, SwitchMode, Verb, WorkloadRef, WorkloadScaleDown, names,
};
use greenlight_core::world::{ReplicaSet, Rival, Rollout, Service, Template, Workload};
use greenlight_core::{Action, Watches, World};
use jiff::{SignedDuration, Timestamp};
use promises::Ledger;
use serde_json::json;

/// A kind of object, of which the operator's picture may be old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The rollout and its rivals.
    Rollouts,
    /// ReplicaSets.
    ReplicaSets,
    /// Services.
    Services,
    /// EndpointSlices.
    Endpoints,
    /// Pods.
    Pods,
    /// Analysis runs.
    Runs,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] =
        [Kind::Rollouts, Kind::ReplicaSets, Kind::Services, Kind::Endpoints, Kind::Pods, Kind::Runs];
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// Git asks for this template.
    Template(u8),
    /// Somebody scales.
    Replicas(i32),
    /// Git asks for a template and a scale in one go.
    TemplateAndReplicas(u8, i32),
    /// Somebody asks for something, of the revision that the verb speaks of, or of any one.
    Ask {
        /// Which verb.
        verb: u8,
        /// Who.
        by: u8,
        /// A revision by its place, in the place of the right one.
        of: Option<usize>,
    },
    /// Somebody types a bare verb.
    Type(u8),
    /// Somebody wants to go back to this very revision.
    UndoTo {
        /// Its place.
        rs: usize,
    },
    /// The ReplicaSet controller works, and so many pods of one ReplicaSet are ready.
    Pods {
        /// Its place.
        rs: usize,
        /// How many.
        ready: usize,
    },
    /// The EndpointSlices catch up.
    Endpoints,
    /// Time passes.
    Seconds(u32),
    /// The operator works until it rests, or dies after so many writes.
    Operator {
        /// After how many.
        dies_after: Option<usize>,
    },
    /// The scale-down controller looks at every ReplicaSet.
    ScaleDown,
    /// Somebody deletes the status.
    WipeStatus,
    /// Somebody takes the hash out of a Service.
    LoseHash {
        /// Its place in [`SERVICES`].
        service: usize,
    },
    /// Somebody points the active Service at another ReplicaSet that is up.
    PointByHand {
        /// Its place among those.
        rs: usize,
    },
    /// An operator works, and stops before its next write after so many; that one it makes when it wakes up, if ever.
    Sleep {
        /// After how many.
        writes: usize,
    },
    /// The operator that sleeps makes the write that it was about to make.
    Wake,
    /// The operator's watch of a kind brings nothing, until it does again.
    Behind(Kind, bool),
    /// A person deletes a ReplicaSet.
    DeleteReplicaSet {
        /// Its place.
        rs: usize,
    },
    /// A person scales a ReplicaSet.
    ScaleByHand {
        /// Its place.
        rs: usize,
        /// To how many.
        replicas: i32,
    },
    /// A tenant removes an annotation of a ReplicaSet, or writes nonsense or a forgery into it.
    Annotate {
        /// Its place.
        rs: usize,
        /// Which, by its place in [`ANNOTATIONS`].
        key: usize,
        /// What.
        value: Option<u8>,
    },
    /// A measurement ends.
    Run {
        /// Its place.
        run: usize,
        /// How.
        phase: AnalysisPhase,
    },
    /// Somebody deletes an analysis run.
    DeleteRun {
        /// Its place.
        run: usize,
    },
    /// Somebody pauses, or resumes.
    Paused(bool),
    /// Somebody deletes a Service, or creates it again.
    Service {
        /// Its place in [`SERVICES`].
        service: usize,
        /// Whether it is there.
        exists: bool,
    },
    /// Another rollout names the active Service, or does no more.
    Rival {
        /// It is there.
        exists: bool,
        /// It is older than ours.
        older: bool,
    },
    /// Something of an Argo Rollout happens to a Service.
    Argo {
        /// Its place in [`SERVICES`].
        service: usize,
        /// What.
        what: Argo,
    },
    /// The spec names other Services, by the place in [`NAMINGS`].
    Names(usize),
    /// The active Service asks for a label that template 6 does not carry, or does no more.
    AsksForTier(bool),
    /// No analysis can begin, or it can again.
    RefuseAnalyses(bool),
    /// The API server refuses a template, or does no more.
    Refuse {
        /// Which.
        template: u8,
        /// Whether it does.
        refused: bool,
    },
    /// The Deployment that the template comes from is deleted, or created again; nothing, if it comes from none.
    Workload(bool),
    /// The operator's clock is so many seconds ahead.
    ClockAhead(u32),
    /// Somebody changes what no gate asks for.
    Set(Setting),
}

/// A field of the spec, and what it is changed to.
#[derive(Clone, Debug)]
pub enum Setting {
    /// `previewReplicaCount`
    PreviewCount(Option<i32>),
    /// `scaleDownDelaySeconds`
    Delay(Option<i32>),
    /// `scaleDownDelayRevisionLimit`
    DelayLimit(Option<i32>),
    /// `abortScaleDownDelaySeconds`
    AbortDelay(Option<i32>),
    /// `retiredReplicaCount`
    Retired(Option<i32>),
    /// `revisionHistoryLimit`
    History(Option<i32>),
    /// `rollbackWindow`
    Window(Option<i64>),
    /// `minReadySeconds`
    MinReady(Option<i32>),
    /// `progressDeadlineSeconds` with `progressDeadlineAbort`
    Deadline(Option<i32>),
    /// `overlapSeconds` with `switchMode: Overlap`
    Overlap(Option<i32>),
    /// `autoRollback`
    AutoRollback(Option<i32>),
    /// `previewServiceIdle: None`
    IdleNone(bool),
    /// `activeMetadata` and `previewMetadata`: a label of this value each.
    Metadata(Option<u8>),
    /// `workloadRef.scaleDown`; nothing, if the template comes from no Deployment.
    ScaleDown(WorkloadScaleDown),
}

/// What Argo Rollouts' controller does to a Service, or somebody with the name that it writes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argo {
    /// The name of an Argo Rollout is written on it.
    Named,
    /// Its controller moves the Service to its own pods.
    Takes,
    /// The name is taken away.
    LetsGo,
    /// Its controller takes the name and the hash away.
    Cleans,
}

impl Argo {
    /// All of it.
    pub const ALL: [Argo; 4] = [Argo::Named, Argo::Takes, Argo::LetsGo, Argo::Cleans];
}

/// The hash of an Argo Rollout's pods.
pub const ARGOS_HASH: &str = "57d7c6b8";

/// All Services of the namespace.
pub const SERVICES: [&str; 4] = ["active", "extra", "preview", "other"];
/// What a tenant may tamper with.
pub const ANNOTATIONS: [&str; 8] = [
    names::REJECTED,
    names::SCALE_DOWN_AT,
    names::PROMOTED_AT,
    names::DESIRED_REPLICAS,
    names::REVISION,
    names::TEMPLATE_DIGEST,
    names::RETIRED_REPLICAS,
    names::RESTART_AT,
];
/// What the spec may name as active, additional and preview Service. The first is what it names at first.
pub const NAMINGS: [(Option<&str>, Option<&str>, Option<&str>); 6] = [
    (Some("active"), None, Some("preview")),
    (Some("active"), Some("extra"), Some("preview")),
    (Some("preview"), None, Some("active")),
    (Some("other"), None, Some("preview")),
    (Some("active"), None, None),
    (Some("active"), None, Some("other")),
];

/// The cluster.
#[derive(Clone)]
pub struct Model {
    /// What the API server has. All pods and endpoints are there, watched or not.
    pub truth: World,
    /// The time.
    pub now: Timestamp,
    /// What must hold.
    pub ledger: Ledger,
    /// Each pod has two addresses.
    pub dual_stack: bool,
    /// Somebody keeps an EndpointSlice of their own, without a pod.
    pub hand_made_endpoint: bool,
    /// No analysis can begin.
    pub refuses_analyses: bool,
    /// The Deployment that the template comes from has pods, which are all ready, and what happens to the template happens there.
    pub takes_over: bool,
    /// How far the operator's clock is ahead.
    ahead: SignedDuration,
    /// What the operator has seen.
    cache: World,
    /// Kinds whose watch brings nothing at the moment.
    behind: BTreeSet<Kind>,
    watches: Watches,
    version: u64,
    /// Since when pods are ready, by name.
    ready_since: BTreeMap<String, Timestamp>,
    /// Digests of templates that the API server refuses.
    refused: BTreeSet<String>,
    /// Actions that somebody planned and has not carried out, and what that one had seen.
    slept: (Vec<Action>, Option<Box<World>>),
    /// The Services that the operator changed itself, as they were then: name and resourceVersion.
    moved: BTreeMap<String, String>,
    /// What a policy of the cluster refuses for ever.
    policy: Option<fn(&Action) -> bool>,
    /// After so many writes one is carried out, and the operator is told that it failed.
    loses_answer_after: Option<usize>,
}

/// What a second operator has seen and asked to see.
pub struct Second {
    cache: World,
    behind: BTreeSet<Kind>,
    watches: Watches,
    moved: BTreeMap<String, String>,
}

/// Only what the history began with, so that a failure can be read.
impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = serde_json::to_value(&self.truth.rollout.spec).expect("it is JSON");
        write!(f, "{spec}, dual stack: {}, hand-made: {}", self.dual_stack, self.hand_made_endpoint)
    }
}

/// The end that must not depend on how it was reached.
#[derive(Debug, PartialEq)]
pub struct End {
    /// Digest of the template behind each Service.
    pub shown: Vec<Option<String>>,
    /// Pods by template.
    pub pods: BTreeMap<String, i32>,
    /// Phase.
    pub phase: &'static str,
}

/// A template. That of number 6 lacks a label that a Service may ask for.
pub fn template(number: u8) -> PodTemplate {
    let labels = if number == 6 { json!({"app": "web"}) } else { json!({"app": "web", "tier": "front"}) };
    serde_json::from_value(json!({
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": format!("web:v{number}")}]},
    }))
    .expect("a template")
}

fn set(spec: &mut BlueGreenRolloutSpec, setting: &Setting) {
    let blue_green = &mut spec.strategy.blue_green;
    match *setting {
        Setting::PreviewCount(count) => blue_green.preview_replica_count = count,
        Setting::Delay(seconds) => blue_green.scale_down_delay_seconds = seconds,
        Setting::DelayLimit(limit) => blue_green.scale_down_delay_revision_limit = limit,
        Setting::AbortDelay(seconds) => blue_green.abort_scale_down_delay_seconds = seconds,
        Setting::Retired(count) => blue_green.retired_replica_count = count,
        Setting::History(limit) => spec.revision_history_limit = limit,
        Setting::Window(revisions) => spec.rollback_window = revisions.map(|revisions| RollbackWindow { revisions }),
        Setting::MinReady(seconds) => spec.min_ready_seconds = seconds,
        Setting::Deadline(seconds) => {
            spec.progress_deadline_seconds = seconds;
            spec.progress_deadline_abort = seconds.map(|_| true);
        }
        Setting::Overlap(seconds) => {
            blue_green.overlap_seconds = seconds;
            blue_green.switch_mode = seconds.map(|_| SwitchMode::Overlap);
        }
        Setting::AutoRollback(seconds) => {
            blue_green.auto_rollback = seconds.map(|unavailable_seconds| AutoRollback { unavailable_seconds });
        }
        Setting::IdleNone(none) => {
            let none = none && blue_green.preview_service.is_some();
            blue_green.preview_service_idle = none.then_some(PreviewServiceIdle::None);
        }
        Setting::Metadata(value) => {
            let of_role = |role: &str| {
                let label = format!("{role}-{}", value?);
                Some(PodMetadata { labels: BTreeMap::from([("role".to_owned(), label)]), ..PodMetadata::default() })
            };
            (blue_green.active_metadata, blue_green.preview_metadata) = (of_role("active"), of_role("preview"));
        }
        Setting::ScaleDown(mode) => {
            if let Some(workload) = &mut spec.workload_ref {
                workload.scale_down = Some(mode);
            }
        }
    }
}

fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        resource_version: "1".into(),
        deleting: false,
        selector: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        managed_by: None,
        production: None,
        moved_by: None,
        withdrawn: None,
        rejections: BTreeMap::new(),
        argo_rollout: None,
        answered: false,
    }
}

/// A spec with these blue-green settings, two pods, and nothing else.
pub fn spec(blue_green: BlueGreen) -> BlueGreenRolloutSpec {
    BlueGreenRolloutSpec {
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
    }
}

impl Model {
    /// A rollout of these settings that was just created, with all Services.
    pub fn new(blue_green: BlueGreen) -> Model {
        Model::with(spec(blue_green))
    }

    /// A rollout of this spec that was just created, with all Services.
    pub fn with(spec: BlueGreenRolloutSpec) -> Model {
        let now: Timestamp = "2026-01-01T00:00:00.25Z".parse().expect("a time");
        let rollout = Rollout {
            namespace: "test".into(),
            name: "web".into(),
            uid: "uid".into(),
            labels: BTreeMap::new(),
            generation: 1,
            resource_version: "1".into(),
            created: now,
            deleting_since: None,
            finalizers: Vec::new(),
            request: None,
            spec,
            template: Template::from(&template(1)),
            status: None,
        };
        let truth =
            World { services: SERVICES.map(|name| (name.to_owned(), service(name))).into(), ..World::of(rollout) };
        let mut model = Model {
            cache: truth.clone(),
            ledger: Ledger::new(&truth.rollout.spec),
            truth,
            now,
            dual_stack: false,
            hand_made_endpoint: false,
            refuses_analyses: false,
            takes_over: false,
            ahead: SignedDuration::ZERO,
            behind: BTreeSet::new(),
            watches: Watches::default(),
            version: 1,
            ready_since: BTreeMap::new(),
            refused: BTreeSet::new(),
            slept: (Vec::new(), None),
            moved: BTreeMap::new(),
            policy: None,
            loses_answer_after: None,
        };
        model.catch_up();
        model
    }

    /// Lets something happen.
    pub fn happen(&mut self, event: &Event) {
        match event {
            Event::Template(number) => self.ask_for(*number),
            Event::Replicas(replicas) => self.scale(*replicas),
            Event::TemplateAndReplicas(number, replicas) => {
                self.truth.rollout.spec.replicas = Some(*replicas);
                if self.takes_over {
                    self.touch_rollout(true);
                }
                self.ask_for(*number);
            }
            Event::Ask { verb, by, of } => self.ask_any(*verb, *by, *of),
            Event::Type(verb) => {
                let verb = Verb::ALL[usize::from(*verb) % Verb::ALL.len()];
                self.truth.rollout.request = Some(verb.as_str().to_owned());
                self.touch_rollout(false);
            }
            Event::UndoTo { rs } => {
                let to = self.hash_at(*rs);
                let Some(serving) = self.serving() else { return };
                self.request(Verb::Rollback, &serving, "ann", to);
            }
            Event::Pods { rs, ready } => {
                if let Some(hash) = self.hash_at(*rs) {
                    self.run_pods(&hash, *ready);
                }
            }
            Event::Endpoints => self.catch_up(),
            Event::Seconds(seconds) => self.pass(i64::from(*seconds)),
            Event::Operator { dies_after } => {
                self.operate(*dies_after);
            }
            Event::ScaleDown => self.scale_down(),
            Event::WipeStatus => self.wipe_status(),
            Event::LoseHash { service } => self.lose_hash(SERVICES[service % SERVICES.len()]),
            Event::PointByHand { rs } => {
                let up: Vec<_> = self.truth.existing().filter(|rs| rs.available > 0).collect();
                if let Some(rs) = up.get(rs % up.len().max(1)) {
                    let hash = rs.hash.clone();
                    self.point_by_hand("active", &hash);
                }
            }
            Event::Sleep { writes } => self.sleep(*writes),
            Event::Wake => self.wake(),
            Event::Behind(kind, true) => drop(self.behind.insert(*kind)),
            Event::Behind(kind, false) => drop(self.behind.remove(kind)),
            Event::DeleteReplicaSet { rs } => {
                if let Some(hash) = self.hash_at(*rs) {
                    self.delete_replica_set(&hash);
                }
            }
            Event::ScaleByHand { rs, replicas } => {
                if let Some(hash) = self.hash_at(*rs) {
                    self.edit(&hash, |rs| {
                        rs.settled = rs.settled && rs.replicas == *replicas;
                        rs.replicas = *replicas;
                    });
                    self.count(&hash);
                }
            }
            Event::Annotate { rs, key, value } => self.tamper(*rs, ANNOTATIONS[key % ANNOTATIONS.len()], *value),
            Event::Run { run, phase } => {
                let place = run % self.truth.runs.len().max(1);
                self.end_run(place, *phase);
            }
            Event::DeleteRun { run } => {
                if !self.truth.runs.is_empty() {
                    self.truth.runs.remove(run % self.truth.runs.len());
                }
            }
            Event::Paused(paused) => {
                self.truth.rollout.spec.paused = Some(*paused);
                self.touch_rollout(true);
            }
            Event::Service { service, exists } => self.have_service(SERVICES[service % SERVICES.len()], *exists),
            Event::Rival { exists, older } => {
                let age = SignedDuration::from_hours(if *older { -1 } else { 1 });
                let rival = Rival {
                    name: "rival".into(),
                    created: self.truth.rollout.created + age,
                    services: vec!["active".into()],
                };
                self.truth.rivals = if *exists { vec![rival] } else { Vec::new() };
            }
            Event::Argo { service, what } => self.argo(SERVICES[service % SERVICES.len()], *what),
            Event::Names(naming) => self.name_services(NAMINGS[naming % NAMINGS.len()]),
            Event::AsksForTier(asks) => self.ask_for_tier(*asks),
            Event::RefuseAnalyses(refuses) => self.refuses_analyses = *refuses,
            Event::Refuse { template: number, refused } => {
                let digest = Template::from(&template(*number)).digest.to_string();
                if *refused {
                    self.refused.insert(digest)
                } else {
                    self.refused.remove(&digest)
                };
            }
            Event::Workload(exists) => self.have_workload(*exists),
            Event::ClockAhead(seconds) => self.ahead = SignedDuration::from_secs(i64::from(*seconds)),
            Event::Set(setting) => self.change_spec(|spec| set(spec, setting)),
        }
    }

    /// A Deployment with two pods serves, and the rollout takes its template from it.
    pub fn take_over(&mut self, scale_down: WorkloadScaleDown) {
        self.takes_over = true;
        self.change_spec(|spec| {
            spec.workload_ref = Some(WorkloadRef {
                api_version: "apps/v1".into(),
                kind: "Deployment".into(),
                name: "app".into(),
                scale_down: Some(scale_down),
            });
        });
        self.have_workload(true);
        self.catch_up();
    }

    /// The Deployment is created with template 1, or deleted with its pods.
    fn have_workload(&mut self, exists: bool) {
        if !self.takes_over || self.truth.workload.is_some() == exists {
            return;
        }
        let resource_version = self.bump();
        let template = Template::from(&template(1));
        let workload = Workload { name: "app".into(), resource_version, replicas: 2, template };
        self.truth.workload = exists.then_some(workload);
        let unknown = || Template::from(&PodTemplate::default());
        let template = self.truth.workload.as_ref().map(|workload| workload.template.clone());
        self.truth.rollout.template = template.unwrap_or_else(unknown);
    }

    /// Git asks for a template, in the spec or in the Deployment that it comes from.
    fn ask_for(&mut self, number: u8) {
        if !self.takes_over {
            return self.push(number);
        }
        let version = self.bump();
        if let Some(workload) = &mut self.truth.workload {
            workload.template = Template::from(&template(number));
            workload.resource_version = version;
            self.truth.rollout.template.clone_from(&workload.template);
        }
    }

    /// Git asks for a template.
    pub fn push(&mut self, number: u8) {
        self.truth.rollout.template = Template::from(&template(number));
        self.touch_rollout(true);
    }

    /// Somebody changes `spec.replicas` alone.
    pub fn scale(&mut self, replicas: i32) {
        self.truth.rollout.spec.replicas = Some(replicas);
        self.touch_rollout(true);
    }

    /// Somebody changes the spec.
    pub fn change_spec(&mut self, change: impl FnOnce(&mut BlueGreenRolloutSpec)) {
        change(&mut self.truth.rollout.spec);
        self.touch_rollout(true);
    }

    /// Somebody asks for something of a revision.
    pub fn request(&mut self, action: Verb, revision: &str, by: &str, to: Option<String>) {
        self.request_because(action, revision, by, to, None);
    }

    /// Somebody asks for something of a revision, and says why.
    pub fn request_because(&mut self, action: Verb, revision: &str, by: &str, to: Option<String>, why: Option<&str>) {
        // No two requests are made at the same moment.
        self.now += SignedDuration::from_millis(1);
        let (by, reason) = (by.to_owned(), why.map(str::to_owned));
        let request = Request { action, revision: revision.to_owned(), to, by, at: self.now, reason };
        self.ledger.asked(&request);
        self.truth.rollout.request = Some(request.to_value());
        self.touch_rollout(false);
    }

    fn ask_any(&mut self, verb: u8, by: u8, of: Option<usize>) {
        let action = Verb::ALL[usize::from(verb) % Verb::ALL.len()];
        let right = match action {
            Verb::Rollback | Verb::Restart => self.serving(),
            _ => self.updated(),
        };
        let Some(revision) = of.and_then(|of| self.hash_at(of)).or(right) else { return };
        self.request(action, &revision, ["ann", "bob", "eve"][usize::from(by) % 3], None);
    }

    /// Somebody deletes the status.
    pub fn wipe_status(&mut self) {
        self.truth.rollout.status = None;
        self.touch_rollout(false);
        self.ledger.status_wiped(&self.truth);
    }

    /// Somebody restores the status from a backup.
    pub fn restore_status(&mut self, status: BlueGreenRolloutStatus) {
        self.ledger.status_restored(&status);
        self.truth.rollout.status = Some(status);
        self.touch_rollout(false);
    }

    /// Somebody changes a Service behind the operator's back.
    pub fn edit_service(&mut self, name: &str, change: impl FnOnce(&mut Service)) {
        let version = self.bump();
        let Some(service) = self.truth.services.get_mut(name) else { return };
        change(service);
        service.resource_version = version;
    }

    /// A policy of the cluster refuses these writes from now on; `None`: none any more.
    pub fn refuse(&mut self, policy: Option<fn(&Action) -> bool>) {
        self.policy = policy;
    }

    /// Somebody takes what is ours out of a Service's selector.
    pub fn lose_hash(&mut self, service: &str) {
        let version = self.bump();
        let Some(service) = self.truth.services.get_mut(service) else { return };
        service.selector.remove(names::HASH_LABEL);
        service.selector.remove(names::SERVING_LABEL);
        service.resource_version = version;
        service.moved_by = Some("argocd".into());
    }

    /// Something of an Argo Rollout happens to a Service.
    pub fn argo(&mut self, service: &str, what: Argo) {
        self.edit_service(service, |service| {
            service.argo_rollout = matches!(what, Argo::Named | Argo::Takes).then(|| "shop".to_owned());
            match what {
                Argo::Takes => drop(service.selector.insert(names::HASH_LABEL.into(), ARGOS_HASH.into())),
                Argo::Cleans => drop(service.selector.remove(names::HASH_LABEL)),
                Argo::Named | Argo::LetsGo => return,
            }
            service.selector.remove(names::SERVING_LABEL);
            service.moved_by = Some("rollouts-controller".into());
        });
    }

    /// A person points a Service at a revision.
    pub fn point_by_hand(&mut self, service: &str, hash: &str) {
        let version = self.bump();
        let Some(service) = self.truth.services.get_mut(service) else { return };
        service.selector.insert(names::HASH_LABEL.into(), hash.to_owned());
        service.selector.remove(names::SERVING_LABEL);
        service.resource_version = version;
        service.moved_by = Some("kubectl-edit".into());
        self.ledger.pointed_by_hand(hash);
        self.catch_up();
    }

    /// A Service is deleted, or created without anything of ours.
    pub fn have_service(&mut self, name: &str, exists: bool) {
        let version = self.bump();
        if !exists {
            self.truth.services.remove(name);
        } else if !self.truth.services.contains_key(name) {
            self.truth.services.insert(name.to_owned(), Service { resource_version: version, ..service(name) });
        }
    }

    fn name_services(&mut self, (active, additional, preview): (Option<&str>, Option<&str>, Option<&str>)) {
        self.change_spec(|spec| {
            let blue_green = &mut spec.strategy.blue_green;
            blue_green.active_service = active.map(str::to_owned);
            blue_green.additional_active_services = additional.map(|name| vec![name.to_owned()]);
            blue_green.preview_service = preview.map(str::to_owned);
            blue_green.preview_service_idle = blue_green.preview_service_idle.filter(|_| preview.is_some());
        });
    }

    /// The active Service asks for a label that template 6 lacks, or does no more.
    pub fn ask_for_tier(&mut self, asks: bool) {
        if self.truth.services.get("active").is_some_and(|service| service.selector.contains_key("tier") == asks) {
            return;
        }
        let version = self.bump();
        let Some(service) = self.truth.services.get_mut("active") else { return };
        if asks {
            service.selector.insert("tier".into(), "front".into());
        } else {
            service.selector.remove("tier");
        }
        service.resource_version = version;
    }

    /// A person deletes a ReplicaSet, in the background: its pods go with it, unless a finalizer holds it.
    pub fn delete_replica_set(&mut self, hash: &str) {
        let version = self.bump();
        let Some(rs) = self.truth.replica_sets.iter_mut().find(|rs| rs.hash == *hash) else { return };
        if rs.finalizers.is_empty() {
            self.truth.replica_sets.retain(|rs| rs.hash != *hash);
            self.truth.pods.remove(hash);
        } else {
            rs.deleting = true;
            rs.resource_version = version;
        }
    }

    /// Somebody changes a ReplicaSet behind the operator's back.
    pub fn edit(&mut self, hash: &str, change: impl FnOnce(&mut ReplicaSet)) {
        let version = self.bump();
        let Some(rs) = self.truth.replica_sets.iter_mut().find(|rs| rs.hash == *hash) else { return };
        change(rs);
        rs.resource_version = version;
    }

    fn tamper(&mut self, place: usize, key: &str, value: Option<u8>) {
        let Some(hash) = self.hash_at(place) else { return };
        let soon = self.now + SignedDuration::from_secs(5);
        let value = match (key, value) {
            (_, None) => None,
            (_, Some(0)) => Some("nonsense".to_owned()),
            (names::DESIRED_REPLICAS | names::RETIRED_REPLICAS | names::REVISION, Some(number)) => {
                Some(number.to_string())
            }
            (names::TEMPLATE_DIGEST, Some(number)) => Some(Template::from(&template(number)).digest.to_string()),
            (names::REJECTED, Some(_)) => None,
            (_, Some(_)) => Some(soon.to_string()),
        };
        self.edit(&hash, |rs| match value {
            Some(value) => {
                if key == names::TEMPLATE_DIGEST {
                    rs.digest.clone_from(&value);
                }
                rs.annotations.insert(key.to_owned(), value);
            }
            None => {
                if key == names::TEMPLATE_DIGEST {
                    rs.digest.clear();
                }
                rs.annotations.remove(key);
            }
        });
    }

    /// Time passes.
    pub fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        let hashes: Vec<_> = self.truth.replica_sets.iter().map(|rs| rs.hash.clone()).collect();
        hashes.iter().for_each(|hash| self.count(hash));
    }

    /// The operator works, pods start, endpoints follow; a few seconds pass, and nothing else happens.
    pub fn work(&mut self) {
        for _ in 0..6 {
            assert!(self.operate(None), "it never rests");
            self.run_all_pods();
            self.catch_up();
            self.pass(2);
        }
        assert!(self.operate(None), "it never rests");
    }

    /// What the status says.
    pub fn status(&self) -> &BlueGreenRolloutStatus {
        self.truth.rollout.status.as_ref().expect("a status was published")
    }

    /// What is broken outside is mended: watches, Services, rivals, refusals, a pause.
    pub fn mend(&mut self) {
        self.behind.clear();
        self.refused.clear();
        self.refuses_analyses = false;
        self.ahead = SignedDuration::ZERO;
        self.have_workload(true);
        self.truth.rivals.clear();
        for name in SERVICES {
            self.have_service(name, true);
            self.argo(name, Argo::LetsGo);
        }
        self.ask_for_tier(false);
        if self.truth.rollout.spec.paused == Some(true) {
            self.change_spec(|spec| spec.paused = None);
        }
    }

    /// Everything outside is well, and time passes: what should come to rest does. Returns false if it does not.
    pub fn settle(&mut self) -> bool {
        self.mend();
        for _ in 0..40 {
            if !self.operate(None) {
                return false;
            }
            self.everything_runs();
            self.scale_down();
            self.pass(40);
        }
        self.operate(None)
    }

    /// All pods are ready, the endpoints are as the Services say, and every measurement is good.
    pub fn everything_runs(&mut self) {
        self.run_all_pods();
        self.pass(30);
        self.catch_up();
        for run in 0..self.truth.runs.len() {
            self.end_run(run, AnalysisPhase::Successful);
        }
    }

    /// The end, without times and names.
    pub fn end(&self) -> End {
        let digest = |hash: &str| self.truth.replica_sets.iter().find(|rs| rs.hash == hash).map(|rs| rs.digest.clone());
        let shown = |name: &str| self.truth.services.get(name).and_then(Service::hash).and_then(digest);
        End {
            shown: SERVICES.map(shown).into(),
            pods: self
                .truth
                .replica_sets
                .iter()
                .filter(|rs| rs.replicas > 0)
                .map(|rs| (rs.digest.clone(), rs.replicas))
                .collect(),
            phase: self.truth.rollout.status.as_ref().map_or("", |status| status.phase.as_str()),
        }
    }

    /// The Service that the spec names as active.
    pub fn active(&self) -> Option<&Service> {
        self.truth.active_services().next()
    }

    /// The hash that the active Service selects.
    pub fn serving(&self) -> Option<String> {
        self.active().and_then(Service::hash).map(str::to_owned)
    }

    /// The hash of the ReplicaSet of the spec's template.
    pub fn updated(&self) -> Option<String> {
        self.hash_of_digest(self.truth.rollout.template.digest.as_str())
    }

    /// The hash of a template's ReplicaSet.
    pub fn hash(&self, number: u8) -> String {
        let digest = Template::from(&template(number)).digest;
        self.hash_of_digest(digest.as_str()).unwrap_or_else(|| panic!("template {number} has no ReplicaSet"))
    }

    /// A template's ReplicaSet.
    pub fn rs(&self, number: u8) -> &ReplicaSet {
        let hash = self.hash(number);
        self.truth.replica_sets.iter().find(|rs| rs.hash == hash).expect("it was just found")
    }

    /// A template's ReplicaSet exists.
    pub fn has(&self, number: u8) -> bool {
        self.hash_of_digest(Template::from(&template(number)).digest.as_str()).is_some()
    }

    fn hash_of_digest(&self, digest: &str) -> Option<String> {
        self.truth.replica_sets.iter().find(|rs| rs.digest == digest).map(|rs| rs.hash.clone())
    }

    fn hash_at(&self, place: usize) -> Option<String> {
        let count = self.truth.replica_sets.len().max(1);
        self.truth.replica_sets.get(place % count).map(|rs| rs.hash.clone())
    }

    /// Every active Service selects one revision that exists and has pods.
    pub fn serves_something(&self) -> bool {
        let named: Vec<_> = self.truth.rollout.spec.blue_green().active_services().collect();
        let serves = |service: &Service| {
            let zero = self.truth.rollout.status.as_ref().and_then(|status| status.decisions.as_ref());
            let zero = zero.is_some_and(|decisions| decisions.replicas == 0);
            self.truth.replica_sets.iter().any(|rs| {
                service.selection() != greenlight_core::world::Selection::Unmanaged
                    && pods::selects(service, rs)
                    && (rs.replicas > 0 || zero)
            })
        };
        named.iter().all(|name| self.truth.services.get(*name).is_some_and(serves))
    }

    fn bump(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn touch_rollout(&mut self, spec: bool) {
        self.truth.rollout.resource_version = self.bump();
        if spec {
            self.truth.rollout.generation += 1;
        }
    }
}
