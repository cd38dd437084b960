//! How many pods each revision should have.
//!
//! `spec.replicas` belongs to the revision that came with it: a release that changes template and scale together does not
//! touch production before it is promoted. Each set remembers the `replicas` that it was meant to serve
//! ([`names::DESIRED_REPLICAS`]); when `spec.replicas` differs from what the asked-for set remembers, the scale was changed
//! alone, by a person or an autoscaler, and that holds for production at once.

use crate::restart::Restart;
use crate::target::Target;
use crate::world::{ReplicaSet, World};
#[cfg(doc)]
use greenlight_api::names;

/// How many pods a set should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its pods now, the additional one of a restart included.
    pub replicas: i32,
    /// Its pods without that one.
    pub needed: i32,
    /// The rollout's `replicas` that it is to remember.
    pub desired: i32,
}

impl Size {
    fn of(world: &World, set: &ReplicaSet, needed: i32, desired: i32) -> Size {
        let surge = Restart::of(world, set).map_or(0, |restart| restart.surge(needed));
        Size { replicas: needed + surge, needed, desired }
    }
}

/// The size of the set that carries production.
pub fn active(world: &World, target: &Target, active: &ReplicaSet) -> Size {
    let spec = world.rollout.spec.replicas();
    let scaled_alone = target.asked.is_some_and(|asked| asked.desired_replicas() != spec);
    let desired = if target.is_asked(active) || scaled_alone { spec } else { active.desired_replicas() };
    Size::of(world, active, desired, desired)
}

/// The size of the set that is next: as many as the preview count until the gate is open.
pub fn candidate(world: &World, target: &Target, candidate: &ReplicaSet, gate_open: bool) -> Size {
    let spec = world.rollout.spec.replicas();
    if target.is_asked(candidate) {
        let preview = world.rollout.spec.blue_green().preview_replica_count.filter(|_| !gate_open);
        return Size::of(world, candidate, preview.unwrap_or(spec), spec);
    }
    // A set that comes back gets what the spec says, but does not shrink on its way into production.
    let up = if candidate.replicas > 0 { candidate.desired_replicas() } else { 0 };
    let desired = spec.max(up);
    Size::of(world, candidate, desired, desired)
}

/// The size of a set that is to be created for the asked-for template.
pub fn new(world: &World, target: &Target) -> Size {
    let spec = world.rollout.spec.replicas();
    let preview = world.rollout.spec.blue_green().preview_replica_count.filter(|_| target.active.is_some());
    let needed = preview.unwrap_or(spec);
    Size { replicas: needed, needed, desired: spec }
}
