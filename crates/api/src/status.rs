//! What the operator reports, and what was decided.
//!
//! Which revision serves is read from the Services, so a lost status moves nothing. What was *decided* is written in
//! [`Decisions`], and only there: nobody but the operator may write the status, while a ReplicaSet can be annotated by whoever
//! may edit it. A lost status therefore opens nothing; rejections come back from their mirrors on the ReplicaSets.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The state of a rollout in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing was created yet.
    #[default]
    Pending,
    /// Pods are starting, or the operator waits for the EndpointSlices to confirm a switch.
    Progressing,
    /// A revision waits in preview for a person or a timer.
    Paused,
    /// The requested revision serves traffic at full size, confirmed by EndpointSlices.
    Healthy,
    /// Somebody has to act; the message names why.
    Degraded,
}

impl Phase {
    /// The word as it stands in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Progressing => "Progressing",
            Phase::Paused => "Paused",
            Phase::Healthy => "Healthy",
            Phase::Degraded => "Degraded",
        }
    }
}

/// Observed state of a rollout.
// Written as a whole. Otherwise server-side apply would take away only what managedFields say that the operator wrote, and whoever may patch the
// rollout can empty those: an old proof would be left standing beside a new switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct BlueGreenRolloutStatus {
    /// The state in one word.
    #[serde(default)]
    pub phase: Phase,
    /// What the rollout does, or what it waits for, in a sentence.
    #[serde(default)]
    pub message: String,
    /// The `metadata.generation` that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// Number of pods of the active ReplicaSet.
    #[serde(default)]
    pub replicas: i32,
    /// Number of ready pods of the active ReplicaSet.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Number of pods of the active ReplicaSet that have been ready for `minReadySeconds`.
    #[serde(default)]
    pub available_replicas: i32,
    /// Ready pods of the active ReplicaSet, out of those that it should have, for example `2/3`. `kubectl get` shows it.
    #[serde(default)]
    pub ready: String,
    /// Label selector of the active pods, for autoscalers.
    #[serde(default)]
    pub selector: String,
    /// The restart that was requested at this time is complete: no active pod is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub restarted_at: Option<Timestamp>,
    /// Number of the revision of the spec's template.
    #[serde(default)]
    pub current_revision: i64,
    /// Hash of the revision of the spec's template.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub updated_revision: String,
    /// Hash of the revision that the active Service selects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub active_revision: String,
    /// Hash of the revision that the preview Service selects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preview_revision: String,
    /// Hash of the last revision whose switch the EndpointSlices confirmed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stable_revision: String,
    /// Hash of the revision of the spec's template, if that revision is rejected.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rejected_revision: String,
    /// The release of the spec's template so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// The last move of the active Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
    /// The last progress of a revision whose pods start, or whose switch is being proven. `progressDeadlineSeconds` counts from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The last request, and the operator's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_request: Option<ObservedRequest>,
    /// The record: what people and the operator decided. The operator writes it before it acts on it, unless the objects that it changes tell of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Decisions>,
    /// Conditions: Ready, Reconciling, Stalled (kstatus), Available, Paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// The release of a revision, up to its promotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Hash of the revision.
    pub revision: String,
    /// When the operator first saw its template in the spec.
    #[schemars(with = "String")]
    pub seen_at: Timestamp,
    /// Since when it has been ready for tests in preview, if it had to wait for its promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub preview_ready_at: Option<Timestamp>,
}

/// A move of the active Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    /// Hash of the revision that the Service selected before. Empty for the first deployment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Hash of the revision that the Service selects since then.
    pub to: String,
    /// When a person requested it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub requested_at: Option<Timestamp>,
    /// Who requested it, if somebody did: a person, or the field manager that moved the active Service by hand.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requested_by: String,
    /// When the operator changed the selector.
    #[schemars(with = "String")]
    pub switched_at: Timestamp,
    /// When the EndpointSlices confirmed the switch: they showed only pods of the new revision, and enough of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub proven_at: Option<Timestamp>,
}

