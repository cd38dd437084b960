//! `diff`: what differs between two revisions, field by field. Containers, variables and ports are told apart by their names, so that one
//! that was put in between is one difference and not many.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use greenlight_api::names;
use greenlight_api::text::one_line;
use greenlight_overview::{Session, hash_of, observe};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::Exit;
use crate::options::Format;
use crate::output::format::print_facts;
use crate::output::style::Style;

/// What tells the items of a list apart, where they have it.
const NAMES: [&str; 6] = ["name", "containerPort", "mountPath", "topologyKey", "ip", "key"];

/// A field that is not the same in both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// As `spec.containers[web].image`.
    pub field: String,
    /// What it was, if it was there.
    pub before: Option<Value>,
    /// What it is, if it is there.
    pub after: Option<Value>,
}

/// A template with its name.
struct Side {
    name: String,
    template: Value,
}

/// Prints what differs between two revisions; without numbers, between what serves and what the spec asks for.
pub async fn run(session: &Session, name: &str, revisions: &[i64], format: Option<Format>) -> Result<Exit> {
    let (before, after) = sides(session, name, revisions).await?;
    let differences = differences(&before.template, &after.template);
    if let Some(format) = format {
        print_facts(&differences, format)?;
        return Ok(Exit::Done);
    }
    let style = Style::detect();
    if differences.is_empty() {
        println!("{} and {} are the same.", before.name, after.name);
        return Ok(Exit::Done);
    }
    println!("{}\n{}", style.red(&format!("--- {}", before.name)), style.green(&format!("+++ {}", after.name)));
    for Difference { field, before, after } in &differences {
        println!("{}", one_line(field));
        for line in before.iter().flat_map(lines) {
            println!("{}", style.red(&format!("  - {line}")));
        }
        for line in after.iter().flat_map(lines) {
            println!("{}", style.green(&format!("  + {line}")));
        }
    }
    Ok(Exit::Done)
}

async fn sides(session: &Session, name: &str, revisions: &[i64]) -> Result<(Side, Side)> {
    let rollout = session.rollout(name).await?;
    let status = rollout.status.clone().unwrap_or_default();
    let asked_for =
        rollout.spec.workload_ref.is_none().then(|| serde_json::to_value(rollout.spec.template())).transpose()?;
    let observed = observe(session, rollout).await?;
    let records = status.decisions.as_ref().map(|decisions| decisions.revisions.as_slice()).unwrap_or_default();
    let mut there = Vec::new();
    for (object, rs) in observed.replica_sets.iter().zip(&observed.world.replica_sets) {
        let recorded = records.iter().find(|record| record.hash == rs.hash).map(|record| record.number);
        let number = recorded.unwrap_or_else(|| rs.shown_number());
        let template = serde_json::to_value(object.spec.as_ref().and_then(|spec| spec.template.as_ref()))?;
        let side = Side { name: format!("revision {number} ({})", hash_of(object)), template };
        there.push((number, rs.hash.clone(), side));
    }
    there.sort_by_key(|(number, ..)| *number);
    let numbers: Vec<String> = there.iter().map(|(number, ..)| number.to_string()).collect();
    let mut take = |is: &dyn Fn(i64, &str) -> bool| {
        let at = there.iter().position(|(number, hash, _)| is(*number, hash))?;
        Some(there.remove(at).2)
    };
    if let [before, after] = *revisions {
        let mut numbered = |wanted: i64| match take(&|number, _| number == wanted) {
            Some(side) => Ok(side),
            None => bail!("rollout {name} has no revision {wanted} to compare; there are: {}", numbers.join(", ")),
        };
        if before == after {
            bail!("revision {before} is the same as itself: name two different ones of {}", numbers.join(", "));
        }
        return Ok((numbered(before)?, numbered(after)?));
    }
    let Some(serving) = take(&|_, hash| hash == status.active_revision) else {
        bail!(
            "nothing of rollout {name} serves, so there is nothing to compare with: name two revisions of {}",
            numbers.join(", ")
        );
    };
    if status.updated_revision == status.active_revision {
        bail!("rollout {name} serves what its spec asks for: name two revisions of {}", numbers.join(", "));
    }
    let after = take(&|_, hash| hash == status.updated_revision);
    let after = after.or_else(|| Some(Side { name: "the spec".to_owned(), template: asked_for? }));
    match after {
        Some(after) => Ok((serving, after)),
        None => bail!(
            "what the spec of rollout {name} asks for has no ReplicaSet: name two revisions of {}",
            numbers.join(", ")
        ),
    }
}

/// A value as lines of YAML, each without what a terminal would obey.
fn lines(value: &Value) -> Vec<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => serde_saphyr::to_string(other).unwrap_or_default(),
    };
    text.lines().map(|line| one_line(line).into_owned()).collect()
}

/// What differs between two templates, in the order of the fields. The hash label, which always does, is left out.
fn differences(before: &Value, after: &Value) -> Vec<Difference> {
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
            (Some(old), Some(new)) => fields(&old, &new, |key| format!("{field}[{key}]"), found),
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
