//! What was decided, and where that is written.
//!
//! The record is `status.decisions`, which only the operator writes. [`read`] takes it up, and enters what has happened since by
//! itself: new ReplicaSets, another template, another scale, a Service that somebody moved. What people ask for is entered by
//! [`crate::request`], what the operator finds out by [`crate::plan`]. [`precede`] says which of it has to be written before
//! anything is done about it.
//!
//! Where there is no record:
//! - a status of a version without a record is taken over once, with what that version wrote on the ReplicaSets ([`taken_over`]);
//! - a status that was lost opens nothing ([`rebuilt`]): production stays where the Services have it, what carries the mirror of
//!   a rejection stays rejected, and nothing that served before, was approved or asked for is believed.

use greenlight_api::names::{self, before_the_record};
use greenlight_api::{Approval, BlueGreenRolloutStatus, Decisions, Rejection, Request, RevisionRecord, Verb, Verdict};
use jiff::{SignedDuration, Timestamp};

use crate::analysis::name::attempts;
use crate::hash::Digest;
use crate::roles;
use crate::situation::Situation;
use crate::stall;
use crate::world::{ReplicaSet, Selection, Service, World, later};

/// How many rejected templates without a ReplicaSet are remembered at least.
const REMEMBERED: usize = 10;
/// A rollout whose first ReplicaSet is older has had a status: it is published right after that is created.
const FIRST_MOMENTS: SignedDuration = SignedDuration::from_mins(1);
/// So many templates with the same hash there may be; a hash holds 47 bits.
const COLLISIONS: u32 = 8;
/// No honest revision number is larger; a forged one must not overflow the next.
const LARGEST_NUMBER: i64 = 1 << 40;

/// How the reason of a rejection begins that was made by moving the active Service by hand.
pub const BY_HAND: &str = "moved by hand";

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

/// Where a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `status.decisions`.
    Record,
    /// The status of a version without a record, and the annotations that it wrote.
    OlderVersion,
    /// There was no status.
    Nothing,
}

/// Reads the record and enters what has happened since.
pub fn read(world: &World, now: Timestamp) -> Read {
    let status = world.rollout.status.as_ref();
    let (written, source) = match status {
        Some(BlueGreenRolloutStatus { decisions: Some(decisions), .. }) => (decisions.clone(), Source::Record),
        Some(status) if status.observed_generation > 0 && !had_a_record(world) => {
            (taken_over(world, status), Source::OlderVersion)
        }
        _ => (rebuilt(world, now), Source::Nothing),
    };
    let mut entered = written.clone();
    enter_replica_sets(world, &mut entered, source);
    enter_services(world, &mut entered, now);
    enter_active_services(world, &mut entered);
    let same_template = !enter_template(world, &mut entered, now);
    enter_scale(world, &mut entered, same_template);
    Read { written, now: entered, source }
}

/// Whether something in the record has to be written before it is acted upon: what rejects, what takes a rejection back, what
/// lets a revision return without a gate, a scale of production that could not be told from the spec again, and a switch that no
/// Service shows. Everything else can be decided again by whoever comes next, from the same facts.
pub fn precede(world: &World, read: &Read) -> bool {
    if read.source != Source::Record {
        return !world.replica_sets.is_empty();
    }
    let (before, after) = (&read.written, &read.now);
    let decided = |revision: &RevisionRecord| (revision.rejection.clone(), revision.attempt, revision.returned);
    let nothing = RevisionRecord::default();
    let hashes = before.revisions.iter().chain(&after.revisions).map(|revision| &revision.hash);
    let changed = |hash: &String| {
        let of = |decisions: &Decisions| decided(decisions.revision(hash).unwrap_or(&nothing));
        // What was forgotten with the history decides nothing any more.
        after.revision(hash).is_some() && of(before) != of(after)
    };
    let serves_updated = after.revision(&after.serving).is_some_and(|serving| serving.digest == after.template);
    let scaled = before.replicas != after.replicas && !serves_updated;
    // A move that the Services do not show as ours: by hand, or of a rollout without any.
    let ours = |service: &Service| service.production.as_deref() == Some(&after.serving);
    let moved_by_others = before.serving != after.serving && !world.active_services().any(ours);
    if before.restart_requested_at != after.restart_requested_at {
        return true;
    }
    hashes.into_iter().any(changed) || scaled || moved_by_others
}

