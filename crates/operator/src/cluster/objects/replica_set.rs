//! A ReplicaSet of a rollout.

use std::collections::BTreeMap;

use greenlight_api::names;
use greenlight_core::from_api;
use greenlight_core::words::beginning_in_json;
use greenlight_core::world::{ReplicaSet, Rollout};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::narrow::{Condition, narrow_metadata, view_of};
use crate::cluster::arrived::Watched;
use crate::cluster::cache::{Cache, Cached, Key};

/// How much of each annotation an outline has where not all is kept, in bytes of JSON.
const LONGEST_ANNOTATION: usize = 3 << 10;
/// How much of [`names::ROLE_METADATA`] it has then, in bytes of JSON.
const LONGEST_ROLE_METADATA: usize = 64 << 10;
/// By how much packing may make something longer, at most, in bytes.
const PACKING: usize = 1 << 10;

view_of!(ReplicaSetView, "apps", "v1", "ReplicaSet", "replicasets");

impl Watched for ReplicaSetView {}

/// A ReplicaSet as it arrives.
#[derive(Clone, Debug, Deserialize)]
pub struct ReplicaSetView {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ReplicaSetSpec,
    #[serde(default)]
    status: ReplicaSetStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReplicaSetSpec {
    replicas: Option<i32>,
    min_ready_seconds: i32,
    template: TemplateView,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TemplateView {
    metadata: TemplateMetadata,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TemplateMetadata {
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReplicaSetStatus {
    replicas: i32,
    ready_replicas: i32,
    available_replicas: i32,
    fully_labeled_replicas: i32,
    observed_generation: i64,
    conditions: Vec<Condition>,
}

/// A ReplicaSet of a rollout, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnedSet {
    /// The rollout that controls it; without a name if none does (any more).
    pub owner: Key,
    /// UID of that rollout.
    pub owner_uid: String,
    /// The rest.
    pub set: ReplicaSet,
}

impl ReplicaSetView {
    /// The ReplicaSet controller has seen its spec as it is.
    pub fn is_settled(&self) -> bool {
        self.status.observed_generation >= self.metadata.generation.unwrap_or_default()
    }

    /// What is kept of it; `None` if no rollout controls it. One that was left behind (`--cascade=orphan`) is kept as long as
    /// it carries the scale-down finalizer: nobody else takes that off.
    pub fn keep(self) -> Option<OwnedSet> {
        let settled = self.is_settled();
        let meta = self.metadata;
        let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let is_ours = |kind: &str, version: &str| kind == "BlueGreenRollout" && version.starts_with("greenlight.dev/");
        let held = meta.finalizers.iter().flatten().any(|finalizer| finalizer == names::SCALE_DOWN_FINALIZER);
        let (owner, owner_uid) = match controller {
            Some(owner) if is_ours(&owner.kind, &owner.api_version) => (owner.name.clone(), owner.uid.clone()),
            None if held => (String::new(), String::new()),
            _ => return None,
        };
        let namespace = meta.namespace.unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.retain(|key, _| key.starts_with("greenlight.dev/"));
        let digest = annotations.remove(names::TEMPLATE_DIGEST).unwrap_or_default();
        // What its pods carry, and its selector, which cannot be changed; its own labels can.
        let mut pod_labels = self.spec.template.metadata.labels;
        let hash = pod_labels.remove(names::HASH_LABEL).unwrap_or_default();
        let failure = self.status.conditions.into_iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True");
        let mut set = ReplicaSet {
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            hash,
            digest,
            resource_version: meta.resource_version.unwrap_or_default(),
            created: from_api::time(meta.creation_timestamp.as_ref()),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.unwrap_or_default(),
            annotations,
            pod_labels,
            replicas: self.spec.replicas.unwrap_or(1),
            min_ready_seconds: self.spec.min_ready_seconds,
            settled,
            current: self.status.replicas,
            ready: self.status.ready_replicas,
            available: self.status.available_replicas,
            fully_labeled: self.status.fully_labeled_replicas,
            failure: failure.map(|condition| condition.message),
            fresh: false,
        };
        set.count_out_what_leaves();
        Some(OwnedSet { owner: Key { namespace, name: owner }, owner_uid, set })
    }
}

/// Keeps of a text what takes so many bytes of JSON at most.
fn shorten(text: &mut String, most: usize) {
    let kept = beginning_in_json(text, most).len();
    text.truncate(kept);
}

/// The group of the ReplicaSets of a namespace whose pods carry this hash. A rollout of the same name is another group.
fn hash_group(namespace: &str, hash: &str) -> Key {
    Key { namespace: namespace.to_owned(), name: format!("hash/{hash}") }
}

impl Cache<OwnedSet> {
    /// The rollout of this one's namespace that has another template of the same hash. Who writes both templates can make that so in
    /// seconds, and pods of the one would get the traffic of the other.
    pub fn other_template_of(&self, rollout: &Rollout, hash: &str, digest: &str) -> Option<String> {
        let collides = |owned: &OwnedSet| {
            owned.owner_uid != rollout.uid && !owned.set.digest.is_empty() && owned.set.digest != digest
        };
        let same_hash = self.group(&hash_group(&rollout.namespace, hash));
        same_hash.into_iter().find(collides).map(|owned| owned.owner.name)
    }
}

impl Cached for OwnedSet {
    fn key(&self) -> Key {
        self.owner.sibling(&self.set.name)
    }
    fn resource_version(&self) -> &str {
        &self.set.resource_version
    }
    /// What its pods carry for their role is noted on it, and that may be as long as all that is kept of a rollout.
    const LARGEST: usize = 128 << 10;

    /// Without annotations that are not the operator's own, however many there are; and if that is not enough, with no more than the beginning of
    /// each. One that it does not find, or finds cut, the operator takes for something else than it wrote, and writes it again.
    fn outlined(mut self) -> Option<OwnedSet> {
        self.set.annotations.retain(|key, _| names::ON_REPLICA_SETS.contains(&key.as_str()));
        let json = serde_json::to_vec(&self).ok()?;
        if json.len() > Self::LARGEST - PACKING {
            for (key, value) in &mut self.set.annotations {
                let most = if key == names::ROLE_METADATA { LONGEST_ROLE_METADATA } else { LONGEST_ANNOTATION };
                shorten(value, most);
            }
            shorten(&mut self.set.digest, LONGEST_ANNOTATION);
        }
        Some(self)
    }
    /// Its rollout, and its hash.
    fn groups(&self) -> Vec<Key> {
        vec![self.owner.clone(), hash_group(&self.owner.namespace, &self.set.hash)]
    }
    /// It waits for the end of its delay.
    fn is_marked(&self) -> bool {
        self.set.has_scale_down_finalizer()
    }
}
