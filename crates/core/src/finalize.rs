//! What happens when the rollout is deleted: its hash goes out of the Services, so that whatever comes next (a Deployment, a new
//! rollout) can serve behind them. The pods go with the ReplicaSets, by garbage collection.
//!
//! Unless they stay: `kubectl delete --cascade=orphan` leaves the ReplicaSets, and production with them, and a preview that was
//! waiting. There the hash stays, too, or production would serve both. Whether pods without a ReplicaSet of ours were left behind like
//! that, while no operator was there to see it, or are on their way out, is told apart by time: [`LAST_PODS`]. Until it is told, and
//! where they were left behind, every hash stays: a Service that leads nowhere would lead to them without it.

use std::collections::BTreeSet;

use greenlight_api::names;
use jiff::{SignedDuration, Timestamp};

use crate::actions::{Action, Doubt, Watches};
use crate::switch;
use crate::world::{Selection, Service, World, later};

/// What Kubernetes puts on an object whose dependents are to stay.
const ORPHAN: &str = "orphan";
/// How long after the deletion pods that were on their way out may still be there: twice what Kubernetes grants them by default.
const LAST_PODS: SignedDuration = SignedDuration::from_mins(1);
/// What Kubernetes puts on an object whose dependents are to go first.
const FOREGROUND: &str = "foregroundDeletion";

/// The actions that let a deleted rollout go, what has to be seen before that, and until when at most; none of all if there is nothing
/// left to do.
pub fn actions(world: &World, now: Timestamp) -> (Vec<Action>, Watches, Option<Timestamp>) {
    let has = |finalizer: &str| world.rollout.finalizers.iter().any(|known| known == finalizer);
    if !has(names::SERVICES_FINALIZER) {
        return (Vec::new(), Watches::default(), None);
    }
    if has(ORPHAN) {
        return (vec![Action::RemoveFinalizer], Watches::default(), None);
    }
    let until = later(world.rollout.deleting_since.unwrap_or(now), LAST_PODS);
    let mut actions = Vec::new();
    let mut looked_at = BTreeSet::new();
    let (mut unclear, mut left_behind) = (false, false);
    let mut nowhere = Vec::new();
    for service in world.services.values().filter(|service| is_ours(world, service)) {
        let goes = match service.selection() {
            _ if world.argo_rollout(service).is_some() => true,
            Selection::Revision(_) | Selection::Both(_) => leads_to_ours(world, service) || has(FOREGROUND),
            Selection::Nothing | Selection::Unmanaged => true,
        };
        if goes {
            actions.push(switch::release(world, service));
            continue;
        }
        // Its ReplicaSet is not ours any more: deleted long ago, or orphaned a moment ago and still serving.
        // What is known stays watched until everything is, or it would be forgotten again.
        looked_at.insert(service.name.clone());
        match world.endpoints.get(&service.name) {
            None => unclear = true,
            Some(endpoints) if endpoints.iter().all(|endpoint| endpoint.pod.is_empty()) => nowhere.push(service),
            Some(_) => left_behind = true,
        }
    }
    let waits = left_behind && now < until;
    if !unclear && !left_behind {
        actions.extend(nowhere.into_iter().map(|service| switch::release(world, service)));
    }
    if !unclear && !waits {
        actions.push(Action::RemoveFinalizer);
    }
    (actions, Watches { endpoints: looked_at, ..Watches::default() }, waits.then_some(until))
}

/// Whether the ReplicaSets go with the rollout has to be read live before a hash goes out of a Service: who has heard that Kubernetes is done
/// with letting them be, may not have heard yet that it did. Without the hash production would lead to whatever waits in preview, too.
/// While the API server refuses to take the hash out, nothing rests on that, and it is not read at each look.
pub fn doubt(world: &World, now: Timestamp) -> Option<Doubt> {
    let has = |finalizer: &str| world.rollout.finalizers.iter().any(|known| known == finalizer);
    let is_known = has(ORPHAN) || has(FOREGROUND) || world.live || !has(names::SERVICES_FINALIZER);
    let is_about_to_go = |service: &Service| {
        let release = switch::release(world, service).target(&world.rollout.name);
        is_ours(world, service) && leads_to_ours(world, service) && world.refused_write(&release, now).is_none()
    };
    (!is_known && world.services.values().any(is_about_to_go)).then_some(Doubt::ReplicaSetsMayStay)
}

/// What this Service selects by us, and not by its own labels alone, is a ReplicaSet of this rollout.
fn leads_to_ours(world: &World, service: &Service) -> bool {
    match service.selection() {
        Selection::Revision(hash) => world.replica_sets.iter().any(|rs| rs.hash == hash),
        Selection::Both(_) => world.replica_sets.iter().any(|rs| service.selects(rs)),
        Selection::Nothing | Selection::Unmanaged => false,
    }
}

fn is_ours(world: &World, service: &Service) -> bool {
    match &service.managed_by {
        Some(rollout) => *rollout == world.rollout.name,
        None => service.hash().is_some_and(|hash| world.replica_sets.iter().any(|rs| rs.hash == hash)),
    }
}
