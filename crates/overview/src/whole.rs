//! Objects of any kind that are read although somebody keeps them from it: whoever may patch an object may write anything into what is said of who
//! manages which field of it, also what is nested too deep for any reader. The same holds for what an AnalysisRun says of a Job.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;

use greenlight_api::analysis::AnalysisRun;
use greenlight_core::words::brief;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{ListParams, ObjectList};
use kube::core::Request;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::session::Session;

/// An object; without its managed fields, if these are in the way.
#[derive(Clone, Debug)]
pub struct Whole<K>(pub K);

impl<'de, K: DeserializeOwned> Deserialize<'de> for Whole<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole<K>, D::Error> {
        // Set apart as text first, which knows no depth.
        let json = Box::<RawValue>::deserialize(deserializer)?;
        read(json.get()).map(Whole).map_err(D::Error::custom)
    }
}

fn read<K: DeserializeOwned>(json: &str) -> serde_json::Result<K> {
    serde_json::from_str(json).or_else(|_| serde_json::from_str(&without_managed_fields(json)?))
}

impl<K: Resource> Resource for Whole<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }
    fn group(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }
    fn version(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }
    fn plural(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }
    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

/// Which object it is, and nothing of what is in it: so there is nothing that somebody could write to keep it from being read.
#[derive(Clone, Debug)]
pub struct Named<K> {
    metadata: ObjectMeta,
    kind: PhantomData<K>,
}

#[derive(Deserialize)]
struct Labelled {
    metadata: Label,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Label {
    namespace: Option<String>,
    name: Option<String>,
    resource_version: Option<String>,
}

impl<'de, K> Deserialize<'de> for Named<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Named<K>, D::Error> {
        let Label { namespace, name, resource_version } = Labelled::deserialize(deserializer)?.metadata;
        let metadata = ObjectMeta { namespace, name, resource_version, ..ObjectMeta::default() };
        Ok(Named { metadata, kind: PhantomData })
    }
}

impl<K: Resource> Resource for Named<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn metadata_api() -> bool {
        true
    }
    fn kind(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }
    fn group(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }
    fn version(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }
    fn plural(dynamic: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// An object of a list; or its name, and why it cannot be read.
#[derive(Clone, Debug)]
struct Listed<K>(Result<K, String>);

impl<'de, K: DeserializeOwned> Deserialize<'de> for Listed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listed<K>, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let error = match read(json.get()) {
            Ok(object) => return Ok(Listed(Ok(object))),
            Err(error) => brief(error.to_string()),
        };
        let Labelled { metadata } = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        Ok(Listed(Err(format!("{}: {error}", metadata.name.unwrap_or_default()))))
    }
}

impl Session {
    /// The AnalysisRuns of the namespace; and of each that cannot be read its name and why, which must not hide the others.
    ///
    /// # Errors
    /// The caller may not list them, or the API server does not answer.
    pub async fn runs(&self) -> kube::Result<(Vec<AnalysisRun>, Vec<String>)> {
        let request = Request::new(self.api::<AnalysisRun>().resource_url()).list(&ListParams::default());
        let list = self.client.request::<ObjectList<Listed<AnalysisRun>>>(request.map_err(kube::Error::BuildRequest)?);
        let (mut runs, mut unreadable) = (Vec::new(), Vec::new());
        for Listed(run) in list.await?.items {
            match run {
                Ok(run) => runs.push(run),
                Err(why) => unreadable.push(why),
            }
        }
        Ok((runs, unreadable))
    }

    /// The objects of a kind in the namespace.
    ///
    /// # Errors
    /// The caller may not list them, or the API server does not answer.
    pub async fn list<K>(&self, params: &ListParams) -> kube::Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let list = self.api::<Whole<K>>().list(params).await?;
        Ok(list.items.into_iter().map(|Whole(object)| object).collect())
    }
}

/// An object without who manages which field of it.
pub(crate) fn without_managed_fields(json: &str) -> serde_json::Result<String> {
    let mut object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json)?;
    if let Some(metadata) = object.get_mut("metadata") {
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(metadata.get())?;
        fields.remove("managedFields");
        *metadata = to_raw_value(&fields)?;
    }
    serde_json::to_string(&object)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use super::*;

    fn list_of(items: &[Value]) -> String {
        json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}).to_string()
    }

    #[test]
    fn what_is_said_of_who_manages_which_field_hides_no_object() {
        let deep = (0..300).fold(json!({}), |inner, _| json!({"f:a": inner}));
        let of = |name: &str, fields: &Value| {
            let managed =
                json!([{"manager": "someone", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
            json!({"metadata": {"name": name, "managedFields": managed}, "spec": {"selector": {"app": name}}})
        };
        let items = [of("deep", &deep), of("plain", &json!({"f:spec": {}}))];
        let list: ObjectList<Whole<Service>> = serde_json::from_str(&list_of(&items)).expect("a list");
        let services: Vec<Service> = list.items.into_iter().map(|Whole(service)| service).collect();
        let selects = |service: &Service| service.spec.as_ref().and_then(|spec| spec.selector.clone());
        assert_eq!(selects(&services[0]), Some([("app".to_owned(), "deep".to_owned())].into()));
        assert!(services[0].metadata.managed_fields.is_none());
        assert!(services[1].metadata.managed_fields.is_some(), "where they can be read they are there");
    }

    #[test]
    fn a_run_that_is_nested_too_deep_hides_no_other_and_is_told() {
        let deep = (0..300).fold(json!({}), |inner, _| json!({"a": inner}));
        let of = |name: &str, spec: &Value| {
            let metric = json!({"name": "smoke", "provider": {"job": {"spec": spec}}});
            json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"metrics": [metric]}})
        };
        let items = [of("before", &json!({})), of("deep", &deep), of("behind", &json!({}))];
        let list: ObjectList<Listed<AnalysisRun>> = serde_json::from_str(&list_of(&items)).expect("a list");
        let [before, deep, behind]: [Listed<AnalysisRun>; 3] = list.items.try_into().expect("three");
        assert_eq!(before.0.expect("it can be read").metadata.name.as_deref(), Some("before"));
        assert_eq!(behind.0.expect("it can be read").metadata.name.as_deref(), Some("behind"));
        let told = deep.0.expect_err("nobody can read it");
        assert!(told.starts_with("deep: recursion limit exceeded"), "{told}");
    }

    #[test]
    fn whose_name_alone_is_read_can_be_read_whatever_is_in_it() {
        let deep = (0..300).fold(json!({}), |inner, _| json!({"f:a": inner}));
        let managed =
            json!([{"manager": "someone", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": deep}]);
        let metadata = json!({"name": "web", "namespace": "shop", "resourceVersion": "7", "managedFields": managed});
        let items = [json!({"metadata": metadata, "spec": deep})];
        let list: ObjectList<Named<Service>> = serde_json::from_str(&list_of(&items)).expect("a list");
        let meta = list.items[0].meta();
        assert_eq!((meta.name.as_deref(), meta.resource_version.as_deref()), (Some("web"), Some("7")));
    }
}
