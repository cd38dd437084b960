//! What was decided, and where that is written.
//!
//! The record is `status.decisions`, which only the operator writes. [`read`] takes it up, and enters what has happened since by
//! itself. What people ask for is entered by [`crate::request`], what the operator finds out by [`crate::plan()`]. [`precede`] says
//! which of it has to be written before anything is done about it.
//!
//! | question | file |
//! |---|---|
//! | Which ReplicaSets are there, and which of them are new? | [`replica_sets`] |
//! | Did a Service move, by us or by hand? | [`services`] |
//! | Does the spec ask for another template, another scale? | [`spec`] |
//! | Which changes of an entry do several decisions make? | [`record`] |
//!
//! Where there is no record:
//! - a status of a version without a record is taken over once, with what that version wrote on the ReplicaSets ([`older_version`]). One that names no
//!   revision is none of these: it only tells why the rollout could not be read;
//! - a status that was lost opens nothing ([`rebuilt`]): production stays where the Services have it, what carries the mirror of
//!   a rejection stays rejected, and nothing that served before, was approved or asked for is believed.

mod older_version;
mod rebuilt;
mod record;
mod replica_sets;
mod services;
mod spec;

use std::collections::BTreeMap;

use greenlight_api::{BlueGreenRolloutStatus, Decisions, Rejection, RevisionRecord};
use jiff::Timestamp;

pub use self::record::{BY_HAND, Source, by_itself, newest, reject, serve, try_again};
pub use self::services::{name_of, telling_service};
use crate::roles;
use crate::situation::Situation;
use crate::world::{ReplicaSet, Service, World, mirror_of};

/// How many rejected templates without a ReplicaSet are remembered at least.
const REMEMBERED: usize = 10;

/// The record as it stands, and as it is with what has happened since.
#[derive(Clone, Debug)]
pub struct Read {
    /// As it is written; what was taken over or rebuilt, if there is no record.
    pub written: Decisions,
    /// With what has happened since.
    pub now: Decisions,
    /// Where it came from.
    pub source: Source,
}

/// Reads the record and enters what has happened since.
pub fn read(world: &World, now: Timestamp) -> Read {
    let status = world.rollout.status.as_ref();
    let (written, source) = match status {
        Some(BlueGreenRolloutStatus { decisions: Some(decisions), .. }) => (decisions.clone(), Source::Record),
        Some(status) if status.observed_generation > 0 && tells_of_revisions(status) && !had_a_record(world) => {
            (older_version::take_over(world, status), Source::OlderVersion)
        }
        _ => (rebuilt::rebuild(world, now), Source::Nothing),
    };
    let mut entered = written.clone();
    // Before, since what production left is not made anew as production's; and after, since it may have gone to what was not known yet.
    services::enter_our_move(world, &mut entered, now);
    replica_sets::enter(world, &mut entered, source);
    services::enter_our_move(world, &mut entered, now);
    services::enter_moves_by_hand(world, &mut entered, now);
    services::enter_active(world, &mut entered);
    let same_template = !spec::enter_template(world, &mut entered, now);
    spec::enter_scale(world, &mut entered, same_template);
    Read { written, now: entered, source }
}

