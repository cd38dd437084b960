//! A Deployment, and the Service that leads to it, as a rollout.

use serde_json::{Value, json};

use super::around::scales;
use super::draft::{API_VERSION, Converted, Draft, note};
use super::text::{comment_out, insert_in_spec, remove, set_line, without_servers_fields};
use crate::manifests::Manifest;

/// What a Service has for itself, and a second one like it must not have.
const OF_ITS_OWN: [&str; 10] = [
    "allocateLoadBalancerNodePorts",
    "clusterIP",
    "clusterIPs",
    "externalIPs",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "type",
];

/// Becomes a rollout, with a preview Service if there is none.
pub(super) fn convert(manifest: &Manifest, all: &[Manifest], converted: &mut Converted) {
    let services = services_of(manifest, all);
    let mut blue_green = json!({});
    if let Some((active, more)) = services.split_first() {
        let preview = preview_name(active);
        blue_green = json!({"activeService": active.name(), "previewService": preview});
        if !more.is_empty() {
            let more: Vec<&str> = more.iter().map(|service| service.name()).collect();
            blue_green["additionalActiveServices"] = json!(more);
        }
        let is_preview = |other: &Manifest| {
            other.kind() == "Service" && other.name() == preview && other.namespace() == manifest.namespace()
        };
        let document = serde_saphyr::to_string(&preview_of(active, &preview)).unwrap_or_default();
        if !all.iter().any(is_preview) && !converted.documents.contains(&document) {
            converted.documents.push(document);
        }
        tell_of_sharing(manifest, &services, all, converted);
    } else {
        note(
            converted,
            manifest,
            &["spec", "template"],
            "no Service among the files selects its pods: nothing is switched, a promotion is availability alone",
        );
    }
    let is_scaler = |other: &&Manifest| other.value["spec"]["scaleTargetRef"].is_object() && scales(other, manifest);
    if let Some(scaler) = all.iter().find(is_scaler) {
        let what = format!(
            "is set by {} {}: write the number of pods that serve now, with which the rollout takes production over (docs/migrating.md)",
            scaler.kind(),
            scaler.name()
        );
        note(converted, manifest, &["spec", "replicas"], &what);
    }
    let (text, mut wanted) = without_servers_fields(manifest);
    let mut text = set_line(&text, "apiVersion", API_VERSION);
    text = set_line(&text, "kind", "BlueGreenRollout");
    if manifest.value["spec"].get("strategy").is_some() {
        text = comment_out(&text, &["spec", "strategy"]).unwrap_or(text);
        note(converted, manifest, &["spec", "strategy"], "is replaced by strategy.blueGreen");
    }
    let strategy = json!({"blueGreen": blue_green});
    text = insert_in_spec(&text, &json!({"strategy": strategy}));
    wanted["spec"]["strategy"] = strategy;
    Draft::new(manifest, "BlueGreenRollout", text, wanted).finish("BlueGreenRollout", converted);
}

/// A Service has one owner: two Deployments behind one, as for a canary by hand, cannot both become rollouts.
fn tell_of_sharing(manifest: &Manifest, services: &[&Manifest], all: &[Manifest], converted: &mut Converted) {
    for other in all.iter().filter(|other| other.kind() == "Deployment" && other.name() != manifest.name()) {
        let theirs = services_of(other, all);
        let shared = services.iter().find(|service| {
            theirs.iter().any(|it| it.name() == service.name() && it.namespace() == service.namespace())
        });
        if let Some(service) = shared {
            let what = format!(
                "Service {} leads to the pods of Deployment {} too: give each its own, because a Service follows one rollout",
                service.name(),
                other.name()
            );
            note(converted, manifest, &["spec", "template", "metadata", "labels"], &what);
        }
    }
}

/// The Services that lead to its pods, without the preview Service of the first of them.
fn services_of<'a>(manifest: &Manifest, all: &'a [Manifest]) -> Vec<&'a Manifest> {
    let labels = &manifest.value["spec"]["template"]["metadata"]["labels"];
    let selects = |other: &&Manifest| {
        let selector = other.value["spec"]["selector"].as_object();
        other.kind() == "Service"
            && other.namespace() == manifest.namespace()
            && selector
                .is_some_and(|selector| !selector.is_empty() && selector.iter().all(|(k, v)| labels.get(k) == Some(v)))
    };
    let mut services: Vec<&Manifest> = all.iter().filter(selects).collect();
    if let Some(preview) = services.first().map(|active| preview_name(active)) {
        services.retain(|service| service.name() != preview);
    }
    services
}

fn preview_name(active: &Manifest) -> String {
    format!("{}-preview", active.name())
}

/// A Service like the active one, within the cluster. What else tells of that one, such as the name that it has outside (an annotation),
/// would lead production's requests to the preview.
fn preview_of(active: &Manifest, name: &str) -> Value {
    let mut service = active.value.clone();
    let mut metadata = json!({"name": name});
    for kept in ["namespace", "labels"] {
        if let Some(value) = service["metadata"].get(kept) {
            metadata[kept] = value.clone();
        }
    }
    service["metadata"] = metadata;
    for field in OF_ITS_OWN {
        remove(&mut service, &["spec", field]);
    }
    for port in service.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten() {
        remove(port, &["nodePort"]);
    }
    remove(&mut service, &["status"]);
    service
}
