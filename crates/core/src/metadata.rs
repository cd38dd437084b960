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
    let own = &situation.world.rollout.template.labels;
    allowed(role, |key| own.contains_key(key))
}

/// What the spec says of a role, without what is not its to say: our own labels, which lead traffic to pods, our note of a change that is
/// under way, and the labels of the pods' own template.
fn allowed(metadata: &Option<PodMetadata>, is_own: impl Fn(&str) -> bool) -> PodMetadata {
    let mut metadata = metadata.clone().unwrap_or_default();
    metadata.labels.retain(|key, _| ![names::HASH_LABEL, names::SERVING_LABEL].contains(&key.as_str()) && !is_own(key));
    metadata.annotations.remove(names::UNSETTLED);
    metadata
}

/// The change of a revision's pods from what they carry to another metadata. The template of its ReplicaSet comes first; then it is `None` until the
/// controller of ReplicaSets has seen that: it may make pods of the template before, which nobody would change any more.
///
/// A label that the pods' own template has, as far as is known, or that a Service selects, is never taken off, whatever somebody noted.
pub fn change(situation: &Situation, rs: &ReplicaSet, mut to: PodMetadata) -> Option<Action> {
    if is_under_way(rs) && !rs.settled {
        return None;
    }
    let mut from = carried(rs);
    let own = &situation.world.rollout.template.labels;
    let selector = situation.world.rollout.spec.selector.match_labels.as_ref();
    let is_theirs = |key: &String| own.contains_key(key) || selector.is_some_and(|labels| labels.contains_key(key));
    let services = &situation.world.services;
    let is_selected =
        |key: &str| services.values().any(|service| service.own_selector().any(|(selected, _)| selected == key));
    from.labels.retain(|key, _| !is_theirs(key) && key != names::HASH_LABEL && !is_selected(key));
    to.annotations.remove(names::UNSETTLED);
    let (name, resource_version, hash) = (rs.name.clone(), rs.resource_version.clone(), rs.hash.clone());
    Some(Action::ChangePodMetadata { name, resource_version, hash, from, to })
}

/// What the pods of a revision carry for the role that it has now.
pub fn of_role(situation: &Situation, rs: &ReplicaSet) -> PodMetadata {
    let roles = situation.roles;
    let blue_green = situation.world.rollout.spec.blue_green();
    let serves = roles.serving().or(roles.home()).or(roles.candidate);
    let metadata = if serves.is_some_and(|serving| serving.name == rs.name) {
        &blue_green.active_metadata
    } else if roles.is_candidate(rs) {
        &blue_green.preview_metadata
    } else {
        &None
    };
    let carried = carried(rs);
    // A value of ours that is not noted was written by an operator that died before the note.
    let of_roles = || [&blue_green.active_metadata, &blue_green.preview_metadata].into_iter().flatten();
    let is_ours = |key: &str, value: &String| of_roles().any(|of_role| of_role.labels.get(key) == Some(value));
    let is_own = |key: &str| {
        let is_noted = carried.labels.contains_key(key);
        !is_noted && rs.pod_labels.get(key).is_some_and(|value| !is_ours(key, value))
    };
    allowed(metadata, is_own)
}

/// What its pods carry for their role: what is noted, and the label by which both revisions are selected in an overlap also if the operator that
/// gave them that died before the note. While the pods are being changed, what is noted is both what they carried and what they will, with
/// [`names::UNSETTLED`]: so it is never what is wanted, and the operator that finds it makes the change anew.
pub fn carried(rs: &ReplicaSet) -> PodMetadata {
    let mut carried = noted(rs);
    if let Some((key, value)) = rs.pod_labels.get_key_value(names::SERVING_LABEL) {
        carried.labels.insert(key.clone(), value.clone());
    }
    carried
}

/// A change of its pods has begun: its template has it already, and its pods may not have it yet.
pub fn is_under_way(rs: &ReplicaSet) -> bool {
    noted(rs).annotations.contains_key(names::UNSETTLED)
}

/// What is noted while a change is under way: what the pods may carry then.
pub fn either(from: &PodMetadata, to: &PodMetadata) -> PodMetadata {
    let mut both = from.clone();
    both.labels.extend(to.labels.clone());
    both.annotations.extend(to.annotations.clone());
    both.annotations.insert(names::UNSETTLED.to_owned(), "true".to_owned());
    both
}

/// This change has begun, so that only its pods are left to be changed. The note alone does not tell: it is the same while the change is taken back,
/// which begins with the template, too.
pub fn has_begun(rs: &ReplicaSet, from: &PodMetadata, to: &PodMetadata) -> bool {
    let mut template = rs.pod_labels.clone();
    template.retain(|key, _| !from.labels.contains_key(key));
    template.extend(to.labels.clone());
    noted(rs) == either(from, to) && template == rs.pod_labels
}

/// All of `wanted` pods are available, also while their template is another one that its controller has not seen yet: for what they carry it takes none of
/// them. This is for what is told; production moves only by [`ReplicaSet::is_available`].
pub fn is_available_meanwhile(rs: &ReplicaSet, wanted: i32) -> bool {
    let is_known = rs.settled || is_under_way(rs);
    is_known && rs.replicas >= wanted && rs.available >= wanted
}

/// What the operator noted on the ReplicaSet, last of all; nothing if that is not readable.
pub fn noted(rs: &ReplicaSet) -> PodMetadata {
    let noted = rs.annotation(names::ROLE_METADATA).and_then(|json| serde_json::from_str(json).ok());
    noted.unwrap_or_default()
}
