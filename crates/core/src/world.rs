//! What was observed, reduced to what decisions need.

use std::collections::BTreeMap;

use greenlight_api::{
    AnalysisPhase, Approval, BlueGreenRolloutSpec, BlueGreenRolloutStatus, PodTemplate, Rejection, names,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hash::Digest;

/// Everything that a plan is made from.
#[derive(Clone, Debug)]
pub struct World {
    /// The rollout.
    pub rollout: Rollout,
    /// The ReplicaSets that it controls.
    pub sets: Vec<ReplicaSet>,
    /// The Services that it names, by name, and those that still carry its mark. Missing ones are absent.
    pub services: BTreeMap<String, Service>,
    /// The Deployment that the template comes from, if it exists.
    pub workload: Option<Workload>,
    /// The other rollouts of the namespace that name one of its Services.
    pub rivals: Vec<Rival>,
    /// The endpoints of each Service that the last plan asked to watch; absent until they are known.
    pub endpoints: BTreeMap<String, Vec<Endpoint>>,
    /// The pods of each set that the last plan asked to watch, by its hash; absent until they are known.
    pub pods: BTreeMap<String, Vec<Pod>>,
    /// Its analysis runs.
    pub runs: Vec<Run>,
    /// The last analysis that could not begin, since the operator started.
    pub analysis_refused: Option<AnalysisRefused>,
    /// The last eviction that the API server refused, since the operator started.
    pub eviction_refused: Option<EvictionRefused>,
    /// The template that the API server refused to make a ReplicaSet of, if it did, since the operator started.
    pub refused: Option<Refusal>,
    /// When the operator last wrote the status, if it did so since it started.
    pub published_at: Option<Timestamp>,
}

impl World {
    /// The template comes from a workload that does not exist: nobody knows what is asked for.
    pub fn template_is_unknown(&self) -> bool {
        self.rollout.spec.workload_ref.is_some() && self.workload.is_none()
    }
}

/// A rollout, without its template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// `metadata.labels`; for choosing who is told of it.
    pub labels: BTreeMap<String, String>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Creation time.
    pub created: Timestamp,
    /// It is being deleted.
    pub deleting: bool,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// Value of the annotation `greenlight.dev/request`.
    pub request: Option<String>,
    /// The spec; its template is empty.
    pub spec: BlueGreenRolloutSpec,
    /// What decisions need of the template; that of the workload, if it comes from one.
    pub template: Template,
    /// The status that was last written, if there is one.
    pub status: Option<BlueGreenRolloutStatus>,
}

/// A Deployment that a template comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Name.
    pub name: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `spec.replicas`.
    pub replicas: i32,
    /// What decisions need of its template.
    pub template: Template,
}

/// What decisions need of a pod template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Digest of the template as stored.
    pub digest: Digest,
    /// Labels of its pods, without the hash.
    pub labels: BTreeMap<String, String>,
    /// The first container's image and the version, for messages.
    pub image: String,
}

impl From<&PodTemplate> for Template {
    fn from(template: &PodTemplate) -> Template {
        Template { digest: Digest::of(template), labels: template.labels(), image: template.title() }
    }
}

/// A ReplicaSet of the rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSet {
    /// Name.
    pub name: String,
    /// Value of the hash label.
    pub hash: String,
    /// Digest of its template; empty if somebody removed the annotation.
    pub digest: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Creation time.
    pub created: Timestamp,
    /// It is being deleted.
    pub deleting: bool,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// Its annotations of the group `greenlight.dev`.
    pub annotations: BTreeMap<String, String>,
    /// `spec.replicas`.
    pub replicas: i32,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: i32,
    /// The ReplicaSet controller has seen the current spec.
    pub settled: bool,
    /// `status.replicas`.
    pub current: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// Why pods cannot be created, in the words of the ReplicaSet controller.
    pub failure: Option<String>,
    /// These facts come from an answer of the API server within this very reconcile, not from a cache.
    pub live: bool,
}

