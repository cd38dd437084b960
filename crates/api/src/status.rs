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
    /// What it is doing or what it waits for, in a sentence.
    #[serde(default)]
    pub message: String,
    /// The generation of the spec that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// Pods of the active ReplicaSet.
    #[serde(default)]
    pub replicas: i32,
    /// Ready pods of the active ReplicaSet.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Pods of the active ReplicaSet that have been ready for `minReadySeconds`.
    #[serde(default)]
    pub available_replicas: i32,
    /// Ready out of desired pods of the active ReplicaSet, as `kubectl get` shows it.
    #[serde(default)]
    pub ready: String,
    /// Label selector of the active pods, for autoscalers.
    #[serde(default)]
    pub selector: String,
    /// No active pod is older than the restart that was asked for at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub restarted_at: Option<Timestamp>,
    /// Number of the revision that the spec asks for.
    #[serde(default)]
    pub current_revision: i64,
    /// Hash of the revision that the spec asks for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub updated_revision: String,
    /// Hash of the revision that the active Service selects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub active_revision: String,
    /// Hash of the revision that the preview Service selects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preview_revision: String,
    /// Hash of the last revision whose switch was proven.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stable_revision: String,
    /// Hash of the revision that the spec asks for and that was rejected.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rejected_revision: String,
    /// How far the revision that the spec asks for has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// The last move of the active Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
    /// The last progress of a revision whose pods are starting; `progressDeadlineSeconds` counts from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The last request, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_request: Option<ObservedRequest>,
    /// What was decided, by people and by the operator. It is written before it is acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Decisions>,
    /// Conditions: Ready, Reconciling, Stalled (kstatus), Available, Paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// The way of a revision to its promotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Hash of the revision.
    pub revision: String,
    /// When the operator saw that the spec asks for it.
    #[schemars(with = "String")]
    pub seen_at: Timestamp,
    /// Since when it is ready for tests, if it had to wait for its promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub preview_ready_at: Option<Timestamp>,
}

/// A move of the active Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    /// Hash that it left; empty for the first deployment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Hash that it moved to.
    pub to: String,
    /// When a person asked for it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub requested_at: Option<Timestamp>,
    /// Who asked for it, if somebody did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requested_by: String,
    /// When the selector was moved.
    #[schemars(with = "String")]
    pub switched_at: Timestamp,
    /// When the EndpointSlices showed only pods of the new revision, and enough of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub proven_at: Option<Timestamp>,
}

/// How far a revision has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Hash of the revision.
    pub revision: String,
    /// Its available pods then.
    pub available_replicas: i32,
    /// The most of its pods that have been ready at once since then. With `minReadySeconds` they are ready before they are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Since when there are so many of both.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// The last request and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedRequest {
    /// The annotation's value, to the letter.
    pub value: String,
    /// False when it was refused.
    pub accepted: bool,
    /// What came of it, or why it was refused and what to ask instead.
    pub answer: String,
}

/// What was decided, and what later decisions need to remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decisions {
    /// Hash of the revision that carries production; empty while none does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serving: String,
    /// Pods that production is to have. It follows `spec.replicas` when that is changed alone; a change that came together with
    /// a template belongs to that template's revision until it is promoted.
    #[serde(default)]
    pub replicas: i32,
    /// `spec.replicas` when it was last looked at.
    #[serde(default)]
    pub spec_replicas: i32,
    /// Digest of the template that the spec asked for when it was last looked at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// One entry a revision; as many as the history keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<RevisionRecord>,
    /// Since when production has no available pod although it should have some; `autoRollback` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub unavailable_since: Option<Timestamp>,
    /// Pods that were created before this time are to be replaced, because somebody asked for a restart then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub restart_requested_at: Option<Timestamp>,
    /// Digest of the template that the spec asked for when the record was lost, if another one served: it may have been
    /// rejected, so it waits for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub held_template: String,
    /// The Services that the spec named as active when it was last looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_services: Vec<String>,
    /// The requests that were answered lately, as digests: none is carried out twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<String>,
    /// Something served behind the active Services before this rollout, or before its record was lost, and nobody knows what.
    /// Then even the first switch passes the gate.
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

/// What was decided about one revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRecord {
    /// Its hash.
    pub hash: String,
    /// Digest of its template.
    pub digest: String,
    /// Its number, counted from 1. A template that comes back gets a new one.
    pub number: i64,
    /// UID of its ReplicaSet; empty if it has none (any more).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// When it was last proven to carry production. Only a revision that has this is something to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub served_at: Option<Timestamp>,
    /// What its ReplicaSet said of when it was last confirmed (`greenlight.dev/confirmed-at`) when that was proven. A Service that is
    /// put on it later changes it there, and then the proof is made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub confirmed_at: Option<Timestamp>,
    /// The claim by which it last came to carry production (`greenlight.dev/promoted-at`, as it was then). A ReplicaSet with another one
    /// was about to, and did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub claim: Option<Timestamp>,
    /// When production left it, if it did. Its delay counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub left_at: Option<Timestamp>,
    /// How often production had moved when it came to this one last. What served is ordered by it, since the clocks of operators may be
    /// apart.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turn: u32,
    /// Why it is not to be served, if it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// How often it was started over. Each attempt needs its own analyses and approvals.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// Who asked for its promotion in this attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// It served before and came back within `rollbackWindow`, or while it was still up and nobody was asked: it needs no gate and no analysis.
    #[serde(default, skip_serializing_if = "is_false")]
    pub returned: bool,
    /// It returned because it was still up, and outside `rollbackWindow`: that counts only as long as the spec asks nobody for promotions.
    #[serde(default, skip_serializing_if = "is_false")]
    pub returned_unasked: bool,
    /// When its preview became available; `autoPromotionSeconds` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub preview_ready_at: Option<Timestamp>,
    /// How its pre-promotion analysis ended, once it needs no (more) looking at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_promotion: Option<Verdict>,
    /// How its post-promotion analysis ended, once it needs no (more) looking at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_promotion: Option<Verdict>,
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

/// How an analysis ended, for a revision that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// It was good.
    Passed,
    /// It came to no conclusion, and a person promoted the revision all the same.
    Accepted,
    /// None was asked for, or there was nothing to compare with.
    NotNeeded,
}

/// That somebody asked for a revision's promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Who; may be empty where one approval is enough.
    #[serde(default)]
    pub by: String,
    /// When, by the clock of whoever asked.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// When the operator heard it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub heard_at: Option<Timestamp>,
    /// Without waiting for analyses (`promote-full`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub full: bool,
    /// Why, in the words of whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a revision is not to be served. Mirrored on its ReplicaSet while it matters, so that it outlives a lost status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Who rejected it: a person, or `greenlight`.
    pub by: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// Hash of the revision to serve instead, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// It served before, and Greenlight gave up an attempt to promote it anew (after a revert, say). It is no candidate until it is retried,
    /// and still something to go back to.
    #[serde(default, skip_serializing_if = "is_false")]
    pub of_attempt: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
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
