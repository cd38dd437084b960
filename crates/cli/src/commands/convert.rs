//! `convert`: an Argo Rollout, or a Deployment and its Service, becomes ours. The text is changed as little as possible; what
//! cannot be carried over stays in it as a comment, and is named.

use std::path::PathBuf;

use anyhow::Result;
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

/// Converts the files and prints the manifests; notes go to standard error.
pub fn run(files: &[PathBuf]) -> Result<Exit> {
    let converted = convert(&manifests::read(files)?);
    println!("{}", converted.documents.iter().map(|text| text.trim_end()).collect::<Vec<_>>().join("\n---\n"));
    for note in &converted.notes {
        eprintln!("{}", one_line(note));
    }
    Ok(if converted.notes.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Converts manifests that belong together.
pub fn convert(manifests: &[Manifest]) -> Converted {
    let mut converted = Converted::default();
    for manifest in manifests {
        let argo = manifest.api_version().starts_with("argoproj.io/");
        let ours = match manifest.kind() {
            "Rollout" if argo => Some("BlueGreenRollout"),
            kind @ ("AnalysisTemplate" | "ClusterAnalysisTemplate") if argo => Some(kind),
            _ => None,
        };
        match (ours, manifest.kind()) {
            (Some(kind), _) => from_argo(manifest, kind, &mut converted),
            (None, "Deployment") if !is_referred_to(manifest, manifests) => {
                from_deployment(manifest, manifests, &mut converted)
            }
            _ => converted.documents.push(manifest.text.clone()),
        }
    }
    converted
}

/// A rollout takes its template from this Deployment, which therefore stays one.
fn is_referred_to(deployment: &Manifest, all: &[Manifest]) -> bool {
    all.iter().any(|other| other.value["spec"]["workloadRef"]["name"] == deployment.name())
}

fn from_argo(manifest: &Manifest, kind: &str, converted: &mut Converted) {
    if manifest.value["spec"]["strategy"].get("canary").is_some() {
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