/// The rejection by an operator that nobody asked.
pub fn by_itself(now: Timestamp, reason: String, to: Option<String>) -> Rejection {
    Rejection { by: names::FIELD_MANAGER.to_owned(), at: now, reason, to }
}

/// A rejection that is made now.
pub fn reject(decisions: &mut Decisions, hash: &str, rejection: Rejection) {
    if let Some(revision) = decisions.revision_mut(hash) {
        revision.rejection = Some(rejection);
        revision.returned = false;
    }
}

/// A new attempt of a revision: nothing counts for it that was decided about the ones before.
pub fn start_over(revision: &mut RevisionRecord) {
    let RevisionRecord { hash, digest, number, uid, claim, attempt, .. } = std::mem::take(revision);
    *revision = RevisionRecord { hash, digest, number, uid, claim, attempt: attempt + 1, ..RevisionRecord::default() };
}

/// The record without what no decision needs any more: entries of revisions that are gone.
pub fn pruned(world: &World, mut decisions: Decisions) -> Decisions {
    let limit = usize::try_from(world.rollout.spec.revision_history_limit()).unwrap_or(0).max(REMEMBERED);
    let asked_for = roles::asked_for(world, &decisions).to_owned();
    let serving = decisions.serving.clone();
    let mut rejected: Vec<i64> =
        decisions.revisions.iter().filter(|r| r.rejection.is_some()).map(|r| r.number).collect();
    rejected.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
    let oldest = rejected.get(limit).copied().unwrap_or(i64::MIN);
    decisions.revisions.retain(|revision| {
        world.replica_sets.iter().any(|rs| rs.hash == revision.hash)
            || revision.hash == serving
            || revision.digest == asked_for
            || revision.rejection.is_some() && revision.number > oldest
    });
    decisions
}

/// The highest number of a revision so far.
pub fn newest(decisions: &Decisions) -> i64 {
    decisions.revisions.iter().map(|revision| revision.number).max().unwrap_or(0)
}

/// Nothing served before, as far as is known: there is nothing that a gate could protect.
pub fn is_first_deployment(world: &World, decisions: &Decisions) -> bool {
    let carried = world.production_services().any(|service| service.production.is_some());
    let served = decisions.revisions.iter().any(|revision| revision.served_at.is_some());
    decisions.serving.is_empty() && !served && !carried && !decisions.not_the_first
}

/// Each ReplicaSet has an entry, and each template only one. A ReplicaSet that was made anew is another one: nothing that was
/// decided about the old one counts for it, except that its template is rejected, and except for what production lost.
fn enter_replica_sets(world: &World, decisions: &mut Decisions, source: Source) {
    let mut existing: Vec<&ReplicaSet> = world.existing().collect();
    existing.sort_by_key(|rs| (rs.shown_number(), rs.created));
    for rs in existing {
        let newest = newest(decisions);
        let serving = decisions.serving.clone();
        if let Some(known) = decisions.revision_mut(&rs.hash) {
            if known.uid == rs.uid {
                continue;
            }
            let first = known.uid.is_empty();
            known.uid.clone_from(&rs.uid);
            if serving == rs.hash && known.served_at.is_some() && known.rejection.is_none() {
                // What production lost is made anew; it counts as having served when it does, provably.
                known.returned = true;
                known.served_at = None;
                known.approvals.clear();
            } else if !first {
                start_over_unless_rejected(known);
            }
            continue;
        }
        let digest = digest_of(world, rs);
        let left_behind = |revision: &&mut RevisionRecord| {
            let gone = world.replica_set(&revision.hash).is_none() && revision.hash != serving;
            gone && revision.digest == digest && !digest.is_empty()
        };
        if let Some(known) = decisions.revisions.iter_mut().find(left_behind) {
            known.hash.clone_from(&rs.hash);
            known.uid.clone_from(&rs.uid);
            start_over_unless_rejected(known);
            continue;
        }
        let shown = rs.shown_number();
        decisions.revisions.push(RevisionRecord {
            hash: rs.hash.clone(),
            digest,
            number: if (1..LARGEST_NUMBER).contains(&shown) { shown } else { newest + 1 },
            uid: rs.uid.clone(),
            rejection: rs.mirrored_rejection().filter(|_| source == Source::Nothing),
            claim: rs.claimed_at().filter(|_| rs.hash == serving),
            // Nobody knows any more what the runs were for that are there: new ones are made.
            attempt: if source == Source::Nothing { attempts(world, rs) } else { 0 },
            ..RevisionRecord::default()
        });
    }
}

