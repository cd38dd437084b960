//! What stays as it is, but depends on what is converted.

use serde_json::Value;

use super::{API_VERSION, Becomes, Converted, has_argo_rollouts, is_argos, is_referred_to, note};
use crate::manifests::{Manifest, find_block};

/// The field in which an autoscaler names what it scales: HorizontalPodAutoscaler and KEDA's ScaledObject, VerticalPodAutoscaler.
pub(super) fn target(manifest: &Manifest) -> Option<&'static str> {
    ["scaleTargetRef", "targetRef"].into_iter().find(|field| manifest.value["spec"][field].is_object())
}

/// An autoscaler scales what its target has become.
pub(super) fn retarget(
    manifest: &Manifest,
    field: &str,
    all: &[Manifest],
    becomes: impl Fn(&Manifest) -> Becomes,
    converted: &mut Converted,
) {
    let target = &manifest.value["spec"][field];
    // KEDA's default is a Deployment.
    let kind = target["kind"].as_str().unwrap_or("Deployment");
    let is_target = |other: &&Manifest| {
        other.kind() == kind && target["name"] == other.name() && other.namespace() == manifest.namespace()
    };
    let found = all.iter().find(is_target);
    if !found.is_some_and(|found| matches!(becomes(found), Becomes::Ours("BlueGreenRollout") | Becomes::Rollout)) {
        if kind == "Rollout" && found.is_none() {
            note(
                converted,
                manifest,
                &["spec", field],
                "the Rollout that it scales is not among the files: write apiVersion greenlight.dev/v1alpha1 and kind BlueGreenRollout",
            );
        }
        converted.documents.push(manifest.text.clone());
        return;
    }
    let mut wanted = manifest.value.clone();
    wanted["spec"][field]["apiVersion"] = API_VERSION.into();
    wanted["spec"][field]["kind"] = "BlueGreenRollout".into();
    let mut lines: Vec<String> = manifest.text.lines().map(str::to_owned).collect();
    for (key, value) in [("apiVersion", API_VERSION), ("kind", "BlueGreenRollout")] {
        let borrowed: Vec<&str> = lines.iter().map(String::as_str).collect();
        let at = find_block(&borrowed, &["spec", field, key]).map(|block| block.0);
        if let Some(line) = at.and_then(|at| lines.get_mut(at))
            && let Some((before, after)) = line.split_once(&format!("{key}:"))
        {
            let comment = after.find(" #").map(|at| after[at..].to_owned()).unwrap_or_default();
            *line = format!("{before}{key}: {value}{comment}");
        }
    }
    let text = lines.join("\n") + "\n";
    let is_right = serde_saphyr::from_str::<Value>(&text).is_ok_and(|value| value == wanted);
    converted.documents.push(if is_right { text } else { serde_saphyr::to_string(&wanted).unwrap_or_default() });
}

/// Names what a person has to change.
pub(super) fn tell(manifest: &Manifest, all: &[Manifest], converted: &mut Converted) {
    let mut say = |path: &[&str], what: &str| note(converted, manifest, path, what);
    match manifest.kind() {
        "Deployment" if has_argo_rollouts(all) && !is_referred_to(manifest, all) => {
            say(&[], "stays a Deployment beside Argo Rollouts: name it with --only to convert it");
        }
        "Experiment" if is_argos(manifest) => {
            say(&[], "has no counterpart here: leave it with Argo Rollouts, or let an analysis with a Job do its work");
        }
        "AnalysisRun" if is_argos(manifest) => {
            say(&[], "is not converted: the operator makes the AnalysisRuns of a release from its templates");
        }
        "Role" | "ClusterRole" => {
            let rules = manifest.value["rules"].as_array().into_iter().flatten();
            let of_argo = |rule: &Value| {
                rule["apiGroups"].as_array().is_some_and(|groups| groups.iter().any(|group| group == "argoproj.io"))
            };
            if rules.clone().any(of_argo) {
                say(
                    &["rules"],
                    "grants rights on argoproj.io: grant those on greenlight.dev too, where promote, abort, rollback and restart are verbs",
                );
            }
        }
        "Kustomization" if manifest.api_version().starts_with("kustomize.config.k8s.io/") => {
            for field in ["namePrefix", "nameSuffix", "configMapGenerator", "secretGenerator"] {
                if manifest.value.get(field).is_some() {
                    say(
                        &[field],
                        "does not reach the names in a BlueGreenRollout without nameReference in `configurations`",
                    );
                }
            }
            if manifest.value.get("replicas").is_some() {
                say(&["replicas"], "does not change a BlueGreenRollout: use a patch");
            }
            for (number, patch) in manifest.value["patches"].as_array().into_iter().flatten().enumerate() {
                if patch["target"]["kind"] == "Rollout" {
                    say(
                        &["patches", &number.to_string()],
                        "is for kind Rollout: write kind BlueGreenRollout in its target",
                    );
                }
            }
        }
        _ => {
            let mut named = Vec::new();
            find_rollouts(&manifest.value, &mut Vec::new(), &mut named);
            for path in named.iter().filter(|path| !path.is_empty()) {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                say(&path, "names an Argo Rollout: where that is converted, write greenlight.dev and BlueGreenRollout");
            }
        }
    }
    if ["rollout_info", "argo_rollouts_", "argoproj.io/Rollout", "argoproj.io_Rollout"]
        .iter()
        .any(|word| manifest.text.contains(word))
    {
        say(&[], "names Argo Rollouts' metrics or resources: see docs/monitoring.md and docs/gitops.md for these");
    }
}

/// Where a value names Argo's kind: Flux's health checks and patches, Argo CD's `ignoreDifferences` and lists of kinds.
fn find_rollouts(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let group = value.get("apiVersion").or(value.get("group")).and_then(Value::as_str).unwrap_or("argoproj.io");
    if value["kind"] == "Rollout" && (group == "argoproj.io" || group.starts_with("argoproj.io/")) {
        found.push(path.clone());
    }
    let fields = value.as_object().into_iter().flatten().map(|(key, inner)| (key.clone(), inner));
    let items = value.as_array().into_iter().flatten().enumerate().map(|(number, inner)| (number.to_string(), inner));
    for (key, inner) in fields.chain(items) {
        path.push(key);
        find_rollouts(inner, path, found);
        path.pop();
    }
}
