//! Whether a ReplicaSet that has the name already is the one that would be created.

use greenlight_api::{BlueGreen, PodMetadata, names};
use serde_json::Value;

/// Whether what was found is what is wanted, as a dry run shows that: the same pods, by the same labels. What pods carry for a role is left
/// out: those of one that serves carry other metadata than those of a new one. `own` is the template as the spec has it.
pub fn is_same(found: &Value, wanted: &Value, blue_green: &BlueGreen, own: &Value) -> bool {
    let same = |path: &str| found.pointer(path) == wanted.pointer(path);
    let pods = |rs: &Value| without_role(&rs["spec"]["template"], blue_green, own);
    pods(found) == pods(wanted) && same("/spec/selector") && same("/metadata/labels")
}

/// A template without what `activeMetadata` and `previewMetadata` give its pods, and only with the values that these give.
fn without_role(template: &Value, blue_green: &BlueGreen, own: &Value) -> Value {
    let mut template = template.clone();
    let roles = || [&blue_green.active_metadata, &blue_green.preview_metadata].into_iter().flatten();
    let of_own = |kind: &str, key: &str| own["metadata"][kind].get(key).and_then(Value::as_str).map(str::to_owned);
    // What roles give to this key.
    let given = |kind: &str, key: &str| {
        let of_role =
            |role: &PodMetadata| if kind == "labels" { &role.labels } else { &role.annotations }.get(key).cloned();
        roles().filter_map(of_role).collect::<Vec<_>>()
    };
    let is_fixed = |kind: &str, key: &str| {
        let ours = [names::HASH_LABEL, names::SERVING_LABEL].contains(&key);
        // No role changes a label that the template has itself.
        kind == "labels" && (ours || of_own(kind, key).is_some())
    };
    for kind in ["labels", "annotations"] {
        // Not by index, which would enter what is missing.
        let Some(carried) = template.pointer_mut(&format!("/metadata/{kind}")).and_then(Value::as_object_mut) else {
            continue;
        };
        carried.retain(|key, value| {
            let given = given(kind, key);
            let is_of_role =
                !given.is_empty() && given.into_iter().chain(of_own(kind, key)).any(|given| *value == given);
            is_fixed(kind, key) || !is_of_role
        });
        if carried.is_empty() {
            template["metadata"].as_object_mut().expect("it has something in it").remove(kind);
        }
    }
    template
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn blue_green() -> BlueGreen {
        serde_json::from_value(json!({
            "activeMetadata": {"labels": {"role": "active", "app": "other"}, "annotations": {"note": "a"}},
            "previewMetadata": {"labels": {"role": "preview"}},
        }))
        .expect("a strategy")
    }

    fn with(labels: &Value, annotations: &Value) -> Value {
        let mut metadata = json!({"labels": labels});
        if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
            metadata["annotations"] = annotations.clone();
        }
        json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"selector": {}, "template": {"metadata": metadata, "spec": {"containers": []}}},
        })
    }

    #[test]
    fn what_pods_carry_for_a_role_makes_no_other_replica_set_and_anything_else_does() {
        let own = json!({"metadata": {"labels": {"app": "web"}}});
        let wanted = with(&json!({"app": "web", "role": "preview"}), &json!({}));
        for (labels, annotations, same) in [
            (json!({"app": "web", "role": "preview"}), json!({}), true),
            (json!({"app": "web", "role": "active"}), json!({"note": "a"}), true),
            (json!({"app": "web"}), json!({}), true),
            (json!({"app": "web", "role": "root"}), json!({}), false),
            (json!({"app": "web", "role": "active"}), json!({"note": "inject"}), false),
            (json!({"app": "other", "role": "active"}), json!({}), false),
            (json!({"app": "web", "more": "x"}), json!({}), false),
            (json!({"app": "web"}), json!({"more": "x"}), false),
            (json!({"app": "web", names::SERVING_LABEL: "x"}), json!({}), false),
        ] {
            let found = with(&labels, &annotations);
            assert_eq!(is_same(&found, &wanted, &blue_green(), &own), same, "{labels} {annotations}");
        }
        let mut other = wanted.clone();
        other["spec"]["template"]["spec"]["hostNetwork"] = true.into();
        assert!(!is_same(&other, &wanted, &blue_green(), &own), "other pods");
        let mut other = wanted.clone();
        other["metadata"]["labels"] = json!({"app": "other"});
        assert!(!is_same(&other, &wanted, &blue_green(), &own), "other labels");
    }
}
