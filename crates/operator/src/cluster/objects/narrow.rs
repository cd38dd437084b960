//! What the views of objects have in common.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// Implements [`Resource`] for a view of a namespaced kind.
macro_rules! view_of {
    ($view:ident, $group:literal, $version:literal, $kind:literal, $plural:literal) => {
        impl kube::Resource for $view {
            type DynamicType = ();
            type Scope = k8s_openapi::NamespaceResourceScope;
            fn kind(_: &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }
            fn group(_: &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }
            fn version(_: &()) -> std::borrow::Cow<'_, str> {
                $version.into()
            }
            fn plural(_: &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

pub(crate) use view_of;

/// Metadata without what takes most of its room and says nothing here: who manages which field. Whoever may patch an object may write anything
/// there, also what is nested too deep to be read.
pub fn narrow_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    NarrowMetadata::<IgnoredAny>::deserialize(deserializer).map(|narrow| narrow.into_metadata().0)
}

/// An object of which only the metadata is asked for.
#[derive(Clone, Debug, Deserialize)]
pub struct MetadataView {
    /// Its metadata.
    #[serde(deserialize_with = "narrow_metadata")]
    pub metadata: ObjectMeta,
}

/// Metadata, and of who manages which field so much as `M` takes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NarrowMetadata<M> {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
    managed_fields: Option<M>,
}

impl<M> NarrowMetadata<M> {
    /// The metadata, and who manages which field.
    pub(super) fn into_metadata(self) -> (ObjectMeta, Option<M>) {
        let metadata = ObjectMeta {
            namespace: self.namespace,
            name: self.name,
            uid: self.uid,
            resource_version: self.resource_version,
            generation: self.generation,
            creation_timestamp: self.creation_timestamp,
            deletion_timestamp: self.deletion_timestamp,
            labels: self.labels,
            annotations: self.annotations,
            owner_references: self.owner_references,
            finalizers: self.finalizers,
            ..ObjectMeta::default()
        };
        (metadata, self.managed_fields)
    }
}

/// A condition in the status of an object of Kubernetes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    pub message: String,
}
