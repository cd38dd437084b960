//! `lint`: what the API server would refuse, and what would go wrong later. Offline.

use std::path::PathBuf;

use anyhow::Result;
use greenlight_api::analysis::duration;
use greenlight_api::text::one_line;
use greenlight_core::analysis::expression;
use serde_json::Value;

use crate::exit::Exit;
use crate::manifests::{self, Manifest};
use crate::schema;

/// Time that proxies and load balancers need to take an endpoint out, in seconds; a pod that ends before loses requests.
const ENDPOINTS_NEED: i64 = 5;
/// An EndpointSlice has no more, unless the cluster was told otherwise.
const ENDPOINTS_OF_A_SLICE: i64 = 100;
const DEFAULT_GRACE: i64 = 30;
const DEFAULT_DELAY: i64 = 30;

/// Something to mend.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// It will not work; otherwise it may go wrong later.
    pub error: bool,
    /// `file:line`.
    pub place: String,
    /// The field.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Prints the findings. Exit code 2 when one is an error, or with `strict` any.
pub fn run(files: &[PathBuf], strict: bool) -> Result<Exit> {
    let manifests = manifests::read(files)?;
    let findings = lint(&manifests);
    for finding in &findings {
        let level = if finding.error { "error" } else { "warning" };
        let [place, field, message] = [&finding.place, &finding.field, &finding.message].map(|text| one_line(text));
        println!("{place}: {level}: {field}: {message}");
    }
    let rollouts = manifests.iter().filter(|manifest| manifest.kind() == "BlueGreenRollout").count();
    let errors = findings.iter().filter(|finding| finding.error).count();
    eprintln!("{rollouts} rollouts, {errors} errors, {} warnings.", findings.len() - errors);
    Ok(if errors > 0 || strict && !findings.is_empty() { Exit::Refused } else { Exit::Done })
}

/// Everything that is to mend in manifests that belong together.
pub fn lint(manifests: &[Manifest]) -> Vec<Finding> {
    let mut lint = Lint { manifests, findings: Vec::new() };
    for manifest in manifests.iter().filter(|manifest| manifest.api_version().starts_with("greenlight.dev/")) {
        lint.schema(manifest);
        match manifest.kind() {
            "BlueGreenRollout" => lint.rollout(manifest),
            "AnalysisTemplate" | "ClusterAnalysisTemplate" => lint.analysis_template(manifest),
            _ => {}
        }
    }
    lint.findings
}

struct Lint<'a> {
    manifests: &'a [Manifest],
    findings: Vec<Finding>,
}

impl Lint<'_> {
    fn say(&mut self, error: bool, manifest: &Manifest, path: &[&str], message: impl Into<String>) {
        let place = format!("{}:{}", manifest.file.display(), manifest.line_of(path));
        self.findings.push(Finding { error, place, field: path.join("."), message: message.into() });
    }

    fn schema(&mut self, manifest: &Manifest) {
        let Some(schema) = schema::of_kind(manifest.kind()) else {
            return self.say(
                true,
                manifest,
                &["kind"],
                format!("there is no kind {} in greenlight.dev", manifest.kind()),
            );
        };
        for violation in schema::check(&schema, &manifest.value) {
            let path: Vec<&str> = violation.path.iter().map(String::as_str).collect();
            self.say(true, manifest, &path, violation.message);
        }
    }

    fn rollout(&mut self, manifest: &Manifest) {
        let spec = &manifest.value["spec"];
        let blue_green = &spec["strategy"]["blueGreen"];
        for field in ["activeService", "previewService"] {
            let Some(name) = blue_green[field].as_str() else { continue };
            self.service(manifest, field, name);
        }
        for name in blue_green["additionalActiveServices"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.service(manifest, "additionalActiveServices", name);
        }
        for kind in ["prePromotionAnalysis", "postPromotionAnalysis"] {
            for template in blue_green[kind]["templates"].as_array().into_iter().flatten() {
                let name = template["templateName"].as_str().unwrap_or_default();
                let is_it = |other: &&Manifest| other.kind().ends_with("AnalysisTemplate") && other.name() == name;
                if !self.manifests.iter().any(|other| is_it(&other)) {
                    let message =
                        format!("no analysis template {name} is among the files: the release would wait for it");
                    self.say(false, manifest, &["spec", "strategy", "blueGreen", kind], message);
                }
            }
        }
        if spec.get("template").is_some() {
            self.template(manifest);
        }
        let grace = spec["template"]["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE);
        let delay = blue_green["scaleDownDelaySeconds"].as_i64().unwrap_or(DEFAULT_DELAY);
        if delay < grace.min(DEFAULT_GRACE) {
            let message = format!(
                "the old pods go {delay} s after the switch, while connections to them may last for {grace} s, their grace period. Write at least {}",
                grace.min(DEFAULT_GRACE)
            );
            self.say(false, manifest, &["spec", "strategy", "blueGreen", "scaleDownDelaySeconds"], message);
        }
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        if replicas > ENDPOINTS_OF_A_SLICE && blue_green["switchMode"].as_str() != Some("Overlap") {
            let message = format!(
                "the endpoints of {replicas} pods are in several EndpointSlices, which Kubernetes writes one after the other: at the switch \
                 there is a moment with fewer pods. Write strategy.blueGreen.switchMode: Overlap"
            );
            self.say(false, manifest, &["spec", "replicas"], message);
        }
    }

    fn service(&mut self, manifest: &Manifest, field: &str, name: &str) {
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

    fn template(&mut self, manifest: &Manifest) {
        let pod = &manifest.value["spec"]["template"]["spec"];
        let at = ["spec", "template", "spec"];
        let containers = pod["containers"].as_array().cloned().unwrap_or_default();
        let grace = pod["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE);
        for (number, container) in containers.iter().enumerate() {
            let index = number.to_string();
            let path = |field: &'static str| [at[0], at[1], at[2], "containers", &index, field].map(str::to_owned);
            let mut warn = |field: &'static str, message: String| {
                let path = path(field);
                self.say(false, manifest, &path.each_ref().map(String::as_str), message);
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
            if container["resources"].get("requests").is_none() {
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

    fn analysis_template(&mut self, manifest: &Manifest) {
        for (number, metric) in manifest.value["spec"]["metrics"].as_array().into_iter().flatten().enumerate() {
            let index = number.to_string();
            for field in ["successCondition", "failureCondition"] {
                if let Some(problem) = metric[field].as_str().and_then(|text| expression::check(text).err()) {
                    self.say(true, manifest, &["spec", "metrics", &index, field], problem);
                }
            }
            for field in ["interval", "initialDelay"] {
                let problem =
                    metric[field].as_str().filter(|text| !text.contains("{{")).and_then(|text| duration(text).err());
                if let Some(problem) = problem {
                    self.say(true, manifest, &["spec", "metrics", &index, field], problem);
                }
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

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
