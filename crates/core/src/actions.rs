//! What can be done, and how it is done safely.
//!
//! The actions of a plan are carried out in order, each only if the one before succeeded, and stopping after any of them leaves
//! production served. In which order the steps of a release follow each other, and why, is the table in [`crate::steps::STEPS`].
//!
//! No action here takes pods away from a ReplicaSet that serves or may still get traffic: that is left to the scale-down
//! controller, see [`crate::retire`]. The exception are the single pods of a restart, see [`crate::restart`].

use std::collections::{BTreeMap, BTreeSet};

use greenlight_api::{BlueGreenRolloutStatus, PodMetadata, Rejection};
use jiff::Timestamp;

use crate::analysis::kind::Kind;
use crate::events::Event;
use crate::world::{ReplicaSet, Selection};

/// What to do next.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Actions in order. When there are any, the world has changed after them: observe and plan again before anything else.
    pub actions: Vec<Action>,
    /// The status to publish once a plan has no actions.
    pub status: BlueGreenRolloutStatus,
    /// The status holds a decision that must be written before it is acted upon: publish it, then plan again at once.
    pub replan: bool,
    /// Events to record when that status is published.
    pub events: Vec<Event>,
    /// When the status may be published: `None` if it is as it was, otherwise not before this time.
    pub publish_at: Option<Timestamp>,
    /// What to watch until the next plan.
    pub watches: Watches,
    /// When to plan again if nothing happens before.
    pub next: Option<Timestamp>,
    /// How urgent it is to carry this out.
    pub urgency: Urgency,
    /// What was asked of the controllers of Kubernetes is not done: pods do not exist yet, or no EndpointSlice shows those that are
    /// available. What waits for the pods themselves, or for a person, is not in flight.
    pub in_flight: bool,
    /// Nothing serves yet.
    pub is_first_deployment: bool,
    /// What was observed cannot be believed: read everything live ([`crate::World::live`]) and plan again. The rest is empty.
    pub doubt: Option<Doubt>,
}

/// How urgent a plan is beside those of other rollouts, when there is more to do than can be done at once. In this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Urgency {
    /// It moves production, or is on the way to: an undo, a promotion, a way back, a hash that was lost. Not the first deployment.
    Traffic,
    /// It finishes what has begun: previews, proofs, what is retired, what is told.
    Follow,
    /// It begins a revision beside what serves, or tidies up.
    Begin,
    /// It begins a first deployment: nobody depends on it yet.
    FirstDeployment,
}

impl Urgency {
    /// The most urgent first.
    pub const ALL: [Urgency; 4] = [Urgency::Traffic, Urgency::Follow, Urgency::Begin, Urgency::FirstDeployment];
}

/// Why what was observed cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A ReplicaSet was changed by somebody who knew a newer state of the rollout.
    RolloutIsOld,
    /// What serves by the record is not among the ReplicaSets.
    ProductionIsMissing,
    /// The template of the Deployment that it comes from is another one than the record says.
    TemplateHasChanged,
    /// What production leaves has no ready pod, so it would go to what is not whole.
    ProductionHasNoPods,
    /// The Services lead elsewhere than the record says, and it was not this operator that moved them.
    ProductionHasMoved,
    /// A request is about to be refused. What it speaks of may be there, and only not seen yet.
    RequestIsRefused,
    /// The rollout goes, and a Service is about to lose the hash of a ReplicaSet that may be left behind.
    ReplicaSetsMayStay,
    /// A request is about to be carried out, and the Deployment that the template comes from may have another one by now.
    TemplateMayHaveChanged,
}

impl Doubt {
    /// In a word, for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Doubt::RolloutIsOld => "the rollout is older than a ReplicaSet says",
            Doubt::ProductionIsMissing => "what serves is missing",
            Doubt::TemplateHasChanged => "the Deployment has another template",
            Doubt::ProductionHasNoPods => "production has no ready pods",
            Doubt::ProductionHasMoved => "production has moved",
            Doubt::RequestIsRefused => "a request is about to be refused",
            Doubt::ReplicaSetsMayStay => "its ReplicaSets may stay when it goes",
            Doubt::TemplateMayHaveChanged => "a request is about to be carried out on what a Deployment asks for",
        }
    }
}

/// What a plan needs to see that is not watched all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watches {
    /// Services whose endpoints are needed, to prove a switch, or that a preview shows what is to be measured.
    pub endpoints: BTreeSet<String>,
    /// Hashes of the ReplicaSets whose pods are needed, to replace them.
    pub pods: BTreeSet<String>,
    /// Hashes of the ReplicaSets whose pods are needed, to say why they do not start. Not at once, and not of all that are stuck at a
    /// time.
    pub stuck: BTreeSet<String>,
}

