//! A Service.

use std::collections::BTreeMap;

use greenlight_core::from_api;
use greenlight_core::world::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta, Time};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::narrow::{NarrowMetadata, view_of};
use crate::cluster::arrived::Watched;
use crate::cluster::cache::{Cached, Key};

view_of!(ServiceView, "", "v1", "Service", "services");

impl Watched for ServiceView {}

/// A Service as it arrives.
#[derive(Clone, Debug, Deserialize)]
pub struct ServiceView {
    #[serde(deserialize_with = "metadata_of_service")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    selector: BTreeMap<String, String>,
}

/// Narrow, with who manages the selector: that tells by whose hand it was moved.
fn metadata_of_service<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let (mut metadata, managers) = NarrowMetadata::<Vec<Manager>>::deserialize(deserializer)?.into_metadata();
    let selector = || FieldsV1(json!({"f:spec": {"f:selector": {}}}));
    let entry = |Manager { manager, time, fields }: Manager| {
        let has_selector = fields.and_then(|fields| fields.spec?.selector).is_some();
        let time = time.and_then(|time| time.parse().ok()).map(Time);
        ManagedFieldsEntry { manager, time, fields_v1: has_selector.then(selector), ..ManagedFieldsEntry::default() }
    };
    metadata.managed_fields = managers.map(|managers| managers.into_iter().map(entry).collect());
    Ok(metadata)
}

#[derive(Deserialize)]
struct Manager {
    manager: Option<String>,
    /// Whoever may patch a Service may write any time there, also one that nobody reads: the last day of the year 9999.
    time: Option<String>,
    #[serde(rename = "fieldsV1")]
    fields: Option<Fields>,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<FieldsOfSpec>,
}

#[derive(Deserialize)]
struct FieldsOfSpec {
    #[serde(rename = "f:selector")]
    selector: Option<IgnoredAny>,
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

#[cfg(test)]
mod tests {
    use greenlight_api::names;
    use serde_json::Value;

    use super::*;

    fn moved_by(managers: &[(&str, &str, Value)]) -> Option<String> {
        let entry = |(manager, time, fields): &(&str, &str, Value)| {
            json!({
                "manager": manager, "operation": "Update", "apiVersion": "v1", "time": time,
                "fieldsType": "FieldsV1", "fieldsV1": fields,
            })
        };
        let managed: Vec<Value> = managers.iter().map(entry).collect();
        let service = json!({
            "metadata": {"name": "web", "namespace": "shop", "managedFields": managed},
            "spec": {"selector": {"app": "web", names::HASH_LABEL: "abc"}},
        });
        serde_json::from_value::<ServiceView>(service).expect("a Service").keep().service.moved_by
    }

    #[test]
    fn a_name_that_is_longer_than_any_hides_no_service() {
        let long = "x".repeat(200_000);
        // In JSON it is six times as long.
        let escaped = "\u{1}".repeat(200_000);
        let rejection = json!({"by": "", "at": "2026-01-01T00:00:00Z", "reason": ""});
        let rejections = (100..390).map(|hash| (hash.to_string(), rejection.clone()));
        let rejections = Value::Object(rejections.collect()).to_string();
        let annotations = json!({
            names::MANAGED_BY: long, names::PRODUCTION: long, names::MANAGED_BY_ARGO: long, names::WITHDRAWN: escaped,
            names::REJECTED: rejections,
        });
        let service = json!({"metadata": {"name": "web", "namespace": "shop", "annotations": annotations}});
        let kept = serde_json::from_value::<ServiceView>(service).expect("a Service").keep();
        assert!(json!(kept).to_string().len() < KeptService::LARGEST, "nor do withdrawn claims and rejections");
        let service = kept.service;
        let kept = [service.managed_by, service.production, service.argo_rollout];
        let lengths = kept.map(|name| name.map_or(0, |name| name.len()));
        assert!(lengths.iter().all(|length| (200..=253).contains(length)), "{lengths:?}");
    }

    #[test]
    fn who_wrote_the_selector_last_is_read_of_all_that_is_managed() {
        let ports = || json!({"f:spec": {"f:ports": {".": {}}}});
        let selector = || json!({"f:spec": {"f:ports": {}, "f:selector": {}}});
        let by_others = [
            ("helm", "2026-01-01T00:00:00Z", selector()),
            ("kubectl-patch", "2026-01-02T00:00:00Z", selector()),
            ("kube-controller-manager", "2026-01-03T00:00:00Z", json!({"f:status": {}})),
            ("autoscaler", "2026-01-04T00:00:00Z", ports()),
        ];
        assert_eq!(moved_by(&by_others).as_deref(), Some("kubectl-patch"));
        let ours =
            [("helm", "2026-01-01T00:00:00Z", ports()), (names::FIELD_MANAGER, "2026-01-01T00:00:00Z", selector())];
        assert_eq!(moved_by(&ours), None);
        let [by_helm, by_hand, ..] = by_others;
        let at_no_time = [by_helm, by_hand, ("ghost", "9999-12-31T23:59:59Z", selector())];
        assert_eq!(moved_by(&at_no_time).as_deref(), Some("kubectl-patch"), "and it can be read");
        assert_eq!(moved_by(&[]), None);
    }
}
