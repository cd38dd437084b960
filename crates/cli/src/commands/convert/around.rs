//! What stays as it is, but depends on what is converted.

use greenlight_api::names::MANAGED_BY_ARGO;
use serde_json::{Value, json};

use super::becomes::{Becomes, has_argo_rollouts, is_argos, is_canary, is_referred_to};
use super::draft::{API_VERSION, Converted, note};
use super::text::without_servers_fields;
use crate::manifests::{Manifest, find_block, parse};

/// The field in which an autoscaler names what it scales: HorizontalPodAutoscaler and KEDA's ScaledObject, VerticalPodAutoscaler.
pub(super) fn target(manifest: &Manifest) -> Option<&'static str> {
    ["scaleTargetRef", "targetRef"].into_iter().find(|field| manifest.value["spec"][field].is_object())
}

/// Whether an autoscaler is for this object.
pub(super) fn scales(scaler: &Manifest, other: &Manifest) -> bool {
    let Some(field) = target(scaler) else { return false };
    let target = &scaler.value["spec"][field];
    // KEDA's default is a Deployment.
    other.kind() == target["kind"].as_str().unwrap_or("Deployment")
        && target["name"] == other.name()
        && other.namespace() == scaler.namespace()
}

/// An autoscaler scales what its target has become.
pub(super) fn retarget(
    manifest: &Manifest,
    field: &str,
    all: &[Manifest],
    becomes: impl Fn(&Manifest) -> Becomes,
    converted: &mut Converted,
) {
    let found = all.iter().find(|other| scales(manifest, other));
    let is_ours = |found: &Manifest| matches!(becomes(found), Becomes::Ours("BlueGreenRollout") | Becomes::Rollout);
    if !found.is_some_and(|found| is_ours(found) && !is_canary(found)) {
        if manifest.value["spec"][field]["kind"] == "Rollout" && found.is_none() {
            note(
                converted,
                manifest,
                &["spec", field],
                "the Rollout that it scales is not among the files: write apiVersion greenlight.dev/v1alpha1 and kind BlueGreenRollout",
            );
        }
        converted.documents.push(without_servers_fields(manifest).0);
        return;
    }
    let (text, mut wanted) = without_servers_fields(manifest);
    wanted["spec"][field]["apiVersion"] = API_VERSION.into();
    wanted["spec"][field]["kind"] = "BlueGreenRollout".into();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
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
    let is_right = parse(&text).is_ok_and(|value| value == wanted);
    converted.documents.push(if is_right { text } else { serde_saphyr::to_string(&wanted).unwrap_or_default() });
}

/// Whether this refers to what is converted.
type IsIt<'a> = &'a dyn Fn(&Value) -> bool;

/// What Kustomize does to a Deployment, or is told to do to an Argo Rollout, and not to a BlueGreenRollout, by the field that asks for it.
const BLIND: [(&str, &str); 10] = [
    ("namePrefix", NAMES),
    ("nameSuffix", NAMES),
    ("configMapGenerator", NAMES),
    ("secretGenerator", NAMES),
    ("replicas", "does not change a BlueGreenRollout: use a patch"),
    ("commonLabels", LABELS),
    (
        "commonAnnotations",
        "does not reach the template of a BlueGreenRollout without commonAnnotations in `configurations`",
    ),
    ("configurations", FILES),
    ("crds", FILES),
    (
        "openapi",
        "does not know a BlueGreenRollout: a patch that names one container replaces all of its containers. Write all of them, or a patch \
         by path",
    ),
];
const NAMES: &str = "does not reach the names in a BlueGreenRollout without nameReference in `configurations`";
const LABELS: &str = "reaches the selector of a Service, and neither the selector nor the template of a BlueGreenRollout without \
                      commonLabels in `configurations`: such a Service would select none of its pods";
const FILES: &str = "may be for kind Rollout in its files: write greenlight.dev and BlueGreenRollout there, too";

