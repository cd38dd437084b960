//! A Deployment that a rollout may refer to.

use greenlight_api::PodTemplate;
use greenlight_core::world::{Template, Workload};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::narrow::{narrow_metadata, view_of};
use crate::cluster::arrived::Watched;
use crate::cluster::cache::{Cached, Key};

view_of!(DeploymentView, "apps", "v1", "Deployment", "deployments");

impl Watched for DeploymentView {}

/// A Deployment as it arrives.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawDeployment")]
pub struct DeploymentView {
    metadata: ObjectMeta,
    workload: Workload,
}

#[derive(Clone, Debug, Deserialize)]
struct RawDeployment {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    spec: DeploymentSpec,
}

#[derive(Clone, Debug, Deserialize)]
struct DeploymentSpec {
    replicas: Option<i32>,
    template: PodTemplate,
}

impl From<RawDeployment> for DeploymentView {
    fn from(raw: RawDeployment) -> DeploymentView {
        let workload = Workload {
            name: raw.metadata.name.clone().unwrap_or_default(),
            resource_version: raw.metadata.resource_version.clone().unwrap_or_default(),
            replicas: raw.spec.replicas.unwrap_or(1),
            template: Template::from(&raw.spec.template),
        };
        DeploymentView { metadata: raw.metadata, workload }
    }
}

/// A Deployment, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptWorkload {
    /// Namespace.
    pub namespace: String,
    /// The rest.
    pub workload: Workload,
}

impl DeploymentView {
    /// What is kept of it.
    pub fn keep(self) -> KeptWorkload {
        KeptWorkload { namespace: self.metadata.namespace.unwrap_or_default(), workload: self.workload }
    }
}

impl Cached for KeptWorkload {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.workload.name.clone() }
    }
    fn resource_version(&self) -> &str {
        &self.workload.resource_version
    }
    fn groups(&self) -> Vec<Key> {
        Vec::new()
    }
}
