//! `convert`: an Argo Rollout, or a Deployment and its Service, becomes ours. The text is changed as little as possible; what
//! cannot be carried over stays in it as a comment, and is named.

use std::path::PathBuf;

use anyhow::{Result, bail};
use greenlight_api::text::one_line;
use greenlight_core::analysis::expression;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::manifests::schema;
use crate::manifests::{self, Manifest, find_block};

const API_VERSION: &str = "greenlight.dev/v1alpha1";

/// What came of it.
#[derive(Debug, Default)]
pub struct Converted {
    /// The documents.
    pub documents: Vec<String>,
    /// What could not be carried over, or has to be looked at, with file, line and field.
    pub notes: Vec<String>,
}

/// Converts the files and prints the manifests; notes go to standard error. With `pause`, prints what stays beside them until production
/// has moved.
pub fn run(files: &[PathBuf], only: &[String], pause: bool) -> Result<Exit> {
    let manifests = manifests::read(files)?;
    let unknown = only.iter().find(|name| !manifests.iter().any(|manifest| manifest.name() == name.as_str()));
    if let Some(name) = unknown {
        bail!("nothing among the files is named {name}");
    }
    let converted = if pause { beside(&manifests, only) } else { convert(&manifests, only) };
    println!("{}", converted.documents.iter().map(|text| text.trim_end()).collect::<Vec<_>>().join("\n---\n"));
    for note in &converted.notes {
        eprintln!("{}", one_line(note));
    }
    Ok(if converted.notes.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Converts manifests that belong together; with `only`, those of them with these names.
pub fn convert(manifests: &[Manifest], only: &[String]) -> Converted {
    let mut converted = Converted::default();
    let becomes_ours = |manifest: &Manifest| becomes(manifest, manifests, only);
    for manifest in manifests {
        match becomes_ours(manifest) {
            Becomes::Ours(kind) => from_argo(manifest, kind, &mut converted),
            Becomes::Rollout => from_deployment(manifest, manifests, &mut converted),
            Becomes::Same if manifest.value["spec"]["scaleTargetRef"].is_object() => {
                retarget(manifest, manifests, becomes_ours, &mut converted);
            }
            Becomes::Same => {
                around(manifest, manifests, &mut converted);
                converted.documents.push(manifest.text.clone());
            }
        }
    }
    converted
}

/// Argo Rollouts' objects that are converted, as they stay beside what they become: the Rollouts paused, so that their controller moves
/// no Service any more. Their pods run on.
pub fn beside(manifests: &[Manifest], only: &[String]) -> Converted {
    let mut beside = Converted::default();
    for manifest in manifests {
        match becomes(manifest, manifests, only) {
            Becomes::Ours("BlueGreenRollout") if !is_canary(manifest) => beside.documents.push(paused(manifest)),
            Becomes::Ours(kind) if kind != "BlueGreenRollout" => beside.documents.push(manifest.text.clone()),
            _ => {}
        }
    }
    beside
}

fn paused(manifest: &Manifest) -> String {
    let mut wanted = manifest.value.clone();
    wanted["spec"]["paused"] = true.into();
    let mut lines: Vec<&str> = manifest.text.lines().collect();
    if let Some((start, end)) = find_block(&lines, &["spec", "paused"]) {
        lines.drain(start..end);
    }
    if let Some(at) = lines.iter().position(|line| line.trim_end() == "spec:") {
        lines.insert(at + 1, "  paused: true");
    }
    let text = lines.join("\n") + "\n";
    let is_right = serde_saphyr::from_str::<Value>(&text).is_ok_and(|value| value == wanted);
    if is_right { text } else { serde_saphyr::to_string(&wanted).unwrap_or_default() }
}

fn is_canary(manifest: &Manifest) -> bool {
    manifest.value["spec"]["strategy"].get("canary").is_some()
}

/// What a manifest becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    /// Argo's becomes the kind of this name.
    Ours(&'static str),
    /// A Deployment becomes a rollout.
    Rollout,
    /// It stays.
    Same,
}

/// Beside Argo Rollouts a Deployment stays one, unless it is named.
fn becomes(manifest: &Manifest, all: &[Manifest], only: &[String]) -> Becomes {
    let is_named = only.iter().any(|name| name == manifest.name());
    if !only.is_empty() && !is_named && manifest.kind() != "AnalysisTemplate" {
        return Becomes::Same;
    }
    match manifest.kind() {
        "Rollout" if is_argos(manifest) => Becomes::Ours("BlueGreenRollout"),
        "AnalysisTemplate" if is_argos(manifest) => Becomes::Ours("AnalysisTemplate"),
        "ClusterAnalysisTemplate" if is_argos(manifest) => Becomes::Ours("ClusterAnalysisTemplate"),
        "Deployment" if is_referred_to(manifest, all) => Becomes::Same,
        "Deployment" if is_named || !all.iter().any(|other| other.kind() == "Rollout" && is_argos(other)) => {
            Becomes::Rollout
        }
        _ => Becomes::Same,
    }
}

fn is_argos(manifest: &Manifest) -> bool {
    manifest.api_version().starts_with("argoproj.io/")
}

/// An autoscaler (HorizontalPodAutoscaler, or KEDA's ScaledObject) scales what its target has become.
fn retarget(manifest: &Manifest, all: &[Manifest], becomes: impl Fn(&Manifest) -> Becomes, converted: &mut Converted) {
    let target = &manifest.value["spec"]["scaleTargetRef"];
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
                &["spec", "scaleTargetRef"],
                "the Rollout that it scales is not among the files: write apiVersion greenlight.dev/v1alpha1 and kind BlueGreenRollout",
            );
        }
        converted.documents.push(manifest.text.clone());
        return;
    }
    let mut wanted = manifest.value.clone();
    wanted["spec"]["scaleTargetRef"]["apiVersion"] = API_VERSION.into();
    wanted["spec"]["scaleTargetRef"]["kind"] = "BlueGreenRollout".into();
    let mut lines: Vec<String> = manifest.text.lines().map(str::to_owned).collect();
    for (key, value) in [("apiVersion", API_VERSION), ("kind", "BlueGreenRollout")] {
        let borrowed: Vec<&str> = lines.iter().map(String::as_str).collect();
        let at = find_block(&borrowed, &["spec", "scaleTargetRef", key]).map(|block| block.0);
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

/// What stays as it is, but depends on what is converted: a person has to change it.
fn around(manifest: &Manifest, all: &[Manifest], converted: &mut Converted) {
    let from_argo = all.iter().any(is_argos);
    let mut say = |path: &[&str], what: &str| note(converted, manifest, path, what);
    match manifest.kind() {
        "Deployment" if from_argo && !is_referred_to(manifest, all) => {
            say(&[], "stays a Deployment beside Argo Rollouts: name it with --only to convert it");
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
        _ => {}
    }
    if ["rollout_info", "argo_rollouts_", "argoproj.io/Rollout"].iter().any(|word| manifest.text.contains(word)) {
        say(&[], "names Argo Rollouts' metrics or resources: see docs/monitoring.md and docs/gitops.md for these");
    }
}

/// A rollout takes its template from this Deployment, which therefore stays one.
fn is_referred_to(deployment: &Manifest, all: &[Manifest]) -> bool {
    all.iter().any(|other| other.value["spec"]["workloadRef"]["name"] == deployment.name())
}

fn from_argo(manifest: &Manifest, kind: &str, converted: &mut Converted) {
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
    let text = set_line(&manifest.text, "apiVersion", API_VERSION);
    let text = set_line(&text, "kind", kind);
    finish(manifest, kind, text, manifest.value.clone(), converted);
}

/// `wanted` is what the text should say. What our schema does not know becomes a comment; what it refuses is named.
fn finish(manifest: &Manifest, kind: &str, mut text: String, mut wanted: Value, converted: &mut Converted) {
    let Some(schema) = schema::of_kind(kind) else { return };
    let mut value: Value = serde_saphyr::from_str(&text).unwrap_or_default();
    wanted["apiVersion"] = API_VERSION.into();
    wanted["kind"] = kind.into();
    if value["kind"] != kind || value["spec"]["strategy"] != wanted["spec"]["strategy"] {
        // Not in block style, so the lines were not found.
        value = wanted;
        text = serde_saphyr::to_string(&value).unwrap_or_default();
    }
    for violation in schema::check(&schema, &value) {
        let path: Vec<&str> = violation.path.iter().map(String::as_str).collect();
        if !violation.unknown {
            note(converted, manifest, &path, &violation.message);
            continue;
        }
        let told = remove(&mut value, &path);
        note(converted, manifest, &path, "is not carried over; it stays as a comment");
        match comment_out(&text, &path) {
            Some(commented) if serde_saphyr::from_str::<Value>(&commented).is_ok_and(|value| lacks(&value, &path)) => {
                text = commented
            }
            // Not in block style: the comments of this document are the price.
            _ => {
                let comment = format!("# not carried over: {}: {told}\n", path.join("."));
                text = comment + &serde_saphyr::to_string(&value).unwrap_or_default();
            }
        }
    }
    for (number, metric) in manifest.value["spec"]["metrics"].as_array().into_iter().flatten().enumerate() {
        for field in ["successCondition", "failureCondition"] {
            let problem = metric[field].as_str().and_then(|text| expression::check(text).err());
            if let Some(problem) = problem {
                note(converted, manifest, &["spec", "metrics", &number.to_string(), field], &problem);
            }
        }
    }
    converted.documents.push(text);
}

fn from_deployment(manifest: &Manifest, all: &[Manifest], converted: &mut Converted) {
    let labels = &manifest.value["spec"]["template"]["metadata"]["labels"];
    let selects = |other: &&Manifest| {
        let selector = other.value["spec"]["selector"].as_object();
        other.kind() == "Service"
            && other.namespace() == manifest.namespace()
            && selector
                .is_some_and(|selector| !selector.is_empty() && selector.iter().all(|(k, v)| labels.get(k) == Some(v)))
    };
    let services: Vec<&Manifest> = all.iter().filter(selects).collect();
    let mut blue_green = json!({});
    if let Some(active) = services.first() {
        let preview = format!("{}-preview", active.name());
        blue_green = json!({"activeService": active.name(), "previewService": preview});
        if services.len() > 1 {
            let more: Vec<&str> = services.iter().skip(1).map(|service| service.name()).collect();
            blue_green["additionalActiveServices"] = json!(more);
        }
        if !all.iter().any(|other| other.kind() == "Service" && other.name() == preview) {
            let mut service = active.value.clone();
            service["metadata"]["name"] = preview.into();
            for assigned in ["clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort"] {
                remove(&mut service, &["spec", assigned]);
            }
            converted.documents.push(serde_saphyr::to_string(&service).unwrap_or_default());
        }
    } else {
        note(
            converted,
            manifest,
            &["spec", "template"],
            "no Service among the files selects its pods: nothing is switched, a promotion is availability alone",
        );
    }
    let mut text = set_line(&manifest.text, "apiVersion", API_VERSION);
    text = set_line(&text, "kind", "BlueGreenRollout");
    if manifest.value["spec"].get("strategy").is_some() {
        text = comment_out(&text, &["spec", "strategy"]).unwrap_or(text);
        note(converted, manifest, &["spec", "strategy"], "is replaced by strategy.blueGreen");
    }
    let strategy = serde_saphyr::to_string(&json!({"strategy": {"blueGreen": blue_green}})).unwrap_or_default();
    let indented: String = strategy.lines().map(|line| format!("  {line}\n")).collect();
    let mut with_strategy = String::new();
    for line in text.lines() {
        with_strategy.push_str(line);
        with_strategy.push('\n');
        if line.trim_end() == "spec:" {
            with_strategy.push_str(&indented);
        }
    }
    let mut wanted = manifest.value.clone();
    wanted["spec"]["strategy"] = json!({"blueGreen": blue_green});
    finish(manifest, "BlueGreenRollout", with_strategy, wanted, converted);
}

fn note(converted: &mut Converted, manifest: &Manifest, path: &[&str], what: &str) {
    let line = manifest.line_of(path);
    let name = manifest.name();
    converted.notes.push(format!(
        "{}:{line}: {} {name}: {}: {what}",
        manifest.file.display(),
        manifest.kind(),
        path.join(".")
    ));
}

/// Sets a top-level field that is there.
fn set_line(text: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let prefix = format!("{key}:");
    if let Some(line) = lines.iter_mut().find(|line| line.starts_with(&prefix)) {
        let comment = line.find(" #").map(|at| line[at..].to_owned()).unwrap_or_default();
        *line = format!("{prefix} {value}{comment}");
    }
    lines.join("\n") + "\n"
}

fn comment_out(text: &str, path: &[&str]) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let (start, end) = find_block(&lines, path)?;
    let commented = lines.iter().enumerate().map(|(number, line)| {
        if (start..end).contains(&number) && !line.trim().is_empty() {
            format!("# not carried over: {line}\n")
        } else {
            format!("{line}\n")
        }
    });
    Some(commented.collect())
}

fn remove(value: &mut Value, path: &[&str]) -> Value {
    let Some((last, parents)) = path.split_last() else { return Value::Null };
    let mut at = value;
    for part in parents {
        let next = match part.parse::<usize>() {
            Ok(index) if at.is_array() => at.get_mut(index),
            _ => at.get_mut(*part),
        };
        let Some(next) = next else { return Value::Null };
        at = next;
    }
    at.as_object_mut().and_then(|map| map.remove(*last)).unwrap_or_default()
}

fn lacks(value: &Value, path: &[&str]) -> bool {
    let pointer: String = path.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect();
    value.pointer(&pointer).is_none()
}