/// Names what a person has to change.
pub(super) fn tell(
    manifest: &Manifest,
    all: &[Manifest],
    becomes: impl Fn(&Manifest) -> Becomes,
    converted: &mut Converted,
) {
    // Without a name, it is about every Deployment.
    let is_converted = |value: &Value| {
        let is_it = |other: &&Manifest| {
            other.kind() == "Deployment" && (value["name"].is_null() || value["name"] == other.name())
        };
        value["kind"] == "Deployment" && all.iter().filter(is_it).any(|other| becomes(other) == Becomes::Rollout)
    };
    // A Rollout that stays with Argo Rollouts keeps its Services.
    let claim = &manifest.value["metadata"]["annotations"][MANAGED_BY_ARGO];
    let keeps_it = |other: &Manifest| {
        let is_it = other.kind() == "Rollout" && *claim == other.name() && other.namespace() == manifest.namespace();
        is_it && (is_canary(other) || becomes(other) == Becomes::Same)
    };
    let kinds: [(&str, IsIt); 2] = [("Rollout", &is_rollout), ("Deployment", &is_converted)];
    let mut say = |path: &[&str], what: &str| note(converted, manifest, path, what);
    if let Some(place) = applies_server_side(manifest).filter(|_| has_argo_rollouts(all)) {
        say(
            place,
            "applies server-side, and takes Argo's hash out of a Service that way: keep it off the Services until the Argo Rollouts are \
             gone (docs/migrations.md, 4)",
        );
    }
    match manifest.kind() {
        "Deployment" if has_argo_rollouts(all) && !is_referred_to(manifest, all) => {
            say(&[], "stays a Deployment beside Argo Rollouts: name it with --only to convert it");
        }
        "Service" if !claim.is_null() && !all.iter().any(keeps_it) => {
            say(
                &["metadata", "annotations", MANAGED_BY_ARGO],
                "claims the Service for an Argo Rollout: remove it from Git by a commit of its own, which hands the Service over \
                 (docs/migrations.md, 4)",
            );
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
        _ if is_kustomization(manifest) => tell_of_kustomization(manifest, kinds, &mut say),
        _ => {
            let what = "names an Argo Rollout: where that is converted, write greenlight.dev and BlueGreenRollout";
            tell_where(manifest, &is_rollout, what, &mut say);
            let what = "names a Deployment that is converted: write greenlight.dev and BlueGreenRollout";
            tell_where(manifest, &is_converted, what, &mut say);
        }
    }
    if ["rollout_info", "argo_rollouts_", "argoproj.io/Rollout", "argoproj.io_Rollout"]
        .iter()
        .any(|word| manifest.text.contains(word))
    {
        say(&[], "names Argo Rollouts' metrics or resources: see docs/monitoring.md and docs/gitops.md for these");
    }
}

/// Names what Kustomize does to no BlueGreenRollout, and which of its patches are for what is converted.
fn tell_of_kustomization(manifest: &Manifest, kinds: [(&str, IsIt<'_>); 2], say: &mut dyn FnMut(&[&str], &str)) {
    for (field, what) in BLIND {
        if manifest.value.get(field).is_some() {
            say(&[field], what);
        }
    }
    let mut labels = manifest.value["labels"].as_array().into_iter().flatten();
    if labels.any(|labels| labels["includeSelectors"] == true || labels["includeTemplates"] == true) {
        say(&["labels"], LABELS);
    }
    for field in ["patches", "patchesJson6902", "patchesStrategicMerge", "replacements"] {
        for (number, part) in manifest.value[field].as_array().into_iter().flatten().enumerate() {
            let patched = patched(part);
            for (kind, is_named) in kinds {
                if names(part, is_named) || names(&patched, is_named) {
                    let what = format!("is for kind {kind}: write greenlight.dev and BlueGreenRollout there");
                    say(&[field, &number.to_string()], &what);
                }
            }
        }
    }
}

/// Tells this at each place in a manifest that names such an object, or has a patch for it.
fn tell_where(manifest: &Manifest, is_named: IsIt<'_>, what: &str, say: &mut dyn FnMut(&[&str], &str)) {
    let is_meant = |object: &Value| is_or_patches(object, is_named);
    for path in places(&manifest.value, &is_meant).iter().filter(|path| !path.is_empty()) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        say(&path, what);
    }
}

/// Kustomize takes a file of this name for one, without a kind in it too.
fn is_kustomization(manifest: &Manifest) -> bool {
    let has_kind = ["Kustomization", "Component"].contains(&manifest.kind())
        && manifest.api_version().starts_with("kustomize.config.k8s.io/");
    let file = manifest.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    has_kind || manifest.kind().is_empty() && ["kustomization.yaml", "kustomization.yml"].contains(&file)
}

/// Where a manifest has a tool apply server-side. The selector of a Service is one value to that, so what Git does not mention is lost.
fn applies_server_side(manifest: &Manifest) -> Option<&'static [&'static str]> {
    const OF_FLUX: &[&str] = &["spec"];
    const OF_ARGO_CD: &[&str] = &["spec", "syncPolicy", "syncOptions"];
    let is_of = |group: &str, kind: &str| manifest.api_version().starts_with(group) && manifest.kind() == kind;
    if is_of("kustomize.toolkit.fluxcd.io/", "Kustomization") {
        return Some(OF_FLUX);
    }
    let options = manifest.value["spec"]["syncPolicy"]["syncOptions"].as_array();
    let is_asked = options.is_some_and(|options| options.iter().any(|option| option == "ServerSideApply=true"));
    (is_of("argoproj.io/", "Application") && is_asked).then_some(OF_ARGO_CD)
}

/// The object names what is converted, or has a patch for that. What a patch has as its target is an object by itself.
fn is_or_patches(object: &Value, is_named: &dyn Fn(&Value) -> bool) -> bool {
    is_named(object) || object["target"].is_null() && is_named(&patched(object))
}

/// What a patch that is written in the kustomization itself is for.
fn patched(part: &Value) -> Value {
    let text = part["patch"].as_str().or(part.as_str()).unwrap_or_default();
    let patch = parse(text).unwrap_or_default();
    let mut object = json!({"kind": patch["kind"]});
    for (key, value) in [("apiVersion", &patch["apiVersion"]), ("name", &patch["metadata"]["name"])] {
        if !value.is_null() {
            object[key] = value.clone();
        }
    }
    object
}

/// The object names Argo's kind: in Flux's health checks and patches, in Argo CD's `ignoreDifferences` and lists of kinds.
fn is_rollout(object: &Value) -> bool {
    let group = object.get("apiVersion").or(object.get("group")).and_then(Value::as_str).unwrap_or("argoproj.io");
    object["kind"] == "Rollout" && (group == "argoproj.io" || group.starts_with("argoproj.io/"))
}

fn names(value: &Value, is_named: &dyn Fn(&Value) -> bool) -> bool {
    !places(value, is_named).is_empty()
}

/// The places in a value where such an object is.
fn places(value: &Value, is_named: &dyn Fn(&Value) -> bool) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    find(value, is_named, &mut Vec::new(), &mut found);
    found
}

fn find(value: &Value, is_named: &dyn Fn(&Value) -> bool, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    if value.is_object() && is_named(value) {
        found.push(path.clone());
    }
    let fields = value.as_object().into_iter().flatten().map(|(key, inner)| (key.clone(), inner));
    let items = value.as_array().into_iter().flatten().enumerate().map(|(number, inner)| (number.to_string(), inner));
    for (key, inner) in fields.chain(items) {
        path.push(key);
        find(inner, is_named, path, found);
        path.pop();
    }
}
