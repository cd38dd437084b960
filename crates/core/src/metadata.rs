//! Labels and annotations that pods carry only for their role: `activeMetadata` and `previewMetadata`.

use greenlight_api::{PodMetadata, names};

use crate::actions::Action;
use crate::overlap;
use crate::target::Target;
use crate::world::{ReplicaSet, World};

/// What the pods of a new set start with: there is no preview while nothing serves.
pub fn new(world: &World, target: &Target) -> PodMetadata {
    let blue_green = world.rollout.spec.blue_green();
    let role = if target.active.is_some() { &blue_green.preview_metadata } else { &blue_green.active_metadata };
    role.clone().unwrap_or_default()
}

/// The change of a set's pods to its role, if they carry another one's.
pub fn step(world: &World, target: &Target, set: &ReplicaSet) -> Option<Action> {
    let wanted = wanted(world, target, set);
    let carried = carried(set);
    if wanted == carried || set.replicas == 0 {
        return None;
    }
    Some(change(set, carried, wanted))
}

/// The change of a set's pods from one metadata to another.
pub fn change(set: &ReplicaSet, from: PodMetadata, to: PodMetadata) -> Action {
    let (name, resource_version, hash) = (set.name.clone(), set.resource_version.clone(), set.hash.clone());
    Action::ChangePodMetadata { name, resource_version, hash, from, to }
}

fn wanted(world: &World, target: &Target, set: &ReplicaSet) -> PodMetadata {
    let blue_green = world.rollout.spec.blue_green();
    let metadata = if target.is_active(set) || target.active.is_none() && target.is_desired(set) {
        blue_green.active_metadata.clone()
    } else if target.is_desired(set) {
        blue_green.preview_metadata.clone()
    } else {
        None
    };
    let metadata = metadata.unwrap_or_default();
    if overlap::keeps_label(world, target, set) { overlap::with_label(metadata) } else { metadata }
}

/// What the operator noted on the set; nothing if that is not readable.
pub fn carried(set: &ReplicaSet) -> PodMetadata {
    let noted = set.annotation(names::ROLE_METADATA).and_then(|json| serde_json::from_str(json).ok());
    noted.unwrap_or_default()
}
