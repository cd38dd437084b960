//! From the world to a plan: what was decided ([`decide`]), what is to be done ([`steps`]), and when to look again ([`wake`]).

mod decide;
mod round;
pub mod steps;
mod wake;

use std::collections::BTreeMap;

use greenlight_api::{BlueGreenRolloutStatus, ObservedRequest, names};
use jiff::Timestamp;

use crate::actions::{Action, Doubt, Plan, Urgency, Watches};
use crate::decisions::{self, Read};
use crate::events::{self, Event};
use crate::fence;
use crate::finalize;
use crate::overlap;
use crate::request::Heard;
use crate::situation::Situation;
use crate::stall;
use crate::status;
use crate::switch;
use crate::world::{ReplicaSet, World, mirror_of};
use decide::Decided;
use round::{Candidate, Round};
use steps::Next;

/// Decides what to do next. Pure: the same world at the same time gives the same plan.
pub fn plan(world: &World, now: Timestamp) -> Plan {
    if world.rollout.is_deleting() {
        return last_plan(world, now);
    }
    let decided = decide::decide(world, now);
    if let Some(doubt) = fence::doubt(world, &decided.read).or_else(|| doubt_of_answer(world, &decided.heard)) {
        return Plan { doubt: Some(doubt), ..nothing(world) };
    }
    let situation = Situation::new(world, &decided.read.now, now);
    let round = Round::new(situation, &decided.heard);
    // A bare verb is written out before anything else: once the status is published nobody knows any more what it was meant for.
    let verb = decided.heard.completed.as_ref().map(|request| Action::CompleteRequest { value: request.to_value() });
    let at_once = if verb.is_none() { leave_at_once(&decided, &round) } else { None };
    let replan = verb.is_none()
        && at_once.is_none()
        && (precede(world, &decided.read) || is_newly_refused(world, &decided.heard));
    let mut next = match (verb, at_once) {
        (Some(verb), _) => Next { actions: vec![verb], ..Next::nothing() },
        (None, Some(actions)) => Next { actions, ..Next::nothing() },
        (None, None) if replan => steps::before_the_record(&round),
        (None, None) => steps::next(&round),
    };
    let tell = |next: &Next| {
        let findings = round.findings(next.refused.first().copied());
        let status = status::compose(&findings);
        (findings, status)
    };
    let (mut findings, mut status) = tell(&next);
    // It may be the first write that is refused.
    if next.actions.is_empty() && next.add(world, fence::announce(&situation, &status), now) {
        (findings, status) = tell(&next);
    }
    let Next { mut actions, refused } = next;
    fence::stamp(world, &mut actions);
    let publish_at = status::publish_at(&status, &findings, replan);
    let events = events_until(world, &status);
    let watches = wake::watches(&round);
    let wake = wake::at(&round, publish_at, &refused);
    let is_first_deployment = world.is_first_deployment(situation.decisions);
    let urgency = urgency(&round, &actions, is_first_deployment);
    let in_flight = is_in_flight(&round, &watches);
    Plan {
        actions,
        status,
        replan,
        events,
        publish_at,
        watches,
        next: wake,
        urgency,
        in_flight,
        is_first_deployment,
        doubt: None,
    }
}

/// Whether something in the record has to be written before it is acted upon, and no Service carries it.
fn precede(world: &World, read: &Read) -> bool {
    let none = BTreeMap::new();
    decisions::precede(world, read, decisions::carried(world, &read.now).unwrap_or(&none))
}

/// What a person asks production to leave, it leaves before that is on record, if it can at once: the move tells why. If the operator dies before it, the
/// request is heard anew.
fn leave_at_once(decided: &Decided, round: &Round) -> Option<Vec<Action>> {
    let Decided { read, rejected_by_request, .. } = decided;
    let (hash, rejection) = rejected_by_request.clone()?;
    let carried = BTreeMap::from([(hash, mirror_of(rejection))]);
    if decisions::precede(round.situation.world, read, &carried) { None } else { steps::leave_at_once(round) }
}

/// Whether the next word is with the controllers of Kubernetes, and not with pods that take their time to start.
fn is_in_flight(round: &Round, watches: &Watches) -> bool {
    let Situation { world, roles, .. } = round.situation;
    let lacks_pods = |rs: &ReplicaSet| rs.current < rs.replicas && rs.failure.is_none();
    let is_up = |home: &ReplicaSet| home.available >= home.replicas;
    // An overlap looks at the endpoints for as long as it is to last.
    let proves = !watches.endpoints.is_empty() && !overlap::is_under_way(&round.situation);
    world.existing().any(lacks_pods) || proves && roles.at_home().is_some_and(is_up)
}

