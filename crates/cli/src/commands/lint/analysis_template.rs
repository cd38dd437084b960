//! Can the conditions and times of an analysis be read?

use greenlight_api::analysis::duration;
use greenlight_core::analysis::expression;

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
            let prometheus = &metric["provider"]["prometheus"];
            if prometheus.is_object() && prometheus["address"].as_str().unwrap_or_default().is_empty() {
                let path = ["spec", "metrics", index.as_str(), "provider", "prometheus"];
                self.error(manifest, &path, "address is missing: add it");
            }
        }
    }
}
