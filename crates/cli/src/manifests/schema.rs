//! What the API server would say to a manifest of ours: the CRD's schema and its rules, offline.

use cel::{Context, Env, Value as Cel};
use serde_json::Value;

/// Something that the API server would refuse.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The field, from the root.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// The schema does not know the field.
    pub unknown: bool,
}

/// The schema of a kind of ours.
pub fn of_kind(kind: &str) -> Option<Value> {
    let crd = greenlight_api::crds().into_iter().find(|crd| crd.spec.names.kind == kind)?;
    let schema = crd.spec.versions.into_iter().next()?.schema?.open_api_v3_schema?;
    serde_json::to_value(schema).ok()
}

/// In which versions the API server knows a kind of ours, as they stand in `apiVersion`.
pub fn versions_of(kind: &str) -> Vec<String> {
    let Some(crd) = greenlight_api::crds().into_iter().find(|crd| crd.spec.names.kind == kind) else {
        return Vec::new();
    };
    let (group, versions) = (crd.spec.group, crd.spec.versions);
    versions.iter().filter(|version| version.served).map(|version| format!("{group}/{}", version.name)).collect()
}

/// Everything that is wrong with this object. `metadata`, `apiVersion` and `kind` are not looked at.
pub fn check(schema: &Value, object: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        match &schema["properties"][key] {
            _ if ["apiVersion", "kind", "metadata", "status"].contains(&key.as_str()) => {}
            Value::Null => found.push(unknown(vec![key.clone()], key)),
            of_key => walk(of_key, value, &mut vec![key.clone()], &mut found),
        }
    }
    if schema["properties"].get("spec").is_some() && object.get("spec").is_none() {
        found.push(Violation { path: vec![], message: "spec is missing: add it".into(), unknown: false });
    }
    found
}

fn unknown(path: Vec<String>, key: &str) -> Violation {
    Violation { path, message: format!("there is no field {key}: correct it or take it out"), unknown: true }
}

/// Finds what is wrong with the value at this path, and with everything in it.
fn walk(schema: &Value, value: &Value, path: &mut Vec<String>, found: &mut Vec<Violation>) {
    if value.is_null() {
        return;
    }
    let violation = |message: String| Violation { path: path.clone(), message, unknown: false };
    if let Some(message) = wrong_type(schema, value) {
        found.push(violation(message));
        return;
    }
    found.extend(out_of_bounds(schema, value).into_iter().chain(broken_rules(schema, value)).map(violation));
    let preserves = schema["x-kubernetes-preserve-unknown-fields"] == true;
    for (key, inner) in value.as_object().into_iter().flatten() {
        path.push(key.clone());
        let of_key =
            schema["properties"].get(key).or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()));
        match of_key {
            Some(of_key) => walk(of_key, inner, path, found),
            None if preserves || schema.get("properties").is_none() => {}
            None => found.push(unknown(path.clone(), key)),
        }
        path.pop();
    }
    for (number, inner) in value.as_array().into_iter().flatten().enumerate() {
        path.push(number.to_string());
        walk(&schema["items"], inner, path, found);
        path.pop();
    }
}

