//! What is decided now: what a person asks for, and what the operator finds out by itself. It is entered in the record before
//! anything is planned, so that no step has to ask why.

use greenlight_api::{Decisions, Rejection, RevisionRecord, names};
use jiff::Timestamp;

use crate::actions::Action;
use crate::analysis::{self, Kind, Outcome};
use crate::decisions::{self, Read, Source};
use crate::gate::{self, Gate};
use crate::request::{self, Heard};
use crate::restart;
use crate::rollback;
use crate::scale::{self, Size};
use crate::situation::Situation;
use crate::stall;
use crate::switch::{self, Proof};
use crate::world::{ReplicaSet, Selection, World};
use crate::{pods, progress};

/// The record with everything that is decided by now.
pub(super) struct Decided {
    /// The record.
    pub read: Read,
    /// What became of the request in the register.
    pub heard: Heard,
    /// What it rejects, by hash, if that serves, whoever sees production leave it takes it for rejected, and nothing else has happened since the record was
    /// written.
    pub rejected_by_request: Option<(String, Rejection)>,
}

/// Decides. Each step sees the roles that follow from the ones before.
pub(super) fn decide(world: &World, now: Timestamp) -> Decided {
    let mut read = decisions::read(world, now);
    let mut decisions = read.now.clone();
    if world.comes_second() && world.is_first_deployment(&decisions) {
        decisions.not_the_first = true;
    }
    // Before anybody is heard: who asks to go back now does not go there.
    reject_what_served(&Situation::new(world, &read.now, now), &mut decisions);
    let is_as_recorded = request::is_unanswered(world) && read.source == Source::Record && decisions == read.written;
    let heard = request::hear(&Situation::new(world, &read.now, now), &read, &mut decisions);
    let serving = &decisions.serving;
    let is_told = read.written.revision(serving).is_some_and(|left| leaving_tells(&read.written, left));
    let rejection = if is_as_recorded && is_told { decisions.rejection(serving) } else { None };
    let rejected_by_request = rejection.map(|rejection| (serving.clone(), rejection.clone()));
    let mut before = decisions.clone();
    for step in [
        measure_anew,
        reject_what_serves,
        reject_candidate,
        record_production,
        record_candidate,
        restart::bring_back,
        switch_without_service,
    ] {
        if before != decisions {
            before = decisions.clone();
        }
        step(&Situation::new(world, &before, now), &mut decisions);
    }
    read.now = decisions;
    Decided { read, heard, rejected_by_request }
}

/// Whoever sees that production has left this one takes it for rejected, also an operator of the version before, which may be the next one and does not
/// know what a move carries: the spec asks for it, and it served.
fn leaving_tells(record: &Decisions, left: &RevisionRecord) -> bool {
    left.rejection.is_none() && left.served_at.is_some() && left.turn > 0 && left.digest == record.template
}

/// A run under way of what is scaled to nothing decides nothing, nor does that of a candidate which the preview Service does not show any more, by whoever's
/// hand: it measures what is shown instead. With pods again, and shown again, there is to be another one. That is another attempt for the runs
/// alone; who approved it, and since when it serves, stays.
fn measure_anew(situation: &Situation, decisions: &mut Decisions) {
    let Situation { world, roles, .. } = situation;
    let serving = if situation.decisions.replicas == 0 { roles.at_home() } else { None };
    let is_empty = |rs: &ReplicaSet| world.rollout.spec.replicas() == 0 && rs.replicas == 0;
    let candidate = roles.candidate.filter(|rs| is_empty(rs) || has_strayed(situation, rs));
    for (rs, kind) in serving.map(|rs| (rs, Kind::Post)).into_iter().chain(candidate.map(|rs| (rs, Kind::Pre))) {
        let is_under_way = matches!(analysis::outcome(situation, rs, kind), Outcome::Running(_));
        if is_under_way && let Some(record) = decisions.revision_mut(&rs.hash) {
            record.attempt = record.attempt.saturating_add(1);
        }
    }
}

