//! What the operator reports. All of it can be rebuilt from the Services and ReplicaSets; deleting it loses nothing but the
//! times of the last switch.

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
    /// Pods are starting, or a switch is being proven.
    Progressing,
    /// A revision waits in preview for a person or a timer.
    Paused,
    /// The spec is served, at full size, and proven so.
    Healthy,
    /// It needs somebody: see the message.
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
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
    /// Since when there are so many.
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

/// That somebody approves of a revision's promotion. Kept on its ReplicaSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Why a revision is not to be served. Kept on its ReplicaSet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Who rejected it: a person, or `greenlight`.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// Hash of the revision to serve instead, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
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
