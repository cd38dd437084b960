//! The steps of a plan, in their order. A plan is the first step that has something to do: after its actions the world is observed
//! and planned again, so each step finds the ones before it done. The order is the safety argument: stopping after any step, and
//! after any action of a step, leaves production served by what it may be served by.
//!
//! What brings production home comes before anything that concerns the candidate, and asks nothing of what may be broken there.
//!
//! A write that the API server refuses is left out until it is tried again, so that it holds up only what rests on it.

use std::collections::BTreeMap;

use greenlight_api::{Decisions, PodMetadata, Rejection, names};
use jiff::Timestamp;

use super::round::{Candidate, Round};
use crate::actions::{Action, Change};
use crate::decisions::{self, wanted_mirror};
use crate::restart::{self, Restart};
use crate::scale::{self, Size};
use crate::situation::Situation;
use crate::stall;
use crate::world::{RefusedWrite, ReplicaSet, Selection, World, mirror_of};
use crate::{analysis, events, fence, hash, history, metadata, overlap, pods, retire, roles, switch, workload};

/// A step.
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Why it is safe to stop after it, and before the next.
    pub rule: &'static str,
    /// No promotion while one of its writes is refused.
    pub promotion_waits: bool,
    actions: fn(&Round) -> Vec<Action>,
}

const MOVE_PREVIEW: &str = "move preview";
const PROMOTE: &str = "promote";

/// All steps, in order.
pub const STEPS: [Step; 17] = [
    Step {
        name: "mirror",
        rule: "what closes is on the ReplicaSet, or on the Service that moved away from it, before it is in the record: it outlives that",
        promotion_waits: false,
        actions: mirror,
    },
    Step {
        name: "protect",
        rule: "the finalizer is there before any Service selects a hash that would die with the rollout",
        promotion_waits: true,
        actions: protect,
    },
    Step {
        name: "size home",
        rule: "production has the pods that it should have, and what it goes back to is no longer marked to go",
        promotion_waits: false,
        actions: size_home,
    },
    Step {
        name: "move home",
        rule: "production goes only where all pods are available; a hash that was lost is put back where any is, or only strangers would serve",
        promotion_waits: true,
        actions: move_home,
    },
    Step {
        name: "create",
        rule: "a new ReplicaSet has a name of its own; no Service selects it yet",
        promotion_waits: false,
        actions: create,
    },
    Step {
        name: "withdraw",
        rule: "a claim that is not followed cannot be followed later by whoever made it and slept",
        promotion_waits: false,
        actions: withdraw,
    },
    Step {
        name: "size candidate",
        rule: "the candidate has the pods that it should have; production is not touched",
        promotion_waits: false,
        actions: size_candidate,
    },
    Step {
        name: MOVE_PREVIEW,
        rule: "the preview shows what is available, before anybody is asked to promote it",
        promotion_waits: true,
        actions: move_preview,
    },
    Step {
        name: "analyse",
        rule: "a run is started once, by its name; it decides nothing before it is over",
        promotion_waits: false,
        actions: analyse,
    },
    Step {
        name: PROMOTE,
        rule: "the gate is open, all pods are available as just read, and every Service fits; the old pods stay",
        promotion_waits: false,
        actions: promote,
    },
    Step {
        name: "pod metadata",
        rule: "pods get the labels of the role that they have by now",
        promotion_waits: false,
        actions: change_pod_metadata,
    },
    Step {
        name: "restart",
        rule: "a pod is evicted only while as many others are available as should be",
        promotion_waits: false,
        actions: restart,
    },
    Step {
        name: "retire",
        rule: "only what may not get traffic any more is marked; pods are taken away by somebody else, later, after a look",
        promotion_waits: false,
        actions: retire,
    },
    Step {
        name: "prune",
        rule: "what is deleted has no pods, no role, and is not what production would go back to",
        promotion_waits: false,
        actions: prune,
    },
    Step {
        name: "scale workload",
        rule: "the Deployment that was taken over from shrinks only as far as ours stand in for it",
        promotion_waits: false,
        actions: scale_workload,
    },
    Step {
        name: "let go",
        rule: "a Service that the spec names no more shows nothing of ours, and one that carried production only when that is no mix",
        promotion_waits: false,
        actions: release_unnamed,
    },
    Step {
        name: "correct",
        rule: "what says that it was planned from what is not there yet says so no more; nothing else is changed",
        promotion_waits: false,
        actions: correct,
    },
];

