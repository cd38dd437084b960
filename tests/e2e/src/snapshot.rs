//! The state of a namespace at one moment.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, Rejection, names};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Service};
use kube::{Api, Client, ResourceExt};

/// Where a cluster may get images from, whatever the spec says. An image counts here as it is in the spec.
pub const MIRROR: &str = "mirror.example.com/";

/// The first image of a pod or a template.
fn image(spec: Option<&PodSpec>) -> Option<&str> {
    let image = spec?.containers.first()?.image.as_deref()?;
    Some(image.strip_prefix(MIRROR).unwrap_or(image))
}

/// Everything of a test's namespace that tests look at.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The rollout named `web`, if it exists.
    pub rollout: Option<BlueGreenRollout>,
    /// ReplicaSets.
    pub sets: Vec<ReplicaSet>,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Pods.
    pub pods: Vec<Pod>,
}

impl Snapshot {
    /// Reads it live.
    pub async fn read(client: &Client, namespace: &str, rollout: &str) -> Result<Snapshot> {
        let all = Default::default();
        let services = Api::<Service>::namespaced(client.clone(), namespace).list(&all).await?;
        Ok(Snapshot {
            rollout: Api::namespaced(client.clone(), namespace).get_opt(rollout).await?,
            sets: Api::<ReplicaSet>::namespaced(client.clone(), namespace).list(&all).await?.items,
            services: services.items.into_iter().map(|service| (service.name_any(), service)).collect(),
            pods: Api::<Pod>::namespaced(client.clone(), namespace).list(&all).await?.items,
        })
    }

    /// The rollout's status, empty if there is none.
    pub fn status(&self) -> BlueGreenRolloutStatus {
        self.rollout.as_ref().and_then(|rollout| rollout.status.clone()).unwrap_or_default()
    }

    /// The phase, as a word; empty if the newest spec was not looked at yet.
    pub fn phase(&self) -> &'static str {
        let generation = self.rollout.as_ref().and_then(|rollout| rollout.metadata.generation);
        let status = self.status();
        if generation > Some(status.observed_generation) { "" } else { status.phase.as_str() }
    }

    /// The status message.
    pub fn message(&self) -> String {
        self.status().message
    }

    /// Status and reason of a condition, as `True/Healthy`.
    pub fn condition(&self, type_: &str) -> String {
        let status = self.status();
        let condition = status.conditions.iter().find(|condition| condition.type_ == type_);
        condition.map(|condition| format!("{}/{}", condition.status, condition.reason)).unwrap_or_default()
    }

    /// The hash that a Service selects.
    pub fn hash_of(&self, service: &str) -> Option<String> {
        self.services.get(service)?.spec.as_ref()?.selector.as_ref()?.get(names::HASH_LABEL).cloned()
    }

    /// The ReplicaSet of a hash.
    pub fn set(&self, hash: &str) -> Option<&ReplicaSet> {
        self.sets.iter().find(|set| set.labels().get(names::HASH_LABEL).map(String::as_str) == Some(hash))
    }

    /// The hash of the ReplicaSet whose first container has this image.
    pub fn hash_of_image(&self, image: &str) -> Option<String> {
        let has_image = |set: &&ReplicaSet| {
            let is_revision = set.labels().contains_key(names::HASH_LABEL);
            let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref()?.spec.as_ref());
            is_revision && self::image(template) == Some(image)
        };
        self.sets.iter().find(has_image)?.labels().get(names::HASH_LABEL).cloned()
    }

    /// `spec.replicas` of the ReplicaSet of this image; -1 if there is none.
    pub fn replicas_of_image(&self, image: &str) -> i32 {
        let set = self.hash_of_image(image).and_then(|hash| self.set(&hash)?.spec.as_ref()?.replicas);
        set.unwrap_or(-1)
    }

    /// An annotation of the ReplicaSet of this image.
    pub fn annotation_of_image(&self, image: &str, key: &str) -> Option<String> {
        let hash = self.hash_of_image(image)?;
        self.set(&hash)?.annotations().get(key).cloned()
    }

    /// Names of the pods of this image that are ready.
    pub fn ready_pods_of_image(&self, image: &str) -> BTreeSet<String> {
        let ready = |pod: &&Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let ready =
                conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            ready && self::image(pod.spec.as_ref()) == Some(image)
        };
        self.pods.iter().filter(ready).map(|pod| pod.name_any()).collect()
    }

    /// UIDs of the pods of this image.
    pub fn pod_uids_of_image(&self, image: &str) -> BTreeSet<String> {
        let of_image = |pod: &&Pod| self::image(pod.spec.as_ref()) == Some(image);
        self.pods.iter().filter(of_image).filter_map(|pod| pod.uid()).collect()
    }

    /// Whether production is this image, and nothing is left to do.
    pub fn is_healthy_on(&self, image: &str) -> bool {
        self.phase() == "Healthy" && self.image_of("web-active") == image
    }

    /// Whether this image waits in preview for its promotion.
    pub fn waits_in_preview(&self, image: &str) -> bool {
        self.phase() == "Paused" && self.image_of("web-preview") == image
    }

    /// Whether the revision of this image has neither pods nor marks of a retired one left.
    pub fn is_down(&self, image: &str) -> bool {
        let set = self.hash_of_image(image).and_then(|hash| self.set(&hash).cloned());
        let marked = set.and_then(|set| set.metadata.finalizers).is_some_and(|finalizers| !finalizers.is_empty());
        self.replicas_of_image(image) <= 0 && self.pod_uids_of_image(image).is_empty() && !marked
    }

    /// Why the revision of this image is not to be served, if it was rejected, by the operator's record.
    pub fn rejection_of_image(&self, image: &str) -> Option<Rejection> {
        self.status().decisions?.rejection(&self.hash_of_image(image)?).cloned()
    }

    /// The image that a Service leads to, by the hash that it selects.
    pub fn image_of(&self, service: &str) -> String {
        let set = self.hash_of(service).and_then(|hash| self.set(&hash).cloned());
        let template = set.and_then(|set| set.spec).and_then(|spec| spec.template).and_then(|template| template.spec);
        image(template.as_ref()).unwrap_or_default().to_owned()
    }
}
