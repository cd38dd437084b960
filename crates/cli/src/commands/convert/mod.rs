//! `convert`: an Argo Rollout, or a Deployment and its Service, becomes ours. The text is changed as little as possible; what
//! cannot be carried over stays in it as a comment, and is named.
//!
//! | question | file |
//! |---|---|
//! | What does each manifest become? | here |
//! | What does an Argo Rollout say that a rollout of ours says otherwise, or not at all? | [`argo`] |
//! | How does a Deployment become a rollout? | [`deployment`] |
//! | What depends on what is converted? | [`around`] |
//! | How is the text changed? | [`text`] |

mod argo;
mod around;
mod deployment;
mod text;

use std::path::PathBuf;

use anyhow::{Result, bail};
use greenlight_api::text::one_line;
use serde_json::{Value, json};

use self::text::{insert_in_spec, same};
use crate::exit::Exit;
use crate::manifests::{self, Manifest, find_block, schema};

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
            Becomes::Ours(kind) => argo::convert(manifest, kind, manifests, &mut converted),
            Becomes::Rollout => deployment::convert(manifest, manifests, &mut converted),
            Becomes::Same => match around::target(manifest) {
                Some(field) => around::retarget(manifest, field, manifests, becomes_ours, &mut converted),
                None => {
                    around::tell(manifest, manifests, &mut converted);
                    converted.documents.push(manifest.text.clone());
                }
            },
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
    if manifest.value["spec"].get("paused").is_some()
        && let Some((start, end)) = find_block(&lines, &["spec", "paused"])
    {
        lines.drain(start..end);
    }
    let text = insert_in_spec(&(lines.join("\n") + "\n"), &json!({"paused": true}));
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
        "Deployment" if is_named || !has_argo_rollouts(all) => Becomes::Rollout,
        _ => Becomes::Same,
    }
}

/// Of Argo Rollouts, or of another of Argo's projects: they share the group.
fn is_argos(manifest: &Manifest) -> bool {
    manifest.api_version().starts_with("argoproj.io/")
}

fn has_argo_rollouts(all: &[Manifest]) -> bool {
    all.iter().any(|manifest| manifest.kind() == "Rollout" && is_argos(manifest))
}

/// A rollout takes its template from this Deployment, which therefore stays one.
fn is_referred_to(deployment: &Manifest, all: &[Manifest]) -> bool {
    all.iter().any(|other| other.value["spec"]["workloadRef"]["name"] == deployment.name())
}

/// What a manifest is to be, and how far its text is.
struct Draft<'a> {
    manifest: &'a Manifest,
    text: String,
    value: Value,
}

impl<'a> Draft<'a> {
    /// `wanted` is what the text should say.
    fn new(manifest: &'a Manifest, kind: &str, mut text: String, mut wanted: Value) -> Draft<'a> {
        wanted["apiVersion"] = API_VERSION.into();
        wanted["kind"] = kind.into();
        if !serde_saphyr::from_str::<Value>(&text).is_ok_and(|value| value == wanted) {
            // Not in block style, so the lines were not found.
            text = serde_saphyr::to_string(&wanted).unwrap_or_default();
        }
        Draft { manifest, text, value: wanted }
    }

    /// A field becomes a comment.
    fn leave_out(&mut self, path: &[&str], why: &str, converted: &mut Converted) {
        let told = text::remove(&mut self.value, path);
        note(converted, self.manifest, path, &format!("is not carried over; it stays as a comment{why}"));
        let commented = text::comment_out(&self.text, path).filter(|commented| {
            serde_saphyr::from_str::<Value>(commented).is_ok_and(|value| same(&value, &self.value))
        });
        self.text = commented.unwrap_or_else(|| {
            // Not in block style: the comments of this document are the price.
            let comment = format!("# not carried over: {}: {told}\n", path.join("."));
            comment + &serde_saphyr::to_string(&self.value).unwrap_or_default()
        });
    }

    /// What our schema does not know becomes a comment; what it refuses is named.
    fn finish(mut self, kind: &str, converted: &mut Converted) {
        let Some(schema) = schema::of_kind(kind) else { return };
        for violation in schema::check(&schema, &self.value) {
            let path: Vec<&str> = violation.path.iter().map(String::as_str).collect();
            if violation.unknown {
                self.leave_out(&path, &argo::instead_of(&path), converted);
            } else {
                note(converted, self.manifest, &path, &violation.message);
            }
        }
        converted.documents.push(self.text);
    }
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

#[cfg(test)]
mod tests;