/// What is to be done next.
pub(super) struct Next<'a> {
    /// The actions of the first step that has any.
    pub actions: Vec<Action>,
    /// What the steps before it would have done too, if the API server did not refuse it.
    pub refused: Vec<&'a RefusedWrite>,
}

impl<'a> Next<'a> {
    /// Nothing.
    pub fn nothing() -> Next<'a> {
        Next { actions: Vec::new(), refused: Vec::new() }
    }

    /// Adds what the API server does not refuse. Returns whether it refuses any.
    pub fn add(&mut self, world: &'a World, actions: Vec<Action>, now: Timestamp) -> bool {
        let before = self.refused.len();
        for action in actions {
            match world.refused_write(&action.target(&world.rollout.name), now) {
                Some(refused) => self.refused.push(refused),
                None => self.actions.push(action),
            }
        }
        self.refused.len() > before
    }
}

/// The first step that has something to do.
pub(super) fn next<'a>(round: &Round<'a>) -> Next<'a> {
    let Situation { world, now, .. } = round.situation;
    let mut next = Next::nothing();
    let mut promotion_waits = false;
    for step in &STEPS {
        if step.name == PROMOTE && promotion_waits {
            continue;
        }
        // Where production is down, nobody waits for a preview.
        let is_dispensable = step.name == MOVE_PREVIEW && round.situation.is_down();
        let is_refused = next.add(world, (step.actions)(round), now);
        promotion_waits |= is_refused && step.promotion_waits && !is_dispensable;
        if !next.actions.is_empty() {
            break;
        }
    }
    next
}

/// What has to be written before the record is: what closes.
pub(super) fn before_the_record<'a>(round: &Round<'a>) -> Next<'a> {
    let Situation { world, now, .. } = round.situation;
    let opens = |action: &Action| match action {
        Action::ChangeReplicaSet { change, .. } => change.annotations.get(names::REJECTED) == Some(&None),
        // Only what is over is taken off a Service.
        _ => true,
    };
    let mut next = Next::nothing();
    let closing = mirror(round).into_iter().filter(|action| !opens(action));
    next.add(world, closing.chain(withdraw(round)).collect(), now);
    next
}

/// The claim or the move by which production leaves what was rejected, where nothing comes before it. The move carries the rejection, so that needs no
/// write of its own.
pub(super) fn leave_at_once(round: &Round) -> Option<Vec<Action>> {
    let Situation { world, roles, now, .. } = round.situation;
    let home = roles.home()?;
    // Where the spec names no Service, nothing shows the move; nor does one that is about to go, or another one alone.
    let first = world.first_active_service().filter(|service| !service.deleting)?;
    if !roles.going_back() || !protect(round).is_empty() {
        return None;
    }
    let claims = |action: &Action| match action {
        Action::ChangeReplicaSet { name, change, .. } => {
            *name == home.name && change.replicas.is_none() && change.annotations.contains_key(names::PROMOTED_AT)
        }
        _ => false,
    };
    let moves = |action: &Action| match action {
        Action::SelectRevision { selection, production, .. } => {
            *selection == Selection::Revision(home.hash.clone()) && production.as_ref() == Some(&home.hash)
        }
        _ => false,
    };
    let is_refused = |action: &Action| world.refused_write(&action.target(&world.rollout.name), now).is_some();
    let goes = |action: &Action| (claims(action) || moves(action)) && !is_refused(action);
    let shows = |action: &Action| matches!(action, Action::SelectRevision { name, .. } if *name == first.name);
    let sized = size_home(round);
    let actions = if sized.is_empty() { move_home(round) } else { sized };
    let go = !actions.is_empty() && actions.iter().all(goes);
    let is_shown = actions.iter().all(claims) || actions.iter().any(shows);
    if go && is_shown { Some(actions) } else { None }
}

