//! Will the pods start, serve and end as a release needs it?

use serde_json::Value;

use crate::manifests::Manifest;

use super::findings::{DEFAULT_GRACE, Lint};

/// Time that proxies and load balancers need to take an endpoint out, in seconds; a pod that ends before loses requests.
const ENDPOINTS_NEED: i64 = 5;

impl Lint<'_> {
    pub(super) fn check_template(&mut self, manifest: &Manifest) {
        let pod = &manifest.value["spec"]["template"]["spec"];
        let at = ["spec", "template", "spec"];
        let containers = pod["containers"].as_array().cloned().unwrap_or_default();
        let grace = pod["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE);
        for (number, container) in containers.iter().enumerate() {
            let index = number.to_string();
            let path = |field: &'static str| [at[0], at[1], at[2], "containers", &index, field].map(str::to_owned);
            let mut warn = |field: &'static str, message: String| {
                let path = path(field);
                self.warn(manifest, &path.each_ref().map(String::as_str), message);
            };
            let name = container["name"].as_str().unwrap_or_default();
            let serves = containers.len() == 1 || container.get("ports").is_some();
            if serves && container.get("readinessProbe").is_none() {
                warn(
                    "readinessProbe",
                    format!(
                        "container {name} has none: it counts as ready as soon as it runs, and is promoted before it answers"
                    ),
                );
            }
            // What is limited and not requested is requested, too.
            let resources = &container["resources"];
            if resources.get("requests").or_else(|| resources.get("limits")).is_none() {
                warn(
                    "resources",
                    format!(
                        "container {name} requests none: during a release there are twice as many pods, and nobody knows whether they fit"
                    ),
                );
            }
            if !serves {
                continue;
            }
            match stop_delay(container) {
                None => warn(
                    "lifecycle",
                    format!(
                        "container {name} has no preStop: it ends while proxies still send to it. Write lifecycle: {{preStop: {{sleep: {{seconds: {ENDPOINTS_NEED}}}}}}}"
                    ),
                ),
                Some(seconds) if seconds < ENDPOINTS_NEED => {
                    warn("lifecycle", format!("preStop waits {seconds} s, the endpoints need about {ENDPOINTS_NEED}"));
                }
                Some(seconds) if seconds >= grace => {
                    warn(
                        "lifecycle",
                        format!(
                            "preStop waits {seconds} s, but the pod is killed after {grace}: raise terminationGracePeriodSeconds"
                        ),
                    );
                }
                Some(_) => {}
            }
        }
    }
}

/// Seconds that a container waits before it ends, if it says so. A command is taken to wait long enough, unless it is a plain sleep.
fn stop_delay(container: &Value) -> Option<i64> {
    let pre_stop = container["lifecycle"].get("preStop")?;
    if let Some(seconds) = pre_stop["sleep"]["seconds"].as_i64() {
        return Some(seconds);
    }
    let command: Vec<&str> =
        pre_stop["exec"]["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let words = command.join(" ");
    let seconds = words.split("sleep ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Some(seconds.unwrap_or(ENDPOINTS_NEED))
}
