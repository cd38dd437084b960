//! The spec: Argo Rollouts' blue-green fields, with its names and its defaults.
#![allow(clippy::duplicated_attributes)] // each printer column has a type of its own, in one attribute

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::core::crd::CustomResourceExt;
use kube::core::{Expression, Selector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::HASH_LABEL;
use crate::{BlueGreenRolloutStatus, PodTemplate, RolloutAnalysis, patterns};

/// A Deployment with a switch: every pod template gets a ReplicaSet of its own, a preview Service shows the new one, and a
/// promotion moves the active Service from the old to the new.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "greenlight.dev",
    version = "v1alpha1",
    kind = "BlueGreenRollout",
    plural = "bluegreenrollouts",
    singular = "bluegreenrollout",
    shortname = "bgr",
    category = "all",
    namespaced,
    status = "BlueGreenRolloutStatus",
    derive = "PartialEq",
    doc = "A Deployment with a switch: every pod template gets a ReplicaSet of its own, a preview Service shows the new one, and a promotion moves the active Service from the old to the new.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "The state in one word"),
    printcolumn(
        name = "Active",
        type_ = "string",
        json_path = ".status.activeRevision",
        description = "The revision that carries production"
    ),
    printcolumn(
        name = "Preview",
        type_ = "string",
        json_path = ".status.previewRevision",
        description = "The revision behind the preview Service"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.ready",
        description = "Ready out of desired pods of the active revision"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[x_kube(
    validation = Rule::new(
        "!has(self.selector.matchLabels) || !has(self.template) || (has(self.template.metadata) && has(self.template.metadata.labels) && self.selector.matchLabels.all(k, k in self.template.metadata.labels && self.template.metadata.labels[k] == self.selector.matchLabels[k]))"
    ).message("template.metadata.labels must contain every label of selector.matchLabels, with the same values: add them to the template"),
    validation = Rule::new(
        "!has(self.template) || !has(self.template.metadata) || !has(self.template.metadata.labels) || !('rollouts-pod-template-hash' in self.template.metadata.labels || 'greenlight.dev/serving' in self.template.metadata.labels)"
    ).message("remove rollouts-pod-template-hash and greenlight.dev/serving from template.metadata.labels: greenlight sets them"),
    validation = Rule::new(
        "!has(self.template) || !has(self.template.spec.restartPolicy) || self.template.spec.restartPolicy == 'Always'"
    ).message("template.spec.restartPolicy must be Always, or left out: a ReplicaSet takes no other"),
    validation = Rule::new("has(self.template) != has(self.workloadRef)").message("write either template or workloadRef"),
    validation = Rule::new(
        "!has(self.template) || !has(self.template.metadata) || !has(self.template.metadata.labels) || ((!has(self.strategy.blueGreen.activeMetadata) || !has(self.strategy.blueGreen.activeMetadata.labels) || !self.strategy.blueGreen.activeMetadata.labels.exists(k, k in self.template.metadata.labels)) && (!has(self.strategy.blueGreen.previewMetadata) || !has(self.strategy.blueGreen.previewMetadata.labels) || !self.strategy.blueGreen.previewMetadata.labels.exists(k, k in self.template.metadata.labels)))"
    ).message("activeMetadata and previewMetadata must not have labels of the template: remove them from one of the two"),
    validation = Rule::new(
        "(has(self.progressDeadlineSeconds) ? self.progressDeadlineSeconds : 600) > (has(self.minReadySeconds) ? self.minReadySeconds : 0)"
    ).message("progressDeadlineSeconds must be greater than minReadySeconds, or no revision can ever become available in time")
)]
pub struct BlueGreenRolloutSpec {
    /// Number of pods of the active revision. A new revision gets as many before it is promoted. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), default = "one")]
    pub replicas: Option<i32>,

    /// The labels of this rollout's pods. Immutable.
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("selector is immutable: create a rollout with another name instead"),
        validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)").message("selector must not be empty: write matchLabels that the template carries"),
        validation = Rule::new("!has(self.matchLabels) || !('rollouts-pod-template-hash' in self.matchLabels)").message("remove rollouts-pod-template-hash from selector.matchLabels: greenlight sets it")
    )]
    #[schemars(schema_with = "selector_schema")]
    pub selector: LabelSelector,

    /// The pod template. Every change of it is a new revision. Write either this or `workloadRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplate>,

    /// A Deployment. The rollout uses its pod template, and takes its traffic over. Write either this or `template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<WorkloadRef>,

    /// Seconds for which a pod must be ready before it counts as available. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_ready_seconds: Option<i32>,

    /// If a revision makes no progress for this many seconds, the rollout is `Degraded` with the reason. Default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub progress_deadline_seconds: Option<i32>,

    /// If true, a revision that makes no progress for `progressDeadlineSeconds` is rejected, unless nothing serves meanwhile. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline_abort: Option<bool>,

    /// Number of old ReplicaSets to keep. They have no pods, and a rollback can use them. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub revision_history_limit: Option<i32>,

    /// If true, nothing is promoted. A rollback still works. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,

    /// Replace every pod that was created before this time, one by one. This makes no new revision.
    #[x_kube(
        validation = Rule::new("self < timestamp('9999-01-01T00:00:00Z')").message("restartAt must be before the year 9999: write a time such as 2026-11-25T12:00:00Z")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    // A `Time` does not read back what it writes of a year before the first, which `0000-01-01T00:00:00+14:00` is in, and writes no fraction of a second.
    pub restart_at: Option<Timestamp>,

    /// If a template returns that was promoted before and is recent enough, it needs no gate and no analysis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_window: Option<RollbackWindow>,

    /// How production moves to a new revision.
    pub strategy: Strategy,
}