fn protect(round: &Round) -> Vec<Action> {
    let finalizers = &round.situation.world.rollout.finalizers;
    let is_there = finalizers.iter().any(|finalizer| finalizer == names::SERVICES_FINALIZER);
    if is_there { Vec::new() } else { vec![Action::AddFinalizer] }
}

fn mirror(round: &Round) -> Vec<Action> {
    let situation = &round.situation;
    let carried = decisions::carried(situation.world, situation.decisions);
    let mut actions = Vec::new();
    for rs in situation.world.existing() {
        let mut change = Change::default();
        let is_carried =
            |rejection| carried.and_then(|carried| carried.get(&rs.hash)).is_some_and(|it| is_same(it, rejection));
        match wanted_mirror(situation, rs) {
            // The mark that it gets once the move is proven brings the mirror with it.
            Some(rejection) if is_carried(&rejection) && !rs.is_retired() && rs.replicas > 0 => {}
            Some(rejection) => write_mirror(rs, rejection, &mut change),
            None => change.remove_annotation(rs, names::REJECTED),
        }
        actions.extend(change.into_action(rs));
    }
    actions.extend(switch::correct_rejections(situation));
    actions
}

/// When it was made does not matter: until it is in the record, each plan makes it anew.
fn is_same(a: &Rejection, b: &Rejection) -> bool {
    (&a.by, &a.reason, &a.to) == (&b.by, &b.reason, &b.to)
}

/// The mirror of a rejection, unless the ReplicaSet has it already.
fn write_mirror(rs: &ReplicaSet, rejection: Rejection, change: &mut Change) {
    if rs.mirrored_rejection().is_none_or(|mirrored| !is_same(&mirrored, &rejection)) {
        let value = serde_json::to_string(&mirror_of(rejection)).expect("a rejection has only strings in it");
        change.annotate(names::REJECTED, value);
    }
}

fn size_home(round: &Round) -> Vec<Action> {
    let situation = &round.situation;
    let Some(home) = situation.roles.home().filter(|home| !home.deleting) else { return Vec::new() };
    let size = scale::home_size(situation, home);
    let mut change = wanted(round, home, size);
    restart::record(situation, home, &mut change);
    // One that comes back ready is claimed by the write that brings it back.
    let ready = home.replicas == size.replicas && home.is_available(size.replicas);
    if !change.is_empty() && ready && situation.roles.going_back() {
        change.annotate(names::PROMOTED_AT, situation.now);
    }
    changes(situation, home, change).into_iter().chain(size_serving(situation, home)).collect()
}

/// What production leaves serves until it has left, however long that takes: it gets more pods where production is scaled up meanwhile. None
/// are taken from it. First it has to be seen that the pods of what production goes back to do not wait for room.
fn size_serving(situation: &Situation, home: &ReplicaSet) -> Option<Action> {
    let Situation { world, roles, decisions, now } = *situation;
    let serving = roles.serving().filter(|rs| roles.going_back() && !rs.deleting && rs.ready > 0)?;
    let has_room = world.pods.contains_key(&home.hash) && pods::with_room(world, home).is_none();
    if serving.replicas >= decisions.replicas || !has_room {
        return None;
    }
    let mut change = Change { replicas: Some(decisions.replicas), ..Change::default() };
    change.annotate(names::SCALED_AT, now);
    change.annotate(names::DESIRED_REPLICAS, decisions.replicas);
    change.into_action(serving)
}

fn move_home(round: &Round) -> Vec<Action> {
    let situation = &round.situation;
    let size = situation.roles.home().map(|home| scale::home_size(situation, home));
    size.map(|size| switch::move_home(situation, size.needed)).unwrap_or_default()
}

