//! A status that the CRD does not know all of: the operator was upgraded, and the CRD was not yet. The API server refuses to apply such a
//! status. Without what is new, and only tells, everything else is written; the record of what was decided is written whole or not at all.

use serde_json::Value;

/// What the API server says of each field that the CRD does not have, after its path.
const NOT_DECLARED: &str = ": field not declared in schema";
/// No decision may be lost.
const RECORD: &str = ".status.decisions";

/// Takes the fields out of an object that the API server does not know, by its refusal. Returns whether it is another one now that can be
/// tried: not if anything is missing for the record, or something else is wrong.
pub fn take_out(object: &mut Value, refusal: &str) -> bool {
    let paths: Vec<&str> = unknown_fields(refusal).collect();
    let is_known = paths.iter().all(|path| path.starts_with(".status.") && !path.starts_with(RECORD));
    is_known && paths.into_iter().filter(|path| remove(object, path)).count() > 0
}

/// Whether the API server refuses a status for what it does not know of the record.
pub fn lacks_the_record(refusal: &str) -> bool {
    unknown_fields(refusal).any(|path| path.starts_with(RECORD))
}

/// The paths of the fields that the API server does not know.
fn unknown_fields(refusal: &str) -> impl Iterator<Item = &str> {
    refusal.match_indices(NOT_DECLARED).filter_map(|(end, _)| refusal[..end].rsplit(char::is_whitespace).next())
}

/// Removes a field by its path: `.status.progress.readyReplicas`, or `.status.conditions[type="Ready"].severity`, which is meant for
/// each of the list.
fn remove(object: &mut Value, path: &str) -> bool {
    let mut steps = path.split('.').filter(|step| !step.is_empty()).map(|step| step.split('[').next().unwrap_or(step));
    let Some(field) = steps.next_back() else { return false };
    let mut holders = vec![object];
    for step in steps {
        holders = holders.into_iter().filter_map(|holder| holder.get_mut(step)).flat_map(each).collect();
    }
    let removed = holders.into_iter().filter_map(|holder| holder.as_object_mut()?.remove(field));
    removed.count() > 0
}

/// The elements of a list, or what is none.
fn each(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(elements) => elements.iter_mut().collect(),
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::take_out;

    fn status() -> Value {
        json!({
            "status": {
                "progress": {"readyReplicas": 1, "since": "now"},
                "conditions": [{"type": "Ready", "severity": "high"}, {"type": "Stalled", "severity": "low"}],
                "decisions": {"serving": "a"},
            }
        })
    }

    fn refusal(paths: &[&str]) -> String {
        let errors: Vec<_> = paths.iter().map(|path| format!("{path}: field not declared in schema")).collect();
        format!(
            "failed to create typed patch object (ns/web; greenlight.dev/v1alpha1, Kind=BlueGreenRollout): {}",
            errors.join("\n  ")
        )
    }

    #[test]
    fn what_only_tells_is_left_out() {
        let mut object = status();
        let paths = [".status.progress.readyReplicas", ".status.conditions[type=\"Ready\"].severity"];
        assert!(take_out(&mut object, &refusal(&paths)));
        assert_eq!(object["status"]["progress"], json!({"since": "now"}));
        assert_eq!(object["status"]["conditions"], json!([{"type": "Ready"}, {"type": "Stalled"}]));
    }

    #[test]
    fn the_record_is_written_whole_or_not_at_all() {
        for paths in [&[".status.decisions"][..], &[".status.progress.since", ".status.decisions.revisions[0].turn"]] {
            let mut object = status();
            assert!(!take_out(&mut object, &refusal(paths)));
            assert_eq!(object, status());
        }
    }

    #[test]
    fn any_other_refusal_changes_nothing() {
        for refusal in ["the server is busy", &refusal(&[".spec.replicas"]), &refusal(&[".status.unknown"])] {
            let mut object = status();
            assert!(!take_out(&mut object, refusal));
            assert_eq!(object, status());
        }
    }
}
