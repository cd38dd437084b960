//! Going back without being asked: the new revision lost all its pods while the old one still runs (`autoRollback`).

use greenlight_api::{Rejection, names};
use jiff::{SignedDuration, Timestamp};

use crate::actions::Change;
use crate::target::{self, Target};
use crate::world::{ReplicaSet, World};

/// Takes note on the active set of when it lost its last available pod, or that it has some again.
pub fn note(world: &World, target: &Target, active: &ReplicaSet, now: Timestamp, change: &mut Change) {
    let lost = seconds(world).is_some() && active.available == 0 && refuge(world, target).is_some();
    let since = active.timestamp(names::UNAVAILABLE_SINCE);
    if lost && since.is_none() {
        change.set(names::UNAVAILABLE_SINCE, now);
    } else if !lost {
        change.unset(active, names::UNAVAILABLE_SINCE);
    }
}

/// When production goes back, if the active set does not recover.
pub fn at(world: &World, active: &ReplicaSet) -> Option<Timestamp> {
    let since = active.timestamp(names::UNAVAILABLE_SINCE)?;
    Some(since + SignedDuration::from_secs(seconds(world)?.into()))
}

/// The rejection of the active revision, when it is time.
pub fn due(world: &World, target: &Target, now: Timestamp) -> Option<Rejection> {
    let active = target.active.filter(|active| target.is_asked(active) && active.available == 0)?;
    let refuge = refuge(world, target)?;
    if now < at(world, active)? {
        return None;
    }
    let reason = format!("no available pod for {} s after the switch", seconds(world)?);
    Some(Rejection { by: names::FIELD_MANAGER.to_owned(), at: now, reason, to: Some(refuge.hash.clone()) })
}

fn seconds(world: &World) -> Option<i32> {
    world.rollout.spec.blue_green().auto_rollback.as_ref().map(|auto| auto.unavailable_seconds)
}

/// The set that served last and is still up.
fn refuge<'a>(world: &'a World, target: &Target) -> Option<&'a ReplicaSet> {
    let up = |set: &&ReplicaSet| set.promoted_at().is_some() && set.replicas > 0 && set.is_available(set.replicas);
    let others = target::living(world).filter(|set| !target.is_active(set) && set.rejection().is_none());
    others.filter(up).max_by_key(|set| set.promoted_at())
}
