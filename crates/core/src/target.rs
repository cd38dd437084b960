//! Which revision is asked for, which one serves, and which one is next.
//!
//! Nothing here is remembered: the revision that serves is read from the active Service, what was rejected and what was
//! promoted from the ReplicaSets. One revision is *desired* at any time: the one that the spec asks for, or, while that one is
//! rejected, the last good one. If the desired one does not serve yet, it is the *candidate*.

use greenlight_api::Rejection;

use crate::world::{ReplicaSet, Service, World};

/// The roles of the moment.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The set of the template that the spec asks for, if it exists.
    pub asked: Option<&'a ReplicaSet>,
    /// Why the asked-for set is not to be served, if it was rejected.
    pub rejection: Option<Rejection>,
    /// The set that carries production.
    pub active: Option<&'a ReplicaSet>,
    /// Whether the active Services say so themselves. If not, one has lost the hash and has to be pointed at `active` again.
    pub active_selected: bool,
    /// The set that should carry production. `None` until the set of the asked-for template is created.
    pub desired: Option<&'a ReplicaSet>,
}

impl<'a> Target<'a> {
    /// Reads the roles. `rejection` is that of the asked-for set, including one that is only now being made.
    pub fn read(world: &'a World, asked: Option<&'a ReplicaSet>, rejection: Option<Rejection>) -> Target<'a> {
        let (active, active_selected) = active(world);
        let desired = match (&rejection, asked) {
            (Some(rejection), Some(asked)) => fallback(world, asked, active, rejection.to.as_deref()).or(Some(asked)),
            _ => asked,
        };
        Target { asked, rejection, active, active_selected, desired }
    }

    /// The desired set, as long as it does not serve.
    pub fn candidate(&self) -> Option<&'a ReplicaSet> {
        self.desired.filter(|desired| !self.is_active(desired))
    }

    /// Whether this set carries production.
    pub fn is_active(&self, set: &ReplicaSet) -> bool {
        self.active.is_some_and(|active| active.name == set.name)
    }

    /// Whether this set should carry production.
    pub fn is_desired(&self, set: &ReplicaSet) -> bool {
        self.desired.is_some_and(|desired| desired.name == set.name)
    }

    /// Whether this set is the one that the spec asks for.
    pub fn is_asked(&self, set: &ReplicaSet) -> bool {
        self.asked.is_some_and(|asked| asked.name == set.name)
    }

    /// Production is to go, or went, to an earlier revision than the spec's.
    pub fn rolled_back(&self) -> bool {
        self.rejection.is_some() && self.desired.is_some_and(|desired| !self.is_asked(desired))
    }
}

/// The set of the template that the spec asks for. Found by its whole digest, so a collision of hashes cannot confuse it;
/// the hash only counts where somebody removed the digest. While the template is unknown, the last one stands.
pub fn asked(world: &World) -> Option<&ReplicaSet> {
    if world.template_is_unknown() {
        return living(world).max_by_key(|set| set.revision());
    }
    let digest = &world.rollout.template.digest;
    let unmarked = |set: &ReplicaSet| set.digest.is_empty() && set.hash == digest.hash(0);
    living(world).filter(|set| set.digest == digest.as_str() || unmarked(set)).max_by_key(|set| set.revision())
}

/// The sets that are not being deleted. One that is cannot be brought back.
pub fn living(world: &World) -> impl Iterator<Item = &ReplicaSet> {
    world.sets.iter().filter(|set| !set.deleting)
}

/// The set that carries production, and whether the active Service says so.
///
/// When the Service has no hash (it was recreated, or a server-side apply took the selector), or one that is of no set, it is
/// one with available pods: the one that the status remembers, or else the one that was promoted last. Better one that was
/// about to go than none.
fn active(world: &World) -> (Option<&ReplicaSet>, bool) {
    let blue_green = world.rollout.spec.blue_green();
    let Some(first) = blue_green.active_services().next() else {
        // Nobody is moved, so what counts is which set was promoted last.
        let last = living(world).filter(|set| set.promoted_at().is_some() && set.replicas > 0 && !set.retired());
        return (last.max_by_key(|set| set.promoted_at()), true);
    };
    let last_promoted = || living(world).filter(|set| set.promoted_at().is_some() && set.replicas > 0);
    if world.services.get(first).is_some_and(Service::is_overlapping) {
        // Both serve; the one that was promoted last is to stay.
        return (last_promoted().max_by_key(|set| set.promoted_at()), true);
    }
    let selected = world.services.get(first).and_then(|service| {
        let hash = service.hash()?;
        world.sets.iter().find(|set| set.hash == hash && (!set.deleting || set.has_scale_down_finalizer()))
    });
    if let Some(selected) = selected {
        let all = blue_green.active_services().filter_map(|name| world.services.get(name));
        return (Some(selected), all.into_iter().all(|service| service.hash() == Some(&selected.hash)));
    }
    let remembered = world.rollout.status.as_ref().map(|status| &status.active_revision);
    let last_promoted = last_promoted()
        .max_by_key(|set| (set.available > 0, remembered == Some(&set.hash), !set.retired(), set.promoted_at()));
    (last_promoted, false)
}

/// What to serve instead of a rejected revision: the named set, else the one that serves, else the one that served last.
pub fn fallback<'a>(
    world: &'a World,
    asked: &ReplicaSet,
    active: Option<&'a ReplicaSet>,
    named: Option<&str>,
) -> Option<&'a ReplicaSet> {
    let others = || living(world).filter(|set| set.name != asked.name);
    let named = named.and_then(|hash| others().find(|set| set.hash == hash));
    let serving = active.filter(|active| active.name != asked.name && !active.deleting);
    let served_last = || others().filter(|set| set.promoted_at().is_some()).max_by_key(|set| set.promoted_at());
    named.or(serving).or_else(served_last)
}