/// How production moves to a new revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Blue-green: all traffic moves at once from one ReplicaSet to another.
    pub blue_green: BlueGreen,
}

/// Blue-green settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.previewService) || !has(self.activeService) || self.previewService != self.activeService").message("previewService must be another Service than activeService, or previewService left out"),
    validation = Rule::new("!has(self.additionalActiveServices) || size(self.additionalActiveServices) == 0 || has(self.activeService)").message("additionalActiveServices needs activeService: name the first Service there"),
    validation = Rule::new("!has(self.additionalActiveServices) || !(has(self.activeService) && self.activeService in self.additionalActiveServices) && !(has(self.previewService) && self.previewService in self.additionalActiveServices)").message("additionalActiveServices must not repeat activeService or previewService: name each Service once"),
    validation = Rule::new("!has(self.requiredApprovals) || self.requiredApprovals == 1 || (has(self.autoPromotionEnabled) && !self.autoPromotionEnabled && (!has(self.autoPromotionSeconds) || self.autoPromotionSeconds == 0))").message("requiredApprovals needs autoPromotionEnabled: false and no autoPromotionSeconds: people decide then, not a timer"),
    validation = Rule::new("!has(self.overlapSeconds) || (has(self.switchMode) && self.switchMode == 'Overlap')").message("overlapSeconds needs switchMode: Overlap"),
    validation = Rule::new("!has(self.previewServiceIdle) || has(self.previewService)").message("previewServiceIdle decides what previewService selects: add previewService, or leave previewServiceIdle out"),
    validation = Rule::new("(!has(self.activeMetadata) || !has(self.activeMetadata.labels) || !('rollouts-pod-template-hash' in self.activeMetadata.labels || 'greenlight.dev/serving' in self.activeMetadata.labels)) && (!has(self.previewMetadata) || !has(self.previewMetadata.labels) || !('rollouts-pod-template-hash' in self.previewMetadata.labels || 'greenlight.dev/serving' in self.previewMetadata.labels))").message("remove rollouts-pod-template-hash and greenlight.dev/serving from the labels of activeMetadata and previewMetadata: greenlight sets them"),
    validation = Rule::new("!has(self.antiAffinity) || has(self.antiAffinity.preferredDuringSchedulingIgnoredDuringExecution) != has(self.antiAffinity.requiredDuringSchedulingIgnoredDuringExecution)").message("antiAffinity takes exactly one of preferredDuringSchedulingIgnoredDuringExecution (with a weight) and requiredDuringSchedulingIgnoredDuringExecution: {}")
)]
pub struct BlueGreen {
    /// The Service that carries production. The operator writes the hash of the active revision into its selector. Workers without
    /// traffic need none: then a revision is promoted when it is available and its gate is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::LABEL))]
    pub active_service: Option<String>,

    /// How the active Services move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_mode: Option<SwitchMode>,

    /// Seconds for which the active Services select both revisions. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub overlap_seconds: Option<i32>,

    /// More Services that carry production. They move in the same step as `activeService`, and each is confirmed by its EndpointSlices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63), regex(pattern = patterns::LABEL)), extend("x-kubernetes-list-type" = "set"))]
    pub additional_active_services: Option<Vec<String>>,

