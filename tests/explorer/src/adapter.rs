//! Where the explorer asks the core: what it knows of the templates, the shipped planner, and the shipped scale-down controller.

use greenlight_api::PodTemplate;
use greenlight_core::retire::{self, Owner, ScaleDown, Selected};
use greenlight_core::world::{ReplicaSet, Rollout, Template};
use greenlight_core::{Change, Plan, World, hash};
use jiff::Timestamp;
use serde_json::json;
use std::sync::LazyLock;

use crate::cluster::ROLLOUT;
use crate::event::{VERSIONS, Version};

/// The status is written with the resourceVersion that the plan was made from.
pub const PUBLISH_IS_FENCED: bool = true;
/// What the spec asks for again after something else is a new attempt, also if it was rejected.
pub const RETURN_LIFTS_REJECTION: bool = true;

/// What the core knows of a template.
pub struct Facts {
    /// As the rollout carries it.
    pub template: Template,
    /// The hash of its first ReplicaSet.
    pub hash: String,
    /// And of those that are made anew, each while the ones before are going.
    hashes: Vec<String>,
}

static FACTS: LazyLock<Vec<Facts>> = LazyLock::new(|| {
    let facts = |number: u8| {
        let labels = match Version(number) {
            Version::UNLABELLED => json!({"app": "web"}),
            Version::MISFIT => json!({"app": "other", "tier": "front"}),
            _ => json!({"app": "web", "tier": "front"}),
        };
        let template: PodTemplate = serde_json::from_value(json!({
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": format!("web:v{number}")}]},
        }))
        .expect("a template");
        let template = Template::from(&template);
        let hash = template.digest.hash(ROLLOUT, 0);
        let hashes = (0..hash::COLLISIONS).map(|number| template.digest.hash(ROLLOUT, number)).collect();
        Facts { hash, hashes, template }
    };
    (1..=VERSIONS).map(facts).collect()
});

/// What the core knows of a version.
pub fn facts(version: Version) -> &'static Facts {
    &FACTS[usize::from(version.0) - 1]
}

/// The version of this hash.
pub fn version_of_hash(hash: &str) -> Option<Version> {
    Version::all().find(|version| facts(*version).hashes.iter().any(|of_version| of_version == hash))
}

/// The version that a ReplicaSet or an analysis run of this name is of: after the name of the rollout comes the hash.
pub fn version_of_named(name: &str) -> Option<Version> {
    version_of_hash(name.split('-').nth(1)?)
}

/// The version of this digest.
pub fn version_of_digest(digest: &str) -> Option<Version> {
    Version::all().find(|version| facts(*version).template.digest.as_str() == digest)
}

/// The shipped planner.
pub fn plan(world: &World, now: Timestamp) -> Plan {
    greenlight_core::plan(world, now)
}

/// What the scale-down controller does next with a set.
pub enum Next {
    /// Nothing now.
    Rest,
    /// It reads the Services live and asks again.
    CheckServices,
    /// It writes.
    Write(Change),
}

/// The shipped scale-down controller, with the rollout unless that goes. `checked`: it has read live that no Service selects the set.
pub fn scale_down(
    set: &ReplicaSet,
    rollout: Option<&Rollout>,
    selected: Option<String>,
    checked: bool,
    now: Timestamp,
) -> Next {
    let owner = rollout.map_or(Owner::Deleted, Owner::Exists);
    let selected = match selected {
        Some(service) => Selected::By(service),
        None if checked => Selected::No,
        None => Selected::Unverified,
    };
    match retire::scale_down(set, owner, &selected, now) {
        ScaleDown::Nothing | ScaleDown::Wait(_) => Next::Rest,
        ScaleDown::CheckServices => Next::CheckServices,
        ScaleDown::Shrink(change) | ScaleDown::Finish(change) | ScaleDown::RemoveFinalizer(change) => {
            Next::Write(change)
        }
    }
}