/// Whether something in the record has to be written before it is acted upon: what rejects, what takes a rejection back, what
/// lets a revision return without a gate, a scale of production that could not be told from the spec again, and a switch that no
/// Service shows. Everything else the next operator can decide again, from the same facts. So it can the rejection of a revision that production
/// leaves on somebody's request: until production moves the request is there, and the move carries the rejection (`carried`, by hash).
pub fn precede(world: &World, read: &Read, carried: &BTreeMap<String, Rejection>) -> bool {
    if read.source != Source::Record {
        return !world.replica_sets.is_empty();
    }
    let (before, after) = (&read.written, &read.now);
    if before == after {
        return false;
    }
    let decided = |revision: &RevisionRecord| (revision.rejection.clone(), revision.attempt, revision.returned);
    let nothing = RevisionRecord::default();
    let changed = |after: &RevisionRecord| {
        let before = before.revision(&after.hash).unwrap_or(&nothing);
        let rejection = after.rejection.clone().map(mirror_of);
        let is_carried = rejection.is_some() && rejection.as_ref() == carried.get(&after.hash);
        if is_carried { before.attempt != after.attempt } else { decided(before) != decided(after) }
    };
    let serves_updated = after.revision(&after.serving).is_some_and(|serving| serving.digest == after.template);
    // A promotion brings its scale with it, which is on record. Of any other that production is given nothing is left to tell by once the
    // template follows.
    let promoted = before.serving != after.serving && serves_updated && after.replicas == before.spec_replicas;
    let scaled = before.replicas != after.replicas && !promoted;
    // A move that the Services do not show as ours: by hand, or of a rollout without any.
    let ours = |service: &Service| service.production.as_deref() == Some(&after.serving);
    let moved_by_others = before.serving != after.serving && !world.active_services().any(ours);
    if before.restart_requested_at != after.restart_requested_at {
        return true;
    }
    // What was forgotten with the history decides nothing any more.
    after.revisions.iter().any(changed) || scaled || moved_by_others
}

/// The record without what no decision needs any more: entries of revisions that are gone. While a Service leads to one, or last carried it,
/// nothing else tells that this Service is the rollout's (see [`crate::world::Rollout::looks_after`]).
pub fn pruned(world: &World, mut decisions: Decisions) -> Decisions {
    let limit = usize::try_from(world.rollout.spec.revision_history_limit()).unwrap_or(0).max(REMEMBERED);
    let asked_for = roles::asked_for(world, &decisions).to_owned();
    let serving = decisions.serving.clone();
    let mut rejected: Vec<i64> =
        decisions.revisions.iter().filter(|r| r.rejection.is_some()).map(|r| r.number).collect();
    rejected.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
    let oldest = rejected.get(limit).copied().unwrap_or(i64::MIN);
    let is_shown = |hash: &str| {
        let shows = |service: &Service| service.hash() == Some(hash) || service.production.as_deref() == Some(hash);
        world.services.values().any(|service| service.is_marked_for(&world.rollout.name) && shows(service))
    };
    decisions.revisions.retain(|revision| {
        world.replica_sets.iter().any(|rs| rs.hash == revision.hash)
            || revision.hash == serving
            || is_shown(&revision.hash)
            || revision.digest == asked_for
            || revision.rejection.is_some() && revision.number > oldest
    });
    decisions
}

/// Whether a status tells of any revision, by its record or as a version without one does. One that does not only tells why the rollout could not be
/// read: for all else it is like none.
pub fn tells_of_revisions(status: &BlueGreenRolloutStatus) -> bool {
    let BlueGreenRolloutStatus { active_revision, stable_revision, updated_revision, rejected_revision, .. } = status;
    let named = [active_revision, stable_revision, updated_revision, rejected_revision];
    status.decisions.is_some() || named.into_iter().any(|hash| !hash.is_empty())
}

/// A version that keeps a record has moved a Service: if there is none now, it was lost.
fn had_a_record(world: &World) -> bool {
    world.services.values().any(|service| service.is_marked_for(&world.rollout.name) && service.production.is_some())
}

/// The rejections that the last move of production carries, by hash: the Service that tells what serves has them. Where none does (the status was lost, and
/// the spec names another one by now), one that carried production before.
pub fn carried<'a>(world: &'a World, decisions: &Decisions) -> Option<&'a BTreeMap<String, Rejection>> {
    let is_last = |service: &&Service| {
        service.is_marked_for(&world.rollout.name) && service.production.as_ref() == Some(&decisions.serving)
    };
    if world.services.values().all(|service| service.rejections.is_empty()) {
        return None;
    }
    let telling = telling_service(world, decisions);
    let former = || world.production_services().find(is_last);
    Some(&telling.or_else(former).filter(is_last)?.rejections)
}

/// The mirror of a rejection that a ReplicaSet should carry: while the spec asks for it, or it still serves.
pub fn wanted_mirror(situation: &Situation, rs: &ReplicaSet) -> Option<Rejection> {
    let matters = situation.roles.is_updated(rs) || rs.hash == situation.decisions.serving;
    if matters { situation.record(rs)?.rejection.clone() } else { None }
}
