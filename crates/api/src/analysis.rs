//! Analysis: measuring whether a revision is good, in Argo Rollouts' shape.
#![allow(clippy::duplicated_attributes)] // each printer column has a type of its own, in one attribute

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::patterns;

/// What to measure, and which results are good.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "greenlight.dev",
    version = "v1alpha1",
    kind = "AnalysisTemplate",
    shortname = "bgat",
    namespaced,
    doc = "What to measure, and which results are good.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct AnalysisTemplateSpec {
    /// The metrics to measure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub metrics: Vec<Metric>,
    /// Arguments. The metrics use them as `{{args.name}}`. If an argument has no value here, the rollout has to give one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub args: Vec<Argument>,
    /// Metrics whose result is reported and decides nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep. Default: 10 of each metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Other templates. Their metrics and arguments are added to this one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<TemplateRef>,
}

/// The same for all namespaces.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "greenlight.dev",
    version = "v1alpha1",
    kind = "ClusterAnalysisTemplate",
    shortname = "bgcat",
    doc = "What to measure, and which results are good. For all namespaces.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct ClusterAnalysisTemplateSpec {
    /// The same as of an AnalysisTemplate.
    #[serde(flatten)]
    pub template: AnalysisTemplateSpec,
}

/// One analysis, running or completed.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "greenlight.dev",
    version = "v1alpha1",
    kind = "AnalysisRun",
    derive = "PartialEq",
    shortname = "bgar",
    namespaced,
    status = "AnalysisRunStatus",
    doc = "One analysis, running or completed.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "The outcome so far"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message")
)]
pub struct AnalysisRunSpec {
    /// The metrics to measure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub metrics: Vec<Metric>,
    /// The arguments with their values. The value of a Secret is read when it is needed, and is not written here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub args: Vec<Argument>,
    /// Metrics whose result is reported and decides nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// If true, the analysis stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminate: Option<bool>,
}

/// A metric: how to measure, how often, and which results are good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.provider.job) || has(self.provider.web) || has(self.provider.prometheus)").message("provider takes job, web or prometheus"),
    validation = Rule::new("!has(self.count) || type(self.count) == string || (self.count >= 0 && self.count <= 2147483647)").message("count must be a whole number from 0 to 2147483647"),
    validation = Rule::new("!has(self.failureLimit) || type(self.failureLimit) == string || (self.failureLimit >= 0 && self.failureLimit <= 2147483647)").message("failureLimit must be a whole number from 0 to 2147483647"),
    validation = Rule::new("!has(self.inconclusiveLimit) || type(self.inconclusiveLimit) == string || (self.inconclusiveLimit >= 0 && self.inconclusiveLimit <= 2147483647)").message("inconclusiveLimit must be a whole number from 0 to 2147483647"),
    validation = Rule::new("!has(self.consecutiveErrorLimit) || type(self.consecutiveErrorLimit) == string || (self.consecutiveErrorLimit >= 0 && self.consecutiveErrorLimit <= 2147483647)").message("consecutiveErrorLimit must be a whole number from 0 to 2147483647")
)]
pub struct Metric {
    /// The metric's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::TEXT))]
    pub name: String,
    /// Time between the end of a measurement and the start of the next, for example `30s` or `5m`. At least a second. Without it there is
    /// one measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub interval: Option<String>,
    /// Time before the first measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub initial_delay: Option<String>,
    /// Number of measurements. Default: one. With `interval`, measurements continue as long as the analysis runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<IntOrString>,
    /// A CEL expression over `result`. If it is true, the measurement is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub success_condition: Option<String>,
    /// A CEL expression over `result`. If it is true, the measurement is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub failure_condition: Option<String>,
    /// If there are more bad measurements than this, the metric fails. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_limit: Option<IntOrString>,
    /// If more measurements than this are neither good nor bad, the metric is inconclusive. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inconclusive_limit: Option<IntOrString>,
    /// If there are more errors in a row than this, the metric ends with an error. Default 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_error_limit: Option<IntOrString>,
    /// How to measure.
    pub provider: Provider,
}

/// How to measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Run a Job. The measurement is good if the Job completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobProvider>,
    /// Send a request to a web server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebProvider>,
    /// Send a query to Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusProvider>,
}

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobProvider {
    /// Labels and annotations of the Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub metadata: Option<Map<String, Value>>,
    /// The Job's spec. The API server checks it when the operator creates the Job.
    #[schemars(schema_with = "any_object")]
    pub spec: Map<String, Value>,
}

/// A request to a web server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebProvider {
    /// The address.
    pub url: String,
    /// `GET` (default), `POST` or `PUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<WebMethod>,
    /// Request headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// Request body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Request body, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub json_body: Option<Map<String, Value>>,
    /// The part of a JSON answer that becomes `result`, for example `{$.data.ok}`. At most 64 KiB. Default: the whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub json_path: Option<String>,
    /// Seconds to wait for the answer, at most 60. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: Option<i64>,
    /// Do not check the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
}