/// One write. Each is idempotent, and each that depends on what was read carries the resourceVersion that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Put the finalizer `greenlight.dev/services` on the rollout, before any Service selects a hash of it.
    AddFinalizer,
    /// Take that finalizer off, after no Service does.
    RemoveFinalizer,
    /// Write a bare verb out as a full request, so that it speaks of the revision that it was meant for.
    CompleteRequest {
        /// The annotation's new value.
        value: String,
    },
    /// Create the ReplicaSet of the template whose digest is this. If the template has changed since, nothing is created.
    CreateReplicaSet {
        /// Its name.
        name: String,
        /// Its hash.
        hash: String,
        /// Digest of the template that it is for.
        digest: String,
        /// Its pods.
        replicas: i32,
        /// Its annotations.
        annotations: BTreeMap<&'static str, String>,
        /// What its pods carry for their role.
        pod_metadata: PodMetadata,
        /// What to tell when it was created, and not merely found.
        event: Event,
    },
    /// Change a ReplicaSet: scale, revive, retire, reject, or mark it.
    ChangeReplicaSet {
        /// Its name.
        name: String,
        /// The resourceVersion that the decision was read at.
        resource_version: String,
        /// What to change.
        change: Change,
    },
    /// Delete a ReplicaSet that has no pods.
    DeleteReplicaSet {
        /// Its name.
        name: String,
        /// The resourceVersion that the decision was read at.
        resource_version: String,
    },
    /// Change what a Service selects of our revisions, and its marks.
    SelectRevision {
        /// Its name.
        name: String,
        /// The resourceVersion that the decision was read at.
        resource_version: String,
        /// What to select. `Unmanaged` takes the marks away, too.
        selection: Selection,
        /// The revision that it carries as production from now on; `None` if it is a preview or let go.
        production: Option<String>,
        /// The rejections that go with the move, by hash ([`greenlight_api::names::REJECTED`]); all others are taken off.
        rejections: BTreeMap<String, Rejection>,
        /// What to tell when it was moved, if that takes back what a person did.
        event: Option<Event>,
    },
    /// Note on a Service which claims nobody follows any more, so that an operator with an older state of it cannot move it.
    WithdrawClaims {
        /// Its name.
        name: String,
        /// The resourceVersion that the decision was read at.
        resource_version: String,
        /// The claims.
        claims: String,
    },
    /// Take the marks off a Service that somebody else moves by now. What it selects stays.
    RemoveMarks {
        /// Its name.
        name: String,
        /// The resourceVersion that the decision was read at.
        resource_version: String,
    },
    /// Give the pods of a ReplicaSet, and those still to come, the labels and annotations of another role.
    ChangePodMetadata {
        /// Name of the ReplicaSet.
        name: String,
        /// The resourceVersion that the decision was read at.
        resource_version: String,
        /// Its hash.
        hash: String,
        /// What they carry.
        from: PodMetadata,
        /// What they are to carry.
        to: PodMetadata,
    },
    /// Scale the Deployment that the template comes from.
    ScaleWorkload {
        /// Its name.
        name: String,
        /// The resourceVersion that the decision was read at.
        resource_version: String,
        /// Its pods.
        replicas: i32,
    },
    /// Start an analysis run.
    StartAnalysis {
        /// Its name.
        name: String,
        /// Which analysis.
        kind: Kind,
        /// The ReplicaSet that it is of, and goes with.
        replica_set: String,
        /// The hash of that ReplicaSet.
        latest: String,
        /// The hash of the one that served before.
        stable: String,
    },
    /// Stop an analysis run.
    StopAnalysis {
        /// Its name.
        name: String,
    },
    /// Evict a pod, if it still is this one.
    EvictPod {
        /// Hash of its ReplicaSet.
        hash: String,
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
        /// The resourceVersion that the decision was read at.
        resource_version: String,
    },
}

impl Action {
    /// What it writes to: kind and name of an object, or what of it.
    pub fn target(&self, rollout: &str) -> String {
        match self {
            Action::AddFinalizer | Action::RemoveFinalizer | Action::CompleteRequest { .. } => {
                format!("BlueGreenRollout {rollout}")
            }
            // What a policy may refuse for ever, and all else must not wait for.
            Action::ChangeReplicaSet { name, change, .. } if change.replicas.is_some() => {
                format!("the size of ReplicaSet {name}")
            }
            Action::ChangePodMetadata { name, .. } => format!("the pods of ReplicaSet {name}"),
            Action::CreateReplicaSet { name, .. }
            | Action::ChangeReplicaSet { name, .. }
            | Action::DeleteReplicaSet { name, .. } => format!("ReplicaSet {name}"),
            Action::SelectRevision { name, .. }
            | Action::WithdrawClaims { name, .. }
            | Action::RemoveMarks { name, .. } => {
                format!("Service {name}")
            }
            Action::ScaleWorkload { name, .. } => format!("Deployment {name}"),
            Action::StartAnalysis { name, .. } | Action::StopAnalysis { name } => format!("AnalysisRun {name}"),
            Action::EvictPod { name, .. } => format!("Pod {name}"),
        }
    }
}

/// A change of a ReplicaSet. What is `None` or absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// `spec.replicas`.
    pub replicas: Option<i32>,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: Option<i32>,
    /// Annotations to set, or with `None` to remove.
    pub annotations: BTreeMap<&'static str, Option<String>>,
    /// All finalizers.
    pub finalizers: Option<Vec<String>>,
}

impl Change {
    /// Nothing to change.
    pub fn is_empty(&self) -> bool {
        *self == Change::default()
    }

    /// Sets an annotation.
    pub fn annotate(&mut self, key: &'static str, value: impl ToString) {
        self.annotations.insert(key, Some(value.to_string()));
    }

    /// Removes an annotation, if it is there.
    pub fn remove_annotation(&mut self, rs: &ReplicaSet, key: &'static str) {
        if rs.annotation(key).is_some() {
            self.annotations.insert(key, None);
        }
    }

    /// The action that makes this change, if there is one to make.
    pub fn into_action(self, rs: &ReplicaSet) -> Option<Action> {
        let (name, resource_version) = (rs.name.clone(), rs.resource_version.clone());
        (!self.is_empty()).then_some(Action::ChangeReplicaSet { name, resource_version, change: self })
    }
}
