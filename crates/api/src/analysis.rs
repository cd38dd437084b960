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

/// What to measure, and what counts as good. The same as a template of the whole cluster and as one of a namespace.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "greenlight.dev",
    version = "v1alpha1",
    kind = "AnalysisTemplate",
    shortname = "bgat",
    namespaced,
    doc = "What to measure, and what counts as good.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct AnalysisTemplateSpec {
    /// What it measures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub metrics: Vec<Metric>,
    /// Values that the metrics use as `{{args.name}}`; those without a value are given by the rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub args: Vec<Argument>,
    /// Metrics whose outcome is only reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep; 10 of each metric by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Other templates whose metrics and arguments it has too.
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
    doc = "What to measure, and what counts as good, for all namespaces.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct ClusterAnalysisTemplateSpec {
    /// The same as of an AnalysisTemplate.
    #[serde(flatten)]
    pub template: AnalysisTemplateSpec,
}

/// One analysis under way, or done.
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
    doc = "One analysis under way, or done.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "The outcome so far"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message")
)]
pub struct AnalysisRunSpec {
    /// What it measures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub metrics: Vec<Metric>,
    /// The values of its arguments. A secret is read when it is needed, and is not written here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub args: Vec<Argument>,
    /// Metrics whose outcome is only reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Stop measuring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminate: Option<bool>,
}

/// A metric: how to measure, how often, and what counts as good.
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
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::TEXT))]
    pub name: String,
    /// Time between the end of a measurement and the next, at least a second: `30s`, `5m`. Without it, one measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub interval: Option<String>,
    /// Time before the first measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub initial_delay: Option<String>,
    /// How many measurements. Without it: one, or with an interval, as long as the analysis lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<IntOrString>,
    /// CEL over `result`: when a measurement is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub success_condition: Option<String>,
    /// CEL over `result`: when a measurement is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub failure_condition: Option<String>,
    /// How many bad measurements are tolerated. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_limit: Option<IntOrString>,
    /// How many measurements may be neither good nor bad. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inconclusive_limit: Option<IntOrString>,
    /// How many errors in a row are tolerated. Default 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_error_limit: Option<IntOrString>,
    /// How to measure.
    pub provider: Provider,
}

/// How to measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Run a Job: good when it completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobProvider>,
    /// Ask a web server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebProvider>,
    /// Ask Prometheus.
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
    /// The Job's spec; the API server checks it when the Job is created.
    #[schemars(schema_with = "any_object")]
    pub spec: Map<String, Value>,
}

/// A request to a web server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebProvider {
    /// Where.
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
    /// Which part of a JSON answer is `result`: `{$.data.ok}`. Default: all of it. At most 64 KiB.
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

/// A method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum WebMethod {
    /// Read.
    #[default]
    Get,
    /// Send.
    Post,
    /// Replace.
    Put,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// Name.
    pub key: String,
    /// Value.
    #[serde(default)]
    pub value: String,
}

/// An instant query to Prometheus. `result` is a number, or a list of numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusProvider {
    /// Where: `http://prometheus.monitoring:9090`.
    #[serde(default)]
    pub address: String,
    /// PromQL.
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

/// A value that metrics use as `{{args.name}}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Argument {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::KEY))]
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where its value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// A key of a Secret of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A field of the rollout, as in the downward API: `metadata.labels['team']`, `spec.replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldRef>,
    /// The hash of the revision being released (`Latest`) or of the one before (`Stable`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template_hash_value: Option<PodTemplateHashValue>,
}

/// A key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// The Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::NAME))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::KEY))]
    pub key: String,
}

/// A field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldRef {
    /// Its path.
    pub field_path: String,
}

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodTemplateHashValue {
    /// Of the revision being released.
    Latest,
    /// Of the one before.
    Stable,
}

/// Metrics whose outcome is only reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// A regular expression; it must match the whole name.
    pub metric_name: String,
}

/// How many measurements of some metrics to keep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeasurementRetention {
    /// A regular expression; it must match the whole name.
    pub metric_name: String,
    /// So many.
    #[schemars(range(min = 1))]
    pub limit: i32,
}

/// The analysis of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutAnalysis {
    /// What to measure.
    #[schemars(length(min = 1))]
    pub templates: Vec<TemplateRef>,
    /// Values of the templates' arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub args: Vec<Argument>,
    /// Metrics whose outcome is only reported.
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
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::NAME))]
    pub template_name: String,
    /// It is a ClusterAnalysisTemplate. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_scope: Option<bool>,
}

/// The outcome of a measurement, a metric or a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum AnalysisPhase {
    /// Not begun.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Good.
    Successful,
    /// Neither good nor bad: a person decides.
    Inconclusive,
    /// It could not be measured.
    Error,
    /// Bad.
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

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisRunStatus {
    /// The outcome.
    #[serde(default)]
    pub phase: AnalysisPhase,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub completed_at: Option<Timestamp>,
    /// Digest of the spec that the operator gave it. A run of others has `by hand` here, and one that was edited has another digest than its
    /// spec: neither decides anything for a rollout.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub spec_digest: String,
    /// Each metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metric_results: Vec<MetricResult>,
}

/// How far a metric is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricResult {
    /// The metric.
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
    /// Measurements that are neither errors nor under way.
    #[serde(default)]
    pub count: i64,
    /// Good ones.
    #[serde(default)]
    pub successful: i64,
    /// Bad ones.
    #[serde(default)]
    pub failed: i64,
    /// Those neither good nor bad.
    #[serde(default)]
    pub inconclusive: i64,
    /// Errors.
    #[serde(default)]
    pub error: i64,
    /// Errors since the last measurement that was none.
    #[serde(default)]
    pub consecutive_error: i64,
    /// Its outcome is only reported.
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
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    /// What the provider needs to know: a Job's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A duration as Go writes it: `30s`, `5m`, `1h30m`, `500ms`.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?} is not a duration: write a number and a unit, such as 30s, 5m or 1h30m");
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
        let part = SignedDuration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &letters[unit..];
    }
    Ok(total)
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
