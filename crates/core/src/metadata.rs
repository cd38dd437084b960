//! Labels and annotations that pods carry only for their role: `activeMetadata` and `previewMetadata`.

use greenlight_api::{PodMetadata, names};

use crate::actions::Action;
use crate::situation::Situation;
use crate::world::ReplicaSet;

/// What the pods of a new revision start with: there is no preview while nothing serves.
pub fn initial(situation: &Situation) -> PodMetadata {
    let blue_green = situation.world.rollout.spec.blue_green();
    let serves = situation.roles.home().is_some();
    let role = if serves { &blue_green.preview_metadata } else { &blue_green.active_metadata };
    role.clone().unwrap_or_default()
}

/// The change of a revision's pods from one metadata to another.
///
/// A label that the pods' own template has is never taken off, whatever somebody noted.
pub fn change(situation: &Situation, rs: &ReplicaSet, mut from: PodMetadata, mut to: PodMetadata) -> Action {
    let own = &situation.world.rollout.template.labels;
    let selector = situation.world.rollout.spec.selector.match_labels.as_ref();
    let is_theirs = |key: &String| own.contains_key(key) || selector.is_some_and(|labels| labels.contains_key(key));
    from.labels.retain(|key, _| !is_theirs(key) && key != names::HASH_LABEL);
    to.annotations.remove(names::UNSETTLED);
    let (name, resource_version, hash) = (rs.name.clone(), rs.resource_version.clone(), rs.hash.clone());
    Action::ChangePodMetadata { name, resource_version, hash, from, to }
}

/// What the pods of a revision carry for the role that it has now.
pub fn of_role(situation: &Situation, rs: &ReplicaSet) -> PodMetadata {
    let roles = situation.roles;
    let blue_green = situation.world.rollout.spec.blue_green();
    let serves = roles.serving().or(roles.home()).or(roles.candidate);
    let metadata = if serves.is_some_and(|serving| serving.name == rs.name) {
        blue_green.active_metadata.clone()
    } else if roles.is_candidate(rs) {
        blue_green.preview_metadata.clone()
    } else {
        None
    };
    metadata.unwrap_or_default()
}

/// What the operator noted on the ReplicaSet; nothing if that is not readable. While the pods are being changed it is both what they
/// carried and what they will, with [`names::UNSETTLED`]: so it is never what is wanted, and the change is made anew by whoever
/// finds it.
pub fn carried(rs: &ReplicaSet) -> PodMetadata {
    let noted = rs.annotation(names::ROLE_METADATA).and_then(|json| serde_json::from_str(json).ok());
    noted.unwrap_or_default()
}
