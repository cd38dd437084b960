//! Do the Services that a rollout names fit it?

use serde_json::Value;

use crate::manifests::Manifest;

use super::findings::Lint;

impl Lint<'_> {
    pub(super) fn check_service(&mut self, manifest: &Manifest, field: &str, name: &str) {
        let path = ["spec", "strategy", "blueGreen", field];
        let there = self.manifests.iter().find(|other| other.kind() == "Service" && other.name() == name);
        let Some(service) = there else {
            return self.say(
                false,
                manifest,
                &path,
                format!("Service {name} is not among the files: it must exist before the first release"),
            );
        };
        let labels = &manifest.value["spec"]["template"]["metadata"]["labels"];
        let selector = service.value["spec"]["selector"].as_object().cloned().unwrap_or_default();
        if selector.is_empty() {
            return self.say(
                true,
                service,
                &["spec", "selector"],
                format!("Service {name} has no selector: give it labels of the template"),
            );
        }
        if labels.is_object() {
            for (key, value) in selector.iter().filter(|(key, value)| labels.get(*key) != Some(value)) {
                let message =
                    format!("selects {key}={}, which the template of {} does not carry", text(value), manifest.name());
                self.say(true, service, &["spec", "selector", key], message);
            }
        }
        if service.namespace() != manifest.namespace() {
            self.say(
                true,
                manifest,
                &path,
                format!("Service {name} is in another namespace: a rollout moves Services of its own"),
            );
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
