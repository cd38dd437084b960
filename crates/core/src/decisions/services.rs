//! What the record learns from the Services: a move of ours that was not recorded any more, and one by hand.

use greenlight_api::{Decisions, Rejection, names};
use jiff::Timestamp;

use super::record::{BY_HAND, by_itself, reject, serve};
use crate::roles;
use crate::world::{ReplicaSet, Selection, Service, World};

/// What the first active Service selects serves, if we or a person had it do so. Anything else it merely lost, and gets back.
pub(super) fn enter_moves_by_hand(world: &World, decisions: &mut Decisions, now: Timestamp) {
    if let Some(service) = telling_service(world, decisions).filter(|service| !service.deleting) {
        enter_move_by_hand(world, decisions, service, now);
    }
}

/// We moved it, and that was not recorded: its mark names another revision than the record, with a claim that the record does not know. A
/// claim that is gone was taken away by somebody who may write to the ReplicaSet: then the Service alone tells, to which nobody writes who may
/// not move traffic. Where it was made anew since, and tells nothing, another one of production's tells of a rejection that is not on record.
pub(super) fn enter_our_move(world: &World, decisions: &mut Decisions, now: Timestamp) {
    let tells = |service: &&Service| service.production.is_some() && !service.deleting;
    let carries = |service: &&Service| {
        service.is_marked_for(&world.rollout.name) && missing_rejection(decisions, service).is_some()
    };
    let telling = telling_service(world, decisions).filter(tells);
    let moved = telling.or_else(|| world.production_services().filter(tells).find(carries));
    let Some(service) = moved else { return };
    let Some(given) = service.production.as_deref() else { return };
    if *given == decisions.serving {
        enter_used_claim(world, decisions);
        return;
    }
    // A selector and its mark are one write of ours: where we wrote the one, and it leads to what serves, somebody else wrote the other.
    if service.moved_by.is_none() && service.hash() == Some(&decisions.serving) {
        return;
    }
    let Some(revision) = decisions.revision(given) else { return };
    let rs = world.replica_sets.iter().find(|rs| rs.hash == given);
    let leads_there = service.hash() == Some(given) && rs.is_some() && revision.rejection.is_none();
    let is_news = match rs.and_then(ReplicaSet::claimed_at) {
        Some(claim) => revision.claim != Some(claim),
        // The claim has gone since, or what it was on, and the move still tells of what it left.
        None => leads_there || missing_rejection(decisions, service).is_some(),
    };
    if is_news {
        if let Some(rejection) = unrecorded_rejection(world, decisions, service, given, now) {
            let left = decisions.serving.clone();
            reject(decisions, &left, rejection);
        }
        serve(world, decisions, given, now);
    }
}

/// What serves by our mark has used its claim. A record of before claims were kept in it does not say so: once a person has moved production away, the
/// claim would look like news.
fn enter_used_claim(world: &World, decisions: &mut Decisions) {
    let claim = world.replica_sets.iter().find(|rs| rs.hash == decisions.serving).and_then(ReplicaSet::claimed_at);
    let serving = decisions.serving.clone();
    if let Some(revision) = decisions.revision_mut(&serving) {
        revision.claim = revision.claim.or(claim);
    }
}

/// What follows the name of whoever rejected a revision, where only an object tells it.
const UNPROVEN: &str = ", as its ";

/// The name of whoever rejected a revision, as an object tells it: whoever may edit that may have written any.
fn as_it_says(by: &str, object: &str) -> String {
    let name = name_of(by);
    if by == names::FIELD_MANAGER { by.to_owned() } else { format!("{name}{UNPROVEN}{object} says") }
}

/// The name of whoever rejected a revision, without what says which object tells it.
pub fn name_of(by: &str) -> &str {
    by.split(UNPROVEN).next().unwrap_or(by)
}

/// The rejection of what production left by our move to `given`, where the record does not have it. One that somebody asked for is written with the
/// move.
fn unrecorded_rejection(
    world: &World,
    decisions: &Decisions,
    service: &Service,
    given: &str,
    now: Timestamp,
) -> Option<Rejection> {
    if let Some(carried) = missing_rejection(decisions, service) {
        let by = if service.answered { carried.by.clone() } else { as_it_says(&carried.by, "Service") };
        return Some(Rejection { by, ..carried.clone() });
    }
    forgotten_rejection(world, decisions, given, now)
}

/// The rejection of what serves by the record, where that does not have it and a Service carries it.
fn missing_rejection<'a>(decisions: &Decisions, service: &'a Service) -> Option<&'a Rejection> {
    let left = decisions.revision(&decisions.serving).filter(|left| left.rejection.is_none())?;
    service.rejections.get(&left.hash)
}

