//! An Argo Rollout, or an analysis template of Argo's. Most fields are the same; here is what is not.

use greenlight_core::analysis::{expression, run};
use serde_json::{Value, json};

use super::becomes::is_canary;
use super::draft::{API_VERSION, Converted, Draft, note};
use super::text::{insert_in_spec, set_line, without_servers_fields};
use crate::manifests::Manifest;

/// Where rules and arguments of an analysis are: in a template, and in a Rollout.
const ANALYSES: [&[&str]; 3] = [
    &["spec"],
    &["spec", "strategy", "blueGreen", "prePromotionAnalysis"],
    &["spec", "strategy", "blueGreen", "postPromotionAnalysis"],
];

/// Changes the lines that are different, and names what cannot be the same.
pub(super) fn convert(manifest: &Manifest, kind: &str, all: &[Manifest], converted: &mut Converted) {
    if is_canary(manifest) {
        note(
            converted,
            manifest,
            &["spec", "strategy", "canary"],
            "a canary cannot become blue-green: write strategy.blueGreen. Or leave it with Argo Rollouts, and beside it Argo's analysis \
             templates that it names",
        );
        converted.documents.push(without_servers_fields(manifest).0);
        return;
    }
    let (text, mut wanted) = without_servers_fields(manifest);
    let mut text = set_line(&set_line(&text, "apiVersion", API_VERSION), "kind", kind);
    if kind == "BlueGreenRollout"
        && let Some(selector) = selector_of_workload(manifest, all)
    {
        text = insert_in_spec(&text, &json!({"selector": selector}));
        wanted["spec"]["selector"] = selector;
    }
    let mut draft = Draft::new(manifest, kind, text, wanted);
    let blue_green = &manifest.value["spec"]["strategy"]["blueGreen"];
    if blue_green["autoPromotionEnabled"] == false && blue_green["autoPromotionSeconds"].as_i64() > Some(0) {
        draft.leave_out(
            &["spec", "strategy", "blueGreen", "autoPromotionSeconds"],
            ". Argo Rollouts ignores it while autoPromotionEnabled is false; here it would promote without a person",
            converted,
        );
    }
    if manifest.value["spec"]["paused"] == true {
        note(
            converted,
            manifest,
            &["spec", "paused"],
            "holds back the first revision, too: remove it before you apply this",
        );
    }
    tell_of_metadata(manifest, converted);
    tell_of_metrics(manifest, converted);
    for path in ANALYSES {
        tell_of_rules(manifest, path, all, converted);
        tell_of_arguments(manifest, path, converted);
    }
    draft.finish(kind, converted);
}

/// Argo Rollouts takes the selector of the Deployment if the Rollout has none.
fn selector_of_workload(manifest: &Manifest, all: &[Manifest]) -> Option<Value> {
    let spec = &manifest.value["spec"];
    if !spec["selector"].is_null() {
        return None;
    }
    let is_it = |other: &&Manifest| {
        other.kind() == "Deployment"
            && spec["workloadRef"]["name"] == other.name()
            && other.namespace() == manifest.namespace()
    };
    Some(all.iter().find(is_it)?.value["spec"]["selector"].clone()).filter(Value::is_object)
}

/// Annotations and labels that only Argo's programs read.
fn tell_of_metadata(manifest: &Manifest, converted: &mut Converted) {
    for part in ["annotations", "labels"] {
        let keys: Vec<&String> =
            manifest.value["metadata"][part].as_object().into_iter().flat_map(|map| map.keys()).collect();
        for key in keys {
            let what = match key.split_once('/').map(|(prefix, _)| prefix) {
                Some("notifications.argoproj.io") => {
                    "subscribes to Argo Rollouts' notifications: Greenlight is told in the chart's values where to send its own, see \
                     docs/notifications.md"
                }
                Some("argo-rollouts.argoproj.io" | "rollout.argoproj.io") => {
                    "means something to Argo Rollouts alone: remove it"
                }
                _ => continue,
            };
            note(converted, manifest, &["metadata", part, key.as_str()], what);
        }
    }
}

/// Conditions that cannot be read here, and what Argo Rollouts has from elsewhere.
fn tell_of_metrics(manifest: &Manifest, converted: &mut Converted) {
    for (number, metric) in manifest.value["spec"]["metrics"].as_array().into_iter().flatten().enumerate() {
        let number = number.to_string();
        for field in ["successCondition", "failureCondition"] {
            let problem = metric[field].as_str().and_then(|text| expression::check(text).err());
            if let Some(problem) = problem {
                note(converted, manifest, &["spec", "metrics", &number, field], &problem);
            }
        }
        let prometheus = &metric["provider"]["prometheus"];
        if prometheus.is_object() && prometheus["address"].as_str().unwrap_or_default().is_empty() {
            let path = ["spec", "metrics", number.as_str(), "provider", "prometheus"];
            note(
                converted,
                manifest,
                &path,
                "has no address, which Argo Rollouts has in its own environment: write address here",
            );
        }
    }
}

/// Rules that choose metrics by name. To Argo Rollouts they are regular expressions, and a part of the name is enough.
fn tell_of_rules(manifest: &Manifest, analysis: &[&str], all: &[Manifest], converted: &mut Converted) {
    let metrics = all.iter().flat_map(|other| other.value["spec"]["metrics"].as_array().into_iter().flatten());
    let names: Vec<&str> = metrics.filter_map(|metric| metric["name"].as_str()).collect();
    for field in ["dryRun", "measurementRetention"] {
        let rules = at(manifest, analysis)[field].as_array().into_iter().flatten();
        for (number, rule) in rules.enumerate() {
            let rule = rule["metricName"].as_str().unwrap_or_default();
            let anywhere = format!(".*{rule}.*");
            let is_for = |name: &&&str| run::matches(&anywhere, name) && !run::matches(rule, name);
            let what = if rule.replace(".*", "").contains(['\\', '^', '$', '|', '?', '*', '+', '(', '[', '{']) {
                "is a regular expression: here only .* stands for any text. Write a rule for each metric".to_owned()
            } else if let Some(name) = names.iter().find(is_for) {
                format!(
                    "is for metric {name}, too, in Argo Rollouts, where a part of the name is enough: write {anywhere}"
                )
            } else {
                continue;
            };
            let number = number.to_string();
            note(converted, manifest, &[analysis, &[field, number.as_str(), "metricName"][..]].concat(), &what);
        }
    }
}

/// Arguments from the status of the Rollout.
fn tell_of_arguments(manifest: &Manifest, analysis: &[&str], converted: &mut Converted) {
    let arguments = at(manifest, analysis)["args"].as_array().into_iter().flatten();
    for (number, argument) in arguments.enumerate() {
        let field = argument["valueFrom"]["fieldRef"]["fieldPath"].as_str().unwrap_or_default();
        if field.starts_with("status") {
            let number = number.to_string();
            let path = [analysis, &["args", number.as_str(), "valueFrom", "fieldRef", "fieldPath"][..]].concat();
            note(converted, manifest, &path, "is of Argo's status: write one of a BlueGreenRollout, see docs/api.md");
        }
    }
}

fn at<'a>(manifest: &'a Manifest, path: &[&str]) -> &'a Value {
    path.iter().fold(&manifest.value, |at, key| &at[*key])
}
