//! Objects of any kind that are read although somebody keeps them from it: whoever may patch an object may write anything into what is said of who
//! manages which field of it, also what is nested too deep for any reader.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ListParams;
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
        let object = serde_json::from_str(json.get());
        let object = object.or_else(|_| serde_json::from_str(&without_managed_fields(json.get())?));
        object.map(Whole).map_err(D::Error::custom)
    }
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

impl Session {
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
    use kube::api::ObjectList;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_of_who_manages_which_field_hides_no_object() {
        let deep = (0..300).fold(json!({}), |inner, _| json!({"f:a": inner}));
        let of = |name: &str, fields: &serde_json::Value| {
            let managed =
                json!([{"manager": "someone", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
            json!({"metadata": {"name": name, "managedFields": managed}, "spec": {"selector": {"app": name}}})
        };
        let items = [of("deep", &deep), of("plain", &json!({"f:spec": {}}))];
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}).to_string();
        let list: ObjectList<Whole<Service>> = serde_json::from_str(&list).expect("a list");
        let services: Vec<Service> = list.items.into_iter().map(|Whole(service)| service).collect();
        let selects = |service: &Service| service.spec.as_ref().and_then(|spec| spec.selector.clone());
        assert_eq!(selects(&services[0]), Some([("app".to_owned(), "deep".to_owned())].into()));
        assert!(services[0].metadata.managed_fields.is_none());
        assert!(services[1].metadata.managed_fields.is_some(), "where they can be read they are there");
    }
}