/// The preview Service shows this candidate no more. A tool that applies server-side takes the hash out in each of its rounds, and leaves our mark. Where
/// the hash is put back at once, no run is begun anew: one that takes longer than such a round would never end.
fn has_strayed(situation: &Situation, candidate: &ReplicaSet) -> bool {
    let Situation { world, now, .. } = situation;
    if situation.is_shown(candidate) {
        return false;
    }
    let size = candidate_size(situation, candidate);
    let Some(action) = switch::move_preview(situation, Some(size.needed)) else { return true };
    let Action::SelectRevision { name, selection, .. } = &action else { return true };
    let has_lost_hash = world.services.get(name).is_some_and(|service| {
        service.selection() == Selection::Unmanaged && service.is_marked_for(&world.rollout.name)
    });
    let is_put_back = *selection == Selection::Revision(candidate.hash.clone())
        && world.refused_write(&action.target(&world.rollout.name), *now).is_none();
    !(has_lost_hash && is_put_back)
}

/// What serves is rejected when its pods are gone or its analysis failed, if there is something to go back to. What waits in
/// preview, or what the spec asks for, does not matter.
fn reject_what_serves(situation: &Situation, decisions: &mut Decisions) {
    rollback::record_outage(situation, decisions);
    let Some(serving) = situation.roles.staying().filter(|serving| !situation.is_rejected(serving)) else { return };
    if situation.fallback().is_none() {
        return;
    }
    let rejection = rollback::rejection(situation).or_else(|| analysis::rejection(situation, serving, Kind::Post));
    if let Some(rejection) = rejection {
        decisions::reject(decisions, &serving.hash, as_mirrored(serving, rejection));
        decisions.unavailable_since = None;
    }
}

/// What production left before its analysis was over, and whose analysis failed after all, is nothing to go back to.
fn reject_what_served(situation: &Situation, decisions: &mut Decisions) {
    let Situation { world, roles, .. } = situation;
    let left = world.existing().filter(|rs| !roles.is_serving(rs) && !roles.is_home(rs) && !roles.is_candidate(rs));
    let unproven = left.filter(|rs| {
        let record = situation.record(rs);
        record.is_some_and(|record| record.served_at.is_some() && record.post_promotion.is_none())
    });
    for rs in unproven.filter(|rs| !situation.is_rejected(rs)) {
        if let Some(rejection) = analysis::rejection(situation, rs, Kind::Post) {
            decisions::reject(decisions, &rs.hash, as_mirrored(rs, rejection));
        }
    }
}

/// The candidate is rejected when its analysis failed, or when it makes no progress and the spec says so. With no pod that serves
/// meanwhile, it may go on trying to start.
fn reject_candidate(situation: &Situation, decisions: &mut Decisions) {
    let Situation { roles, decisions: decided, .. } = situation;
    let Some(candidate) = roles.candidate else { return };
    let serves = roles.serving().or(roles.home()).is_some_and(|rs| rs.ready > 0 || decided.replicas == 0);
    let given_up = if serves { gave_up(situation, candidate) } else { None };
    let rejection = given_up.or_else(|| analysis::rejection(situation, candidate, Kind::Pre));
    if let Some(rejection) = rejection {
        let rejection = Rejection { of_attempt: situation.served(candidate), ..as_mirrored(candidate, rejection) };
        decisions::reject(decisions, &candidate.hash, rejection);
    }
}

/// The rejection in the words and at the time of its mirror, which is written before the record: what they were made of may not be
/// looked at any more. Anybody may write the mirror: it does not say where production goes.
fn as_mirrored(rs: &ReplicaSet, rejection: Rejection) -> Rejection {
    let mirrored = rs.mirrored_rejection().filter(|mirrored| mirrored.by == names::FIELD_MANAGER);
    let Some(Rejection { at, reason, .. }) = mirrored else { return rejection };
    Rejection { at: at.min(rejection.at), reason, ..rejection }
}