/// The last progress of a revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Hash of the revision.
    pub revision: String,
    /// Number of its available pods at that time.
    pub available_replicas: i32,
    /// The highest number of its pods that were ready at the same time since then. With `minReadySeconds`, pods are ready before they
    /// are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// When one of the two numbers last rose.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// The last request, and the operator's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedRequest {
    /// The value of the annotation `greenlight.dev/request`, unchanged. Of a longer value the first 1024 bytes.
    pub value: String,
    /// True if the operator accepted the request, false if it refused.
    pub accepted: bool,
    /// What the operator did, or why it refused, and what to request instead.
    pub answer: String,
}

/// The record of decisions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decisions {
    /// Hash of the revision that carries production. Empty while none does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serving: String,
    /// Number of pods that production should have. It follows `spec.replicas` if that changes alone. If `spec.replicas` and the template
    /// change together, the number belongs to the new revision until its promotion.
    #[serde(default)]
    pub replicas: i32,
    /// `spec.replicas` when the operator last read it.
    #[serde(default)]
    pub spec_replicas: i32,
    /// Digest of the spec's template when the operator last read it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// One entry for each revision in the history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<RevisionRecord>,
    /// Since when production has had no available pod, although it should have some. `autoRollback` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub unavailable_since: Option<Timestamp>,
    /// When somebody last requested a restart. Pods that were created earlier are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub restart_requested_at: Option<Timestamp>,
    /// Digest of the spec's template when the record was lost, if another revision served at that time. The template may have been
    /// rejected, so it waits for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub held_template: String,
    /// The active Services in the spec when the operator last read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_services: Vec<String>,
    /// Digests of the last requests that the operator answered. It carries none of them out twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<String>,
    /// True if other pods served behind the active Services before this rollout, or before its record was lost. Then the first
    /// switch has to pass the gate, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_the_first: bool,
}

impl Decisions {
    /// The entry of the revision with this hash.
    pub fn revision(&self, hash: &str) -> Option<&RevisionRecord> {
        self.revisions.iter().find(|revision| revision.hash == hash)
    }

    /// Whether a ReplicaSet with this UID is one of the record's.
    pub fn knows(&self, uid: &str) -> bool {
        self.revisions.iter().any(|revision| revision.uid == uid)
    }

    /// The entry of the revision with this hash, to be changed.
    pub fn revision_mut(&mut self, hash: &str) -> Option<&mut RevisionRecord> {
        self.revisions.iter_mut().find(|revision| revision.hash == hash)
    }

    /// Why production may not go to the revision with this hash, if it was rejected for more than an attempt.
    pub fn bar(&self, hash: &str) -> Option<&Rejection> {
        self.rejection(hash).filter(|rejection| !rejection.of_attempt)
    }

    /// Why the template of this digest is not to be served, if it was rejected, under whatever hash.
    pub fn rejection_of_template(&self, digest: &str) -> Option<&Rejection> {
        let of_digest = self.revisions.iter().filter(|revision| revision.digest == digest);
        of_digest.filter_map(|revision| revision.rejection.as_ref()).next()
    }

    /// Why the revision with this hash is not to be served, if it was rejected.
    pub fn rejection(&self, hash: &str) -> Option<&Rejection> {
        self.revision(hash)?.rejection.as_ref()
    }
}