fn start_over_unless_rejected(revision: &mut RevisionRecord) {
    let rejection = revision.rejection.take();
    start_over(revision);
    revision.rejection = rejection;
}

/// The digest of a ReplicaSet's template. Its annotation may be gone, or forged: one that does not make its hash is none.
fn digest_of(world: &World, rs: &ReplicaSet) -> String {
    let makes_hash = |digest: &&Digest| (0..COLLISIONS).any(|collision| digest.hash(collision) == rs.hash);
    let annotated = Digest::read(&rs.digest);
    let known = [&annotated, &world.rollout.template.digest].into_iter().find(makes_hash);
    known.map(ToString::to_string).unwrap_or_default()
}

/// What the first active Service selects serves, if we or a person had it do so. Anything else it merely lost, and gets back.
fn enter_services(world: &World, decisions: &mut Decisions, now: Timestamp) {
    let Some(service) = telling_service(world, decisions).filter(|service| !service.deleting) else { return };
    enter_our_move(world, decisions, service, now);
    enter_move_by_hand(world, decisions, service, now);
}

/// We moved it, and that was not recorded: its mark names another revision than the record, with a claim that the record does not know.
fn enter_our_move(world: &World, decisions: &mut Decisions, service: &Service, now: Timestamp) {
    let Some(given) = service.production.as_deref().filter(|given| *given != decisions.serving) else { return };
    let claim = world.replica_sets.iter().find(|rs| rs.hash == given).and_then(ReplicaSet::claimed_at);
    let recorded = decisions.revision(given).is_none_or(|revision| revision.claim == claim);
    if claim.is_some() && !recorded {
        serve(world, decisions, given, now);
    }
}

/// A move by hand is a decision: production stays there. Back to a revision that served before, it rejects the one that it left, by
/// whoever moved it; forward it is a promotion by hand. It counts only if there is somewhere to have moved to: a revision that
/// has available pods, and is not rejected. Otherwise it is put back.
fn enter_move_by_hand(world: &World, decisions: &mut Decisions, service: &Service, now: Timestamp) {
    let Selection::Revision(hash) = service.selection() else { return };
    let Some(rs) = world.replica_set(&hash).filter(|_| hash != decisions.serving) else { return };
    let Some(by) = service.moved_by.as_ref().filter(|_| carries_production(world, decisions, service)) else { return };
    let has_pods = rs.available > 0 || world.rollout.spec.replicas() == 0;
    let able = has_pods && service.missing_labels(rs).is_empty();
    if !able || decisions.rejection(&hash).is_some() {
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
    if stall::is_claimed(world, service) {
        return false;
    }
    let first = decisions.serving.is_empty() && !service.is_marked_for(&world.rollout.name);
    first || service.production.is_some() || decisions.active_services.contains(&service.name)
}

/// A Service that the spec names is one of production's once it carries that: by our mark, or by leading to what serves. Until then what
/// it selects says nothing of production.
fn enter_active_services(world: &World, decisions: &mut Decisions) {
    let carries = |service: &&Service| {
        service.production.is_some() && service.is_marked_for(&world.rollout.name)
            || service.selection() == Selection::Revision(decisions.serving.clone())
            || decisions.active_services.contains(&service.name)
    };
    decisions.active_services = world.active_services().filter(carries).map(|service| service.name.clone()).collect();
}

fn leave_by_hand(decisions: &mut Decisions, left: &str, moved_to: &str, by: &str, now: Timestamp) {
    let number = decisions.revision(moved_to).map_or(0, |revision| revision.number);
    let reason = format!("{BY_HAND} to revision {number}");
    reject(decisions, left, Rejection { by: by.to_owned(), at: now, reason, to: Some(moved_to.to_owned()) });
}

/// The Service that tells what serves: the first active one, or one that the record knows as active before the spec named that.
/// What a Service says of itself does not make it one.
fn telling_service<'a>(world: &'a World, decisions: &Decisions) -> Option<&'a Service> {
    let name = world.rollout.spec.blue_green().active_service.as_ref()?;
    let named = world.services.get(name);
    let tells = |service: &&Service| carries_production(world, decisions, service);
    let mut known = decisions.active_services.iter().filter_map(|name| world.services.get(name));
    named.filter(tells).or_else(|| known.find(|s| s.is_marked_for(&world.rollout.name) && s.production.is_some()))
}