fn create(round: &Round) -> Vec<Action> {
    let situation = &round.situation;
    let (world, decisions) = (situation.world, situation.decisions);
    let digest = roles::asked_for(world, decisions);
    let record = decisions.revisions.iter().find(|revision| revision.digest == digest);
    let unwanted = decisions.rejection_of_template(digest).is_some();
    let retry_due = world.refused.as_ref().is_none_or(|refused| situation.now >= refused.retry_at);
    let cannot = stall::workload(world).is_some()
        || world.template_has_serving_label()
        || world.template_is_refused() && !retry_due;
    if situation.roles.updated.is_some() || unwanted || cannot {
        return Vec::new();
    }
    let template = &world.rollout.template;
    // A ReplicaSet on its way out has its name until it is gone.
    let is_leaving = |hash: &String| world.replica_sets.iter().any(|rs| rs.hash == *hash);
    let recorded = record.map(|record| record.hash.clone()).filter(|hash| !is_leaving(hash));
    let Some(hash) = recorded.or_else(|| situation.free_hash()) else { return Vec::new() };
    let number = record.map_or_else(|| decisions::newest(decisions) + 1, |record| record.number);
    let waits_for_nothing = world.is_first_deployment(decisions) && world.rollout.spec.paused != Some(true);
    let size = scale::initial_size(situation, waits_for_nothing);
    let mut annotations = BTreeMap::from([
        (names::TEMPLATE_DIGEST, template.digest.to_string()),
        (names::REVISION, number.to_string()),
        (names::DESIRED_REPLICAS, size.shown.to_string()),
        (names::SCALED_AT, situation.now.to_string()),
    ]);
    if record.is_some_and(|record| record.hash == decisions.serving) {
        // What production lost: with it, this is not the first deployment, whatever else is lost.
        annotations.insert(names::CONFIRMED_AT, situation.now.to_string());
    }
    let pod_metadata = metadata::initial(situation);
    if pod_metadata != PodMetadata::default() {
        let value = serde_json::to_string(&pod_metadata).expect("it has only strings in it");
        annotations.insert(names::ROLE_METADATA, value);
    }
    vec![Action::CreateReplicaSet {
        name: hash::replica_set_name(&world.rollout.name, &hash),
        event: events::revision_created(number, &hash, &template.image),
        hash,
        digest: template.digest.to_string(),
        replicas: size.replicas,
        annotations,
        pod_metadata,
    }]
}

fn size_candidate(round: &Round) -> Vec<Action> {
    let Some(candidate) = &round.candidate else { return Vec::new() };
    let situation = &round.situation;
    let mut change = wanted(round, candidate.rs, candidate.size);
    restart::record(situation, candidate.rs, &mut change);
    // Only what is written down: until then it would be another time in every plan.
    match situation.world.rollout.record().and_then(|written| written.revision(&candidate.rs.hash)?.preview_ready_at) {
        Some(at) if candidate.rs.timestamp(names::PREVIEW_READY_AT) != Some(at) => {
            change.annotate(names::PREVIEW_READY_AT, at);
        }
        Some(_) => {}
        None => change.remove_annotation(candidate.rs, names::PREVIEW_READY_AT),
    }
    // One that comes back ready is claimed by the write that brings it back, if nothing is to be done between the claim and the move.
    let may_be_claimed = || {
        candidate.gate.is_open()
            && round.stall.is_none()
            && !says_it_serves(situation, candidate.rs)
            && !switch::waits_for_overlap(situation, candidate.rs)
            && overlap::prepare(situation, candidate.rs).is_none()
    };
    if !change.is_empty() && candidate.is_ready && may_be_claimed() {
        change.annotate(names::PROMOTED_AT, situation.now);
    }
    changes(situation, candidate.rs, change)
}

