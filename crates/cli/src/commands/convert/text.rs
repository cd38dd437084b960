//! How the text of a manifest is changed, so that its comments and its order stay.

use greenlight_api::names::HASH_LABEL;
use serde_json::Value;

use crate::manifests::{Manifest, find_block, parse};

/// What the API server writes into an object, and Argo's controller into a Service. `kubectl get -o yaml` prints it. Nobody may create an
/// object with all of it, and each apply of Argo's hash would lead production to Argo's pods.
const SERVERS_FIELDS: [&[&str]; 9] = [
    &["status"],
    &["metadata", "uid"],
    &["metadata", "resourceVersion"],
    &["metadata", "generation"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "managedFields"],
    &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"],
    &["spec", "selector", HASH_LABEL],
];

/// Text and value of a manifest as a person would have written it.
pub(super) fn without_servers_fields(manifest: &Manifest) -> (String, Value) {
    let (mut text, mut wanted) = (manifest.text.clone(), manifest.value.clone());
    for path in SERVERS_FIELDS {
        if path.iter().try_fold(&wanted, |at, key| at.get(*key)).is_none() {
            continue;
        }
        remove(&mut wanted, path);
        let mut lines: Vec<&str> = text.lines().collect();
        if let Some((start, mut end)) = find_block(&lines, path) {
            // A comment below it belongs to what follows.
            while end > start + 1 && lines.get(end - 1).is_some_and(|line| is_comment(line)) {
                end -= 1;
            }
            lines.drain(start..end);
        }
        text = lines.join("\n") + "\n";
    }
    match parse(&text) {
        Ok(value) if same(&value, &wanted) => (text, value),
        // Not in block style, so the lines were not found.
        _ => (serde_saphyr::to_string(&wanted).unwrap_or_default(), wanted),
    }
}

fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// Sets a top-level field that is there.
pub(super) fn set_line(text: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let prefix = format!("{key}:");
    if let Some(line) = lines.iter_mut().find(|line| line.starts_with(&prefix)) {
        let comment = line.find(" #").map(|at| line[at..].to_owned()).unwrap_or_default();
        *line = format!("{prefix} {value}{comment}");
    }
    lines.join("\n") + "\n"
}

/// Writes fields as the first ones of `spec`, as deep as those that are there.
pub(super) fn insert_in_spec(text: &str, fields: &Value) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(at) = lines.iter().position(|line| line.trim_end() == "spec:") {
        let mut below = lines.iter().skip(at + 1).map(|line| (line.len() - line.trim_start().len(), line.trim_start()));
        let first = below.find(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let depth = first.map(|(depth, _)| depth).filter(|depth| *depth > 0).unwrap_or(2);
        let fields = serde_saphyr::to_string(fields).unwrap_or_default();
        lines.splice(at + 1..at + 1, fields.lines().map(|line| format!("{:depth$}{line}", "")));
    }
    lines.join("\n") + "\n"
}

/// Turns the lines of a field into a comment.
pub(super) fn comment_out(text: &str, path: &[&str]) -> Option<String> {
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

/// Takes a field out of a value; what it was.
pub(super) fn remove(value: &mut Value, path: &[&str]) -> Value {
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

/// Whether two values say the same. A field whose last field has become a comment is there and empty.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    let is_empty = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b || is_empty(a) && is_empty(b),
    }
}
