//! What is kept of an EndpointSlice: which pods are behind it, and whether they are ready.

use greenlight_core::world::Endpoint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::shared::Sought;
use crate::cluster::arrived::Watched;
use crate::cluster::objects::narrow::{narrow_metadata, view_of};

/// An EndpointSlice as it arrives.
#[derive(Clone, Debug, Deserialize)]
pub struct SliceView {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    /// `null` in slices that were made without any.
    #[serde(default)]
    endpoints: Option<Vec<EndpointView>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EndpointView {
    conditions: Conditions,
    target_ref: Option<Target>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Outline {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
}

view_of!(SliceView, "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");

impl Watched for SliceView {
    /// Who is behind a slice that cannot be read is not known: nothing is proven with it.
    fn outline(json: &str) -> Option<SliceView> {
        let Outline { metadata } = serde_json::from_str(json).ok()?;
        let name = metadata.name.as_deref().unwrap_or_default();
        let target_ref = Some(Target { name: Some(format!("of EndpointSlice {name}, which cannot be read")) });
        let unknown = EndpointView { conditions: Conditions { ready: Some(true) }, target_ref };
        Some(SliceView { metadata, endpoints: Some(vec![unknown]) })
    }
}

impl Sought for SliceView {
    const LABEL: &'static str = "kubernetes.io/service-name";
    type Item = Endpoint;

    fn items(self) -> Vec<Endpoint> {
        let endpoints = self.endpoints.into_iter().flatten();
        endpoints
            .map(|endpoint| Endpoint {
                pod: endpoint.target_ref.and_then(|target| target.name).unwrap_or_default(),
                // The API: a missing condition means ready.
                ready: endpoint.conditions.ready.unwrap_or(true),
            })
            .collect()
    }
}