/// The write of a change. While the API server refuses the size, everything else is a write of its own, so that it is not held up.
fn changes(situation: &Situation, rs: &ReplicaSet, mut change: Change) -> Vec<Action> {
    let Situation { world, now, .. } = *situation;
    let is_refused = |action: &Action| world.refused_write(&action.target(&world.rollout.name), now).is_some();
    let whole = change.clone().into_action(rs);
    if change.replicas.is_none() || !whole.as_ref().is_some_and(is_refused) {
        return whole.into_iter().collect();
    }
    let mut size = Change { replicas: change.replicas.take(), ..Change::default() };
    size.annotations.extend(change.annotations.remove_entry(names::SCALED_AT));
    change.into_action(rs).into_iter().chain(size.into_action(rs)).collect()
}

/// What makes a ReplicaSet one that is wanted: alive, at this size, under its number.
fn wanted(round: &Round, rs: &ReplicaSet, size: Size) -> Change {
    let situation = &round.situation;
    let mut change = Change::default();
    // What production may move to does not grow before it has shrunk: nobody could tell any more which of the available pods are on their way out.
    let serves = situation.roles.staying().is_some_and(|home| home.name == rs.name);
    let may_have_size = serves || size.replicas < rs.replicas || !rs.is_shrinking();
    if rs.replicas != size.replicas && may_have_size {
        change.replicas = Some(size.replicas);
        change.annotate(names::SCALED_AT, situation.now);
    }
    if rs.annotation(names::DESIRED_REPLICAS) != Some(&size.shown.to_string()) {
        change.annotate(names::DESIRED_REPLICAS, size.shown);
    }
    let number = situation.number(rs);
    if rs.annotation(names::REVISION) != Some(&number.to_string()) {
        change.annotate(names::REVISION, number);
    }
    if let Some(record) = situation.record(rs).filter(|record| record.digest != rs.digest) {
        change.annotate(names::TEMPLATE_DIGEST, &record.digest);
    }
    // What production goes back to is available by what it served with: whoever may edit does not hold that up by the spec, nor by the
    // ReplicaSet.
    let spec = situation.world.rollout.spec.min_ready_seconds();
    let goes_back = situation.roles.going_back() && situation.roles.is_home(rs);
    let min_ready_seconds = if goes_back { spec.min(rs.min_ready_seconds) } else { spec };
    if rs.min_ready_seconds != min_ready_seconds {
        change.min_ready_seconds = Some(min_ready_seconds);
    }
    if let Some(restart) = Restart::of(situation, rs).filter(Restart::is_done) {
        restart.finish(&mut change);
    }
    retire::revive(rs, &mut change);
    change
}

fn move_preview(round: &Round) -> Vec<Action> {
    round.move_preview().into_iter().collect()
}

fn release_unnamed(round: &Round) -> Vec<Action> {
    switch::release_unnamed(&round.situation)
}

fn correct(round: &Round) -> Vec<Action> {
    fence::correct(&round.situation)
}

fn analyse(round: &Round) -> Vec<Action> {
    let ready = round.candidate.as_ref().is_some_and(|candidate| candidate.is_ready);
    let mut actions = analysis::stop(&round.situation);
    actions.extend(analysis::begin(&round.situation, ready, round.proof.is_there()));
    actions
}

fn promote(round: &Round) -> Vec<Action> {
    let Some(candidate) = &round.candidate else { return Vec::new() };
    if round.stall.is_some()
        || !candidate.gate.is_open()
        || !candidate.is_ready
        || !is_recorded(&round.situation, candidate.rs)
        || says_it_serves(&round.situation, candidate.rs)
    {
        return Vec::new();
    }
    switch::promote(&round.situation, candidate.rs)
}

/// It is on record with whom production is, what the spec asks for, and that the candidate is ours. Otherwise nobody would know later that production was there,
/// or where it went: a ReplicaSet that the record does not know may be anybody's.
fn is_recorded(situation: &Situation, candidate: &ReplicaSet) -> bool {
    let decisions = situation.decisions;
    let as_recorded =
        |record: &Decisions| (&record.serving, &record.template) == (&decisions.serving, &decisions.template);
    situation.world.rollout.record().is_some_and(|record| record.knows(&candidate.uid) && as_recorded(record))
}

