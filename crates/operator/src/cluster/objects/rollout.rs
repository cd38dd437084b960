//! A rollout: as it arrives, and what is kept of it.

use greenlight_api::{BlueGreen, BlueGreenRollout, BlueGreenRolloutSpec, BlueGreenRolloutStatus, PodTemplate};
use greenlight_core::from_api;
use greenlight_core::world::Rollout;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::narrow::{narrow_metadata, view_of};
use crate::cluster::arrived::Watched;
use crate::cluster::cache::{Cached, Key};
use crate::cluster::templates::Templates;

view_of!(RolloutView, "greenlight.dev", "v1alpha1", "BlueGreenRollout", "bluegreenrollouts");
view_of!(PublishedView, "greenlight.dev", "v1alpha1", "BlueGreenRollout", "bluegreenrollouts");

/// A rollout as it arrives. Its template is reduced to a digest before anything is kept for long.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WholeRollout")]
pub struct RolloutView {
    metadata: ObjectMeta,
    rollout: Box<Rollout>,
    /// The template, if it is not the one that is on record: a ReplicaSet is to be made of it.
    new_template: Option<PodTemplate>,
}

/// A rollout with its template, and of its metadata what is read of other objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawRollout")]
pub struct WholeRollout(pub BlueGreenRollout);

#[derive(Deserialize)]
struct RawRollout {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    spec: BlueGreenRolloutSpec,
    status: Option<BlueGreenRolloutStatus>,
}

impl From<RawRollout> for WholeRollout {
    fn from(RawRollout { metadata, spec, status }: RawRollout) -> WholeRollout {
        WholeRollout(BlueGreenRollout { metadata, spec, status })
    }
}

impl From<WholeRollout> for RolloutView {
    fn from(WholeRollout(object): WholeRollout) -> RolloutView {
        RolloutView::from(object)
    }
}

impl From<BlueGreenRollout> for RolloutView {
    fn from(object: BlueGreenRollout) -> RolloutView {
        // The watch needs to know which object this is; the rest of the metadata is in the rollout, or not kept.
        let metadata = ObjectMeta {
            namespace: object.metadata.namespace.clone(),
            name: object.metadata.name.clone(),
            uid: object.metadata.uid.clone(),
            resource_version: object.metadata.resource_version.clone(),
            ..ObjectMeta::default()
        };
        let (rollout, template) = from_api::rollout_and_template(object);
        let is_new = rollout.record().is_some_and(|record| record.template != rollout.template.digest.as_str());
        let new_template = if is_new { template } else { None };
        RolloutView { metadata, rollout: Box::new(rollout), new_template }
    }
}

/// A rollout as a write of its status is answered. Nothing else is read: the write carries the version that it was decided at, so everything else is as
/// it was then, and the template is the largest part of it.
#[derive(Clone, Debug, Deserialize)]
pub struct PublishedView {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    /// The status, as the API server keeps it.
    pub status: Option<BlueGreenRolloutStatus>,
}

impl Watched for RolloutView {
    /// Which Services it names, so that nobody else takes them, and what was decided, so that it is not written over. Of one that is being deleted
    /// nothing is written any more: it goes also if its decisions cannot be read, as a newer version's.
    fn outline(json: &str) -> Option<RolloutView> {
        let outline: Outline = serde_json::from_str(json).ok()?;
        let blue_green = outline.spec.strategy.blue_green;
        let mut object = json!({
            "metadata": outline.metadata,
            "spec": {"selector": outline.spec.selector, "strategy": {"blueGreen": blue_green}},
            "status": outline.status,
        });
        let with_decisions = serde_json::from_value(object.clone()).ok();
        if with_decisions.is_none() && outline.metadata.deletion_timestamp.is_some() {
            object["status"] = Value::Null;
            return serde_json::from_value(object).ok();
        }
        with_decisions
    }
}

/// What is read of a rollout that cannot be read as a whole.
#[derive(Deserialize)]
struct Outline {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    spec: OutlineSpec,
    status: Option<Value>,
}

#[derive(Deserialize)]
struct OutlineSpec {
    selector: Value,
    strategy: OutlineStrategy,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutlineStrategy {
    blue_green: OutlineServices,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct OutlineServices {
    active_service: Option<Value>,
    additional_active_services: Option<Value>,
    preview_service: Option<Value>,
}

impl RolloutView {
    /// What is kept of it.
    pub fn keep(self) -> Rollout {
        *self.rollout
    }

    /// What is kept of it; and among `templates` its template, if that is new.
    pub fn keep_with_template(mut self, templates: &Templates) -> Rollout {
        match self.new_template.take() {
            Some(template) => templates.put(self.rollout.key(), self.rollout.template.digest.as_str(), &template),
            None => templates.forget(&self.rollout.key()),
        }
        self.keep()
    }
}

impl Cached for Rollout {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }
    fn resource_version(&self) -> &str {
        &self.resource_version
    }
    /// A thousand revisions fit into this, and whatever people write.
    const LARGEST: usize = 128 << 10;

    /// Which Services it names, and what was decided.
    fn outlined(mut self) -> Option<Rollout> {
        let named = std::mem::take(&mut self.spec.strategy.blue_green);
        self.spec.strategy.blue_green = BlueGreen {
            active_service: named.active_service,
            additional_active_services: named.additional_active_services,
            preview_service: named.preview_service,
            ..BlueGreen::default()
        };
        self.request = None;
        self.labels.clear();
        Some(self)
    }

    /// The Services that it names, and the workload.
    fn groups(&self) -> Vec<Key> {
        let services = self.spec.blue_green().services().map(|name| self.key().sibling(name));
        let workload =
            self.spec.workload_ref.iter().map(|workload| workload_group(&self.key().sibling(&workload.name)));
        services.chain(workload).collect()
    }
}

/// The group of the rollouts that refer to a workload. A Service of the same name is another group.
pub fn workload_group(workload: &Key) -> Key {
    workload.sibling(&format!("workload/{}", workload.name))
}