/// What the spec asks for we leave, as long as it is there, only when it is rejected, or for what is promoted after it; and a rejection is
/// written before, or with the move. So where neither the record nor the Service says so, the record is older than the move: it was restored from a
/// backup, and a Service that was made anew tells nothing. What closes is on the ReplicaSet, too; to what never served nothing goes back; and what has
/// not served in the ReplicaSet that it has was made anew since production left.
fn forgotten_rejection(world: &World, decisions: &Decisions, given: &str, now: Timestamp) -> Option<Rejection> {
    let left = decisions.revision(&decisions.serving)?;
    let asked_for = left.digest == decisions.template && !left.digest.is_empty();
    // What was started over while it served has no turn any more: its rejection is not forgotten, somebody took it back.
    let is_silent = left.rejection.is_none() && left.turn > 0;
    let rs = world.replica_set(&left.hash).filter(|rs| rs.uid == left.uid && asked_for && is_silent)?;
    if let Some(mirrored) = rs.mirrored_rejection() {
        return Some(Rejection { by: as_it_says(&mirrored.by, "ReplicaSet"), ..mirrored });
    }
    left.served_at.and(decisions.revision(given)?.served_at)?;
    let reason = "production had left it, and the status that said why is lost".to_owned();
    Some(by_itself(now, reason, Some(given.to_owned())))
}

/// A move by hand is a decision: production stays there. Back to a revision that served before, it rejects the one that it left, in the
/// name of the tool that moved it; forward it is a promotion by hand. It counts only if there is somewhere to have moved to: a revision that
/// has available pods that stay, and is not rejected. Otherwise it is put back.
fn enter_move_by_hand(world: &World, decisions: &mut Decisions, service: &Service, now: Timestamp) {
    let Selection::Revision(hash) = service.selection() else { return };
    let (Some(rs), Some(by)) = (world.replica_set(&hash), service.moved_by_hand()) else { return };
    if hash == decisions.serving || !carries_production(world, decisions, service) {
        return;
    }
    let has_pods = rs.available > 0 || world.rollout.spec.replicas() == 0;
    let able = has_pods && service.missing_labels(rs).is_empty();
    let is_barred = decisions.bar(&hash).is_some();
    if !able || is_barred {
        return;
    }
    // Back to what served, away from what is bad. Forward it is a promotion by hand, and what it left is there to go back to; unless
    // the spec asks for that: then it would be promoted again by itself.
    let back = decisions.revision(&hash).is_some_and(|revision| revision.served_at.is_some());
    let left = decisions.serving.clone();
    let asked_for = decisions.revision(&left).is_some_and(|left| left.digest == roles::asked_for(world, decisions));
    if (back || asked_for) && decisions.rejection(&left).is_none() {
        leave_by_hand(decisions, &left, &hash, by, now);
    }
    serve(world, decisions, &hash, now);
}

/// A Service that was something else until now, and was edited by hand then, moved nothing. Before the first deployment, one that we have
/// not touched yet is what it is called.
fn carries_production(world: &World, decisions: &Decisions, service: &Service) -> bool {
    if world.is_anothers(service) {
        return false;
    }
    let first = decisions.serving.is_empty() && !service.is_marked_for(&world.rollout.name);
    first || service.production.is_some() || decisions.active_services.contains(&service.name)
}

/// A Service that the spec names is one of production's once it carries that: by our mark, or by leading to what serves. Until then what
/// it selects says nothing of production.
pub(super) fn enter_active(world: &World, decisions: &mut Decisions) {
    let carries = |service: &&Service| {
        service.production.is_some() && service.is_marked_for(&world.rollout.name)
            || service.selection() == Selection::Revision(decisions.serving.clone())
            || decisions.active_services.contains(&service.name)
    };
    decisions.active_services = world.active_services().filter(carries).map(|service| service.name.clone()).collect();
}

fn leave_by_hand(decisions: &mut Decisions, left: &str, moved_to: &str, by: String, now: Timestamp) {
    let number = decisions.revision(moved_to).map_or(0, |revision| revision.number);
    let reason = format!("{BY_HAND} to revision {number}");
    reject(decisions, left, Rejection { by, at: now, reason, to: Some(moved_to.to_owned()), of_attempt: false });
}

/// The Service that tells what serves: the first active one, or one that the record knows as active before the spec named that.
/// What a Service says of itself does not make it one.
pub fn telling_service<'a>(world: &'a World, decisions: &Decisions) -> Option<&'a Service> {
    let named = world.first_active_service();
    let tells = |service: &&Service| carries_production(world, decisions, service);
    let mut known = decisions.active_services.iter().filter_map(|name| world.services.get(name));
    named.filter(tells).or_else(|| known.find(|s| s.is_marked_for(&world.rollout.name) && s.production.is_some()))
}