impl ReplicaSet {
    /// The revision number; 0 if it has none.
    pub fn revision(&self) -> i64 {
        self.annotation(names::REVISION).and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// When it was last promoted, if it ever was.
    pub fn promoted_at(&self) -> Option<Timestamp> {
        self.timestamp(names::PROMOTED_AT)
    }

    /// Who approves of its promotion. A value that does not parse approves of nothing.
    pub fn approvals(&self) -> Vec<Approval> {
        self.annotation(names::APPROVALS).and_then(|value| serde_json::from_str(value).ok()).unwrap_or_default()
    }

    /// Why it is not to be served, if it was rejected. A value that does not parse still counts as a rejection.
    pub fn rejection(&self) -> Option<Rejection> {
        let value = self.annotation(names::REJECTED)?;
        let unreadable = || Rejection {
            by: "unknown".into(),
            at: self.created,
            reason: format!("the annotation {} is not readable", names::REJECTED),
            to: None,
        };
        Some(serde_json::from_str(value).unwrap_or_else(|_| unreadable()))
    }

    /// It carries the scale-down finalizer or a deadline, readable or not: it is the scale-down controller's.
    pub fn retired(&self) -> bool {
        self.has_scale_down_finalizer() || self.annotation(names::SCALE_DOWN_AT).is_some()
    }

    /// It carries the scale-down finalizer.
    pub fn has_scale_down_finalizer(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == names::SCALE_DOWN_FINALIZER)
    }

    /// When it is to be scaled down; `None` also if the deadline does not parse.
    pub fn scale_down_at(&self) -> Option<Timestamp> {
        self.timestamp(names::SCALE_DOWN_AT)
    }

    /// When its size was last changed by the operator.
    pub fn scaled_at(&self) -> Timestamp {
        self.timestamp(names::SCALED_AT).unwrap_or(self.created)
    }

    /// The rollout's `replicas` that this set was last meant to serve.
    pub fn desired_replicas(&self) -> i32 {
        self.annotation(names::DESIRED_REPLICAS).and_then(|number| number.parse().ok()).unwrap_or(self.replicas)
    }

    /// All of `wanted` pods are available, and the ReplicaSet controller has seen that so many are wanted.
    pub fn is_available(&self, wanted: i32) -> bool {
        self.settled && self.replicas >= wanted && self.available >= wanted
    }

    /// One of its annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// The time in one of its annotations; `None` also if it does not parse.
    pub fn timestamp(&self, key: &str) -> Option<Timestamp> {
        self.annotation(key)?.parse().ok()
    }
}

/// A Service that the rollout names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Name.
    pub name: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// It is being deleted.
    pub deleting: bool,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// The rollout that last moved it.
    pub managed_by: Option<String>,
}

impl Service {
    /// It selects two revisions at once.
    pub fn is_overlapping(&self) -> bool {
        self.hash().is_none() && self.selector.contains_key(names::SERVING_LABEL)
    }

    /// The hash that it selects, if it does.
    pub fn hash(&self) -> Option<&str> {
        self.selector.get(names::HASH_LABEL).map(String::as_str)
    }
}

/// Another rollout that names one of the same Services.
#[derive(Clone, Debug, PartialEq)]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// Its creation time.
    pub created: Timestamp,
    /// The Services that it names.
    pub services: Vec<String>,
}

/// An endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod that it leads to; empty if it is none.
    pub pod: String,
    /// It gets traffic.
    pub ready: bool,
}

/// A pod of a ReplicaSet that does not become available, or whose pods are being replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Creation time.
    pub created: Timestamp,
    /// It is being deleted.
    pub deleting: bool,
    /// It is ready.
    pub ready: bool,
    /// Value of `controller.kubernetes.io/pod-deletion-cost`; the cheapest goes first.
    pub deletion_cost: i32,
    /// Why it is not, in one word (`ImagePullBackOff`, `Unschedulable`), if it says so.
    pub reason: String,
    /// More words to it, possibly none.
    pub message: String,
}

/// An analysis run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Name.
    pub name: String,
    /// Outcome so far.
    pub phase: AnalysisPhase,
    /// Why, or how far it is.
    pub message: String,
    /// When it was over.
    pub completed_at: Option<Timestamp>,
    /// It was asked to stop.
    pub terminating: bool,
}

/// An analysis that could not begin.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalysisRefused {
    /// Name of the run.
    pub run: String,
    /// Why.
    pub message: String,
    /// When to try again.
    pub retry_at: Timestamp,
}

/// An eviction that a PodDisruptionBudget does not allow at the moment.
#[derive(Clone, Debug, PartialEq)]
pub struct EvictionRefused {
    /// Name of the pod.
    pub pod: String,
    /// The server's words.
    pub message: String,
    /// When to try again.
    pub retry_at: Timestamp,
}

/// A template that the API server refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Digest of the template.
    pub digest: String,
    /// The server's words.
    pub message: String,
    /// When to try again.
    pub retry_at: Timestamp,
}
