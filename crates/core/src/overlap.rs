//! `switchMode: Overlap`: on the way from one revision to the next, both are selected for a while.
//!
//! A Service selects by equality, so both must have a label in common that no other revision has: before the switch, the pods
//! of the active set and of the candidate get [`greenlight_api::names::SERVING_LABEL`]. Then the Service moves from the old
//! hash to that label, and after `overlapSeconds` from the label to the new hash. Nothing is proven, and so nothing retired,
//! before that. A rollback goes straight to the hash.

use greenlight_api::{PodMetadata, names};
use jiff::{SignedDuration, Timestamp};

use crate::actions::Action;
use crate::metadata;
use crate::target::{self, Target};
use crate::world::{ReplicaSet, Service, World};

/// The change of the pods that do not carry the label yet, before a switch by way of both.
pub fn prepare(world: &World, target: &Target, candidate: &ReplicaSet) -> Option<Action> {
    if !begins(world, target, candidate) {
        return None;
    }
    [target.active?, candidate].into_iter().find_map(|set| {
        let carried = metadata::carried(set);
        let labelled = with_label(carried.clone());
        (carried != labelled).then(|| metadata::change(set, carried, labelled))
    })
}

/// The metadata with the label.
pub fn with_label(mut metadata: PodMetadata) -> PodMetadata {
    metadata.labels.insert(names::SERVING_LABEL.to_owned(), "true".to_owned());
    metadata
}

/// Whether the set keeps the label: it serves, or will, or does while both do.
pub fn keeps_label(world: &World, target: &Target, set: &ReplicaSet) -> bool {
    let carries = metadata::carried(set).labels.contains_key(names::SERVING_LABEL);
    let asked_for = world.rollout.spec.blue_green().overlap_seconds().is_some();
    let overlapping = active_services(world).any(Service::is_overlapping);
    carries && (overlapping || asked_for && (target.is_active(set) || target.is_desired(set)))
}

/// The switch to this set goes by way of both.
pub fn begins(world: &World, target: &Target, set: &ReplicaSet) -> bool {
    let from_other = active_services(world).any(|service| {
        let from = service.hash().and_then(|hash| target::living(world).find(|other| other.hash == hash));
        from.is_some_and(|from| from.name != set.name && from.replicas > 0)
    });
    let asked_for = world.rollout.spec.blue_green().overlap_seconds().is_some();
    // Towards the set that serves already there is nothing to overlap: a Service that strayed goes straight back.
    let to_another = target.active.is_some() && !target.is_active(set);
    asked_for && from_other && to_another && !target.rolled_back()
}

/// Both serve, and it is not time yet to select this set alone.
pub fn is_under_way(world: &World, target: &Target, set: &ReplicaSet, now: Timestamp) -> bool {
    ends(world, target, set) && !target.rolled_back() && until(world, set).is_some_and(|until| now < until)
}

/// Both serve, and this set is the one to stay.
pub fn ends(world: &World, target: &Target, set: &ReplicaSet) -> bool {
    target.is_active(set) && active_services(world).any(Service::is_overlapping)
}

/// When the overlap is over.
pub fn until(world: &World, active: &ReplicaSet) -> Option<Timestamp> {
    let seconds = world.rollout.spec.blue_green().overlap_seconds()?;
    Some(active.promoted_at()? + SignedDuration::from_secs(seconds.into()))
}

/// Points a Service at both.
pub fn point(service: &Service) -> Action {
    Action::PointService {
        name: service.name.clone(),
        resource_version: service.resource_version.clone(),
        hash: None,
        overlap: true,
    }
}

fn active_services(world: &World) -> impl Iterator<Item = &Service> {
    world.rollout.spec.blue_green().active_services().filter_map(|name| world.services.get(name))
}