    /// The Service for tests. It selects the new revision while that waits for its promotion. `previewServiceIdle` decides what it selects otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::LABEL))]
    pub preview_service: Option<String>,

    /// What the preview Service selects while no new revision waits: `Active` (the active revision) or `None` (no pods). Default
    /// Active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_service_idle: Option<PreviewServiceIdle>,

    /// Number of pods of the new revision while it waits in preview. Default: `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub preview_replica_count: Option<i32>,

    /// If true, a new revision is promoted when it is available. If false, it waits for a request `promote`. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_promotion_enabled: Option<bool>,

    /// If more than 0, the new revision is promoted this many seconds after the preview is ready. Somebody can promote it earlier.
    /// Default 0: `autoPromotionEnabled` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub auto_promotion_seconds: Option<i32>,

    /// Number of different people who have to request `promote`. The field `by` of a request names the person, and the chart's
    /// admission policy checks it. Needs `autoPromotionEnabled: false`. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub required_approvals: Option<i32>,

    /// Seconds for which the old revision keeps its pods after the EndpointSlices confirmed the switch. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub scale_down_delay_seconds: Option<i32>,

    /// The most old revisions that may have pods within their delay at the same time. The oldest lose theirs first. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub scale_down_delay_revision_limit: Option<i32>,

    /// Number of pods that an old revision keeps during its delay. The others go 30 seconds after the switch, or when a shorter delay is over.
    /// Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub retired_replica_count: Option<i32>,

    /// Seconds for which an aborted revision keeps its pods. With 0 it keeps them. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub abort_scale_down_delay_seconds: Option<i32>,

    /// If set, production returns to the old revision when the new one has no available pod and the old one still has its pods. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_rollback: Option<AutoRollback>,

    /// The analysis before the promotion. If it fails, the revision is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_promotion_analysis: Option<RolloutAnalysis>,

    /// The analysis after the switch. If it fails, the revision is rejected, and production returns to the revision before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_promotion_analysis: Option<RolloutAnalysis>,

    /// Keep pods of the new revision off nodes that run pods of another revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<AntiAffinity>,

    /// Labels and annotations that pods have while their revision is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_metadata: Option<PodMetadata>,

    /// Labels and annotations that pods have while their revision is in preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_metadata: Option<PodMetadata>,
}

/// A workload in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.apiVersion == 'apps/v1' && self.kind == 'Deployment'").message("workloadRef takes a Deployment of apps/v1: copy other templates into spec.template")
)]
pub struct WorkloadRef {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// The Deployment's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::NAME))]
    pub name: String,
    /// When the Deployment is scaled to zero. Default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<WorkloadScaleDown>,
}

/// When the Deployment of `workloadRef` loses its pods. Default never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadScaleDown {
    /// The Deployment keeps its pods.
    #[default]
    Never,
    /// The Deployment is scaled to zero when the EndpointSlices confirm that the rollout serves.
    Onsuccess,
    /// The Deployment loses a pod for each pod of the rollout that becomes available.
    Progressively,
}

// The schema of a field that may be left out has the words of its enum, and not the field's own.
/// How the active Services move. `Swap` moves them in one step. `Overlap` first selects both revisions for `overlapSeconds`, so
/// that cloud load balancers can register the new pods. With more than a hundred pods a Service has several EndpointSlices, and
/// Kubernetes writes them one after the other. A swap then has a moment with fewer pods; an overlap has none. A rollback always
/// swaps. Default Swap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SwitchMode {
    /// The Services move in one step.
    #[default]
    Swap,
    /// The Services select both revisions for a while, then the new one alone.
    Overlap,
}

/// What the preview Service selects while no new revision waits. Default Active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PreviewServiceIdle {
    /// The active revision.
    #[default]
    Active,
    /// No pods.
    None,
}

/// When production returns by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoRollback {
    /// If the active revision has no available pod for this many seconds, it is rejected, as long as the old revision still has its pods.
    #[schemars(range(min = 1))]
    pub unavailable_seconds: i32,
}

/// How strictly to keep revisions apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AntiAffinity {
    /// The scheduler tries to keep them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_during_scheduling_ignored_during_execution: Option<Preference>,
    /// The scheduler always keeps them apart: a pod waits until such a node is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_during_scheduling_ignored_during_execution: Option<Requirement>,
}

