//! The record of a rollout without a status: what can be known, and nothing that opens.

use greenlight_api::{Decisions, names};
use jiff::{SignedDuration, Timestamp};

use super::record::digest_of;
use crate::world::{ReplicaSet, Service, World, later};

/// A rollout whose first ReplicaSet is older has had a status: it is published right after that is created.
const FIRST_MOMENTS: SignedDuration = SignedDuration::from_mins(1);

/// What is known without a status: what the Services select, and what carries the mirror of a rejection.
pub(super) fn rebuild(world: &World, now: Timestamp) -> Decisions {
    let named = world.first_active_service();
    // What another rollout left on it says nothing of ours.
    let carries = |service: &&Service| service.production.is_some() && service.is_marked_for(&world.rollout.name);
    let marked = || world.services.values().filter(|service| service.is_marked_for(&world.rollout.name));
    // Where one Service is known to carry production, one that is only said to does not count.
    let telling = named.filter(carries).or_else(|| marked().find(carries)).or(named);
    let by_hash = |hash: &str| world.replica_sets.iter().find(|rs| rs.hash == hash);
    // What we gave it comes first: if somebody moved it since, that is entered like any move by hand.
    let serving = telling.and_then(|service| {
        let given = service.production.as_deref().and_then(by_hash);
        given.or_else(|| service.hash().and_then(by_hash))
    });
    // Its annotation knows better than its size, which may have a pod more for a restart, or have been changed by hand. But anybody may
    // have written that.
    let spec_replicas = world.rollout.spec.replicas();
    let size = |rs: &ReplicaSet| rs.shown_replicas().clamp((rs.replicas - 1).max(0), rs.replicas.max(spec_replicas));
    // With no pods it would be found complete, and production moved to nothing.
    let replicas = serving.map(size).filter(|replicas| *replicas > 0).unwrap_or(spec_replicas);
    let not_the_first = serving.is_none()
        && (world.production_services().any(|service| carries(&service))
            || world.replica_sets.iter().any(|rs| {
                let old = later(rs.created, FIRST_MOMENTS) < now;
                let served = rs.claimed_at().is_some() || rs.timestamp(names::CONFIRMED_AT).is_some();
                old || served || rs.shown_number() > 1
            }));
    // What serves is not what the spec asks for, or no Service tells what serves: nobody knows whether that may go on, so somebody
    // has to say so. Where a Service was made anew, what was claimed tells: what was undone, and is gone, is asked for beside others.
    let asked_for = world.rollout.template.digest.as_str();
    let is_marked = telling.is_some_and(|service| carries(&service));
    let claimed = || world.existing().filter(|rs| rs.claimed_at().is_some());
    let is_claimed = claimed().any(|rs| digest_of(world, rs) == asked_for);
    let are_others_claimed = serving.is_none() && !is_marked && !is_claimed && claimed().next().is_some();
    let untold = world.rollout.spec.blue_green().active_service.is_none() && not_the_first;
    let held = untold || are_others_claimed || serving.is_some_and(|rs| digest_of(world, rs) != asked_for);
    // The scale that was seen last, as the ReplicaSet of the spec's template says: if the spec has another one, that was changed alone since.
    let scaled = world.existing().find(|rs| digest_of(world, rs) == asked_for);
    let scaled = scaled.and_then(|rs| rs.annotation(names::DESIRED_REPLICAS)?.parse().ok());
    let seen_replicas = if spec_replicas > 0 { scaled.unwrap_or(spec_replicas) } else { spec_replicas };
    Decisions {
        // Also if its ReplicaSet is gone: then that is what production lost.
        serving: serving
            .map(|rs| &rs.hash)
            .or_else(|| telling.filter(carries)?.production.as_ref())
            .cloned()
            .unwrap_or_default(),
        replicas,
        spec_replicas: seen_replicas,
        held_template: if held { asked_for.to_owned() } else { String::new() },
        not_the_first,
        ..Decisions::default()
    }
}
