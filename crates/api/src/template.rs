//! The pod template, kept exactly as the API server stored it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A pod template as stored. Not the typed `PodTemplateSpec`, because that would drop fields that this build of the client
/// library does not know yet, and the hash of a template must not depend on the library. The schema is the typed one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodTemplate(pub Map<String, Value>);

impl PodTemplate {
    /// The labels that its pods get.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.strings("labels")
    }

    /// The annotations that its pods get.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.strings("annotations")
    }

    /// Name and image of each container, in order.
    pub fn images(&self) -> Vec<(String, String)> {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let containers = self.0.get("spec").and_then(|spec| spec["containers"].as_array());
        containers.into_iter().flatten().map(|c| (text(c, "name"), text(c, "image"))).collect()
    }

    /// What tells it from others at a glance: the first image and, if it has the label `app.kubernetes.io/version`, that.
    pub fn title(&self) -> String {
        let image = self.images().into_iter().next().map(|(_, image)| image).unwrap_or_default();
        match self.labels().get("app.kubernetes.io/version") {
            Some(version) => format!("{image} {version}"),
            None => image,
        }
    }

    fn strings(&self, key: &str) -> BTreeMap<String, String> {
        let map = self.0.get("metadata").and_then(|metadata| metadata[key].as_object());
        map.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    }
}

impl JsonSchema for PodTemplate {
    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let settings = schemars::generate::SchemaSettings::openapi3().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let mut schema = settings.into_generator().into_root_schema_for::<PodTemplateSpec>().to_value();
        drop_descriptions(&mut schema);
        // The API server validates embedded metadata itself; what a template can carry is this. Go clients print a null
        // creationTimestamp into every template they touch.
        schema["properties"]["metadata"] = json_schema!({
            "type": "object",
            "properties": {
                "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
                "creationTimestamp": {"type": "string", "format": "date-time", "nullable": true},
                "finalizers": {"type": "array", "items": {"type": "string"}},
                "labels": {
                    "type": "object",
                    "maxProperties": 64,
                    "additionalProperties": {"type": "string", "maxLength": 63}
                },
                "name": {"type": "string"},
                "namespace": {"type": "string"}
            }
        })
        .to_value();
        schema["required"] = serde_json::json!(["spec"]);
        for list in ["containers", "initContainers", "ephemeralContainers", "volumes"] {
            let list = &mut schema["properties"]["spec"]["properties"][list];
            list["x-kubernetes-list-type"] = "map".into();
            list["x-kubernetes-list-map-keys"] = serde_json::json!(["name"]);
        }
        let map = schema.as_object_mut().expect("a schema of a struct is an object");
        map.remove("title");
        map.remove("$schema");
        map.insert("description".into(), "The pods of the next revision. Any change here is a new revision.".into());
        schema.try_into().expect("an object is a schema")
    }
}

/// Removes descriptions everywhere below, but not a *property* that is called `description`.
fn drop_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(drop_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_descriptions),
        _ => {}
    }
}
