//! The spec: Argo Rollouts' blue-green fields, with its names and its defaults.
#![allow(clippy::duplicated_attributes)] // each printer column has a type of its own, in one attribute

use std::borrow::Cow;
use std::collections::BTreeMap;

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
    /// Pods of the active revision, and of a new one once it may be promoted. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), default = "one")]
    pub replicas: Option<i32>,

    /// Which pods are this rollout's. Immutable.
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("selector is immutable: create a rollout with another name instead"),
        validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)").message("selector must not be empty: write matchLabels that the template carries"),
        validation = Rule::new("!has(self.matchLabels) || !('rollouts-pod-template-hash' in self.matchLabels)").message("remove rollouts-pod-template-hash from selector.matchLabels: greenlight sets it")
    )]
    #[schemars(schema_with = "selector_schema")]
    pub selector: LabelSelector,

    /// The pods of the next revision. Any change here is a new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplate>,

    /// The Deployment whose template to use instead, and to take over from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<WorkloadRef>,

    /// Seconds that a pod must be ready before it counts as available. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_ready_seconds: Option<i32>,

    /// Seconds without progress after which the rollout reports that it is stuck. Default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub progress_deadline_seconds: Option<i32>,

    /// Reject a revision that makes no progress for `progressDeadlineSeconds`. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline_abort: Option<bool>,

    /// How many old ReplicaSets to keep, scaled to zero, to roll back to. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub revision_history_limit: Option<i32>,

    /// Hold back every promotion until this is false again. A rollback is not held back. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,

    /// Replace the pods that were created before this time, one by one, without a new revision.
    #[x_kube(
        validation = Rule::new("self < timestamp('9999-01-01T00:00:00Z')").message("restartAt must be before the year 9999: write a time such as 2026-11-25T12:00:00Z")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Time>,

    /// A template that was promoted before and is at most so many revisions old needs no gate and no analysis to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_window: Option<RollbackWindow>,

    /// How a new revision takes over.
    pub strategy: Strategy,
}

/// How a new revision takes over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Blue-green: all traffic moves at once, from one full ReplicaSet to another.
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
    validation = Rule::new("!has(self.previewServiceIdle) || has(self.previewService)").message("previewServiceIdle says what previewService shows: add previewService, or leave previewServiceIdle out"),
    validation = Rule::new("(!has(self.activeMetadata) || !has(self.activeMetadata.labels) || !('rollouts-pod-template-hash' in self.activeMetadata.labels || 'greenlight.dev/serving' in self.activeMetadata.labels)) && (!has(self.previewMetadata) || !has(self.previewMetadata.labels) || !('rollouts-pod-template-hash' in self.previewMetadata.labels || 'greenlight.dev/serving' in self.previewMetadata.labels))").message("remove rollouts-pod-template-hash and greenlight.dev/serving from the labels of activeMetadata and previewMetadata: greenlight sets them"),
    validation = Rule::new("!has(self.antiAffinity) || has(self.antiAffinity.preferredDuringSchedulingIgnoredDuringExecution) != has(self.antiAffinity.requiredDuringSchedulingIgnoredDuringExecution)").message("antiAffinity takes exactly one of preferredDuringSchedulingIgnoredDuringExecution (with a weight) and requiredDuringSchedulingIgnoredDuringExecution: {}")
)]
pub struct BlueGreen {
    /// Service that carries production. Its selector gets the hash of the active revision. Without one, as for workers that
    /// nobody calls, a promotion is availability plus the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::LABEL))]
    pub active_service: Option<String>,

    /// How the active Services move: `Swap` (from the one revision to the other in one step) or `Overlap` (both are selected
    /// for `overlapSeconds`, while cloud load balancers register the new pods). With more than a hundred pods there are several
    /// EndpointSlices, which Kubernetes writes one after the other: a swap then has a moment with fewer pods, an overlap has none.
    /// A rollback always swaps. Default Swap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_mode: Option<SwitchMode>,

