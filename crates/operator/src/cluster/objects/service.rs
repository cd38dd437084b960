//! A Service.

use std::collections::BTreeMap;

use greenlight_core::from_api;
use greenlight_core::world::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::narrow::view_of;
use crate::cluster::arrived::Watched;
use crate::cluster::cache::{Cached, Key};

view_of!(ServiceView, "", "v1", "Service", "services");

impl Watched for ServiceView {}

/// A Service as it arrives.
#[derive(Clone, Debug, Deserialize)]
pub struct ServiceView {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    selector: BTreeMap<String, String>,
}

/// A Service, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptService {
    /// Its namespace.
    pub namespace: String,
    /// The rest.
    pub service: Service,
}

impl ServiceView {
    /// What is kept of it.
    pub fn keep(self) -> KeptService {
        let namespace = self.metadata.namespace.clone().unwrap_or_default();
        KeptService { namespace, service: from_api::service(self.metadata, self.spec.selector) }
    }
}

impl Cached for KeptService {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.service.name.clone() }
    }
    fn resource_version(&self) -> &str {
        &self.service.resource_version
    }
    /// The rollout whose mark it carries.
    fn groups(&self) -> Vec<Key> {
        self.service.managed_by.iter().map(|name| self.key().sibling(name)).collect()
    }
}