/// What moves production, or leads to it, is more urgent than what follows; what begins can wait for both.
fn urgency(round: &Round, actions: &[Action], is_first_deployment: bool) -> Urgency {
    // Where nothing serves yet, nobody waits for production.
    let serves = !is_first_deployment;
    let is_a_beginning = |action: &Action| {
        let adds_finalizer = matches!(action, Action::AddFinalizer) && !serves;
        adds_finalizer || matches!(action, Action::CreateReplicaSet { .. } | Action::DeleteReplicaSet { .. })
    };
    let creates = |action: &Action| matches!(action, Action::AddFinalizer | Action::CreateReplicaSet { .. });
    if serves && is_urgent(round, actions) {
        Urgency::Traffic
    } else if actions.is_empty() || !actions.iter().all(is_a_beginning) {
        Urgency::Follow
    } else if serves || !actions.iter().any(creates) {
        Urgency::Begin
    } else {
        Urgency::FirstDeployment
    }
}

/// Whether production is about to move, or waits for this on its way.
fn is_urgent(round: &Round, actions: &[Action]) -> bool {
    let Situation { world, roles, decisions, .. } = round.situation;
    let before = world.rollout.status.as_ref();
    let answered = before.and_then(|before| before.observed_request.as_ref());
    let is_new = |answer: &ObservedRequest| answered.is_none_or(|answered| answered.value != answer.value);
    let is_asked_for = round.candidate.is_some() && round.heard.answer.as_ref().is_some_and(is_new);
    let next = round.candidate.as_ref().filter(|candidate| candidate.gate.is_open() && round.stall.is_none());
    let promotes = |next: &Candidate| next.is_ready && !switch::promote(&round.situation, next.rs).is_empty();
    let moves = |action: &Action| match action {
        Action::SelectRevision { production, .. } => production.is_some(),
        // A claim, which is the write before a move, or the pods that it waits for.
        Action::ChangeReplicaSet { change, .. } => {
            let claims = [names::PROMOTED_AT, names::CONFIRMED_AT];
            claims.iter().any(|claim| change.annotations.contains_key(claim))
                || change.replicas.is_some() && next.is_some()
        }
        _ => false,
    };
    // The clock of the way back by itself begins when it is on record.
    let recorded = before.and_then(|before| before.decisions.as_ref()).and_then(|recorded| recorded.unavailable_since);
    let is_down = roles.home().is_none() || recorded != decisions.unavailable_since;
    // A bare verb may be an undo.
    is_down
        || round.heard.completed.is_some()
        || is_asked_for
        || roles.going_back()
        || next.is_some_and(promotes)
        || actions.iter().any(moves)
}

/// Why what was observed is not enough for an answer that was not given before. A request and the spec's template are of one object, so who
/// sees the one sees the other; a Deployment has a watch of its own, which may be behind.
fn doubt_of_answer(world: &World, heard: &Heard) -> Option<Doubt> {
    let (before, answer) = (world.rollout.status.as_ref()?, heard.answer.as_ref()?);
    if world.live || before.observed_request.as_ref() == Some(answer) {
        return None;
    }
    let by_workload = world.rollout.spec.workload_ref.is_some().then_some(Doubt::TemplateMayHaveChanged);
    if answer.accepted { by_workload } else { Some(Doubt::RequestIsRefused) }
}

/// What is refused is answered before anything else is done: by then it could be done.
fn is_newly_refused(world: &World, heard: &Heard) -> bool {
    let before = world.rollout.status.as_ref();
    let refused = heard.answer.as_ref().filter(|answer| !answer.accepted);
    before.is_some_and(|before| refused.is_some() && before.observed_request.as_ref() != refused)
}

/// The plan of a rollout that is being deleted. There is nothing to publish, unless something holds the deletion up.
fn last_plan(world: &World, now: Timestamp) -> Plan {
    if let Some(doubt) = finalize::doubt(world, now) {
        return Plan { doubt: Some(doubt), ..nothing(world) };
    }
    let (actions, watches, until) = finalize::actions(world, now);
    let mut next = Next::nothing();
    if next.add(world, actions, now) {
        // The finalizer stays until no Service is left.
        next.actions.retain(|action| *action != Action::RemoveFinalizer);
    }
    let held_up = next.refused.first().map(|refused| stall::write(refused)).or_else(|| stall::trouble(world));
    // What is looked at keeps its hash meanwhile.
    let waits = !watches.endpoints.is_empty();
    let status = status::of_deletion(world, held_up, waits, now);
    let before = world.rollout.status.as_ref();
    let publish_at = before.is_some_and(|before| *before != status).then_some(now);
    let events = publish_at.map(|_| events_until(world, &status)).unwrap_or_default();
    let retry_at = next.refused.iter().map(|refused| refused.retry_at).min();
    Plan {
        actions: next.actions,
        status,
        events,
        publish_at,
        watches,
        next: retry_at.into_iter().chain(until).min(),
        ..nothing(world)
    }
}

/// The events of the way from the status that is published to this one.
fn events_until(world: &World, status: &BlueGreenRolloutStatus) -> Vec<Event> {
    events::between(world.rollout.status.as_ref(), status, |hash| world.replica_set(hash).is_some())
}

fn nothing(world: &World) -> Plan {
    Plan {
        actions: Vec::new(),
        status: world.rollout.status.clone().unwrap_or_default(),
        replan: false,
        events: Vec::new(),
        publish_at: None,
        watches: Watches::default(),
        next: None,
        urgency: Urgency::Follow,
        in_flight: false,
        is_first_deployment: false,
        doubt: None,
    }
}