    /// Seconds for which both revisions are selected. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub overlap_seconds: Option<i32>,

    /// More Services that carry production, moved in the same step and proven each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63), regex(pattern = patterns::LABEL)), extend("x-kubernetes-list-type" = "set"))]
    pub additional_active_services: Option<Vec<String>>,

    /// Service that shows the next revision before it is promoted, and the active one when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::LABEL))]
    pub preview_service: Option<String>,

    /// What the preview Service shows when there is no next revision: `Active` (the active one) or `None` (nothing).
    /// Default Active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_service_idle: Option<PreviewServiceIdle>,

    /// Pods of the next revision while it waits in preview. Default: as many as `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub preview_replica_count: Option<i32>,

    /// Promote as soon as the next revision is available. If false, wait for `promote`. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_promotion_enabled: Option<bool>,

    /// Promote so many seconds after the preview is available, unless somebody does it before. Default 0: see
    /// `autoPromotionEnabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub auto_promotion_seconds: Option<i32>,

    /// How many different people have to ask for `promote` before it counts. They are told apart by `by` in their requests, which
    /// the chart's admission policy checks. Needs `autoPromotionEnabled: false`. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub required_approvals: Option<i32>,

    /// Seconds for which the old revision stays up after the switch is proven. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub scale_down_delay_seconds: Option<i32>,

    /// How many old revisions may stay up inside their delay at the same time; the oldest go first. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub scale_down_delay_revision_limit: Option<i32>,

    /// Pods of an old revision during its delay. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub retired_replica_count: Option<i32>,

    /// Seconds for which an aborted revision stays up. 0 keeps it up. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub abort_scale_down_delay_seconds: Option<i32>,

    /// Go back by itself when a new revision loses all its pods while the old one still runs. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_rollback: Option<AutoRollback>,

    /// Measure the next revision before it is promoted. Failure rejects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_promotion_analysis: Option<RolloutAnalysis>,

    /// Measure the new revision after the switch. Failure moves production back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_promotion_analysis: Option<RolloutAnalysis>,

    /// Keep the pods of the next revision away from nodes that run pods of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<AntiAffinity>,

    /// Labels and annotations for the pods that are active, as long as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_metadata: Option<PodMetadata>,

    /// Labels and annotations for the pods that are in preview, as long as they are.
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
    /// Name.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::NAME))]
    pub name: String,
    /// What becomes of the workload's own pods. Default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<WorkloadScaleDown>,
}

/// What becomes of the pods of a workload that a rollout takes over from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadScaleDown {
    /// They stay.
    #[default]
    Never,
    /// They go when the rollout serves, provably.
    Onsuccess,
    /// They go one by one as the rollout's become available.
    Progressively,
}

/// How the active Services move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SwitchMode {
    /// In one step.
    #[default]
    Swap,
    /// By way of both.
    Overlap,
}

/// What the preview Service shows when there is no next revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PreviewServiceIdle {
    /// The active revision.
    #[default]
    Active,
    /// Nothing.
    None,
}

/// When to go back without being asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoRollback {
    /// Seconds without any available pod after which the new revision is rejected, as long as the old one still runs.
    #[schemars(range(min = 1))]
    pub unavailable_seconds: i32,
}

/// How strictly to keep revisions apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AntiAffinity {
    /// Where possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_during_scheduling_ignored_during_execution: Option<Preference>,
    /// Always: pods wait for a node of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_during_scheduling_ignored_during_execution: Option<Requirement>,
}

/// A preference of the scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preference {
    /// Its weight against others.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
}

/// A requirement of the scheduler; it has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requirement {}

/// Labels and annotations that pods carry for a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodMetadata {
    /// Labels. None that `template` has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// Annotations. None that `template` has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// How far back a template may be to need no gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackWindow {
    /// In revisions.
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
        "description": "Which pods are this rollout's. Immutable.",
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