/// The decisions about one revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRecord {
    /// The revision's hash.
    pub hash: String,
    /// Digest of its template.
    pub digest: String,
    /// The revision's number, counted from 1. A template that returns gets a new number.
    pub number: i64,
    /// UID of its ReplicaSet. Empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// When the EndpointSlices last confirmed that it carries production. Production can only go back to a revision that has this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub served_at: Option<Timestamp>,
    /// The value of its ReplicaSet's annotation `greenlight.dev/confirmed-at` at that time. If a Service is pointed at the revision later,
    /// the annotation changes, and the EndpointSlices have to confirm it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub confirmed_at: Option<Timestamp>,
    /// The claim with which it last came to carry production: the value of its ReplicaSet's annotation `greenlight.dev/promoted-at` at
    /// that time. If the annotation has another value now, a later promotion of it was begun and did not happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub claim: Option<Timestamp>,
    /// When production left it. Its delay counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub left_at: Option<Timestamp>,
    /// Number of pods with which production came to it. When production leaves it, the number of its available pods, if that is larger.
    /// Production waits for these. It does not wait for more while the additional ones have no room.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub served_with: i32,
    /// The number of moves of production, up to the last one to this revision. It orders the revisions that served, because the clocks
    /// of two operators may differ.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turn: u32,
    /// Its rejection, if it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// How often it was started again. Each attempt needs its own analyses and approvals.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// The requests for its promotion in this attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// True if it needs no gate and no analysis. It served before, and it returned within `rollbackWindow`, or while it still had its pods
    /// and the spec required no person.
    #[serde(default, skip_serializing_if = "is_false")]
    pub returned: bool,
    /// True if it returned because it still had its pods, and outside `rollbackWindow`. This counts only as long as the spec requires no
    /// person for a promotion.
    #[serde(default, skip_serializing_if = "is_false")]
    pub returned_unasked: bool,
    /// When its preview became ready. `autoPromotionSeconds` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub preview_ready_at: Option<Timestamp>,
    /// The result of its pre-promotion analysis, once it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_promotion: Option<Verdict>,
    /// The result of its post-promotion analysis, once it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_promotion: Option<Verdict>,
    /// True if it served and was found good, and was started again since. If production goes back to it, it needs no other
    /// post-promotion analysis. If it is promoted, it needs one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub was_good: bool,
}

impl RevisionRecord {
    /// Production may go back to it: it was proven to carry production, and has not been rejected since for more than an attempt.
    pub fn may_serve_again(&self) -> bool {
        self.served_at.is_some() && self.rejection.as_ref().is_none_or(|rejection| rejection.of_attempt)
    }

    /// Where it stands among what served; the last one is the highest. `None` if production was never proven to be with it.
    pub fn served_order(&self) -> Option<(u32, Timestamp)> {
        // Versions without turns went by when production was proven to be there, or left.
        self.served_at.map(|served_at| (self.turn, self.left_at.map_or(served_at, |left_at| left_at.max(served_at))))
    }
}

/// The result of an analysis, for a revision that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// The analysis was successful.
    Passed,
    /// The analysis was inconclusive, and a person promoted the revision.
    Accepted,
    /// The spec has no such analysis, or this is the first deployment.
    NotNeeded,
}

/// A request for a revision's promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Who requested it. May be empty if one approval is enough.
    #[serde(default)]
    pub by: String,
    /// When it was requested, by that person's clock.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// When the operator accepted it.
    // Earlier builds called it `heard_at`.
    #[serde(default, alias = "heard_at", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub heard_at: Option<Timestamp>,
    /// True for `promote-full`: without waiting for gates and analyses.
    #[serde(default, skip_serializing_if = "is_false")]
    pub full: bool,
    /// The reason that the person gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The rejection of a revision. The operator copies it to the ReplicaSet, so that it is not lost with the status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Who rejected it: a person, `greenlight`, or the field manager that moved the active Service by hand.
    pub by: String,
    /// When it was rejected.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Why it was rejected.
    pub reason: String,
    /// Hash of the revision that production should go to, if the person named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// True if the operator gave up a new attempt to promote a revision that served before, for example after a revert in Git. The
    /// revision needs `retry` before it can be promoted. Production can still go back to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub of_attempt: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn conditions_schema(generator: &mut SchemaGenerator) -> Schema {
    let condition = generator.subschema_for::<Condition>();
    json_schema!({
        "type": "array",
        "items": condition,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"]
    })
}
