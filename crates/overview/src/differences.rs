//! What differs between two pod templates, field by field. Containers, variables and ports are told apart by their names, so that one
//! that was put in between is one difference and not many, and what moved has not changed, unless its place counts.

use std::collections::BTreeSet;

use greenlight_api::names;
use serde::Serialize;
use serde_json::{Map, Value};

/// What tells the items of a list apart, where they have it.
const NAMES: [&str; 6] = ["name", "containerPort", "mountPath", "topologyKey", "ip", "key"];

/// Lists in which the place of an item counts: init containers run one after the other, and a variable can use those before it.
const ORDERED: [&str; 2] = ["initContainers", "env"];

/// A field that is not the same in both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// As `spec.containers[web].image`; `spec.initContainers (order)` where the same items stand in another order, which are told by
    /// their names then.
    pub field: String,
    /// What it was, if it was there.
    pub before: Option<Value>,
    /// What it is, if it is there.
    pub after: Option<Value>,
}

/// What differs between two templates, in the order of the fields. The hash label, which always does, is left out.
pub fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("", Some(before), Some(after), &mut found);
    found.retain(|difference| difference.field != format!("metadata.labels.{}", names::HASH_LABEL));
    found
}

fn walk(field: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    let of_null = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    if of_null(before) == of_null(after) {
        return;
    }
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let deeper = |key: &str| if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") };
            fields(before, after, deeper, found);
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => match (by_name(old), by_name(new)) {
            (Some(before), Some(after)) => {
                fields(&before, &after, |key| format!("{field}[{key}]"), found);
                order(field, old, new, found);
            }
            _ => found.push(Difference { field: field.to_owned(), before: of_null(before), after: of_null(after) }),
        },
        _ => found.push(Difference { field: field.to_owned(), before: of_null(before), after: of_null(after) }),
    }
}

fn fields(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    deeper: impl Fn(&str) -> String,
    found: &mut Vec<Difference>,
) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        walk(&deeper(key), before.get(key), after.get(key), found);
    }
}

/// That the items that both lists have stand in another order, where that counts.
fn order(field: &str, before: &[Value], after: &[Value], found: &mut Vec<Difference>) {
    if !ORDERED.contains(&field.rsplit('.').next().unwrap_or_default()) {
        return;
    }
    let (old, new) = (in_both(before, after), in_both(after, before));
    if old != new {
        found.push(Difference { field: format!("{field} (order)"), before: Some(old.into()), after: Some(new.into()) });
    }
}

/// The names of the items that the other list has, too.
fn in_both<'a>(items: &'a [Value], others: &[Value]) -> Vec<&'a str> {
    let others: BTreeSet<&str> = others.iter().filter_map(name_of).collect();
    items.iter().filter_map(name_of).filter(|name| others.contains(name)).collect()
}

fn name_of(item: &Value) -> Option<&str> {
    item["name"].as_str()
}

/// The items of a list by their names, if each has one of its own.
fn by_name(items: &[Value]) -> Option<Map<String, Value>> {
    NAMES.iter().find_map(|key| {
        let name = |item: &Value| match &item[*key] {
            Value::String(name) => Some(name.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let named: Option<Map<String, Value>> = items.iter().map(|item| Some((name(item)?, item.clone()))).collect();
        named.filter(|named| named.len() == items.len())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(containers: Value) -> Value {
        json!({"metadata": {"labels": {"app": "web", names::HASH_LABEL: containers.to_string()}}, "spec": {"containers": containers}})
    }

    fn told(before: Value, after: Value) -> Vec<(String, Value, Value)> {
        let all = differences(&template(before), &template(after));
        all.into_iter().map(|d| (d.field, json!(d.before), json!(d.after))).collect()
    }

    #[test]
    fn only_what_differs_is_told_and_at_its_place() {
        let env = |level: &str| json!([{"name": "LEVEL", "value": level}, {"name": "PORT", "value": "80"}]);
        let before = json!([{"name": "web", "image": "web:v1", "env": env("info")}]);
        let after = json!([
            {"name": "proxy", "image": "proxy:v1"},
            {"name": "web", "image": "web:v2", "env": env("debug"), "resources": {"limits": {"cpu": "1"}}},
        ]);
        assert_eq!(told(before.clone(), before.clone()), []);
        assert_eq!(
            told(before, after),
            [
                ("spec.containers[proxy]".into(), Value::Null, json!({"name": "proxy", "image": "proxy:v1"})),
                ("spec.containers[web].env[LEVEL].value".into(), json!("info"), json!("debug")),
                ("spec.containers[web].image".into(), json!("web:v1"), json!("web:v2")),
                ("spec.containers[web].resources".into(), Value::Null, json!({"limits": {"cpu": "1"}})),
            ]
        );
    }

    #[test]
    fn what_moved_in_a_list_has_not_changed() {
        let (web, log) = (json!({"name": "web", "image": "web:v1"}), json!({"name": "log", "image": "log:v1"}));
        assert_eq!(told(json!([web, log]), json!([log, web])), []);
    }

    #[test]
    fn what_moved_has_changed_where_the_place_counts() {
        let of = |names: &[&str]| names.iter().map(|name| json!({"name": name, "value": "1"})).collect::<Vec<_>>();
        let env = |names: &[&str]| json!([{"name": "web", "env": of(names)}]);
        let changed = told(env(&["HOST", "PORT", "URL"]), env(&["URL", "NEW", "HOST", "PORT"]));
        let field = |name: &str| format!("spec.containers[web].env{name}");
        assert_eq!(
            changed,
            [
                (field("[NEW]"), Value::Null, json!({"name": "NEW", "value": "1"})),
                (field(" (order)"), json!(["HOST", "PORT", "URL"]), json!(["URL", "HOST", "PORT"])),
            ]
        );
        let initial = |names: &[&str]| json!({"spec": {"initContainers": of(names)}});
        let changed = differences(&initial(&["wait", "migrate"]), &initial(&["migrate", "wait"]));
        assert_eq!(changed.len(), 1, "the database is migrated before it is waited for: {changed:?}");
        assert_eq!(changed[0].field, "spec.initContainers (order)");
    }

    #[test]
    fn lists_without_names_are_told_whole_and_nothing_is_nothing() {
        let of = |args: Value| json!([{"name": "web", "args": args}]);
        let changed = told(of(json!(["a", "b"])), of(json!(["a"])));
        assert_eq!(changed, [("spec.containers[web].args".into(), json!(["a", "b"]), json!(["a"]))]);
        assert_eq!(told(of(Value::Null), json!([{"name": "web"}])), []);
        let twice = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
        let changed = told(json!([{"name": "web", "env": twice}]), json!([{"name": "web", "env": []}]));
        assert_eq!(changed.len(), 1, "a name that stands twice names nothing: {changed:?}");
    }
}
