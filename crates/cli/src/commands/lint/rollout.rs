//! What of a rollout would go wrong later?

use serde_json::Value;

use crate::manifests::Manifest;

use super::findings::{DEFAULT_GRACE, Lint};

/// An EndpointSlice has no more, unless the cluster was told otherwise.
const ENDPOINTS_OF_A_SLICE: i64 = 100;
const DEFAULT_DELAY: i64 = 30;

impl Lint<'_> {
    pub(super) fn check_rollout(&mut self, manifest: &Manifest) {
        let spec = &manifest.value["spec"];
        let blue_green = &spec["strategy"]["blueGreen"];
        for field in ["activeService", "previewService"] {
            let Some(name) = blue_green[field].as_str() else { continue };
            self.check_service(manifest, field, name);
        }
        for name in blue_green["additionalActiveServices"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.check_service(manifest, "additionalActiveServices", name);
        }
        for analysis in ["prePromotionAnalysis", "postPromotionAnalysis"] {
            for template in blue_green[analysis]["templates"].as_array().into_iter().flatten() {
                let name = template["templateName"].as_str().unwrap_or_default();
                let is_of_all = template["clusterScope"] == true;
                let kind = if is_of_all { "ClusterAnalysisTemplate" } else { "AnalysisTemplate" };
                let is_it = |other: &Manifest| {
                    let is_ours = other.api_version().starts_with("greenlight.dev/");
                    is_ours && other.kind() == kind && other.name() == name
                };
                if !self.manifests.iter().any(is_it) {
                    let message = format!("no {kind} {name} is among the files: the release would wait for it");
                    self.warn(manifest, &["spec", "strategy", "blueGreen", analysis], message);
                }
            }
        }
        if spec.get("template").is_some() {
            self.check_template(manifest);
        }
        let grace = spec["template"]["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE);
        let delay = blue_green["scaleDownDelaySeconds"].as_i64().unwrap_or(DEFAULT_DELAY);
        if delay < grace.min(DEFAULT_GRACE) {
            let message = format!(
                "the old pods go {delay} s after the switch, while connections to them may last for {grace} s, their grace period. Write at least {}",
                grace.min(DEFAULT_GRACE)
            );
            self.warn(manifest, &["spec", "strategy", "blueGreen", "scaleDownDelaySeconds"], message);
        }
        if blue_green["autoPromotionEnabled"] == false && blue_green["autoPromotionSeconds"].as_i64() > Some(0) {
            let message = "promotes without a person, although autoPromotionEnabled is false. Argo Rollouts ignores it then: remove one of the two";
            self.warn(manifest, &["spec", "strategy", "blueGreen", "autoPromotionSeconds"], message.to_owned());
        }
        // Of labels the API server refuses the same.
        let own = &spec["template"]["metadata"]["annotations"];
        for role in ["activeMetadata", "previewMetadata"] {
            let keys = blue_green[role]["annotations"].as_object().into_iter().flatten().map(|(key, _)| key);
            for key in keys.filter(|key| own.get(key.as_str()).is_some()) {
                let message = format!(
                    "the template has the annotation {key}, too: pods lose it when their revision has another role. Remove it from one of the two"
                );
                self.warn(manifest, &["spec", "strategy", "blueGreen", role], message);
            }
        }
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        if replicas > ENDPOINTS_OF_A_SLICE && blue_green["switchMode"].as_str() != Some("Overlap") {
            let message = format!(
                "the endpoints of {replicas} pods are in several EndpointSlices, which Kubernetes writes one after the other: at the switch \
                 there is a moment with fewer pods. Write strategy.blueGreen.switchMode: Overlap"
            );
            self.warn(manifest, &["spec", "replicas"], message);
        }
    }
}