/// `progressDeadlineAbort`: the rejection of a candidate that made no progress.
fn gave_up(situation: &Situation, candidate: &ReplicaSet) -> Option<Rejection> {
    let Situation { world, now, .. } = situation;
    let size = candidate_size(situation, candidate);
    // What has not been given its pods yet has made no progress that could be judged.
    let given = candidate.replicas == size.replicas;
    if world.rollout.spec.progress_deadline_abort != Some(true) || !given || candidate.is_available(size.needed) {
        return None;
    }
    let progress = progress::read(world.rollout.status.as_ref(), candidate, *now);
    if *now < progress::deadline(world, &progress) {
        return None;
    }
    let seconds = world.rollout.spec.progress_deadline_seconds();
    let cause = pods::cause(world, candidate).map(|cause| format!(" ({cause})")).unwrap_or_default();
    Some(decisions::by_itself(*now, format!("no progress for {seconds} s{cause}"), None))
}

/// What serves provably has served, and its analysis is over once it was good.
fn record_production(situation: &Situation, decisions: &mut Decisions) {
    let Some(home) = situation.roles.at_home() else { return };
    let Proof::Proven(proven_at) = switch::proof(situation) else { return };
    let noted = switch::noted(situation.world, home).is_some();
    let verdict = analysis::verdict_of(situation, home, Kind::Post);
    if let Some(record) = decisions.revision_mut(&home.hash) {
        if !noted || record.served_at.is_none() {
            record.served_at = Some(proven_at);
        }
        record.post_promotion = verdict;
        record.confirmed_at = home.timestamp(names::CONFIRMED_AT);
        record.claim = home.claimed_at();
    }
}

/// Since when the preview of the candidate is ready, and how its analysis ended.
fn record_candidate(situation: &Situation, decisions: &mut Decisions) {
    let Some(candidate) = situation.roles.candidate else { return };
    let timed = situation.world.rollout.spec.blue_green().auto_promotion_seconds.is_some_and(|seconds| seconds > 0);
    // With no pod that is ready, or where the preview Service leads elsewhere, there is nothing to look at.
    let can_be_seen = candidate.replicas > 0 && candidate.ready > 0 && situation.is_shown(candidate);
    let ready_at = (timed && can_be_seen && is_ready(situation, candidate)).then_some(situation.now);
    let verdict = analysis::verdict_of(situation, candidate, Kind::Pre);
    let is_to_end =
        || matches!(analysis::outcome(situation, candidate, Kind::Pre), Outcome::NotStarted | Outcome::Running(_));
    if let Some(record) = decisions.revision_mut(&candidate.hash) {
        let before = if can_be_seen { record.preview_ready_at } else { None };
        // From the future it is by another operator's clock.
        record.preview_ready_at = before.map(|at| at.min(situation.now)).or(ready_at);
        record.pre_promotion = verdict;
        // Who asked by such a clock asked before this analysis ends, and does not accept how it does.
        let now = Some(situation.now);
        for approval in record.approvals.iter_mut().filter(|approval| approval.heard_at > now && is_to_end()) {
            approval.heard_at = now;
        }
    }
}

/// Where the spec names no active Service, nobody is moved: production is with whom the record says it is.
fn switch_without_service(situation: &Situation, decisions: &mut Decisions) {
    let Situation { roles, now, .. } = situation;
    // The additional pod of a restart is not waited for.
    let back = roles.home().filter(|home| roles.going_back() && home.is_available(switch::awaited(situation, home)));
    let on = roles.candidate.filter(|candidate| {
        gate::check(situation, candidate) == Gate::Open
            && is_ready(situation, candidate)
            && stall::workload(situation.world).is_none()
            && stall::services(situation).is_none()
    });
    if let Some(rs) = back.or(on).filter(|rs| switch::is_claimed_without_service(situation, rs)) {
        decisions::serve(situation.world, decisions, &rs.hash, *now);
        if roles.is_candidate(rs) {
            decisions.replicas = situation.world.rollout.spec.replicas();
        }
    }
}

/// The candidate has all the pods that it should have, and they are available.
fn is_ready(situation: &Situation, candidate: &ReplicaSet) -> bool {
    candidate_size(situation, candidate).is_there(candidate)
}

fn candidate_size(situation: &Situation, candidate: &ReplicaSet) -> Size {
    let gate_is_open = gate::check(situation, candidate).is_open();
    scale::candidate_size(situation, candidate, gate_is_open)
}
