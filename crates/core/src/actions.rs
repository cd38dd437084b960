//! What can be done, and in which order it is safe.
//!
//! The actions of a plan are carried out in order, each only if the one before succeeded. The order is the safety argument,
//! because stopping after any of them must leave production served:
//!
//! 1. what protects (finalizers) and what was decided (a completed request, a rejection) is written first;
//! 2. sets that are wanted are created, brought back and scaled up;
//! 3. the preview Service moves;
//! 4. the next set is claimed, a write whose answer is the live state that the switch is decided on; a new plan follows;
//! 5. the active Service moves, alone in its plan;
//! 6. old sets are marked as retired, and surplus history is deleted.
//!
//! No action here takes pods away from a set: that is left to the scale-down controller, see [`crate::retire`]. The exception
//! are the single pods of a restart, see [`crate::restart`].

use std::collections::{BTreeMap, BTreeSet};

use greenlight_api::{BlueGreenRolloutStatus, PodMetadata};
use jiff::Timestamp;

use crate::analysis::Kind;
use crate::events::Event;

/// What to do next.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Actions in order. When there are any, the world has changed after them: observe and plan again before anything else.
    pub actions: Vec<Action>,
    /// The status to publish once a plan has no actions.
    pub status: BlueGreenRolloutStatus,
    /// Events to record when that status is published.
    pub events: Vec<Event>,
    /// When the status may be published: `None` if it is as it was, otherwise not before this time.
    pub publish_at: Option<Timestamp>,
    /// What to watch until the next plan.
    pub watches: Watches,
    /// When to plan again if nothing happens before.
    pub next: Option<Timestamp>,
}

/// What a plan needs to see that is not watched all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watches {
    /// Services whose endpoints are needed, to prove a switch.
    pub endpoints: BTreeSet<String>,
    /// Hashes of the sets whose pods are needed, to say why they do not start, or to replace them.
    pub pods: BTreeSet<String>,
}

/// One write. Each is idempotent, and each that depends on what was read carries the resourceVersion that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Put the finalizer `greenlight.dev/services` on the rollout, before any Service selects a hash of it.
    HoldServices,
    /// Take that finalizer off, after no Service does.
    LetGo,
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
    /// Point a Service at a hash, or take the hash and our mark away.
    PointService {
        /// Its name.
        name: String,
        /// The resourceVersion that the decision was read at.
        resource_version: String,
        /// The hash to select.
        hash: Option<String>,
        /// Select what carries [`greenlight_api::names::SERVING_LABEL`] instead.
        overlap: bool,
    },
    /// Give the pods of a set, and those still to come, the labels and annotations of another role.
    ChangePodMetadata {
        /// Name of the set.
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
        /// The set that it is of, and goes with.
        set: String,
        /// The hash of that set.
        latest: String,
        /// The hash of the set that served before.
        stable: String,
    },
    /// Stop an analysis run.
    StopAnalysis {
        /// Its name.
        name: String,
    },
    /// Evict a pod, if it still is this one.
    EvictPod {
        /// Hash of its set.
        hash: String,
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// Record an event now, not with the status.
    Record(Event),
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
    pub fn set(&mut self, key: &'static str, value: impl ToString) {
        self.annotations.insert(key, Some(value.to_string()));
    }

    /// Removes an annotation, if it is there.
    pub fn unset(&mut self, set: &crate::world::ReplicaSet, key: &'static str) {
        if set.annotation(key).is_some() {
            self.annotations.insert(key, None);
        }
    }
}