/// A preference of the scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preference {
    /// Its weight among the scheduler's preferences.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
}

/// A requirement of the scheduler; it has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requirement {}

/// Labels and annotations that pods carry for a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodMetadata {
    /// Labels. In `activeMetadata` and `previewMetadata` they must not be labels of `template`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// Annotations. In `activeMetadata` and `previewMetadata` they must not be annotations of `template`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// How recent a template has to be to return without a gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackWindow {
    /// The template may be at most this many revisions old.
    #[schemars(range(min = 0))]
    pub revisions: i64,
}

impl BlueGreenRolloutSpec {
    /// `replicas`, or its default.
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(1)
    }

    /// The template, empty if it is that of a workload.
    pub fn template(&self) -> Cow<'_, PodTemplate> {
        self.template.as_ref().map_or_else(Cow::default, Cow::Borrowed)
    }

    /// `minReadySeconds`, or its default.
    pub fn min_ready_seconds(&self) -> i32 {
        self.min_ready_seconds.unwrap_or(0)
    }

    /// `progressDeadlineSeconds`, or its default.
    pub fn progress_deadline_seconds(&self) -> i32 {
        self.progress_deadline_seconds.unwrap_or(600)
    }

    /// `revisionHistoryLimit`, or its default.
    pub fn revision_history_limit(&self) -> i32 {
        self.revision_history_limit.unwrap_or(10)
    }

    /// The label selector of its pods, or of those of one revision, as text.
    pub fn selector_of(&self, hash: Option<&str>) -> String {
        let own = Selector::try_from(self.selector.clone()).unwrap_or_default();
        let hash = hash.map(|hash| Expression::Equal(HASH_LABEL.to_owned(), hash.to_owned()));
        own.into_iter().chain(hash).map(|expression| expression.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The blue-green settings.
    pub fn blue_green(&self) -> &BlueGreen {
        &self.strategy.blue_green
    }
}

impl BlueGreen {
    /// `autoPromotionEnabled`, or its default.
    pub fn auto_promotion_enabled(&self) -> bool {
        self.auto_promotion_enabled.unwrap_or(true)
    }

    /// `requiredApprovals`, or its default.
    pub fn required_approvals(&self) -> usize {
        self.required_approvals.and_then(|number| usize::try_from(number).ok()).unwrap_or(1)
    }

    /// Whether a promotion waits for people: neither availability nor a timer is enough.
    pub fn awaits_people(&self) -> bool {
        let timer = self.auto_promotion_seconds.is_some_and(|seconds| seconds > 0);
        self.required_approvals() > 1 || !self.auto_promotion_enabled() && !timer
    }

    /// `scaleDownDelaySeconds`, or its default.
    pub fn scale_down_delay_seconds(&self) -> i32 {
        self.scale_down_delay_seconds.unwrap_or(30)
    }

    /// `abortScaleDownDelaySeconds`, or its default.
    pub fn abort_scale_down_delay_seconds(&self) -> i32 {
        self.abort_scale_down_delay_seconds.unwrap_or(30)
    }

    /// Seconds for which both revisions are selected, if they are.
    pub fn overlap_seconds(&self) -> Option<i32> {
        (self.switch_mode == Some(SwitchMode::Overlap)).then(|| self.overlap_seconds.unwrap_or(30))
    }

    /// The Services that carry production, `activeService` first.
    pub fn active_services(&self) -> impl Iterator<Item = &str> {
        self.active_service.iter().chain(self.additional_active_services.iter().flatten()).map(String::as_str)
    }

    /// The Services that it names, those that carry production first.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.active_services().chain(self.preview_service.as_deref())
    }
}

fn one() -> Option<i32> {
    Some(1)
}

/// A label selector whose sizes are bounded, so that the API server can estimate the cost of the rules on it.
fn selector_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "description": "The labels of this rollout's pods. Immutable.",
        "properties": {
            "matchLabels": {
                "type": "object",
                "maxProperties": 32,
                "additionalProperties": {"type": "string", "maxLength": 63}
            },
            "matchExpressions": {
                "type": "array",
                "maxItems": 32,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "maxLength": 317},
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {"type": "array", "maxItems": 64, "items": {"type": "string", "maxLength": 63}}
                    }
                }
            }
        }
    })
}

/// The CustomResourceDefinition of `BlueGreenRollout`.
pub(crate) fn crd() -> CustomResourceDefinition {
    BlueGreenRollout::crd()
}
