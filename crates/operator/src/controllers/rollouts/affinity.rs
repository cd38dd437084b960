//! `antiAffinity`: keeping the pods of one revision away from nodes that run pods of another.

use greenlight_api::{AntiAffinity, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};

/// Adds to a pod template of the revision `hash` that it stays away from the rollout's other pods.
pub fn keep_apart(template: &mut Value, anti_affinity: &AntiAffinity, selector: &LabelSelector, hash: &str) {
    let mut others = json!(selector);
    let other_hash = json!({"key": names::HASH_LABEL, "operator": "NotIn", "values": [hash]});
    push(&mut others["matchExpressions"], other_hash);
    let term = json!({"labelSelector": others, "topologyKey": "kubernetes.io/hostname"});
    let rules = &mut template["spec"]["affinity"]["podAntiAffinity"];
    if let Some(preference) = &anti_affinity.preferred_during_scheduling_ignored_during_execution {
        let weighted = json!({"weight": preference.weight, "podAffinityTerm": term});
        push(&mut rules["preferredDuringSchedulingIgnoredDuringExecution"], weighted);
    } else {
        push(&mut rules["requiredDuringSchedulingIgnoredDuringExecution"], term);
    }
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        absent => *absent = json!([item]),
    }
}