/// Production is with the revision of this hash from now on.
pub fn serve(world: &World, decisions: &mut Decisions, hash: &str, now: Timestamp) {
    let left = std::mem::replace(&mut decisions.serving, hash.to_owned());
    if let Some(left) = decisions.revision_mut(&left) {
        left.left_at = Some(now);
    }
    if let Some(serving) = decisions.revision_mut(hash) {
        serving.left_at = None;
        serving.claim = world.replica_sets.iter().find(|rs| rs.hash == hash).and_then(ReplicaSet::claimed_at);
    }
    // It was promoted with the size that the spec had for it, whatever the spec has become since.
    if decisions.revision(hash).is_some_and(|serving| serving.digest == decisions.template) {
        decisions.replicas = decisions.spec_replicas;
    }
}

/// A template that comes back gets the highest number. It returns without a gate if it served, was not rejected, and is still up
/// inside its delay or within the rollback window. Otherwise it is started over; also one that was rejected: to ask for it anew
/// is to ask for another attempt.
///
/// Returns whether the template changed.
fn enter_template(world: &World, decisions: &mut Decisions, now: Timestamp) -> bool {
    let digest = roles::asked_for(world, decisions).to_owned();
    let before = std::mem::replace(&mut decisions.template, digest.clone());
    if before.is_empty() || before == digest {
        return false;
    }
    let newest = newest(decisions);
    let spec = &world.rollout.spec;
    let delay = SignedDuration::from_secs(spec.blue_green().scale_down_delay_seconds().into());
    let window = spec.rollback_window.as_ref().map_or(0, |window| window.revisions);
    let serving = decisions.serving.clone();
    let analysed = decisions.revision(&serving).is_some_and(|serving| serving.post_promotion.is_none());
    // The one that is kept up until what serves has shown that it is good.
    let kept = roles::fallback(world, decisions, &serving, None).filter(|_| analysed).map(|rs| rs.hash.clone());
    let Some(revision) = decisions.revisions.iter_mut().find(|revision| revision.digest == digest) else { return true };
    let behind = newest - revision.number;
    let serves = revision.hash == serving;
    // The runs of an analysis are called by the number: one that goes on keeps it.
    if behind > 0 && !(serves && revision.post_promotion.is_none()) {
        revision.number = newest + 1;
    }
    // What serves, rejected or not, is not started over while production is with it.
    if serves {
        return true;
    }
    let same = world.replica_set(&revision.hash).filter(|rs| rs.uid == revision.uid);
    // Whether it has pods could be forged; when production left it cannot.
    let in_time =
        kept.as_ref() == Some(&revision.hash) || revision.left_at.is_some_and(|left_at| now < later(left_at, delay));
    let is_up = same.is_some_and(|rs| rs.replicas > 0) && in_time;
    let good = revision.served_at.is_some() && revision.rejection.is_none() && revision.post_promotion.is_some();
    if good && same.is_some() && (is_up || behind <= window) {
        revision.returned = true;
        revision.approvals.clear();
        revision.preview_ready_at = None;
    } else {
        let served = (revision.served_at, revision.left_at);
        let was_rejected = revision.rejection.is_some();
        start_over(revision);
        if !was_rejected && same.is_some() {
            // It is gated anew, and still something to go back to.
            (revision.served_at, revision.left_at) = served;
        }
    }
    true
}