fn wrong_type(schema: &Value, value: &Value) -> Option<String> {
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    let fits = match schema["type"].as_str() {
        _ if int_or_string => value.is_string() || value.is_i64(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if fits {
        return None;
    }
    let wanted =
        if int_or_string { "an integer or a string" } else { schema["type"].as_str().unwrap_or("another type") };
    Some(format!("write {wanted} in the place of {value}"))
}

fn out_of_bounds(schema: &Value, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        wrong.push(format!("{value} is not one of {}", allowed.join(", ")));
    }
    if let (Some(number), Some(least)) = (value.as_f64(), schema["minimum"].as_f64())
        && number < least
    {
        wrong.push(format!("{value} is less than {least}"));
    }
    if let (Some(number), Some(most)) = (value.as_f64(), schema["maximum"].as_f64())
        && number > most
    {
        wrong.push(format!("{value} is more than {most}"));
    }
    let sizes = [
        ("minLength", "maxLength", value.as_str().map(|text| text.chars().count())),
        ("minItems", "maxItems", value.as_array().map(Vec::len)),
        ("minProperties", "maxProperties", value.as_object().map(serde_json::Map::len)),
    ];
    for (least, most, size) in sizes {
        let Some(size) = size.and_then(|size| u64::try_from(size).ok()) else { continue };
        if schema[least].as_u64().is_some_and(|least| size < least) {
            wrong.push("it must not be empty".to_owned());
        }
        if let Some(most) = schema[most].as_u64().filter(|most| size > *most) {
            wrong.push(format!("its size is {size}, and at most {most} are allowed"));
        }
    }
    if let (Some(text), Some(pattern)) = (value.as_str(), schema["pattern"].as_str())
        && !text.is_empty()
        && holds(&format!("self.matches({})", Value::from(pattern)), value) == Some(false)
    {
        wrong.push(format!("{value} is no name: it has to match {pattern}"));
    }
    wrong
}

/// Fields that are missing, and rules that do not hold.
fn broken_rules(schema: &Value, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(key).is_none_or(Value::is_null) {
            wrong.push(format!("{key} is missing: add it"));
        }
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = rule["rule"].as_str().unwrap_or_default();
        // Rules about a change need the object before.
        if !text.contains("oldSelf") && holds(text, value) == Some(false) {
            wrong.push(rule["message"].as_str().unwrap_or(text).to_owned());
        }
    }
    wrong
}

/// Whether a rule holds; `None` if it cannot be told here.
fn holds(rule: &str, value: &Value) -> Option<bool> {
    let program = Env::stdlib().compile(rule).ok()?;
    let mut context = Context::default();
    context.add_variable_from_value("self", cel::to_value(value).ok()?);
    match program.execute(&context) {
        Ok(Cel::Bool(holds)) => Some(holds),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_is_a_path_is_told_before_the_api_server_refuses_it() {
        let schema = of_kind("BlueGreenRollout").expect("a schema");
        let of = |service: &str| {
            let found = check(
                &schema,
                &json!({"spec": {
                    "selector": {"matchLabels": {"app": "web"}}, "strategy": {"blueGreen": {"activeService": service}},
                    "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web.v1"},
                }}),
            );
            found.into_iter().map(|violation| violation.message).collect::<Vec<_>>()
        };
        assert_eq!(of("web-active"), Vec::<String>::new());
        assert!(of("../services/x")[0].contains("is no name"), "{:?}", of("../services/x"));
    }

    #[test]
    fn what_is_too_many_or_too_few_is_told_before_the_api_server_refuses_it() {
        let schema = of_kind("AnalysisTemplate").expect("a schema");
        let of = |arguments: usize| {
            let args: Vec<Value> = (0..arguments).map(|number| json!({"name": format!("a{number}")})).collect();
            let found = check(&schema, &json!({"spec": {"args": args}}));
            found.into_iter().map(|violation| violation.message).collect::<Vec<_>>()
        };
        assert_eq!(of(50), Vec::<String>::new());
        assert_eq!(of(51), ["its size is 51, and at most 50 are allowed"]);
        let schema = of_kind("BlueGreenRollout").expect("a schema");
        let analysis = json!({"spec": {"strategy": {"blueGreen": {"prePromotionAnalysis": {"templates": []}}}}});
        assert!(check(&schema, &analysis).iter().any(|violation| violation.message == "it must not be empty"));
    }

    #[test]
    fn a_name_of_a_metric_has_no_control_characters() {
        let schema = of_kind("AnalysisTemplate").expect("a schema");
        let of = |name: &str| {
            check(&schema, &json!({"spec": {"metrics": [{"name": name, "provider": {"web": {"url": "http://x"}}}]}}))
        };
        assert_eq!(of("success rate \u{e9}"), Vec::new());
        assert_eq!(of("x\u{1b}[2J").len(), 1);
    }
}
