//! What a manifest is to be while it is converted, and what there is to say of it.

use serde_json::Value;

use super::instead::instead_of;
use super::text::{comment_out, remove, same};
use crate::manifests::{Manifest, parse, schema};

/// Of a converted manifest.
pub(super) const API_VERSION: &str = "greenlight.dev/v1alpha1";

/// What came of it.
#[derive(Debug, Default)]
pub struct Converted {
    /// The documents.
    pub documents: Vec<String>,
    /// What could not be carried over, or has to be looked at, with file, line and field.
    pub notes: Vec<String>,
}

/// What a manifest is to be, and how far its text is.
pub(super) struct Draft<'a> {
    manifest: &'a Manifest,
    text: String,
    value: Value,
}

impl<'a> Draft<'a> {
    /// `wanted` is what the text should say.
    pub(super) fn new(manifest: &'a Manifest, kind: &str, mut text: String, mut wanted: Value) -> Draft<'a> {
        wanted["apiVersion"] = API_VERSION.into();
        wanted["kind"] = kind.into();
        if !parse(&text).is_ok_and(|value| value == wanted) {
            // Not in block style, so the lines were not found.
            text = serde_saphyr::to_string(&wanted).unwrap_or_default();
        }
        Draft { manifest, text, value: wanted }
    }

    /// A field becomes a comment.
    pub(super) fn leave_out(&mut self, path: &[&str], why: &str, converted: &mut Converted) {
        let told = remove(&mut self.value, path);
        note(converted, self.manifest, path, &format!("is not carried over; it stays as a comment{why}"));
        let commented = comment_out(&self.text, path)
            .filter(|commented| parse(commented).is_ok_and(|value| same(&value, &self.value)));
        self.text = commented.unwrap_or_else(|| {
            // Not in block style: the comments of this document are the price.
            let comment = format!("# not carried over: {}: {told}\n", path.join("."));
            comment + &serde_saphyr::to_string(&self.value).unwrap_or_default()
        });
    }

    /// What our schema does not know becomes a comment; what it refuses is named.
    pub(super) fn finish(mut self, kind: &str, converted: &mut Converted) {
        let Some(schema) = schema::of_kind(kind) else { return };
        for violation in schema::check(&schema, &self.value) {
            let path: Vec<&str> = violation.path.iter().map(String::as_str).collect();
            if violation.unknown {
                self.leave_out(&path, &instead_of(&path), converted);
            } else {
                note(converted, self.manifest, &path, &violation.message);
            }
        }
        converted.documents.push(self.text);
    }
}

/// Names something that a person has to look at, with its file and line.
pub(super) fn note(converted: &mut Converted, manifest: &Manifest, path: &[&str], what: &str) {
    let line = manifest.line_of(path);
    let name = manifest.name();
    converted.notes.push(format!(
        "{}:{line}: {} {name}: {}: {what}",
        manifest.file.display(),
        manifest.kind(),
        path.join(".")
    ));
}