/// The pods that production is to have. Worked example: `replicas: 2`, revision 1 serves.
///
/// | the spec changes to | production has | because |
/// |---|---|---|
/// | replicas 4 | 4 | the scale was changed alone |
/// | template 2 and replicas 6, in one go | 4 | the 6 are revision 2's until it is promoted |
/// | replicas 5 (an autoscaler) | 5 | changed alone again |
/// | (revision 2 is promoted) | 5 | what serves is what the spec asks for |
/// | (undo) replicas 3 | 3 | changed alone; that the spec's template is rejected does not matter |
fn enter_scale(world: &World, decisions: &mut Decisions, same_template: bool) {
    let spec = world.rollout.spec.replicas();
    let digest = roles::asked_for(world, decisions);
    let serves_updated = decisions.revision(&decisions.serving).is_some_and(|serving| serving.digest == digest);
    let scaled_alone = same_template && decisions.spec_replicas != spec;
    if decisions.serving.is_empty() || serves_updated || scaled_alone {
        decisions.replicas = spec;
    }
    decisions.spec_replicas = spec;
}

/// What a version without a record decided. Its claims count as service where the Services or its status say that it was not only
/// a claim.
fn taken_over(world: &World, status: &BlueGreenRolloutStatus) -> Decisions {
    let by_hash = |hash: &str| world.replica_sets.iter().find(|rs| rs.hash == hash);
    let selected = world.active_services().next().and_then(|service| match service.selection() {
        Selection::Revision(hash) => by_hash(&hash),
        Selection::Both => world.existing().max_by_key(|rs| rs.claimed_at()),
        Selection::Nothing | Selection::Unmanaged => None,
    });
    let remembered = if status.active_revision.is_empty() { &status.stable_revision } else { &status.active_revision };
    let serving = selected.map_or(remembered, |rs| &rs.hash);
    let claimed = by_hash(serving).and_then(ReplicaSet::claimed_at);
    let proven = status.switch.as_ref().filter(|switch| switch.proven_at.is_some()).map(|switch| &switch.to);
    let served_at = |rs: &ReplicaSet| {
        let served = *serving == rs.hash && (proven == Some(serving) || status.stable_revision == *serving);
        rs.claimed_at().filter(|at| served || claimed.is_some_and(|serving| *at < serving))
    };
    let settled = status.updated_revision != status.active_revision || is_settled(status);
    let revisions = world.existing().map(|rs| RevisionRecord {
        hash: rs.hash.clone(),
        digest: digest_of(world, rs),
        number: rs.shown_number().clamp(0, LARGEST_NUMBER),
        uid: rs.uid.clone(),
        served_at: served_at(rs),
        claim: served_at(rs).or(rs.claimed_at().filter(|_| *serving == rs.hash)),
        confirmed_at: rs.timestamp(names::CONFIRMED_AT),
        left_at: served_at(rs).filter(|_| *serving != rs.hash).and(claimed),
        // It counted for what the spec asked for, and for nothing else.
        rejection: rs.mirrored_rejection().filter(|_| rs.hash == status.updated_revision),
        attempt: rs.annotation(before_the_record::ATTEMPT).and_then(|number| number.parse().ok()).unwrap_or(0),
        approvals: approvals(rs).into_iter().chain(accepted(world, status, rs)).collect(),
        returned: rs.annotation(before_the_record::RETURNED).is_some(),
        preview_ready_at: rs.timestamp(names::PREVIEW_READY_AT),
        pre_promotion: served_at(rs).map(|_| Verdict::NotNeeded),
        // The one that serves may be in the middle of it.
        post_promotion: served_at(rs).filter(|_| *serving != rs.hash || settled).map(|_| Verdict::NotNeeded),
    });
    let mut revisions: Vec<RevisionRecord> = revisions.collect();
    let asked_for = &world.rollout.template.digest;
    let rejected = &status.rejected_revision;
    if by_hash(rejected).is_none() && (0..COLLISIONS).any(|collision| asked_for.hash(collision) == *rejected) {
        let reason = "rejected before the upgrade".to_owned();
        let rejection = Rejection { by: "somebody".to_owned(), at: world.rollout.created, reason, to: None };
        let (hash, digest, number) = (rejected.clone(), asked_for.to_string(), status.current_revision);
        let rejection = Some(rejection);
        revisions.push(RevisionRecord { hash, digest, number, rejection, ..RevisionRecord::default() });
    }
    let updated = by_hash(&status.updated_revision);
    Decisions {
        serving: serving.clone(),
        replicas: by_hash(serving).map_or_else(|| world.rollout.spec.replicas(), |rs| rs.replicas),
        spec_replicas: updated.map_or_else(|| world.rollout.spec.replicas(), ReplicaSet::shown_replicas),
        template: updated.map(|rs| digest_of(world, rs)).unwrap_or_default(),
        revisions,
        unavailable_since: by_hash(serving).and_then(|rs| rs.timestamp(before_the_record::UNAVAILABLE_SINCE)),
        ..Decisions::default()
    }
}

