//! Can the conditions and times of an analysis be read, and its metrics be bad?

use greenlight_api::analysis::duration;
use greenlight_core::analysis::expression;
use serde_json::Value;

use crate::manifests::Manifest;

use super::findings::Lint;

impl Lint<'_> {
    pub(super) fn check_analysis_template(&mut self, manifest: &Manifest) {
        for (number, metric) in manifest.value["spec"]["metrics"].as_array().into_iter().flatten().enumerate() {
            let index = number.to_string();
            for field in ["successCondition", "failureCondition"] {
                if let Some(problem) = metric[field].as_str().and_then(|text| expression::check(text).err()) {
                    self.error(manifest, &["spec", "metrics", &index, field], problem);
                }
            }
            for field in ["interval", "initialDelay"] {
                let problem =
                    metric[field].as_str().filter(|text| !text.contains("{{")).and_then(|text| duration(text).err());
                if let Some(problem) = problem {
                    self.error(manifest, &["spec", "metrics", &index, field], problem);
                }
            }
            if let Some(taken) = measurements_that_may_all_be_bad(metric) {
                let message = format!(
                    "the metric is good although all of its measurements ({taken}) are bad: write a smaller number, or a larger count with an interval"
                );
                self.warn(manifest, &["spec", "metrics", &index, "failureLimit"], message);
            }
            let prometheus = &metric["provider"]["prometheus"];
            if prometheus.is_object() && prometheus["address"].as_str().unwrap_or_default().is_empty() {
                let path = ["spec", "metrics", index.as_str(), "provider", "prometheus"];
                self.error(manifest, &path, "address is missing: add it");
            }
        }
    }
}

/// How many measurements a metric takes, if its `failureLimit` is that high. A `count` of 0 is as none: without an interval one measurement is enough.
fn measurements_that_may_all_be_bad(metric: &Value) -> Option<i64> {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    let count = if metric["count"].is_null() { 0 } else { number(&metric["count"])? };
    let taken = if count > 0 || !metric["interval"].is_null() { count } else { 1 };
    let limit = number(&metric["failureLimit"])?;
    (taken > 0 && limit >= taken).then_some(taken)
}
