//! An object as a watch brings it, readable or not. What one object holds must not keep the others of its list from arriving.
//!
//! kube's `DeserializeGuard` does not go far enough: it unpacks every object three times over, and gives up on the whole list at JSON that
//! is nested more than 128 deep. Here the JSON of an object is set apart as text first, which knows no depth and is copied once.

use std::borrow::Cow;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use greenlight_core::words::brief;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::cluster::key::Key;

/// In bytes. Of 50 metrics as they are written this is a third; whoever writes more would have the operator hold it while it measures.
pub const LARGEST_ANALYSIS_RUN: usize = 512 << 10;

/// A field of this name `serde_json` takes for one of its own: instead of it, it reads what the text in it is as JSON. So the operator would read something else
/// than the API server and its policies, nested as deep as somebody likes, and something else again when it unpacks what it has kept.
const READ_AS_JSON: &str = r#""$serde_json::private::RawValue":"#;

/// What can be watched.
pub trait Watched: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static {
    /// Of an object that has more bytes than this nothing is read. It is told, as of one that cannot be read.
    const LARGEST: usize = usize::MAX;

    /// What can be made of the JSON of an object that cannot be read as a whole, if that is of any use.
    fn outline(_json: &str) -> Option<Self> {
        None
    }
}

impl Watched for greenlight_api::analysis::AnalysisRun {
    const LARGEST: usize = LARGEST_ANALYSIS_RUN;
}
impl Watched for greenlight_api::analysis::AnalysisTemplate {}
impl Watched for greenlight_api::analysis::ClusterAnalysisTemplate {}

/// An object that arrived.
#[derive(Clone, Debug)]
pub enum Arrived<V> {
    /// It is as it should be.
    Readable(V),
    /// It is not; and its outline.
    Unreadable(Box<Unreadable>, Option<V>),
}

/// What is known of an object that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// Namespace, name, UID, resourceVersion, generation.
    pub metadata: ObjectMeta,
    /// Where and why, as `spec.restartAt: …`.
    pub error: String,
}

impl Unreadable {
    /// Its key.
    pub fn key(&self) -> Key {
        key_of(&self.metadata)
    }

    /// Its resourceVersion.
    pub fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }
}

impl<V: Watched> Arrived<V> {
    /// Its key.
    pub fn key(&self) -> Key {
        key_of(self.meta())
    }

    /// The object, or why it cannot be read.
    pub fn readable(self) -> Result<V, String> {
        match self {
            Arrived::Readable(object) => Ok(object),
            Arrived::Unreadable(unreadable, _) => Err(unreadable.error),
        }
    }

    fn read(json: &str) -> Result<Arrived<V>, serde_json::Error> {
        if json.len() > V::LARGEST {
            let error = format!("it has {} bytes, and only {} are read. Make it smaller", json.len(), V::LARGEST);
            return Arrived::unreadable(json, error);
        }
        if json.contains(READ_AS_JSON) {
            let error = format!(
                "the operator would not read what is in the field {}. Rename it",
                READ_AS_JSON.trim_end_matches(':')
            );
            return Arrived::unreadable(json, error);
        }
        // A bug that only one object brings out is that object's trouble, too.
        let error = match catch_unwind(AssertUnwindSafe(|| serde_json::from_str::<V>(json))) {
            Ok(Ok(object)) => return Ok(Arrived::Readable(object)),
            Ok(Err(error)) => at_its_place::<V>(json).unwrap_or_else(|| error.to_string()),
            Err(_) => "a bug of the operator: its log has more".to_owned(),
        };
        Arrived::unreadable(json, error)
    }

    fn unreadable(json: &str, error: String) -> Result<Arrived<V>, serde_json::Error> {
        let Labelled { metadata } = serde_json::from_str(json)?;
        let metadata = ObjectMeta {
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            ..ObjectMeta::default()
        };
        // It quotes what it cannot read, however long that is.
        Ok(Arrived::Unreadable(Box::new(Unreadable { metadata, error: brief(error) }), V::outline(json)))
    }
}