/// A promotion that was accepted and is still being carried out: the version without a record kept it in the register alone.
fn accepted(world: &World, status: &BlueGreenRolloutStatus, rs: &ReplicaSet) -> Option<Approval> {
    let answered = status.observed_request.as_ref().filter(|answered| answered.accepted)?;
    let request: Request = serde_json::from_str(&answered.value).ok()?;
    let stands = world.rollout.request.as_ref() == Some(&answered.value) && request.revision == rs.hash;
    let alone = world.rollout.spec.blue_green().required_approvals() < 2;
    let full = request.action == Verb::PromoteFull;
    let promotes = full || request.action == Verb::Promote;
    (stands && alone && promotes).then_some(Approval { by: request.by, at: request.at, heard_at: None, full })
}

/// A version that keeps a record has moved a Service: if there is none now, it was lost.
fn had_a_record(world: &World) -> bool {
    world.services.values().any(|service| service.is_marked_for(&world.rollout.name) && service.production.is_some())
}

/// Nothing was under way.
fn is_settled(status: &BlueGreenRolloutStatus) -> bool {
    use greenlight_api::conditions::{REASON_INCONCLUSIVE, REASON_POST_PROMOTION_ANALYSIS};
    let measuring = [REASON_INCONCLUSIVE, REASON_POST_PROMOTION_ANALYSIS];
    !status.conditions.iter().any(|condition| measuring.contains(&condition.reason.as_str()))
}

fn approvals(rs: &ReplicaSet) -> Vec<Approval> {
    rs.annotation(before_the_record::APPROVALS).and_then(|value| serde_json::from_str(value).ok()).unwrap_or_default()
}

/// What is known without a status: what the Services select, and what carries the mirror of a rejection.
fn rebuilt(world: &World, now: Timestamp) -> Decisions {
    let named = world.rollout.spec.blue_green().active_service.as_ref().and_then(|name| world.services.get(name));
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
    let replicas = serving.map_or_else(|| world.rollout.spec.replicas(), |rs| rs.replicas);
    // What serves is not what the spec asks for: nobody knows whether that may go on, so somebody has to say so.
    let asked_for = world.rollout.template.digest.as_str();
    let held = serving.filter(|rs| digest_of(world, rs) != asked_for).map(|_| asked_for.to_owned());
    Decisions {
        // Also if its ReplicaSet is gone: then that is what production lost.
        serving: serving
            .map(|rs| &rs.hash)
            .or_else(|| telling.filter(carries)?.production.as_ref())
            .cloned()
            .unwrap_or_default(),
        replicas,
        spec_replicas: world.rollout.spec.replicas(),
        held_template: held.unwrap_or_default(),
        not_the_first: serving.is_none()
            && (world.production_services().any(|service| carries(&service))
                || world.replica_sets.iter().any(|rs| {
                    let old = later(rs.created, FIRST_MOMENTS) < now;
                    let served = rs.claimed_at().is_some() || rs.timestamp(names::CONFIRMED_AT).is_some();
                    old || served || rs.shown_number() > 1
                })),
        ..Decisions::default()
    }
}

/// The mirror of a rejection that a ReplicaSet should carry: while the spec asks for it, or it still serves.
pub fn wanted_mirror(situation: &Situation, rs: &ReplicaSet) -> Option<Rejection> {
    let matters = situation.roles.is_updated(rs) || rs.hash == situation.decisions.serving;
    situation.record(rs).filter(|_| matters)?.rejection.clone()
}