/// The active Service carries the mark of the candidate still, since it could not be written when production left that. With a claim it would say
/// that production is there. First the mark is put right; where the Service does not fit what serves, nothing but this promotion does that.
fn says_it_serves(situation: &Situation, candidate: &ReplicaSet) -> bool {
    let world = situation.world;
    let marked = world.first_active_service().filter(|service| service.production.as_ref() == Some(&candidate.hash));
    let home = situation.roles.staying().filter(|home| home.ready > 0 && !situation.is_rejected(home));
    marked.zip(home).is_some_and(|(service, home)| stall::keeps_from_moving(world, service, home).is_none())
}

fn withdraw(round: &Round) -> Vec<Action> {
    // One whose pods get what they carry by way of both is followed meanwhile: it would be withdrawn and used by turns.
    let has_pods = |candidate: &Candidate| metadata::is_available_meanwhile(candidate.rs, candidate.size.needed);
    let is_followed = |candidate: &&Candidate| round.stall.is_none() && candidate.gate.is_open() && has_pods(candidate);
    let promoted = round.candidate.as_ref().filter(is_followed);
    fence::withdraw(&round.situation, promoted.map(|candidate| candidate.rs))
}

fn change_pod_metadata(round: &Round) -> Vec<Action> {
    let situation = &round.situation;
    let pending = |rs: &ReplicaSet| {
        let of_role = metadata::of_role(situation, rs);
        let wanted =
            if overlap::keeps_label(situation, rs) { overlap::with_label(situation, of_role) } else { of_role };
        let is_due = wanted != metadata::carried(rs) && rs.replicas > 0;
        if is_due { metadata::change(situation, rs, wanted) } else { None }
    };
    situation.world.existing().filter_map(pending).collect()
}

fn restart(round: &Round) -> Vec<Action> {
    let situation = &round.situation;
    let size = |hash: &str| {
        let home = situation.roles.home().filter(|home| home.hash == hash);
        let home = home.map(|home| (home, scale::home_size(situation, home)));
        home.or_else(|| round.candidate.as_ref().map(|candidate| (candidate.rs, candidate.size)))
    };
    // Without its additional pod, which may be refused, it would be one pod less.
    let has_its_size = |restart: &Restart| size(restart.hash()).is_some_and(|(rs, size)| rs.replicas == size.replicas);
    round.restarts().filter(has_its_size).filter_map(|restart| restart.next(situation.world, situation.now)).collect()
}

fn retire(round: &Round) -> Vec<Action> {
    let situation = &round.situation;
    let roles = situation.roles;
    if is_production_unknown(situation) {
        return Vec::new();
    }
    let without_role = situation.world.existing().filter(|rs| {
        let has_role = roles.is_serving(rs) || roles.is_home(rs) || roles.is_candidate(rs);
        !has_role && (rs.is_retired() || !retire::waits_for_verdict(situation, rs))
    });
    let mark = |rs: &ReplicaSet| {
        let mut change = retire::mark(situation, rs, round.proof.is_there());
        // Until now the Service told of it.
        if !change.is_empty()
            && let Some(rejection) = wanted_mirror(situation, rs)
        {
            write_mirror(rs, rejection, &mut change);
        }
        change.into_action(rs)
    };
    without_role.filter_map(mark).collect()
}

fn prune(round: &Round) -> Vec<Action> {
    if is_production_unknown(&round.situation) { Vec::new() } else { history::prune(&round.situation) }
}

/// Something served and nobody knows what: then everything stays. Before the first deployment there is nothing to know, however many
/// revisions have waited for it.
fn is_production_unknown(situation: &Situation) -> bool {
    situation.roles.home().is_none() && !situation.world.is_first_deployment(situation.decisions)
}

fn scale_workload(round: &Round) -> Vec<Action> {
    // While something is wrong with what the rollout names, the Deployment may be all that serves.
    if round.stall.is_some() {
        return Vec::new();
    }
    workload::scale(&round.situation, round.proof.is_there()).into_iter().collect()
}