/// The error again, with the path of the field that it is about.
fn at_its_place<V: Watched>(json: &str) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let error = serde_path_to_error::deserialize::<_, V>(&mut deserializer).err()?;
    (error.path().iter().len() > 0).then(|| error.to_string())
}

fn key_of(meta: &ObjectMeta) -> Key {
    Key { namespace: meta.namespace.clone().unwrap_or_default(), name: meta.name.clone().unwrap_or_default() }
}

/// As little as it takes to say which object it is.
#[derive(Deserialize)]
struct Labelled {
    metadata: Label,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Label {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
}

impl<'de, V: Watched> Deserialize<'de> for Arrived<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Arrived::read(json.get()).map_err(D::Error::custom)
    }
}

impl<V: Watched> Resource for Arrived<V> {
    type DynamicType = ();
    type Scope = V::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        V::kind(&())
    }
    fn group(_: &()) -> Cow<'_, str> {
        V::group(&())
    }
    fn version(_: &()) -> Cow<'_, str> {
        V::version(&())
    }
    fn plural(_: &()) -> Cow<'_, str> {
        V::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        match self {
            Arrived::Readable(object) => object.meta(),
            Arrived::Unreadable(unreadable, _) => &unreadable.metadata,
        }
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Arrived::Readable(object) => object.meta_mut(),
            Arrived::Unreadable(unreadable, _) => &mut unreadable.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use greenlight_api::analysis::AnalysisRun;
    use kube::api::{ObjectList, WatchEvent};
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::objects::{DeploymentView, JobView, ReplicaSetView, RolloutView, RunView, ServiceView};

    fn rollout(name: &str, spec: &Value) -> Value {
        let mut rollout = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 2},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": {"blueGreen": {"activeService": "web-active"}},
                "template": {"spec": {"containers": []}},
            },
        });
        rollout["spec"].as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        rollout
    }

    fn error_of(object: &Arrived<RolloutView>) -> &str {
        match object {
            Arrived::Readable(_) => panic!("it can be read"),
            Arrived::Unreadable(unreadable, _) => &unreadable.error,
        }
    }

    #[test]
    fn one_that_cannot_be_read_does_not_hide_the_others_of_its_list() {
        let bad = [
            json!({"restartAt": "9999-12-31T23:59:59Z"}),
            json!({"restartAt": "2026-11-25T00:00:00+99:99"}),
            json!({"replicas": 3_000_000_000_u32}),
        ];
        let mut items = vec![rollout("good", &json!({}))];
        items.extend(bad.iter().map(|spec| rollout("bad", spec)));
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": items});
        let list: ObjectList<Arrived<RolloutView>> = serde_json::from_str(&list.to_string()).expect("a list");
        assert!(matches!(list.items[0], Arrived::Readable(_)));
        assert!(error_of(&list.items[1]).starts_with("spec.restartAt: "), "{}", error_of(&list.items[1]));
        assert!(error_of(&list.items[2]).starts_with("spec.restartAt: "), "{}", error_of(&list.items[2]));
        assert!(error_of(&list.items[3]).starts_with("spec.replicas: "), "{}", error_of(&list.items[3]));
        assert!(list.items.iter().all(|object| object.key().namespace == "shop"));
    }

    #[test]
    fn one_of_any_kind_that_cannot_be_read_hides_no_other_of_its_list() {
        fn is_told<V: Watched>(rest: &Value, broken: &str) {
            let object = |name: &str| {
                let mut object = rest.clone();
                object["metadata"] = json!({"name": name, "namespace": "shop", "uid": "u", "resourceVersion": "7"});
                object
            };
            let mut bad = object("bad");
            bad[broken] = "broken".into();
            let list = json!({"metadata": {"resourceVersion": "9"}, "items": [bad, object("good")]}).to_string();
            let list: ObjectList<Arrived<V>> = serde_json::from_str(&list).expect("a list");
            let [Arrived::Unreadable(bad, _), Arrived::Readable(good)] = &list.items[..] else {
                panic!("{}: {:?}", V::kind(&()), list.items)
            };
            assert!(bad.key().name == "bad" && good.meta().name.as_deref() == Some("good"));
        }
        let template = json!({"spec": {"containers": []}});
        let none = json!({});
        is_told::<ServiceView>(&none, "spec");
        is_told::<ReplicaSetView>(&none, "spec");
        is_told::<ReplicaSetView>(&none, "status");
        is_told::<DeploymentView>(&json!({"spec": {"template": template}}), "spec");
        is_told::<RunView>(&json!({"spec": {"metrics": []}}), "spec");
        is_told::<JobView>(&none, "status");
        is_told::<RolloutView>(&rollout("good", &none), "spec");
    }

    #[test]
    fn of_what_cannot_be_read_only_the_beginning_is_repeated() {
        let object = rollout("web", &json!({"replicas": "x".repeat(1_000_000)}));
        let object: Arrived<RolloutView> = serde_json::from_str(&object.to_string()).expect("arrived");
        let error = error_of(&object);
        assert!(error.starts_with("spec.replicas: ") && error.len() < 10_000, "{} bytes", error.len());
    }

    #[test]
    fn it_keeps_its_claims_and_its_decisions() {
        let mut object = rollout("web", &json!({"restartAt": "9999-12-31T23:59:59Z"}));
        object["status"] = json!({"activeRevision": "abc", "message": "fine"});
        let object: Arrived<RolloutView> = serde_json::from_str(&object.to_string()).expect("arrived");
        let Arrived::Unreadable(_, Some(outline)) = object else { panic!("an outline: {object:?}") };
        let outline = outline.keep();
        assert_eq!(outline.spec.blue_green().services().collect::<Vec<_>>(), ["web-active"]);
        assert_eq!(outline.status.map(|status| status.active_revision).as_deref(), Some("abc"));
        assert_eq!((outline.resource_version.as_str(), outline.generation), ("7", 2));
    }

    #[test]
    fn without_its_decisions_there_is_no_outline() {
        let mut object = rollout("web", &json!({"restartAt": "9999-12-31T23:59:59Z"}));
        object["status"] = json!({"replicas": "many"});
        let object: Arrived<RolloutView> = serde_json::from_str(&object.to_string()).expect("arrived");
        assert!(matches!(object, Arrived::Unreadable(_, None)), "{object:?}");
    }

    /// As a newer version's are, after a downgrade. It would hold up its namespace.
    #[test]
    fn one_that_is_being_deleted_has_an_outline_whatever_its_decisions_are() {
        let mut object = rollout("web", &json!({}));
        object["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z".into();
        object["status"] = json!({"phase": "Sleeping"});
        let object: Arrived<RolloutView> = serde_json::from_str(&object.to_string()).expect("arrived");
        let Arrived::Unreadable(_, Some(outline)) = object else { panic!("an outline: {object:?}") };
        let outline = outline.keep();
        assert_eq!(outline.spec.blue_green().services().collect::<Vec<_>>(), ["web-active"]);
        assert!(outline.is_deleting() && outline.status.is_none(), "{outline:?}");
    }

    #[test]
    fn what_is_too_large_is_not_read_and_said_to_be() {
        let run = |length: usize| {
            let text = "x".repeat(length);
            let run = json!({"metadata": {"name": "large"}, "spec": {"args": [{"name": "a", "value": text}]}});
            serde_json::from_str::<Arrived<AnalysisRun>>(&run.to_string()).expect("arrived")
        };
        assert!(matches!(run(LARGEST_ANALYSIS_RUN / 2), Arrived::Readable(_)));
        let Arrived::Unreadable(unreadable, _) = run(LARGEST_ANALYSIS_RUN) else { panic!("it is too large") };
        assert_eq!(unreadable.key().name, "large");
        assert!(unreadable.error.contains("only 524288 are read"), "{}", unreadable.error);
    }

    /// What is kept of it could not be unpacked any more, and nothing of its kind could be kept after that.
    #[test]
    fn a_field_that_would_be_read_as_something_else_is_not_read() {
        const FIELD: &str = "$serde_json::private::RawValue";
        // It would be kept with its fields in another order, and then the first of them would be that one.
        let text = format!(r#"{{"b":1,"{FIELD}":"no JSON"}}"#);
        let run = |body: Value| {
            let web = json!({"url": "http://a", "jsonBody": {"a": body}});
            let run =
                json!({"metadata": {"name": "odd"}, "spec": {"metrics": [{"name": "m", "provider": {"web": web}}]}});
            serde_json::from_str::<Arrived<AnalysisRun>>(&run.to_string()).expect("arrived")
        };
        let Arrived::Unreadable(unreadable, _) = run(json!({FIELD: text})) else {
            panic!("it is not as it was written")
        };
        assert!(unreadable.error.contains(FIELD) && unreadable.error.ends_with("Rename it"), "{}", unreadable.error);
        // Whoever may make requests may write this.
        for harmless in [json!(FIELD), json!(format!("\"{FIELD}\":1")), json!({format!("f:{FIELD}"): 1})] {
            assert!(matches!(run(harmless.clone()), Arrived::Readable(_)), "{harmless}");
        }
    }

    /// Whoever may make requests of a rollout may patch it, and so write anything there: nobody could promote it or roll it back any more.
    #[test]
    fn what_is_said_of_who_manages_which_field_keeps_no_object_from_being_read() {
        let nested = format!("{}{{}}{}", r#"{"f:a":"#.repeat(500), "}".repeat(500));
        let managed =
            format!(r#"[{{"manager": "someone", "operation": "Update", "fieldsV1": {{"f:metadata": {nested}}}}}]"#);
        let with_managed = |object: &Value| {
            let name = r#""name":"web""#;
            object.to_string().replacen(name, &format!(r#"{name},"managedFields":{managed}"#), 1)
        };
        let json = with_managed(&rollout("web", &json!({"restartAt": "2026-11-25T00:00:00Z"})));
        assert!(json.contains("f:metadata"), "{json}");
        let arrived: Arrived<RolloutView> = serde_json::from_str(&json).expect("arrived");
        assert!(matches!(arrived, Arrived::Readable(_)), "{}", error_of(&arrived));
        let mut unreadable = rollout("web", &json!({"restartAt": "9999-12-31T23:59:59Z"}));
        unreadable["status"] = json!({"activeRevision": "abc", "message": "fine"});
        let arrived: Arrived<RolloutView> = serde_json::from_str(&with_managed(&unreadable)).expect("arrived");
        assert!(matches!(arrived, Arrived::Unreadable(_, Some(_))), "its decisions are known: {arrived:?}");
        let service = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}}});
        let arrived: Arrived<ServiceView> = serde_json::from_str(&with_managed(&service)).expect("arrived");
        assert!(matches!(arrived, Arrived::Readable(_)), "{arrived:?}");
    }

    #[test]
    fn depth_is_no_reason_to_stop() {
        let nested = format!("{}1{}", r#"{"a":"#.repeat(500), "}".repeat(500));
        let run = format!(
            r#"{{"type": "ADDED", "object": {{"metadata": {{"name": "deep", "resourceVersion": "1"}}, "spec": {{
                "metrics": [{{"name": "m", "provider": {{"web": {{"url": "http://a", "jsonBody": {nested}}}}}}}]}}}}}}"#
        );
        let event: WatchEvent<Arrived<AnalysisRun>> = serde_json::from_str(&run).expect("an event");
        let WatchEvent::Added(Arrived::Unreadable(unreadable, _)) = event else { panic!("it cannot be read") };
        assert_eq!(unreadable.key().name, "deep");
        assert!(unreadable.error.contains("recursion limit"), "{}", unreadable.error);
    }
}
