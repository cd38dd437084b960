//! `convert`: an Argo Rollout, or a Deployment and its Service, becomes ours. The text is changed as little as possible; what
//! cannot be carried over stays in it as a comment, and is named.
//!
//! | question | file |
//! |---|---|
//! | What does each manifest become? | [`mod@becomes`] |
//! | What is printed, and what stays beside it? | here |
//! | What does an Argo Rollout say that a rollout of ours says otherwise, or not at all? | [`argo`] |
//! | How does a Deployment become a rollout? | [`deployment`] |
//! | What depends on what is converted? | [`around`] |
//! | What is left out, and what is there instead? | [`draft`], [`instead`] |
//! | How is the text changed? | [`text`] |

mod argo;
mod around;
mod becomes;
mod deployment;
mod draft;
mod instead;
mod text;

use std::path::PathBuf;

use anyhow::{Result, bail};
use greenlight_api::text::one_line;
use serde_json::json;

use self::becomes::{Becomes, becomes, is_canary};
use self::draft::Converted;
use self::text::{insert_in_spec, without_servers_fields};
use crate::exit::Exit;
use crate::manifests::{self, Manifest, find_block};

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
                    around::tell(manifest, manifests, becomes_ours, &mut converted);
                    converted.documents.push(without_servers_fields(manifest).0);
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
            Becomes::Ours(kind) if kind != "BlueGreenRollout" => {
                beside.documents.push(without_servers_fields(manifest).0)
            }
            _ => {}
        }
    }
    beside
}

fn paused(manifest: &Manifest) -> String {
    let (text, mut wanted) = without_servers_fields(manifest);
    wanted["spec"]["paused"] = true.into();
    let mut lines: Vec<&str> = text.lines().collect();
    if manifest.value["spec"].get("paused").is_some()
        && let Some((start, end)) = find_block(&lines, &["spec", "paused"])
    {
        lines.drain(start..end);
    }
    let text = insert_in_spec(&(lines.join("\n") + "\n"), &json!({"paused": true}));
    let is_right = manifests::parse(&text).is_ok_and(|value| value == wanted);
    if is_right { text } else { serde_saphyr::to_string(&wanted).unwrap_or_default() }
}

#[cfg(test)]
mod tests;
