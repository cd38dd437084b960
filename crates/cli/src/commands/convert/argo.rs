//! An Argo Rollout, or an analysis template of Argo's. Most fields are the same; here is what is not.

use greenlight_core::analysis::expression;
use serde_json::{Value, json};

use super::becomes::is_canary;
use super::draft::{API_VERSION, Converted, Draft, note};
use super::text::{insert_in_spec, set_line, without_servers_fields};
use crate::manifests::Manifest;

/// Changes the lines that are different, and names what cannot be the same.
pub(super) fn convert(manifest: &Manifest, kind: &str, all: &[Manifest], converted: &mut Converted) {
    if is_canary(manifest) {
        note(
            converted,
            manifest,
            &["spec", "strategy", "canary"],
            "a canary cannot become blue-green: write strategy.blueGreen",
        );
        converted.documents.push(manifest.text.clone());
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
    tell_of_metadata(manifest, converted);
    tell_of_conditions(manifest, converted);
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

/// Conditions that cannot be read here.
fn tell_of_conditions(manifest: &Manifest, converted: &mut Converted) {
    for (number, metric) in manifest.value["spec"]["metrics"].as_array().into_iter().flatten().enumerate() {
        for field in ["successCondition", "failureCondition"] {
            let problem = metric[field].as_str().and_then(|text| expression::check(text).err());
            if let Some(problem) = problem {
                note(converted, manifest, &["spec", "metrics", &number.to_string(), field], &problem);
            }
        }
    }
}
