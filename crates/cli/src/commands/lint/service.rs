//! Do the Services that a rollout names fit it?

use serde_json::Value;

use crate::manifests::Manifest;

use super::findings::Lint;

impl Lint<'_> {
    pub(super) fn check_service(&mut self, manifest: &Manifest, field: &str, name: &str) {
        let path = ["spec", "strategy", "blueGreen", field];
        if let Some(argo) =
            self.manifests.iter().find(|other| other.namespace() == manifest.namespace() && holds(other, name))
        {
            let message = format!(
                "Service {name} is the Argo Rollout {}'s, too, whose controller would move it back: write spec.paused: true there, as \
                 `convert --pause` does",
                argo.name()
            );
            self.warn(manifest, &path, message);
        }
        let of_name = self.manifests.iter().filter(|other| other.kind() == "Service" && other.name() == name);
        // Other namespaces may have one of that name, too.
        let there = of_name.min_by_key(|service| service.namespace() != manifest.namespace());
        let Some(service) = there else {
            return self.warn(
                manifest,
                &path,
                format!("Service {name} is not among the files: it must exist before the first release"),
            );
        };
        let labels = &manifest.value["spec"]["template"]["metadata"]["labels"];
        let selector = service.value["spec"]["selector"].as_object().cloned().unwrap_or_default();
        if selector.is_empty() {
            return self.error(
                service,
                &["spec", "selector"],
                format!("Service {name} has no selector: give it labels of the template"),
            );
        }
        if labels.is_object() {
            for (key, value) in selector.iter().filter(|(key, value)| labels.get(*key) != Some(value)) {
                let message =
                    format!("selects {key}={}, which the template of {} does not carry", text(value), manifest.name());
                self.error(service, &["spec", "selector", key], message);
            }
        }
        if service.namespace() != manifest.namespace() {
            self.error(
                manifest,
                &path,
                format!("Service {name} is in another namespace: a rollout moves Services of its own"),
            );
        }
    }
}

/// It is an Argo Rollout that names this Service, and is not paused.
fn holds(manifest: &Manifest, service: &str) -> bool {
    let strategy = &manifest.value["spec"]["strategy"];
    let canary = ["canaryService", "stableService"].map(|field| &strategy["canary"][field]);
    let blue_green = ["activeService", "previewService"].map(|field| &strategy["blueGreen"][field]);
    let is_argos = manifest.kind() == "Rollout" && manifest.api_version().starts_with("argoproj.io/");
    is_argos
        && manifest.value["spec"]["paused"] != true
        && [canary, blue_green].concat().iter().any(|it| **it == service)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