/// The HTTP method. Default GET.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum WebMethod {
    /// A request that reads.
    #[default]
    Get,
    /// A request that sends a body.
    Post,
    /// A request that replaces.
    Put,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// Name of the header.
    pub key: String,
    /// Value of the header.
    #[serde(default)]
    pub value: String,
}

/// An instant query to Prometheus. `result` is a number, or a list of numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusProvider {
    /// The address, for example `http://prometheus.monitoring:9090`.
    #[serde(default)]
    pub address: String,
    /// The query, in PromQL.
    pub query: String,
    /// Seconds to wait for the answer, at most 60. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout: Option<i64>,
    /// Request headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// Do not check the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
}

/// An argument. Metrics use it as `{{args.name}}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Argument {
    /// The argument's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::KEY))]
    pub name: String,
    /// The argument's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// A key of a Secret in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A field of the rollout, written as in the downward API, for example `metadata.labels['team']` or `spec.replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldRef>,
    /// The hash of the revision that is being released (`Latest`), or of the revision before (`Stable`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template_hash_value: Option<PodTemplateHashValue>,
}

/// A key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::NAME))]
    pub name: String,
    /// The key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::KEY))]
    pub key: String,
}

/// A field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldRef {
    /// Path of the field.
    pub field_path: String,
}

/// The hash of this revision (Latest), or of the revision before (Stable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodTemplateHashValue {
    /// The hash of the revision that is being released.
    Latest,
    /// The hash of the revision before.
    Stable,
}

/// Metrics whose result is reported and decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// The whole name of the metric, in which `.*` stands for any text.
    pub metric_name: String,
}

/// How many measurements of some metrics to keep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeasurementRetention {
    /// The whole name of the metric, in which `.*` stands for any text.
    pub metric_name: String,
    /// Number of measurements to keep.
    #[schemars(range(min = 1))]
    pub limit: i32,
}

/// The analysis of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutAnalysis {
    /// The templates to use.
    #[schemars(length(min = 1))]
    pub templates: Vec<TemplateRef>,
    /// Values for the templates' arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub args: Vec<Argument>,
    /// Metrics whose result is reported and decides nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Labels and annotations of the AnalysisRun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis_run_metadata: Option<crate::PodMetadata>,
}

/// A template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// The template's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::NAME))]
    pub template_name: String,
    /// True if it is a ClusterAnalysisTemplate. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_scope: Option<bool>,
}

/// The result of a measurement, a metric or an analysis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum AnalysisPhase {
    /// It has not started.
    #[default]
    Pending,
    /// It runs.
    Running,
    /// The result is good.
    Successful,
    /// The result is neither good nor bad. A person decides.
    Inconclusive,
    /// The measurement was not possible.
    Error,
    /// The result is bad.
    Failed,
}

impl AnalysisPhase {
    /// Nothing comes after it.
    pub fn is_completed(self) -> bool {
        self > AnalysisPhase::Running
    }
}

/// In the place of the digest of a run that no release asked for.
pub const BY_HAND: &str = "by hand";

/// The state of an analysis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisRunStatus {
    /// The outcome.
    #[serde(default)]
    pub phase: AnalysisPhase,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub completed_at: Option<Timestamp>,
    /// Digest of the spec that the operator wrote. If somebody else created the AnalysisRun, this is `by hand`. If somebody edited it, the
    /// digest differs from the spec's. In both cases it decides nothing for a rollout.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub spec_digest: String,
    /// The result of each metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metric_results: Vec<MetricResult>,
}

/// The result of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricResult {
    /// The metric's name.
    pub name: String,
    /// The outcome.
    #[serde(default)]
    pub phase: AnalysisPhase,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The last measurements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<Measurement>,
    /// Number of measurements that ended without an error.
    #[serde(default)]
    pub count: i64,
    /// Number of good measurements.
    #[serde(default)]
    pub successful: i64,
    /// Number of bad measurements.
    #[serde(default)]
    pub failed: i64,
    /// Number of measurements that were neither good nor bad.
    #[serde(default)]
    pub inconclusive: i64,
    /// Number of errors.
    #[serde(default)]
    pub error: i64,
    /// Number of errors since the last measurement without an error.
    #[serde(default)]
    pub consecutive_error: i64,
    /// True if the result is reported and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// The outcome.
    #[serde(default)]
    pub phase: AnalysisPhase,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What was measured, as JSON.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    /// Data of the provider, for example the Job's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A duration as Go writes it: `30s`, `5m`, `1h30m`, `500ms`.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?} is not a duration: write a number and a unit, such as 30s, 5m or 1h30m");
    let too_long = || format!("{text:?} is too long: write a shorter time");
    let mut rest = text.trim();
    let mut total = SignedDuration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let letters = &rest[digits..];
        let unit = letters.find(|c: char| c.is_ascii_digit()).unwrap_or(letters.len());
        let seconds = match &letters[..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let part = SignedDuration::try_from_secs_f64(number * seconds).map_err(|_| too_long())?;
        total = total.checked_add(part).ok_or_else(too_long)?;
        rest = &letters[unit..];
    }
    Ok(total)
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
